//! Turns access units into bytes.

use bytes::{Bytes, BytesMut};
use cutrickle_mpegts::{MuxProgram, Muxer, Result};
use cutrickle_pipeline::ends::Coded;

/// Writes a stream's output as a transport stream.
#[derive(Debug, Default)]
pub struct Writer {
    muxer: Option<Muxer>,
    bytes: BytesMut,
}

impl Writer {
    /// Creates a writer that waits for the first segment.
    pub fn new() -> Self {
        Self::default()
    }

    /// Writes the next piece of a stream's output, after the bytes not yet [taken](Self::take). A unit before
    /// the first segment is skipped.
    ///
    /// # Errors
    /// Fails for a segment without tracks, or for a unit whose track its segment does not have.
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

    /// Returns the bytes written since the last call.
    pub fn take(&mut self) -> Bytes {
        self.bytes.split().freeze()
    }
}
