//! Decides which segment a subscriber requests next, from the responses so far. Uses no sockets and no clock.

use std::time::{Duration, Instant};

use http::StatusCode;

use crate::client::{Backoff, ClientConfig, MISSING_WAIT, Place, SETTLED};
use crate::wire::is_transient;

/// Where in a channel a subscriber begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Start {
    /// The segment that will be written next (-1). Existing segments are not read.
    Next,
    /// The segment that is being written (-2), from its first byte.
    #[default]
    Current,
    /// This segment.
    Seq(u64),
}

/// The wait before the next request if the last response made no progress.
const STALLED_WAIT: Duration = Duration::from_millis(100);
/// This many responses in a row without a byte are normal, for example because segments were skipped.
const MAX_EMPTY: u32 = 8;

/// The outcome of one GET.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answered {
    /// The first byte has arrived. `seq` is the number that the server gives.
    Data { seq: Option<u64> },
    /// 200 without a body.
    Empty { seq: Option<u64>, closed: bool },
    /// 404.
    Missing,
    /// 470.
    NoSuchSegment { latest: Option<u64> },
    /// No byte arrived before the GET had to be renewed.
    Waited,
    /// Any other status.
    Refused(StatusCode),
    /// Connecting failed, or the connection broke before the first byte. `stood` is how long it lasted.
    Broken { stood: Duration },
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Give this segment to the reader.
    Read(u64),
    /// Request [`Follow::place`] after this wait.
    Ask(Duration),
    /// The channel has ended.
    End,
    /// The channel never appeared.
    NotFound,
    /// The server was unreachable for the whole window.
    TimedOut,
    /// The server refuses the request.
    Refused(StatusCode),
    /// The server sent a segment without a number.
    Unnumbered,
}

/// The position of a subscriber in a channel.
#[derive(Clone, Debug)]
pub(crate) struct Follow {
    place: Place,
    backoff: Backoff,
    missing: Backoff,
    /// The channel has existed at some point.
    existed: bool,
    /// The server was unreachable since the channel was last seen. It may have restarted without the channel
    /// and its publisher may still come back, so a 404 is not the end.
    disturbed: bool,
    empty_in_a_row: u32,
    skipped: u64,
}

impl Follow {
    pub(crate) fn new(start: Start, config: &ClientConfig) -> Follow {
        Follow {
            place: match start {
                Start::Next => Place::Next,
                Start::Current => Place::Current,
                Start::Seq(seq) => Place::Segment(seq),
            },
            backoff: Backoff::new(config.retry_window),
            missing: Backoff::steady(MISSING_WAIT, config.missing_grace),
            existed: false,
            disturbed: false,
            empty_in_a_row: 0,
            skipped: 0,
        }
    }

    /// What to request next.
    pub(crate) fn place(&self) -> Place {
        self.place
    }

    /// The number of the requested segment, if it is known.
    pub(crate) fn seq(&self) -> Option<u64> {
        match self.place {
            Place::Segment(seq) => Some(seq),
            _ => None,
        }
    }

    /// Whether the server was unreachable since the channel was last seen.
    pub(crate) fn is_disturbed(&self) -> bool {
        self.disturbed
    }

    /// How many segments were skipped or empty.
    pub(crate) fn skipped(&self) -> u64 {
        self.skipped
    }

    pub(crate) fn answered(&mut self, now: Instant, answer: Answered) -> Step {
        match answer {
            Answered::Data { seq } => {
                self.exists();
                let Some(seq) = seq.or(self.seq()) else { return Step::Unnumbered };
                self.empty_in_a_row = 0;
                self.place = Place::Segment(seq.saturating_add(1));
                Step::Read(seq)
            }
            Answered::Empty { closed: true, .. } => Step::End,
            Answered::Empty { seq, closed: false } => {
                self.exists();
                let Some(seq) = seq.or(self.seq()) else { return self.without_progress() };
                self.skipped = self.skipped.saturating_add(1);
                self.place = Place::Segment(seq.saturating_add(1));
                self.without_progress()
            }
            // A restarted server on which nothing has been written yet. The publisher is probably about to
            // come back, most likely with the number that we are waiting for.
            Answered::NoSuchSegment { latest: Some(0) } if self.disturbed && self.seq() > Some(0) => {
                self.missing.succeeded();
                self.backoff.succeeded();
                Step::Ask(STALLED_WAIT)
            }
            Answered::NoSuchSegment { latest } => {
                self.exists();
                match (latest, self.seq()) {
                    (Some(latest), Some(seq)) if latest == seq => Step::Ask(STALLED_WAIT),
                    // The publisher restarted its numbering. `latest` would skip the segment that it is
                    // writing.
                    (Some(latest), Some(seq)) if (1..seq).contains(&latest) => {
                        self.place = Place::Current;
                        self.without_progress()
                    }
                    (Some(latest), seq) => {
                        let jumped = seq.map_or(0, |seq| latest.saturating_sub(seq));
                        self.skipped = self.skipped.saturating_add(jumped);
                        self.place = Place::Segment(latest);
                        self.without_progress()
                    }
                    (None, _) => {
                        self.place = Place::Current;
                        Step::Ask(STALLED_WAIT)
                    }
                }
            }
            Answered::Waited => {
                self.backoff.succeeded();
                Step::Ask(Duration::ZERO)
            }
            Answered::Missing => self.missing(now),
            Answered::Refused(status) if is_transient(status) => self.broken(now, Duration::ZERO),
            Answered::Refused(status) => Step::Refused(status),
            Answered::Broken { stood } => self.broken(now, stood),
        }
    }

    fn exists(&mut self) {
        self.existed = true;
        self.disturbed = false;
        self.missing.succeeded();
        self.backoff.succeeded();
    }

    /// Avoids a busy loop if the server keeps responding without any bytes.
    fn without_progress(&mut self) -> Step {
        self.empty_in_a_row = self.empty_in_a_row.saturating_add(1);
        Step::Ask(if self.empty_in_a_row > MAX_EMPTY { STALLED_WAIT } else { Duration::ZERO })
    }

    fn missing(&mut self, now: Instant) -> Step {
        self.backoff.succeeded();
        if self.existed && !self.disturbed {
            return Step::End;
        }
        match self.missing.failed(now) {
            Some(wait) => Step::Ask(wait),
            None if self.existed => Step::End,
            None => Step::NotFound,
        }
    }

    fn broken(&mut self, now: Instant, stood: Duration) -> Step {
        self.disturbed = true;
        if stood >= SETTLED {
            self.backoff.succeeded();
        }
        match self.backoff.failed(now) {
            Some(wait) => Step::Ask(wait),
            None => Step::TimedOut,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Step = Step::Ask(Duration::ZERO);
    const BROKEN: Answered = Answered::Broken { stood: Duration::ZERO };

    fn follow(start: Start) -> (Follow, Instant) {
        (Follow::new(start, &ClientConfig::default()), Instant::now())
    }

    #[test]
    fn the_first_answer_numbers_the_channel() {
        let (mut f, now) = follow(Start::Current);
        assert_eq!(f.place(), Place::Current);
        assert_eq!(f.answered(now, Answered::Data { seq: Some(7) }), Step::Read(7));
        assert_eq!(f.place(), Place::Segment(8));
        let (mut f, now) = follow(Start::Next);
        assert_eq!(f.place(), Place::Next);
        assert_eq!(f.answered(now, Answered::Data { seq: None }), Step::Unnumbered);
    }

    #[test]
    fn a_470_continues_at_latest_in_both_directions() {
        let (mut f, now) = follow(Start::Seq(3));
        assert_eq!(f.answered(now, Answered::NoSuchSegment { latest: Some(40) }), NOW);
        assert_eq!((f.place(), f.skipped()), (Place::Segment(40), 37));
        assert_eq!(f.answered(now, Answered::NoSuchSegment { latest: Some(0) }), NOW);
        assert_eq!((f.place(), f.skipped()), (Place::Segment(0), 37));
    }

    #[test]
    fn a_fresh_server_without_a_segment_is_asked_for_ours_until_its_publisher_is_back() {
        let (mut f, now) = follow(Start::Seq(7));
        f.answered(now, BROKEN);
        for _ in 0..3 {
            let fresh = Answered::NoSuchSegment { latest: Some(0) };
            assert_eq!(f.answered(now, fresh), Step::Ask(STALLED_WAIT));
            assert_eq!(f.place(), Place::Segment(7));
        }
        assert_eq!(f.answered(now, Answered::Data { seq: Some(7) }), Step::Read(7));
    }

    #[test]
    fn a_publisher_that_counts_anew_is_followed_from_the_segment_it_writes() {
        let (mut f, now) = follow(Start::Seq(7));
        f.answered(now, BROKEN);
        assert_eq!(f.answered(now, Answered::NoSuchSegment { latest: Some(2) }), NOW);
        assert_eq!((f.place(), f.skipped()), (Place::Current, 0));
        assert_eq!(f.answered(now, Answered::Data { seq: Some(1) }), Step::Read(1));
    }

    #[test]
    fn a_470_that_moves_nothing_does_not_spin() {
        let (mut f, now) = follow(Start::Seq(3));
        assert_eq!(f.answered(now, Answered::NoSuchSegment { latest: Some(3) }), Step::Ask(STALLED_WAIT));
        for round in 0..20 {
            let step = f.answered(now, Answered::NoSuchSegment { latest: Some(round % 2) });
            assert!(round < u64::from(MAX_EMPTY) || step == Step::Ask(STALLED_WAIT));
        }
    }

    #[test]
    fn a_skipped_segment_leads_to_the_next() {
        let (mut f, now) = follow(Start::Seq(3));
        assert_eq!(f.answered(now, Answered::Empty { seq: Some(3), closed: false }), NOW);
        assert_eq!((f.place(), f.skipped()), (Place::Segment(4), 1));
    }

    #[test]
    fn closed_ends_at_once_and_so_does_a_404_of_a_channel_that_existed() {
        let (mut f, now) = follow(Start::Current);
        assert_eq!(f.answered(now, Answered::Empty { seq: None, closed: true }), Step::End);
        let (mut f, now) = follow(Start::Current);
        f.answered(now, Answered::Data { seq: Some(1) });
        assert_eq!(f.answered(now, Answered::Missing), Step::End);
    }

    #[test]
    fn a_channel_that_is_not_there_yet_is_waited_for_and_given_up_in_the_end() {
        let (mut f, start) = follow(Start::Current);
        let mut now = start;
        while f.answered(now, Answered::Missing) == Step::Ask(MISSING_WAIT) {
            now += MISSING_WAIT;
        }
        assert_eq!(now - start, ClientConfig::default().missing_grace);
        let (mut f, now) = follow(Start::Current);
        f.answered(now, Answered::Missing);
        assert_eq!(f.answered(now, Answered::Data { seq: Some(0) }), Step::Read(0));
    }

    #[test]
    fn a_404_after_the_server_was_gone_is_not_the_end() {
        let (mut f, now) = follow(Start::Current);
        f.answered(now, Answered::Data { seq: Some(9) });
        assert!(matches!(f.answered(now, BROKEN), Step::Ask(_)));
        let later = now + Duration::from_secs(5);
        assert_eq!(f.answered(later, Answered::Missing), Step::Ask(MISSING_WAIT));
        assert_eq!(f.place(), Place::Segment(10));
        assert_eq!(f.answered(later, Answered::Data { seq: Some(10) }), Step::Read(10));
        assert_eq!(f.answered(later, Answered::Missing), Step::End);
    }

    #[test]
    fn a_404_after_the_server_was_gone_is_the_end_when_it_stays() {
        let (mut f, now) = follow(Start::Current);
        f.answered(now, Answered::Data { seq: Some(9) });
        f.answered(now, BROKEN);
        assert_eq!(f.answered(now, Answered::Missing), Step::Ask(MISSING_WAIT));
        assert_eq!(f.answered(now + Duration::from_secs(10), Answered::Missing), Step::End);
    }

    #[test]
    fn a_server_out_of_reach_is_tried_from_the_same_number_until_the_window_ends() {
        let (mut f, mut now) = follow(Start::Seq(5));
        let start = now;
        loop {
            match f.answered(now, BROKEN) {
                Step::Ask(wait) => now += wait,
                step => break assert_eq!(step, Step::TimedOut),
            }
            assert_eq!(f.place(), Place::Segment(5));
        }
        assert!(now - start >= Duration::from_secs(30));
        let busy = Answered::Refused(StatusCode::BAD_GATEWAY);
        assert!(matches!(f.answered(now, busy), Step::Ask(_)));
    }

    #[test]
    fn a_server_that_returns_is_asked_within_a_second_however_long_it_was_away() {
        for outage in [5, 45, 300].map(Duration::from_secs) {
            let config = ClientConfig { retry_window: Duration::from_secs(600), ..ClientConfig::default() };
            let (mut f, start) = (Follow::new(Start::Seq(5), &config), Instant::now());
            let mut now = start;
            while now < start + outage {
                let step = f.answered(now, BROKEN);
                let Step::Ask(wait) = step else { panic!("{step:?} after {:?} of {outage:?}", now - start) };
                now += wait;
            }
            assert!(now - start <= outage + Duration::from_secs(1), "{outage:?}: {:?}", now - start);
        }
    }

    #[test]
    fn waiting_for_hours_uses_up_no_window() {
        let (mut f, mut now) = follow(Start::Seq(5));
        for _ in 0..500 {
            now += Duration::from_secs(20);
            assert_eq!(f.answered(now, Answered::Waited), NOW);
            let stood = Duration::from_secs(20);
            assert!(matches!(f.answered(now, Answered::Broken { stood }), Step::Ask(_)));
        }
    }

    #[test]
    fn a_refusal_is_final() {
        let (mut f, now) = follow(Start::Seq(5));
        let status = StatusCode::FORBIDDEN;
        assert_eq!(f.answered(now, Answered::Refused(status)), Step::Refused(status));
    }
}
