//! The newest frames of a stream, for models that look at several at a time.

use std::collections::VecDeque;

use candle_core::Tensor;
use cutrickle_frame::VideoFrame;
use cutrickle_media::ModelInput;

use crate::Result;

/// The newest frames of a stream, oldest first: as many as it was made for, and fewer while a stream begins.
///
/// Each frame is brought to a model's input once, however many stacks it is part of.
///
/// ```
/// use cutrickle_frame::VideoFrame;
/// use cutrickle_media::ModelInput;
/// use cutrickle_pipeline::{FrameProcessor, LastFrames, Result, StreamContext};
///
/// #[derive(Clone)]
/// struct Action {
///     clip: LastFrames, // LastFrames::new(16)
/// }
///
/// impl FrameProcessor for Action {
///     async fn process_video(&mut self, frame: VideoFrame, stream: &StreamContext) -> Result<Option<VideoFrame>> {
///         self.clip.push(frame.clone());
///         if self.clip.is_full() {
///             let clip = self.clip.stack(&ModelInput::new(112, 112))?; // (16, 3, 112, 112)
///             let change = clip.var(0)?.mean_all()?.to_scalar::<f32>()?;
///             stream.emit(&serde_json::json!({ "pts": frame.pts(), "change": change }))?;
///         }
///         Ok(Some(frame))
///     }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct LastFrames {
    frames: VecDeque<Kept>,
    capacity: usize,
}

#[derive(Debug, Clone)]
struct Kept {
    frame: VideoFrame,
    /// The frame as the newest stack wanted it.
    brought: Option<(ModelInput, Tensor)>,
}

impl LastFrames {
    /// Room for the newest `capacity` frames, at least one.
    pub fn new(capacity: usize) -> Self {
        Self { frames: VecDeque::new(), capacity: capacity.max(1) }
    }

    /// Adds the newest frame. Gives back the oldest one if it had to make room.
    pub fn push(&mut self, frame: VideoFrame) -> Option<VideoFrame> {
        let oldest = if self.is_full() { self.frames.pop_front() } else { None };
        self.frames.push_back(Kept { frame, brought: None });
        oldest.map(|kept| kept.frame)
    }

    /// How many frames there are.
    pub fn len(&self) -> usize {
        self.frames.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    /// Whether there are as many as there is room for: from now on each new frame takes the place of the
    /// oldest.
    pub fn is_full(&self) -> bool {
        self.frames.len() >= self.capacity
    }

    /// The frames, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &VideoFrame> + ExactSizeIterator {
        self.frames.iter().map(|kept| &kept.frame)
    }

    /// Forgets all frames, as after a cut.
    pub fn clear(&mut self) {
        self.frames.clear();
    }

    /// The frames as a model takes them, one after another along a new first dimension, oldest first: (N, 3,
    /// H, W), or (N, H, W, 3), where N is [`len`](Self::len).
    ///
    /// # Errors
    /// No frame at all; frames of several sizes for an input without a size; those of
    /// [`to_model`](VideoFrame::to_model).
    pub fn stack(&mut self, input: &ModelInput) -> Result<Tensor> {
        if self.is_empty() {
            return Err("there is no frame to stack".into());
        }
        let mut frames = Vec::with_capacity(self.len());
        for Kept { frame, brought } in &mut self.frames {
            let tensor = match brought {
                Some((of, tensor)) if of == input => tensor.clone(),
                _ => brought.insert((*input, frame.to_model(input)?)).1.clone(),
            };
            frames.push(tensor);
        }
        Ok(Tensor::stack(&frames, 0)?)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use cutrickle_media::{Layout, Timestamp};

    use super::*;

    /// A grey frame.
    fn frame(grey: u8, side: usize) -> VideoFrame {
        let pixels = Tensor::full(grey, (side, side, 3), &Device::Cpu).unwrap();
        VideoFrame::from_tensor(pixels, Timestamp::from_ticks(grey.into())).unwrap()
    }

    fn times(frames: &LastFrames) -> Vec<i64> {
        frames.iter().map(|frame| frame.timestamp().ticks()).collect()
    }

    #[test]
    fn the_newest_frames_are_kept_in_order_and_the_oldest_is_given_back() {
        let mut last = LastFrames::new(2);
        assert!(last.is_empty() && last.push(frame(1, 8)).is_none() && last.push(frame(2, 8)).is_none());
        assert!(last.is_full());
        assert_eq!(last.push(frame(3, 8)).unwrap().timestamp().ticks(), 1);
        assert_eq!((times(&last), last.len()), (vec![2, 3], 2));
        last.clear();
        assert!(last.is_empty());
    }

    #[test]
    fn there_is_room_for_one_frame_at_least() {
        let mut last = LastFrames::new(0);
        last.push(frame(1, 8));
        last.push(frame(2, 8));
        assert_eq!(times(&last), [2]);
    }

    #[test]
    fn frames_are_stacked_oldest_first() {
        let mut last = LastFrames::new(3);
        last.push(frame(0, 8));
        last.push(frame(255, 8));
        let stack = last.stack(&ModelInput::new(6, 4)).unwrap();
        assert_eq!(stack.dims(), [2, 3, 4, 6]);
        let means = stack.flatten_from(1).unwrap().mean(1).unwrap().to_vec1::<f32>().unwrap();
        assert!(means[0] == 0.0 && (means[1] - 1.0).abs() < 1e-6, "{means:?}");
        let rows = ModelInput { layout: Layout::Hwc, ..ModelInput::new(6, 4) };
        assert_eq!(last.stack(&rows).unwrap().dims(), [2, 4, 6, 3]);
    }

    #[test]
    fn a_frame_is_brought_to_an_input_once() {
        let mut last = LastFrames::new(2);
        let input = ModelInput::new(4, 4);
        let brought = |last: &LastFrames| -> Vec<_> {
            last.frames.iter().map(|kept| kept.brought.as_ref().unwrap().1.id()).collect()
        };
        last.push(frame(1, 8));
        last.push(frame(2, 8));
        last.stack(&input).unwrap();
        let first = brought(&last);
        last.push(frame(3, 8));
        last.stack(&input).unwrap();
        assert_eq!(brought(&last)[0], first[1]);
        last.stack(&ModelInput::new(2, 2)).unwrap();
        assert_ne!(brought(&last)[0], first[1], "another input is another tensor");
    }

    #[test]
    fn no_frames_and_frames_of_several_sizes_are_errors() {
        let mut last = LastFrames::new(2);
        assert!(last.stack(&ModelInput::default()).is_err());
        last.push(frame(1, 8));
        last.push(frame(2, 16));
        assert!(last.stack(&ModelInput::default()).is_err());
        assert_eq!(last.stack(&ModelInput::new(4, 4)).unwrap().dims(), [2, 3, 4, 4]);
    }
}
