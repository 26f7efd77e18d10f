//! MPEG transport streams for live video: a push demuxer, a segmenting muxer, and the 90 kHz clock.
//!
//! Sans-IO: bytes go in and come out of plain calls, no socket, thread or clock is touched, and no input
//! makes it panic. Its one invariant is latency: **a unit is handed on with its last byte**, in both
//! directions. Nothing is probed, and nothing is held back in order to see what comes next.
//!
//! ```
//! use bytes::BytesMut;
//! use cutrickle_mpegts::{Codec, Demuxer, Event, MuxProgram, Muxer, Timeline, TrackKind};
//!
//! let mut muxer = Muxer::new(MuxProgram::new(Some(Codec::H264), None)?);
//! let mut segment = BytesMut::new();
//! muxer.begin_segment(&mut segment);
//! muxer.write_unit(TrackKind::Video, 3_000, 3_000, true, &[0, 0, 0, 1, 0x65, 0x88], &mut segment)?;
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
//! Decoding is left to others, and so is pacing.

#![forbid(unsafe_code)]

mod adts;
mod annexb;
mod clock;
mod codec;
mod demux;
mod ending;
mod error;
mod framing;
mod listing;
mod mux;
mod opus;
mod packet;
mod pes;
mod programs;
mod psi;
mod stream;
mod timeline;

pub use clock::{TICKS_PER_SECOND, Unwrapper, WRAP};
pub use codec::{Codec, Program, Track, TrackKind};
pub use demux::{AccessUnit, Demuxer, Event, Loss, Stats};
pub use error::{Error, Result};
pub use listing::{ContentKind, ElementaryStream, Ignored};
pub use mux::{AUDIO_PID, MuxProgram, Muxer, PMT_PID, VIDEO_PID};
pub use opus::packet_samples as opus_packet_samples;
pub use timeline::{Stamp, Timeline};
