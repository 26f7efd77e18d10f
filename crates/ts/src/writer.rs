//! Access units to bytes.

use bytes::{Bytes, BytesMut};
use cutrickle_mpegts::{MuxProgram, Muxer, Result};
use cutrickle_pipeline::ends::Coded;

/// Writes what a stream puts out as a transport stream.
#[derive(Debug, Default)]
pub struct Writer {
    muxer: Option<Muxer>,
    bytes: BytesMut,
}

impl Writer {
    /// A writer whose first segment is still to begin.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes the next of what a stream puts out, behind what was not [taken](Self::take) yet. A unit before the first
    /// segment is left out.
    ///
    /// # Errors
    /// A segment without any track, or a unit that its segment has no track for.
    pub fn write(&mut self, coded: &Coded) -> Result<()> {
        match coded {
            Coded::Segment(tracks) => {
                let program = MuxProgram::new(tracks.video, tracks.audio)?;
                let program = program.with_opus_channels(tracks.audio_channels.unwrap_or(2));
                let muxer = self.muxer.get_or_insert_with(|| Muxer::new(program));
                muxer.set_program(program);
                muxer.begin_segment(&mut self.bytes);
                Ok(())
            }
            Coded::Unit(unit) => match &mut self.muxer {
                Some(muxer) => muxer.write_unit(unit, &mut self.bytes),
                None => Ok(()),
            },
        }
    }

    /// What was written since the last call.
    pub fn take(&mut self) -> Bytes {
        self.bytes.split().freeze()
    }
}
