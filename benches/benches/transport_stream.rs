//! How fast transport streams are taken apart and put together: the demonstration's clip, bytes per second.
#![allow(missing_docs, reason = "criterion's macro makes an undocumented function")]

use std::error::Error;
use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, Throughput};
use cutrickle_mpegts::{AccessUnit, Demuxer, Event, MuxProgram, Muxer, TrackKind};

const CLIP: &[u8] = include_bytes!("../../assets/clip/big-buck-bunny.ts");
/// What arrives together on a network, more or less.
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
        let kind = if unit.codec.is_video() { TrackKind::Video } else { TrackKind::Audio };
        if unit.codec.is_video() && unit.keyframe {
            muxer.begin_segment(out);
        }
        muxer.write_unit(kind, unit.pts, unit.dts, unit.keyframe, &unit.data, out)?;
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
    let codec = |video: bool| units.iter().map(|unit| unit.codec).find(|codec| codec.is_video() == video);
    let program = MuxProgram::new(codec(true), codec(false))?;
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
