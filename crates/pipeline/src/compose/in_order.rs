//! Returns frames in the order in which they arrived, even if they are answered out of order.

use std::collections::VecDeque;

use cutrickle_frame::{FrameId, VideoFrame};

use crate::Result;
use crate::stage::{Finished, Started};

/// The frames that a combinator has received and not yet returned, oldest first. `T` is what it keeps for a
/// frame at work.
#[derive(Debug)]
pub(super) struct InOrder<T>(VecDeque<(FrameId, Place<T>)>);

#[derive(Debug)]
enum Place<T> {
    AtWork(T),
    Answered(Result<Option<VideoFrame>>),
}

impl<T> Default for InOrder<T> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<T> InOrder<T> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Records that the frame `id` is at work.
    pub(super) fn at_work(&mut self, id: FrameId, kept: T) -> Started {
        self.0.push_back((id, Place::AtWork(kept)));
        Started::AtWork
    }

    /// Records that the frame `id` already has an answer, which waits for earlier frames.
    pub(super) fn done(&mut self, id: FrameId, answer: Option<VideoFrame>) -> Started {
        if self.is_empty() {
            return Started::Done(answer);
        }
        self.0.push_back((id, Place::Answered(Ok(answer))));
        Started::AtWork
    }

    /// What is kept for the oldest frame, if it is at work.
    pub(super) fn oldest(&self) -> Option<&T> {
        match self.0.front()? {
            (_, Place::AtWork(kept)) => Some(kept),
            (_, Place::Answered(_)) => None,
        }
    }

    /// The number of frames that are at work or wait behind one that is.
    pub(super) fn pending(&self) -> usize {
        let first = self.0.iter().take_while(|(_, place)| matches!(place, Place::Answered(_))).count();
        self.0.len() - first
    }

    /// Whether the oldest frame has an answer.
    pub(super) fn is_ready(&self) -> bool {
        matches!(self.0.front(), Some((_, Place::Answered(_))))
    }

    /// Returns the answer to the oldest frame, if it has one.
    pub(super) fn next(&mut self) -> Option<Finished> {
        if !self.is_ready() {
            return None;
        }
        match self.0.pop_front()? {
            (id, Place::Answered(result)) => Some(Finished { id, result }),
            (_, Place::AtWork(_)) => None,
        }
    }

    /// Answers the oldest frame, which is at work, with the result of `answer` on what was kept for it.
    pub(super) fn give_up(&mut self, answer: impl FnOnce(T) -> Option<VideoFrame>) -> Option<Finished> {
        match self.0.pop_front()? {
            (id, Place::AtWork(kept)) => Some(Finished { id, result: Ok(answer(kept)) }),
            (id, Place::Answered(result)) => Some(Finished { id, result }),
        }
    }

    /// Takes what is kept for the frame `id`; `None` if it is not at work.
    pub(super) fn take(&mut self, id: FrameId) -> Option<T> {
        let place = self.0.iter().position(|(of, place)| *of == id && matches!(place, Place::AtWork(_)))?;
        let (_, place) = self.0.get_mut(place)?;
        match std::mem::replace(place, Place::Answered(Ok(None))) {
            Place::AtWork(kept) => Some(kept),
            answered => {
                *place = answered;
                None
            }
        }
    }

    /// Answers a frame that was [taken](Self::take). If the answer is a frame, earlier frames of the same
    /// processor, as determined by `same`, were lost in it.
    pub(super) fn answer(
        &mut self,
        id: FrameId,
        result: Result<Option<VideoFrame>>,
        same: impl Fn(&T) -> bool,
    ) {
        let is_frame = matches!(result, Ok(Some(_)));
        let mut result = Some(result);
        for (of, place) in &mut self.0 {
            if *of == id {
                if let Some(result) = result.take() {
                    *place = Place::Answered(result);
                }
                return;
            }
            if is_frame && matches!(place, Place::AtWork(kept) if same(kept)) {
                *place = Place::Answered(Err("a frame was not answered".into()));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use cutrickle_frame::I420;
    use cutrickle_media::{Colour, Timestamp};

    use super::*;

    fn frame() -> VideoFrame {
        VideoFrame::from_i420(I420::new(2, 2).unwrap(), Colour::BT601, Timestamp::ZERO)
    }

    #[test]
    fn frames_of_one_time_come_out_in_the_order_in_which_they_came() {
        let frames = [frame(), frame(), frame()];
        let [first, second, third] = [&frames[0], &frames[1], &frames[2]].map(VideoFrame::id);
        let mut order = InOrder::default();
        order.at_work(first, ());
        assert!(matches!(order.done(second, Some(frames[1].clone())), Started::AtWork));
        order.at_work(third, ());
        assert!(order.next().is_none());
        order.take(third).unwrap();
        order.answer(third, Ok(None), |()| true);
        assert!(order.next().is_none(), "the first is at work");
        order.take(first).unwrap();
        order.answer(first, Ok(Some(frames[0].clone())), |()| true);
        let out: Vec<_> = std::iter::from_fn(|| order.next()).map(|finished| finished.id).collect();
        assert_eq!(out, [first, second, third]);
        assert!(order.is_empty() && matches!(order.done(first, None), Started::Done(None)));
    }

    #[test]
    fn a_frame_that_was_lost_holds_nobody_up() {
        let (first, second) = (frame(), frame());
        let mut order = InOrder::default();
        order.at_work(first.id(), 'a');
        order.at_work(second.id(), 'a');
        order.take(second.id()).unwrap();
        order.answer(second.id(), Ok(Some(second.clone())), |of| *of == 'a');
        assert!(order.next().is_some_and(|lost| lost.result.is_err()));
        assert!(order.next().is_some_and(|answered| answered.id == second.id()));
    }
}
