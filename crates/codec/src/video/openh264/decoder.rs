//! Decoding of progressive 8-bit 4:2:0 H.264: Baseline, Main and High.
//!
//! Every unit is decoded completely before the next one comes, and the library's own display order, which cannot do
//! without delay, is emptied after each: what it holds back for a stream with B-frames would otherwise be lost, and
//! a Main stream without them would lag by a frame. [`Reorder`] then sorts, as far as the parameter sets ask.

use cutrickle_frame::{I420, VideoFrame};
use openh264_sys2::{
    DECODING_STATE, dsBitstreamError, dsDataErrorConcealed, dsErrorFree, dsNoParamSets, dsOutOfMemory, dsRefLost,
};

use super::library;
use crate::video::nal;
use crate::video::reorder::Reorder;
use crate::video::sps::Sps;
use crate::{Error, Result, VideoDecoder, VideoUnit};

/// A decoder for one stream. It follows changes of size by itself.
pub struct H264Decoder {
    library: library::Decoder,
    sps: Option<Sps>,
    reorder: Reorder,
    /// A keyframe was decoded whole; before that, pictures are guesses.
    started: bool,
}

impl H264Decoder {
    /// A decoder that waits for the first keyframe.
    ///
    /// # Errors
    /// Out of memory.
    pub fn new() -> Result<Self> {
        Ok(Self { library: library::Decoder::open()?, sps: None, reorder: Reorder::new(), started: false })
    }

    /// Reads what stands before the first slice; tells whether the unit is an IDR picture.
    fn survey(&mut self, data: &[u8]) -> bool {
        for unit in nal::units(data) {
            match nal::kind(unit) {
                nal::SPS => {
                    if let Some(sps) = Sps::parse(unit)
                        && self.sps != Some(sps)
                    {
                        self.reorder.set_depth(sps.reorder);
                        self.sps = Some(sps);
                    }
                }
                kind @ nal::SLICE..=nal::IDR_SLICE => return kind == nal::IDR_SLICE,
                _ => {}
            }
        }
        false
    }

    /// Decodes a unit; the picture is the last one that came out, as one before it would be a guess at a lost one.
    fn picture(&mut self, unit: &VideoUnit<'_>, sps: &Sps) -> Result<(DECODING_STATE, Option<VideoFrame>)> {
        let mut frame = None;
        let mut take = |lent: library::Lent<'_>| -> Result<()> {
            let picture = I420::copy_from(lent.width, lent.height, lent.planes)?;
            frame = Some(VideoFrame::from_i420(picture, sps.colour(lent.height), unit.timestamp));
            Ok(())
        };
        let mut state = dsErrorFree;
        for data in [Some(unit.data), None] {
            let (went, lent) = self.library.decode(data)?;
            state |= went;
            if let Some(lent) = lent {
                take(lent)?;
            }
        }
        while let Some(lent) = self.library.release()? {
            take(lent)?;
        }
        Ok((state, frame))
    }
}

impl VideoDecoder for H264Decoder {
    fn decode(&mut self, unit: &VideoUnit<'_>, out: &mut dyn FnMut(VideoFrame)) -> Result<()> {
        // A parser of untrusted bytes is not the place for an empty slice's dangling pointer.
        if unit.data.is_empty() {
            return Ok(());
        }
        let idr = self.survey(unit.data);
        let Some(sps) = self.sps else { return Ok(()) };
        check(&sps)?;
        if !self.started && !(idr || unit.keyframe) {
            return Ok(());
        }
        if idr {
            self.reorder.drain(out);
        }
        let (state, frame) = self.picture(unit, &sps)?;
        match frame {
            Some(frame) if self.started || (state == dsErrorFree && !unit.damaged) => {
                self.started = true;
                self.reorder.push(frame, out);
                Ok(())
            }
            None if state == dsErrorFree => Ok(()),
            _ => Err(Error::failed(format!("openh264: {} at timestamp {}", describe(state), unit.timestamp))),
        }
    }

    fn flush(&mut self, out: &mut dyn FnMut(VideoFrame)) -> Result<()> {
        self.reorder.drain(out);
        Ok(())
    }

    fn backend(&self) -> &'static str {
        super::backend()
    }
}

/// Whether the library decodes such a stream.
fn check(sps: &Sps) -> Result<()> {
    let what = if !sps.frames_only {
        "interlaced H.264".to_owned()
    } else if sps.bit_depth != 8 {
        format!("{}-bit H.264", sps.bit_depth)
    } else {
        match sps.chroma_format_idc {
            1 => return Ok(()),
            0 => "monochrome H.264".to_owned(),
            2 => "4:2:2 H.264".to_owned(),
            _ => "4:4:4 H.264".to_owned(),
        }
    };
    Err(Error::unsupported(format!("openh264 does not decode {what}: build with the feature `ffmpeg`")))
}

fn describe(state: DECODING_STATE) -> &'static str {
    [
        (dsOutOfMemory, "out of memory"),
        (dsNoParamSets, "no parameter sets"),
        (dsRefLost, "a reference picture is missing"),
        (dsBitstreamError, "broken bitstream"),
        (dsDataErrorConcealed, "a keyframe had to be patched up"),
    ]
    .into_iter()
    .find(|(bit, _)| state & bit != 0)
    .map_or("a damaged keyframe", |(_, text)| text)
}
