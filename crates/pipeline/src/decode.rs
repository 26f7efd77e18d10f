//! The decoding thread: access units to frames of the size and rate that were asked for.

use std::collections::VecDeque;
use std::time::Instant;

use cutrickle_codec::{VideoCodec, VideoDecoder, VideoUnit, open};
use cutrickle_error::chain;
use cutrickle_frame::{Scaler, VideoFrame};
use tokio::runtime::Handle;

use crate::pacing::Pacer;
use crate::queue::{CodedPicture, CodedQueue, FrameQueue, Picture};
use crate::stream::Stream;

/// Runs until `units` is closed and empty, then closes `frames`.
pub(crate) fn run(stream: &Stream, units: &CodedQueue, frames: &FrameQueue, runtime: &Handle) {
    // Closed even where decoding panics, so that the stream ends instead of hanging.
    let _close = CloseOnDrop(frames);
    let mut decoding = Decoding {
        stream,
        frames,
        decoder: None,
        begun: false,
        refused: None,
        arrivals: VecDeque::new(),
        pacer: Pacer::default(),
        scaler: None,
    };
    while let Some(unit) = runtime.block_on(units.pop()) {
        decoding.unit(&unit);
    }
    decoding.flush();
}

struct Decoding<'a> {
    stream: &'a Stream,
    frames: &'a FrameQueue,
    decoder: Option<(VideoCodec, Box<dyn VideoDecoder>)>,
    /// The open decoder has been given a keyframe.
    begun: bool,
    /// A codec that no backend takes: said once, not for every unit.
    refused: Option<VideoCodec>,
    /// Timestamp and time of arrival of the units whose frames have not come out.
    arrivals: VecDeque<(i64, Instant)>,
    pacer: Pacer,
    scaler: Option<((u32, u32), Scaler)>,
}

/// No decoder reorders over more than 16 pictures (H.264, A.3.1; H.265, A.4.2); what is older was lost in it.
const MOST_IN_DECODER: usize = 32;

impl Decoding<'_> {
    fn unit(&mut self, unit: &CodedPicture) {
        let Some(mut decoder) = self.decoder_for(unit.codec) else {
            self.stream.recorder.failed.add(1);
            return;
        };
        if !self.begun && !unit.keyframe {
            // Nothing can be shown of a stream that is joined in mid-GOP.
            self.decoder = Some((unit.codec, decoder));
            self.stream.recorder.failed.add(1);
            return;
        }
        self.begun = true;
        self.arrivals.push_back((unit.timestamp, unit.arrived));
        let coded = VideoUnit {
            data: &unit.data,
            timestamp: unit.timestamp,
            keyframe: unit.keyframe,
            damaged: unit.damaged,
        };
        decoder.scale_to(self.stream.settings().size);
        let backend = decoder.backend();
        let started = Instant::now();
        // At most one a call but where reordering ends; no allocation while it is empty.
        let mut ready = Vec::new();
        let result = decoder.decode(&coded, &mut |frame| ready.push(frame));
        self.stream.recorder.decode.observe(started.elapsed().as_secs_f64());
        if decoder.backend() != backend {
            let name = decoder.backend().to_owned();
            self.stream.set_backend(|backends| backends.video_decode = Some(name));
        }
        self.stream.decoded(result.is_ok());
        if let Err(e) = result {
            if ready.is_empty() && self.arrivals.pop_back().is_some() {
                self.stream.recorder.failed.add(1);
            }
            if e.is_unsupported() {
                self.refused = Some(unit.codec);
            }
            self.stream.error(format_args!("decoding at {:.3} s: {}", seconds(unit.timestamp), chain(&e)));
        }
        self.decoder = Some((unit.codec, decoder));
        self.deliver(ready);
    }

    /// The open decoder, taken out, or one opened for `codec`.
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
        match open::video_decoder(codec, &self.stream.options.device) {
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

    /// Takes out what the decoder still holds, and lets go of it.
    fn flush(&mut self) {
        let Some((_, mut decoder)) = self.decoder.take() else { return };
        self.begun = false;
        let mut ready = Vec::new();
        if let Err(e) = decoder.flush(&mut |frame| ready.push(frame)) {
            self.stream.error(format_args!("ending the video decoder: {}", chain(&e)));
        }
        self.deliver(ready);
        self.stream.recorder.failed.add(self.arrivals.len() as u64);
        self.arrivals.clear();
    }

    fn deliver(&mut self, ready: Vec<VideoFrame>) {
        for frame in ready {
            let Some(arrived) = self.arrival(frame.timestamp()) else { continue };
            if !self.pacer.keep(frame.timestamp(), self.stream.most_fps()) {
                self.stream.recorder.paced.add(1);
                continue;
            }
            match self.resized(frame) {
                Ok(frame) => {
                    self.frames.push_picture(Picture { frame, arrived });
                }
                Err(e) => {
                    self.stream.recorder.failed.add(1);
                    self.stream.error(chain(&e));
                }
            }
        }
        while self.arrivals.len() > MOST_IN_DECODER {
            self.arrivals.pop_front();
            self.stream.recorder.failed.add(1);
        }
    }

    /// When the unit of the frame at `timestamp` arrived. Units of before that never became frames are counted
    /// as failed. A frame that no unit stands for (concealment can make two of one) has no place in the count.
    fn arrival(&mut self, timestamp: i64) -> Option<Instant> {
        let place = self.arrivals.iter().position(|(at, _)| *at == timestamp)?;
        let (_, arrived) = self.arrivals.remove(place)?;
        let before = self.arrivals.len();
        self.arrivals.retain(|(at, _)| *at > timestamp);
        self.stream.recorder.failed.add((before - self.arrivals.len()) as u64);
        Some(arrived)
    }

    fn resized(&mut self, frame: VideoFrame) -> Result<VideoFrame, cutrickle_frame::Error> {
        let Some(size) = self.stream.settings().size else { return Ok(frame) };
        if size == (frame.width(), frame.height()) {
            return Ok(frame);
        }
        let scaler = match &mut self.scaler {
            Some((of, scaler)) if *of == size => scaler,
            other => &mut other.insert((size, Scaler::new(size.0, size.1))).1,
        };
        let picture = scaler.fill(&*frame.i420()?)?;
        Ok(VideoFrame::from_i420(picture, frame.colour(), frame.timestamp()))
    }
}

pub(crate) fn seconds(timestamp: i64) -> f64 {
    timestamp as f64 / cutrickle_frame::TICKS_PER_SECOND as f64
}

struct CloseOnDrop<'a>(&'a FrameQueue);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}
