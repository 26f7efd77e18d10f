//! The decoding thread: turns access units into frames of the requested size and rate.

use std::collections::VecDeque;
use std::time::Instant;

use cutrickle_codec::VideoDecoder;
use cutrickle_error::chain;
use cutrickle_frame::{FrameId, Origin, Scaler, VideoFrame};
use cutrickle_media::{AccessUnit, Codec, Size, Timestamp, VideoCodec};
use tokio::runtime::Handle;

use crate::pacing::Pacer;
use crate::queue::{CodedQueue, FrameQueue};
use crate::stream::Stream;

/// Runs until `units` is closed and empty, then closes `frames`.
pub(crate) fn run(stream: &Stream, units: &CodedQueue, frames: &FrameQueue, runtime: &Handle) {
    // Closed even if decoding panics, so that the stream ends instead of hanging.
    let _close = CloseOnDrop(frames);
    let mut decoding = Decoding {
        stream,
        frames,
        runtime,
        decoder: None,
        begun: false,
        refused: None,
        within: VecDeque::new(),
        pacer: Pacer::default(),
        scaler: None,
    };
    while let Some((unit, origin)) = runtime.block_on(units.pop()) {
        if let Codec::Video(codec) = unit.codec {
            decoding.unit(codec, &unit, origin);
        }
    }
    decoding.flush();
}

struct Decoding<'a> {
    stream: &'a Stream,
    frames: &'a FrameQueue,
    runtime: &'a Handle,
    decoder: Option<(VideoCodec, Box<dyn VideoDecoder>)>,
    /// Whether the open decoder has received a keyframe.
    begun: bool,
    /// A codec that no backend supports, which is reported once instead of for every unit.
    refused: Option<VideoCodec>,
    /// The units whose frames have not come out yet.
    within: VecDeque<(FrameId, Timestamp)>,
    pacer: Pacer,
    scaler: Option<(Size, Scaler)>,
}

/// No decoder reorders across more than 16 frames (H.264, A.3.1; H.265, A.4.2), so older units were lost in
/// it.
const MAX_WITHIN: usize = 32;

impl Decoding<'_> {
    fn unit(&mut self, codec: VideoCodec, unit: &AccessUnit, origin: Origin) {
        let Some(mut decoder) = self.decoder_for(codec) else {
            self.stream.recorder.counts.frames_failed.add(1);
            return;
        };
        if !self.begun && !unit.keyframe {
            // Nothing can be shown before the first keyframe of a stream joined in mid-GOP.
            self.decoder = Some((codec, decoder));
            self.stream.recorder.counts.frames_failed.add(1);
            return;
        }
        self.begun = true;
        self.within.push_back((origin.id(), unit.pts));
        decoder.scale_to(self.stream.settings().size);
        let backend = decoder.backend();
        let started = Instant::now();
        // Nearly every unit gives one frame; an empty vector does not allocate.
        let mut ready = Vec::new();
        let result = decoder.decode(unit, origin, &mut |frame| ready.push(frame));
        self.stream.recorder.decode.observe(started.elapsed().as_secs_f64());
        if decoder.backend() != backend {
            let name = decoder.backend().to_owned();
            self.stream.set_backend(|backends| backends.video_decode = Some(name));
        }
        self.stream.decoded(result.is_ok());
        if let Err(e) = result {
            if ready.is_empty() && self.within.pop_back().is_some() {
                self.stream.recorder.counts.frames_failed.add(1);
            }
            if e.is_unsupported() {
                self.refused = Some(codec);
            }
            self.stream.error(format_args!("decoding at {}: {}", unit.pts, chain(&e)));
        }
        self.decoder = Some((codec, decoder));
        self.deliver(ready);
    }

    /// Takes the open decoder, or opens one for `codec`.
    fn decoder_for(&mut self, codec: VideoCodec) -> Option<Box<dyn VideoDecoder>> {
        match self.decoder.take() {
            Some((open, decoder)) if open == codec => return Some(decoder),
            Some(other) => {
                self.decoder = Some(other);
                self.flush();
                self.refused = None;
            }
            None => {}
        }
        if self.refused == Some(codec) {
            return None;
        }
        let options = &self.stream.options;
        match options.backends.open_video_decoder(codec, &options.device) {
            Ok(decoder) => {
                let name = decoder.backend().to_owned();
                self.stream.set_backend(|backends| backends.video_decode = Some(name));
                Some(decoder)
            }
            Err(e) => {
                self.refused = Some(codec);
                self.stream.decoded(false);
                self.stream.error(format_args!("no video decoder: {}", chain(&e)));
                None
            }
        }
    }

    /// Emits what the decoder still holds, and drops it.
    fn flush(&mut self) {
        let Some((_, mut decoder)) = self.decoder.take() else { return };
        self.begun = false;
        let mut ready = Vec::new();
        if let Err(e) = decoder.flush(&mut |frame| ready.push(frame)) {
            self.stream.error(format_args!("ending the video decoder: {}", chain(&e)));
        }
        self.deliver(ready);
        self.stream.recorder.counts.frames_failed.add(self.within.len() as u64);
        self.within.clear();
    }

    fn deliver(&mut self, ready: Vec<VideoFrame>) {
        for frame in ready {
            if !self.came_out(&frame) {
                continue;
            }
            if !self.pacer.keep(frame.timestamp(), self.stream.max_fps()) {
                self.stream.recorder.counts.frames_paced.add(1);
                continue;
            }
            match self.resized(frame) {
                Ok(frame) => self.runtime.block_on(self.frames.push_video(frame)),
                Err(e) => {
                    self.stream.recorder.counts.frames_failed.add(1);
                    self.stream.error(chain(&e));
                }
            }
        }
        while self.within.len() > MAX_WITHIN {
            self.within.pop_front();
            self.stream.recorder.counts.frames_failed.add(1);
        }
    }

    /// Records that the frame of a unit came out. Units that should have come out before it never will, and
    /// count as failed. A frame without a unit (a duplicate made by concealment) is not counted.
    fn came_out(&mut self, frame: &VideoFrame) -> bool {
        let Some(place) = self.within.iter().position(|(id, _)| *id == frame.id()) else { return false };
        self.within.remove(place);
        let before = self.within.len();
        self.within.retain(|(_, at)| *at >= frame.timestamp());
        self.stream.recorder.counts.frames_failed.add((before - self.within.len()) as u64);
        true
    }

    fn resized(&mut self, frame: VideoFrame) -> Result<VideoFrame, cutrickle_frame::Error> {
        let Some(size) = self.stream.settings().size else { return Ok(frame) };
        if size == Size::new(frame.width(), frame.height()) {
            return Ok(frame);
        }
        let scaler = match &mut self.scaler {
            Some((of, scaler)) if *of == size => scaler,
            other => &mut other.insert((size, Scaler::new(size.width, size.height))).1,
        };
        let picture = scaler.fill(&*frame.i420()?)?;
        Ok(VideoFrame::from_i420(picture, frame.colour(), frame.timestamp()).of(frame.origin()))
    }
}

struct CloseOnDrop<'a>(&'a FrameQueue);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}
