//! When live video is late: the policy by which a stream's queues drop waiting frames.
//!
//! It works on timestamps and arrival times and never reads the clock itself. Holding and counting is done by
//! the queues.

use std::time::{Duration, Instant};

use cutrickle_media::{Ticks, Timestamp};

use crate::{Queueing, StreamOptions};

/// What may wait, and for how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lateness {
    queueing: Queueing,
    max_latency: Duration,
}

impl Lateness {
    pub(crate) fn of(options: &StreamOptions) -> Self {
        Self { queueing: options.queueing, max_latency: options.max_latency }
    }

    /// Whether frames give way to newer ones.
    pub(crate) fn is_live(&self) -> bool {
        self.queueing == Queueing::Latest
    }

    /// Whether nothing may be dropped, so that the faster side has to wait.
    pub(crate) fn is_lossless(&self) -> bool {
        self.queueing == Queueing::Lossless
    }

    /// Whether waiting access units that span this much time show that the decoder is behind.
    pub(crate) fn is_behind(&self, span: Ticks) -> bool {
        self.is_live() && span.duration() > self.max_latency
    }

    /// How many processed frames may wait for the encoder. In live video these are few, but enough for a
    /// keyframe, which takes the encoder several times as long as other frames. A processor that is ahead of
    /// its encoder waits, so that frames are dropped before they are processed and not after.
    pub(crate) fn max_processed(&self) -> usize {
        match self.queueing {
            Queueing::Latest => 2,
            Queueing::All | Queueing::Lossless => 4,
        }
    }
}

/// Decides when each frame of a track is due, which is when it replaces the previous one.
///
/// If the source sends at the pace of its own timestamps, a frame is due when it is decoded, so the processor
/// always gets the newest. But many senders write a second of video at once, and a decoder that reorders
/// returns two frames at the end of a GOP. Each frame of such a burst is due a little after the previous one,
/// so that a processor that keeps up with the input gets all of them. A frame decoded in time is never due
/// later than `max_latency` after its arrival, which bounds the age that a burst or a delayed sender can
/// cause.
#[derive(Debug, Default)]
pub(crate) struct Schedule {
    last: Option<(Timestamp, Instant)>,
    /// The last plausible interval between two frames.
    step: Duration,
}

impl Schedule {
    /// Returns when the frame with this `timestamp` is due, which arrived at `arrived` and was decoded at
    /// `decoded`.
    pub(crate) fn due(
        &mut self,
        timestamp: Timestamp,
        arrived: Instant,
        decoded: Instant,
        lateness: &Lateness,
    ) -> Instant {
        // A third faster than the input's own pace. Otherwise frames that were held up and arrive all at once
        // would make all later frames due as late as they were.
        let paced = self.last.and_then(|(before, due)| {
            let step = (timestamp - before).duration().min(Duration::from_secs(1));
            // Encoders that timestamp only keyframes leave almost no time between the other frames.
            if step > Duration::from_millis(1) {
                self.step = step;
            }
            due.checked_add(self.step * 3 / 4)
        });
        let latest = arrived.checked_add(lateness.max_latency).unwrap_or(arrived).max(decoded);
        let due = paced.map_or(decoded, |paced| paced.clamp(decoded, latest));
        self.last = Some((timestamp, due));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: i64 = 3_000;
    const FRAME_TIME: Duration = Duration::from_nanos(33_333_333);

    fn millis(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn lateness() -> Lateness {
        Lateness::of(&StreamOptions::default())
    }

    /// When `frames` frames at 30 per second are due, given when they arrive, both in milliseconds.
    fn due(arrivals: impl Iterator<Item = u64>) -> Vec<u64> {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        arrivals
            .enumerate()
            .map(|(n, at)| {
                let due = schedule.due(
                    Timestamp::from_ticks(n as i64 * FRAME),
                    start + millis(at),
                    start + millis(at),
                    &lateness(),
                );
                u64::try_from((due - start).as_millis()).unwrap()
            })
            .collect()
    }

    #[test]
    fn frames_that_come_in_time_are_due_when_they_arrive() {
        let arrivals = [0, 33, 66, 100, 133];
        assert_eq!(due(arrivals.into_iter()), arrivals);
    }

    #[test]
    fn frames_of_a_burst_are_due_one_after_the_other() {
        assert_eq!(due(std::iter::repeat_n(0, 5)), [0, 24, 49, 74, 99]);
    }

    #[test]
    fn frames_that_a_decoder_gives_out_together_are_due_one_after_the_other() {
        // The last frame of a GOP comes out with the first one of the next GOP, which arrived after it.
        let (start, mut schedule) = (Instant::now(), Schedule::default());
        let mut due = |n: i64, arrived| {
            schedule.due(
                Timestamp::from_ticks(n * FRAME),
                start + millis(arrived),
                start + millis(66),
                &lateness(),
            )
        };
        assert_eq!((due(1, 33), due(2, 66)), (start + millis(66), start + millis(66) + FRAME_TIME * 3 / 4));
    }

    #[test]
    fn a_frame_that_is_decoded_late_is_due_at_once() {
        let (start, mut schedule) = (Instant::now(), Schedule::default());
        schedule.due(Timestamp::ZERO, start, start + millis(2_000), &lateness());
        assert_eq!(
            schedule.due(Timestamp::from_ticks(FRAME), start, start + millis(2_001), &lateness()),
            start + millis(2_001)
        );
    }

    #[test]
    fn frames_without_stamps_of_their_own_keep_their_pace() {
        let (start, mut schedule) = (Instant::now(), Schedule::default());
        let mut due = |ticks| schedule.due(Timestamp::from_ticks(ticks), start, start, &lateness()) - start;
        let step = FRAME_TIME * 3 / 4;
        assert_eq!(
            [0, FRAME, FRAME + 1, FRAME + 2].map(&mut due),
            [Duration::ZERO, step, step * 2, step * 3]
        );
    }

    #[test]
    fn no_frame_is_due_later_than_the_latency_that_is_allowed() {
        let due = due(std::iter::repeat_n(0, 200));
        assert_eq!(due.last(), Some(&1_000));
    }

    #[test]
    fn frames_that_were_held_up_once_do_not_delay_those_after_them_for_long() {
        // Frames 30 to 39 arrive together with frame 40.
        let arrival = |n: u64| if (30..40).contains(&n) { 40 * 100 / 3 } else { n * 100 / 3 };
        let due = due((0..90).map(arrival));
        assert!(due[45] > arrival(45), "the held up ones are due one after the other");
        assert_eq!(due[89], arrival(89), "and the delay is gone a second later");
    }

    #[test]
    fn a_jump_of_the_timestamps_delays_nothing_for_long() {
        let start = Instant::now();
        let mut schedule = Schedule::default();
        schedule.due(Timestamp::ZERO, start, start, &lateness());
        for (timestamp, at) in [(i64::MAX, 10), (i64::MIN, 20), (0, 2_000)] {
            let at_ticks = Timestamp::from_ticks(timestamp);
            let due = schedule.due(at_ticks, start + millis(at), start + millis(at), &lateness());
            assert!(due - start <= millis(at + 1_000), "{timestamp}");
        }
    }

    #[test]
    fn who_wants_every_frame_is_never_behind() {
        let all = Lateness::of(&StreamOptions { queueing: Queueing::All, ..StreamOptions::default() });
        assert!(!all.is_behind(Ticks::MAX));
        assert!(lateness().is_behind(Ticks::new(90_001)) && !lateness().is_behind(Ticks::PER_SECOND));
    }
}
