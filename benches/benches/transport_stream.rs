//! How many bytes per second the demuxer and the muxer process, measured with the clip of the demo.
#![allow(missing_docs, reason = "criterion's macro makes an undocumented function")]

use std::error::Error;
use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput};
use cutrickle_media::{AccessUnit, Codec};
use cutrickle_mpegts::{Demuxer, Event, MuxProgram, Muxer};

const CLIP: &[u8] = include_bytes!("../../crates/cli/assets/clip/big-buck-bunny.ts");
/// Roughly as many bytes as a network delivers at once.
const CHUNK: usize = 16 << 10;

fn units() -> Vec<AccessUnit> {
    let mut units = Vec::new();
    let mut take = |event| {
        if let Event::Unit(unit) = event {
            units.push(unit);
        }
    };
    let mut demuxer = Demuxer::new();
    demuxer.push(CLIP, &mut take);
    demuxer.end_segment(&mut take);
    units
}

fn mux(units: &[AccessUnit], program: MuxProgram, out: &mut BytesMut) -> Result<(), Box<dyn Error>> {
    let mut muxer = Muxer::new(program);
    for unit in units {
        if unit.codec.is_video() && unit.keyframe {
            muxer.begin_segment(out);
        }
        muxer.write_unit(unit, out)?;
    }
    Ok(())
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("transport stream");
    group.throughput(Throughput::Bytes(CLIP.len() as u64));
    group.bench_function("demux", |bencher| {
        bencher.iter(|| {
            let mut demuxer = Demuxer::new();
            for chunk in CLIP.chunks(CHUNK) {
                demuxer.push(chunk, &mut |event| {
                    black_box(event);
                });
            }
            demuxer.end_segment(&mut |event| {
                black_box(event);
            });
        });
    });
    let units = units();
    let (mut video, mut audio) = (None, None);
    for unit in &units {
        match unit.codec {
            Codec::Video(codec) => video = Some(codec),
            Codec::Audio(codec) => audio = Some(codec),
        }
    }
    let program = MuxProgram::new(video, audio)?;
    let mut out = BytesMut::with_capacity(CLIP.len() * 2);
    mux(&units, program, &mut out)?;
    group.throughput(Throughput::Bytes(out.len() as u64));
    group.bench_function("mux", |bencher| {
        bencher.iter(|| {
            out.clear();
            mux(&units, program, &mut out)
        });
    });
    group.finish();
    criterion.final_summary();
    Ok(())
}
