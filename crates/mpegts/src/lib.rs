//! MPEG transport streams for live video: a push demuxer, a segmenting muxer, and the 90 kHz clock.
//!
//! The crate does no IO: bytes go in and come out of plain calls, without sockets, threads or clocks, and no
//! input makes it panic. Its main guarantee is latency: **a unit is passed on with its last byte**, in both
//! directions. Nothing is probed, and nothing is held back to see what comes next.
//!
//! ```
//! use bytes::{Bytes, BytesMut};
//! use cutrickle_media::{AccessUnit, Timestamp, VideoCodec};
//! use cutrickle_mpegts::{Demuxer, Event, MuxProgram, Muxer, Timeline};
//!
//! let mut muxer = Muxer::new(MuxProgram::new(Some(VideoCodec::H264), None)?);
//! let mut segment = BytesMut::new();
//! muxer.begin_segment(&mut segment);
//! let idr = Bytes::from_static(&[0, 0, 0, 1, 0x65, 0x88]);
//! muxer.write_unit(&AccessUnit::new(VideoCodec::H264, Timestamp::from_ticks(3_000), true, idr), &mut segment)?;
//!
//! let mut demuxer = Demuxer::new();
//! let mut timeline = Timeline::new();
//! let mut sink = |event| match event {
//!     Event::Program(program) => println!("tracks: {:?}", program.tracks),
//!     Event::Unit(unit) => {
//!         let stamp = timeline.map(unit.codec.kind(), unit.pts, unit.dts);
//!         println!("{} at {}: {} bytes", unit.codec, stamp.pts, unit.data.len());
//!     }
//! };
//! demuxer.push(&segment, &mut sink); // as often as bytes come
//! demuxer.end_segment(&mut sink); // where one ends
//! # Ok::<(), cutrickle_mpegts::Error>(())
//! ```
//!
//! Decoding and pacing are left to other crates.

#![forbid(unsafe_code)]

mod adts;
mod annexb;
mod clock;
mod demux;
mod ending;
mod error;
mod framing;
mod listing;
mod mux;
mod opus;
mod packet;
mod pes;
mod program;
mod programs;
mod psi;
mod stream;
mod timeline;

pub use clock::{Unwrapper, WRAP};
pub use demux::{Demuxer, Event, Stats};
pub use error::{Error, Result};
pub use listing::{ContentKind, ElementaryStream, Ignored};
pub use mux::{AUDIO_PID, MuxProgram, Muxer, PMT_PID, VIDEO_PID};
pub use opus::packet_samples as opus_packet_samples;
pub use program::{Program, Track};
pub use timeline::{Stamp, Timeline};
