//! `cargo +nightly fuzz run demux`: any bytes, in pieces whose size the first byte gives, behind tables that
//! name tracks of every codec. Units must keep the timeline's order, and nothing may be made up.

#![no_main]

use bytes::BytesMut;
use cutrickle_mpegts::{Codec, Demuxer, Event, MuxProgram, Muxer, Timeline};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [pieces, choice, bytes @ ..] = input else { return };
    let video = if choice & 1 == 0 { Codec::H264 } else { Codec::H265 };
    let audio = if choice & 2 == 0 { Codec::Aac } else { Codec::Opus };
    let Ok(program) = MuxProgram::new(Some(video), Some(audio)) else { return };
    let mut tables = BytesMut::new();
    Muxer::new(program).begin_segment(&mut tables);

    let (mut demuxer, mut timeline) = (Demuxer::new(), Timeline::new());
    let (mut handed, mut last) = (0, [i64::MIN; 2]);
    let mut sink = |event| {
        if let Event::Unit(unit) = event {
            handed += unit.data.len();
            let stamp = timeline.map(unit.codec.kind(), unit.pts, unit.dts);
            let last = &mut last[usize::from(unit.codec.is_audio())];
            assert!(stamp.dts > *last && stamp.pts >= stamp.dts);
            *last = stamp.dts;
        }
    };
    demuxer.push(&tables, &mut sink);
    for piece in bytes.chunks(usize::from(*pieces) + 1) {
        demuxer.push(piece, &mut sink);
    }
    demuxer.end_segment(&mut sink);
    assert!(handed <= bytes.len());
});
