//! `cargo +nightly fuzz run demux` feeds the demuxer with arbitrary bytes, which follow tables that announce
//! a video and an audio track. The first byte gives the size of the pieces, and the second one picks the
//! codecs. Timestamps have to stay in order on the timeline, and no more bytes may be emitted than were read.

#![no_main]

use bytes::BytesMut;
use cutrickle_media::{AudioCodec, Timestamp, VideoCodec};
use cutrickle_mpegts::{Demuxer, Event, MuxProgram, Muxer, Timeline};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let [pieces, choice, bytes @ ..] = input else { return };
    let video = if choice & 1 == 0 { VideoCodec::H264 } else { VideoCodec::H265 };
    let audio = if choice & 2 == 0 { AudioCodec::Aac } else { AudioCodec::Opus };
    let Ok(program) = MuxProgram::new(Some(video), Some(audio)) else { return };
    let mut tables = BytesMut::new();
    Muxer::new(program).begin_segment(&mut tables);

    let (mut demuxer, mut timeline) = (Demuxer::new(), Timeline::new());
    let (mut emitted, mut last) = (0, [Timestamp::from_ticks(i64::MIN); 2]);
    let mut sink = |event| {
        if let Event::Unit(unit) = event {
            emitted += unit.data.len();
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
    assert!(emitted <= bytes.len());
});
