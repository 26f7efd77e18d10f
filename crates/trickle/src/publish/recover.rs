//! Decides what a publisher does after each POST, from how it ended. Uses no sockets and no clock.

use std::time::{Duration, Instant};

use http::StatusCode;

use crate::client::{Backoff, ClientConfig, MISSING_WAIT, SETTLED};
use crate::wire::is_transient;

/// How much of a segment had been sent when its POST ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Nothing was handed to the connection.
    Unsent,
    /// Some bytes were handed to the connection, but not the end.
    Partial,
    /// Everything was handed to the connection.
    Whole,
}

/// How one POST ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The server answered.
    Answer { status: StatusCode, closed: bool },
    /// Connecting failed, or the connection broke. `stood` is how long it lasted.
    Broken { stood: Duration },
    /// The server read nothing or did not answer, although the connection did not break.
    Stalled,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The segment was written.
    Done,
    /// POST the same segment again after this wait.
    Retry(Duration),
    /// Wait, create the channel, and POST again.
    Create(Duration),
    /// The number is in use. Wait, request the next one, and POST again.
    Renumber(Duration),
    /// The segment is lost; go on with the next one. If `close` is set, the server does not know and has to
    /// be told, so that the readers of the segment do not wait.
    Lost { close: bool },
    /// The channel has ended.
    Closed,
    /// The channel does not exist and cannot be created.
    NotFound,
    /// The server was unreachable for the whole window.
    TimedOut,
    /// The server refuses the request.
    Refused(StatusCode),
}

/// The state that all segments of a publisher share.
#[derive(Debug)]
pub(crate) struct Recover {
    backoff: Backoff,
    missing: Backoff,
    existed: bool,
    /// The server was unreachable since it last received a segment.
    disturbed: bool,
    /// The next POST has to tell the server that earlier segments will not be continued.
    reset: bool,
    /// The last attempt to connect or to send failed.
    unreachable: bool,
    /// The server does not receive what is written.
    away: bool,
    /// The server stalled after accepting a connection, so another connection does not show that it is back.
    /// Only an answer does.
    stalled: bool,
}

impl Recover {
    pub(crate) fn new(config: &ClientConfig) -> Recover {
        Recover {
            backoff: Backoff::new(config.retry_window),
            missing: Backoff::steady(MISSING_WAIT, config.missing_grace),
            existed: false,
            disturbed: false,
            reset: true,
            unreachable: false,
            away: false,
            stalled: false,
        }
    }

    /// Whether the last attempt to reach the server failed.
    pub(crate) fn is_unreachable(&self) -> bool {
        self.unreachable
    }

    /// Whether what is written is lost or has to wait for the server.
    pub(crate) fn is_away(&self) -> bool {
        self.away
    }

    /// Bytes of a segment are being sent.
    pub(crate) fn sending(&mut self) {
        if !self.stalled {
            self.away = false;
        }
    }

    /// A connection was opened. This does not reset the backoff, because the connection may still fail.
    pub(crate) fn connected(&mut self) {
        self.unreachable = false;
    }

    /// Whether the next POST has to announce a restart. Not while an earlier segment is being written,
    /// because the server would close that segment.
    pub(crate) fn resets(&self, earlier_is_written: bool) -> bool {
        self.reset && !earlier_is_written
    }

    /// The server accepted a POST that announced the restart.
    pub(crate) fn has_reset(&mut self) {
        self.reset = false;
    }

    /// The wait after a request other than the POST of a segment failed, or `None` to give up.
    pub(crate) fn unanswered(&mut self, now: Instant) -> Option<Duration> {
        self.disturbed = true;
        self.unreachable = true;
        self.away = true;
        self.backoff.failed(now)
    }

    pub(crate) fn ended(&mut self, now: Instant, progress: Progress, ended: Ended) -> Verdict {
        match ended {
            Ended::Answer { closed: true, .. } => Verdict::Closed,
            Ended::Answer { status, .. } if status.is_success() => match progress {
                Progress::Whole => {
                    self.taken();
                    Verdict::Done
                }
                // The segment was closed by another publisher, by a reset, or by leaving the window.
                Progress::Partial => {
                    self.taken();
                    Verdict::Lost { close: false }
                }
                Progress::Unsent => self.wait_or_time_out(now).map_or_else(|v| v, Verdict::Renumber),
            },
            // The segment belongs to another publisher or was closed by one.
            Ended::Answer { status: StatusCode::CONFLICT, .. } => match progress {
                Progress::Unsent => self.wait_or_time_out(now).map_or_else(|v| v, Verdict::Renumber),
                _ => {
                    self.taken();
                    Verdict::Lost { close: false }
                }
            },
            Ended::Answer { status: StatusCode::NOT_FOUND, .. } => self.missing(now, progress),
            Ended::Answer { status: StatusCode::PAYLOAD_TOO_LARGE, .. } => Verdict::Lost { close: false },
            Ended::Answer { status, .. } if is_transient(status) => {
                self.broken(now, progress, Duration::ZERO)
            }
            Ended::Answer { status, .. } => Verdict::Refused(status),
            Ended::Broken { stood } => self.broken(now, progress, stood),
            Ended::Stalled => self.stalled(now, progress),
        }
    }

    fn taken(&mut self) {
        self.existed = true;
        self.disturbed = false;
        self.missing.succeeded();
        self.away = false;
        self.stalled = false;
        self.backoff.succeeded();
    }

    fn missing(&mut self, now: Instant, progress: Progress) -> Verdict {
        if self.existed && !self.disturbed {
            return Verdict::Closed;
        }
        if progress != Progress::Unsent {
            return Verdict::Lost { close: false };
        }
        if self.missing.begins(now) {
            return Verdict::Create(Duration::ZERO);
        }
        self.missing.failed(now).map_or(Verdict::NotFound, Verdict::Create)
    }

    fn broken(&mut self, now: Instant, progress: Progress, stood: Duration) -> Verdict {
        self.unreachable = true;
        // Servers and proxies close idle connections. That says nothing about connections that carry bytes.
        if stood >= SETTLED && progress == Progress::Unsent && !self.stalled {
            self.backoff.succeeded();
        } else {
            self.away = true;
        }
        self.interrupted(now, progress)
    }

    fn stalled(&mut self, now: Instant, progress: Progress) -> Verdict {
        self.away = true;
        self.stalled = true;
        self.interrupted(now, progress)
    }

    fn interrupted(&mut self, now: Instant, progress: Progress) -> Verdict {
        self.disturbed = true;
        self.missing.succeeded();
        // Earlier segments may still be open on the server, but we no longer write them.
        self.reset = true;
        match self.wait_or_time_out(now) {
            Err(verdict) => verdict,
            // Bytes that may have arrived must not be sent twice.
            Ok(_) if progress != Progress::Unsent => Verdict::Lost { close: true },
            Ok(wait) => Verdict::Retry(wait),
        }
    }

    fn wait_or_time_out(&mut self, now: Instant) -> Result<Duration, Verdict> {
        self.backoff.failed(now).ok_or(Verdict::TimedOut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Progress::{Partial, Unsent, Whole};

    const BROKEN: Ended = Ended::Broken { stood: Duration::ZERO };

    fn answer(status: u16) -> Ended {
        Ended::Answer { status: StatusCode::from_u16(status).unwrap(), closed: false }
    }

    fn recover() -> (Recover, Instant) {
        (Recover::new(&ClientConfig::default()), Instant::now())
    }

    #[test]
    fn a_segment_of_which_bytes_were_sent_is_never_sent_again() {
        for ended in [BROKEN, answer(500), answer(503), answer(404), answer(200), answer(413)] {
            let (mut r, now) = recover();
            let verdict = r.ended(now, Partial, ended);
            assert!(matches!(verdict, Verdict::Lost { .. }), "{ended:?}: {verdict:?}");
        }
    }

    #[test]
    fn a_lost_connection_closes_the_segment_for_its_readers() {
        let (mut r, now) = recover();
        assert_eq!(r.ended(now, Partial, BROKEN), Verdict::Lost { close: true });
        assert!(r.is_unreachable());
        r.connected();
        assert!(!r.is_unreachable());
    }

    #[test]
    fn an_idle_preconnect_is_opened_again() {
        let (mut r, now) = recover();
        assert_eq!(r.ended(now, Unsent, BROKEN), Verdict::Retry(Duration::from_millis(100)));
        assert_eq!(r.ended(now, Unsent, answer(502)), Verdict::Retry(Duration::from_millis(200)));
        assert_eq!(r.ended(now, Whole, answer(200)), Verdict::Done);
        assert_eq!(r.ended(now, Unsent, BROKEN), Verdict::Retry(Duration::from_millis(100)));
    }

    #[test]
    fn a_connection_that_stood_for_long_uses_up_no_window() {
        let (mut r, mut now) = recover();
        for _ in 0..100 {
            now += Duration::from_secs(10);
            let ended = Ended::Broken { stood: Duration::from_secs(10) };
            assert_eq!(r.ended(now, Unsent, ended), Verdict::Retry(Duration::from_millis(100)));
        }
    }

    #[test]
    fn an_early_answer_to_an_unsent_segment_means_that_its_number_is_taken() {
        let (mut r, now) = recover();
        assert!(matches!(r.ended(now, Unsent, answer(200)), Verdict::Renumber(_)));
    }

    #[test]
    fn what_went_into_a_segment_of_another_publisher_is_lost_and_publishing_goes_on() {
        let (mut r, now) = recover();
        for progress in [Partial, Whole] {
            assert_eq!(r.ended(now, progress, answer(409)), Verdict::Lost { close: false });
        }
        assert!(matches!(r.ended(now, Unsent, answer(409)), Verdict::Renumber(_)));
        assert!(!r.is_away());
    }

    #[test]
    fn a_missing_channel_is_created_and_given_up_in_the_end() {
        let (mut r, start) = recover();
        let mut now = start;
        assert_eq!(r.ended(now, Unsent, answer(404)), Verdict::Create(Duration::ZERO));
        while r.ended(now, Unsent, answer(404)) == Verdict::Create(MISSING_WAIT) {
            now += MISSING_WAIT;
        }
        assert_eq!(now - start, ClientConfig::default().missing_grace);
    }

    #[test]
    fn a_404_ends_a_channel_that_existed_unless_the_server_was_gone() {
        let (mut r, now) = recover();
        r.ended(now, Whole, answer(200));
        assert_eq!(r.ended(now, Unsent, answer(404)), Verdict::Closed);
        let (mut r, now) = recover();
        r.ended(now, Whole, answer(200));
        r.ended(now, Partial, BROKEN);
        assert_eq!(r.ended(now, Unsent, answer(404)), Verdict::Create(Duration::ZERO));
    }

    #[test]
    fn closed_and_refused_are_final() {
        let (mut r, now) = recover();
        let closed = Ended::Answer { status: StatusCode::OK, closed: true };
        assert_eq!(r.ended(now, Unsent, closed), Verdict::Closed);
        assert_eq!(r.ended(now, Unsent, answer(401)), Verdict::Refused(StatusCode::UNAUTHORIZED));
    }

    #[test]
    fn a_server_that_returns_is_tried_within_a_second_however_long_it_was_away() {
        for outage in [5, 45, 300].map(Duration::from_secs) {
            let config = ClientConfig { retry_window: Duration::from_secs(600), ..ClientConfig::default() };
            let (mut r, start) = (Recover::new(&config), Instant::now());
            r.ended(start, Whole, answer(200));
            assert_eq!(r.ended(start, Partial, BROKEN), Verdict::Lost { close: true });
            let mut now = start;
            while now < start + outage {
                let verdict = r.ended(now, Unsent, BROKEN);
                let Verdict::Retry(wait) = verdict else { panic!("{verdict:?} within {outage:?}") };
                assert!(r.is_away());
                now += wait;
            }
            assert!(now - start <= outage + Duration::from_secs(1), "{outage:?}: {:?}", now - start);
            // A restarted server does not know the channel yet.
            assert_eq!(r.ended(now, Unsent, answer(404)), Verdict::Create(Duration::ZERO));
            r.sending();
            assert!(!r.is_away());
        }
    }

    #[test]
    fn a_server_that_takes_connections_and_nothing_else_is_given_up_after_the_window() {
        let (mut r, start) = recover();
        let mut now = start;
        while r.ended(now, Partial, Ended::Stalled) != Verdict::TimedOut {
            // The kernel accepts connections and their first bytes on behalf of a stopped process.
            r.connected();
            r.sending();
            assert!(r.is_away());
            // A connection that then breaks does not begin a new window.
            let stood = Duration::from_secs(3);
            assert!(matches!(r.ended(now, Unsent, Ended::Broken { stood }), Verdict::Retry(_)));
            now += Duration::from_secs(4);
        }
        assert!((30..=34).contains(&(now - start).as_secs()), "{:?}", now - start);
        r.ended(now, Whole, answer(200));
        assert!(!r.is_away());
    }

    #[test]
    fn connections_that_break_with_all_they_carry_are_given_up_after_the_window() {
        let (mut r, start) = recover();
        let mut now = start;
        let ended = Ended::Broken { stood: Duration::from_secs(5) };
        while r.ended(now, Partial, ended) != Verdict::TimedOut {
            now += Duration::from_secs(5);
        }
        assert_eq!((now - start).as_secs(), 30);
    }

    #[test]
    fn a_preconnect_that_is_closed_for_being_idle_does_not_mean_that_the_server_is_away() {
        let (mut r, now) = recover();
        r.ended(now, Whole, answer(200));
        r.ended(now, Unsent, Ended::Broken { stood: Duration::from_secs(60) });
        assert!(!r.is_away());
        r.ended(now, Unsent, BROKEN);
        assert!(r.is_away());
    }

    #[test]
    fn the_window_ends() {
        let (mut r, mut now) = recover();
        let start = now;
        while let Verdict::Retry(wait) = r.ended(now, Unsent, BROKEN) {
            now += wait;
        }
        assert!((30..=31).contains(&(now - start).as_secs()));
    }

    #[test]
    fn a_restart_is_announced_once_and_never_over_a_segment_being_written() {
        let (mut r, now) = recover();
        assert!(r.resets(false));
        assert!(!r.resets(true));
        r.has_reset();
        assert!(!r.resets(false));
        r.ended(now, Partial, BROKEN);
        assert!(r.resets(false));
    }
}
