//! Reorders frames from decoding order to display order, and holds back no more of them than the stream
//! needs.

use std::collections::VecDeque;

use cutrickle_frame::VideoFrame;
use cutrickle_media::{Ticks, Timestamp};

/// H.264 reorders across at most 16 frames (A.3.1, `MaxDpbFrames`).
const DEEPEST: usize = 16;

/// A step back further than this is a jump in the stream, not reordering.
const JUMP: Ticks = Ticks::from_millis(2_000);

/// Frames on their way from decoding order to display order.
#[derive(Debug)]
pub(super) struct Reorder {
    depth: usize,
    /// Whether `depth` comes from the stream itself rather than from its timestamps.
    told: bool,
    /// Frames by timestamp; at most `depth` of them between two calls.
    held: VecDeque<VideoFrame>,
    /// The timestamps of the latest frames, in decoding order.
    recent: VecDeque<Timestamp>,
    last_out: Option<Timestamp>,
}

impl Reorder {
    /// Creates an empty reorder buffer whose depth is yet to be learnt.
    pub(super) fn new() -> Self {
        Self { depth: 0, told: false, held: VecDeque::new(), recent: VecDeque::new(), last_out: None }
    }

    /// Sets how far the stream reorders. If the stream does not say, frames come out at once until one
    /// arrives that belongs before them, and that one is lost. This way a camera's stream is not held back by
    /// 16 frames because of a rule made for files.
    pub(super) fn set_depth(&mut self, depth: Option<usize>) {
        self.told = depth.is_some();
        self.depth = depth.unwrap_or(0).min(DEEPEST);
    }

    /// Takes the next frame in decoding order and emits those whose turn has come.
    pub(super) fn push(&mut self, frame: VideoFrame, out: &mut dyn FnMut(VideoFrame)) {
        if self.told && self.depth == 0 {
            out(frame);
            return;
        }
        let at = frame.timestamp();
        if self.last_out.is_some_and(|last| last - at > JUMP) {
            self.drain(out);
        }
        if !self.told {
            let overtaken = self.recent.iter().filter(|earlier| **earlier > at).count();
            self.depth = self.depth.max(overtaken);
        }
        if self.recent.len() == DEEPEST {
            self.recent.pop_front();
        }
        self.recent.push_back(at);
        if self.last_out.is_some_and(|last| at < last) {
            tracing::debug!(timestamp = at.ticks(), "a frame came after its turn and is dropped");
            return;
        }
        let place = self.held.partition_point(|held| held.timestamp() <= at);
        self.held.insert(place, frame);
        while self.held.len() > self.depth {
            self.first(out);
        }
    }

    /// Emits everything; the next frame follows all of them.
    pub(super) fn drain(&mut self, out: &mut dyn FnMut(VideoFrame)) {
        while !self.held.is_empty() {
            self.first(out);
        }
        self.recent.clear();
        self.last_out = None;
    }

    fn first(&mut self, out: &mut dyn FnMut(VideoFrame)) {
        if let Some(frame) = self.held.pop_front() {
            self.last_out = Some(frame.timestamp());
            out(frame);
        }
    }
}

#[cfg(test)]
mod tests {
    use cutrickle_frame::I420;
    use cutrickle_media::Colour;

    use super::*;

    fn order(depth: Option<usize>, timestamps: &[i64]) -> (Vec<i64>, Vec<i64>) {
        let mut reorder = Reorder::new();
        reorder.set_depth(depth);
        let (mut live, mut rest) = (Vec::new(), Vec::new());
        for at in timestamps {
            let frame =
                VideoFrame::from_i420(I420::new(2, 2).unwrap(), Colour::BT709, Timestamp::from_ticks(*at));
            reorder.push(frame, &mut |frame| live.push(frame.timestamp().ticks()));
        }
        reorder.drain(&mut |frame| rest.push(frame.timestamp().ticks()));
        (live, rest)
    }

    #[test]
    fn a_pyramid_of_b_frames_comes_out_in_display_order() {
        let (live, rest) = order(Some(2), &[0, 40, 20, 10, 30, 80, 60, 50, 70]);
        assert_eq!(live, [0, 10, 20, 30, 40, 50, 60]);
        assert_eq!(rest, [70, 80]);
    }

    #[test]
    fn without_reordering_nothing_is_held_even_where_time_steps_back() {
        assert_eq!(order(Some(0), &[10, 20, 5, 30]).0, [10, 20, 5, 30]);
    }

    #[test]
    fn an_unknown_depth_is_learnt_at_the_cost_of_the_frames_that_reveal_it() {
        let (mut live, rest) = order(None, &[0, 40, 20, 10, 30, 80, 60, 50, 70, 120, 100, 90, 110]);
        live.extend(rest);
        assert_eq!(live, [0, 40, 50, 60, 70, 80, 90, 100, 110, 120]);
        assert_eq!(order(None, &[0, 10, 20]).0, [0, 10, 20]);
    }

    #[test]
    fn a_jump_back_is_no_late_frame() {
        let (mut live, rest) = order(Some(1), &[1_000_000, 1_003_000, 3_000, 6_000]);
        live.extend(rest);
        assert_eq!(live, [1_000_000, 1_003_000, 3_000, 6_000]);
    }
}
