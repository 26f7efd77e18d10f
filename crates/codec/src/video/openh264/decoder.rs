//! Decoding of progressive 8-bit 4:2:0 H.264 in the profiles Baseline, Main and High.
//!
//! Every unit is decoded completely before the next one, and its picture is taken in decoding order;
//! [`Reorder`] then sorts pictures as far as the parameter sets require. [`undelayed`] bypasses the library's
//! own display order, which holds back a frame even if nothing is reordered; emptying it early never frees
//! the pictures that no other refers to, so it runs out of them after a few B-frames. The library does not
//! decode B-frames exactly: about 80 dB from the standard's result, and 35 to 70 dB if an encoder uses
//! temporal direct prediction.

use std::borrow::Cow;

use cutrickle_frame::{I420, Origin, VideoFrame};
use cutrickle_media::{AccessUnit, VideoCodec};
use openh264_sys2::{
    DECODING_STATE, dsBitstreamError, dsDataErrorConcealed, dsErrorFree, dsNoParamSets, dsOutOfMemory,
    dsRefLost,
};

use super::library;
use crate::video::nal;
use crate::video::reorder::Reorder;
use crate::video::sps::{Sps, undelayed};
use crate::{Error, Result, VideoDecoder};

/// A decoder for one stream. It follows changes of size by itself.
pub(crate) struct H264Decoder {
    library: library::Decoder,
    sps: Option<Sps>,
    reorder: Reorder,
    /// Whether a keyframe was decoded completely; pictures before that are guesses.
    started: bool,
}

impl H264Decoder {
    /// Creates a decoder that waits for the first keyframe.
    ///
    /// # Errors
    /// Fails with `is_unsupported` for a codec other than H.264, or if memory runs out.
    pub(crate) fn new(codec: VideoCodec) -> Result<Self> {
        if codec != VideoCodec::H264 {
            let codec = codec.title();
            return Err(Error::unsupported(format!("decoding {codec} needs the feature `ffmpeg`")));
        }
        Ok(Self { library: library::Decoder::open()?, sps: None, reorder: Reorder::new(), started: false })
    }

    /// Reads the NAL units before the first slice. Returns whether there are parameter sets among them, and
    /// whether the unit is an IDR picture.
    fn survey(&mut self, data: &[u8]) -> (bool, bool) {
        let mut described = false;
        for unit in nal::units(data) {
            match nal::kind(unit) {
                nal::SPS => {
                    described = true;
                    if let Some(sps) = Sps::parse(unit)
                        && self.sps != Some(sps)
                    {
                        self.reorder.set_depth(sps.reorder);
                        self.sps = Some(sps);
                    }
                }
                kind @ nal::SLICE..=nal::IDR_SLICE => return (described, kind == nal::IDR_SLICE),
                _ => {}
            }
        }
        (described, false)
    }

    /// Decodes a unit and returns the last picture it yields; any earlier one would be a guess at a lost
    /// picture.
    fn picture(
        &mut self,
        unit: &AccessUnit,
        origin: Origin,
        data: &[u8],
        sps: &Sps,
    ) -> Result<(DECODING_STATE, Option<VideoFrame>)> {
        let mut frame = None;
        let mut take = |lent: library::Lent<'_>| -> Result<()> {
            let picture = I420::copy_from(lent.width, lent.height, lent.planes)?;
            frame = Some(VideoFrame::from_i420(picture, sps.colour(lent.height), unit.pts).of(origin));
            Ok(())
        };
        let mut state = dsErrorFree;
        for data in [Some(data), None] {
            let (went, lent) = self.library.decode(data)?;
            state |= went;
            if let Some(lent) = lent {
                take(lent)?;
            }
        }
        Ok((state, frame))
    }
}

impl VideoDecoder for H264Decoder {
    fn decode(&mut self, unit: &AccessUnit, origin: Origin, out: &mut dyn FnMut(VideoFrame)) -> Result<()> {
        // The pointer of an empty slice dangles; do not pass it to a parser of untrusted bytes.
        if unit.data.is_empty() {
            return Ok(());
        }
        let (described, idr) = self.survey(&unit.data);
        let Some(sps) = self.sps else { return Ok(()) };
        check(&sps)?;
        if !(self.started || idr || unit.keyframe) {
            return Ok(());
        }
        if idr {
            self.reorder.drain(out);
        }
        let data = if described {
            Cow::Owned(with_sets_undelayed(&unit.data))
        } else {
            Cow::Borrowed(&unit.data[..])
        };
        let (state, frame) = self.picture(unit, origin, &data, &sps)?;
        match frame {
            Some(frame) if self.started || (state == dsErrorFree && !unit.is_impaired()) => {
                self.started = true;
                self.reorder.push(frame, out);
                Ok(())
            }
            None if state == dsErrorFree => Ok(()),
            _ => {
                if !self.started {
                    // Otherwise the rest of this unit would be concealed and emitted before the next
                    // keyframe.
                    self.library = library::Decoder::open()?;
                }
                Err(Error::failed(format!("openh264: {} at {}", describe(state), unit.pts)))
            }
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

/// Returns the unit with its parameter sets changed as the library needs them.
fn with_sets_undelayed(data: &[u8]) -> Vec<u8> {
    let mut changed = Vec::with_capacity(data.len() + 64);
    for unit in nal::units(data) {
        changed.extend_from_slice(&[0, 0, 0, 1]);
        match nal::kind(unit) {
            nal::SPS => changed.extend(undelayed(unit)),
            _ => changed.extend_from_slice(unit),
        }
    }
    changed
}

/// Checks whether the library can decode such a stream.
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
