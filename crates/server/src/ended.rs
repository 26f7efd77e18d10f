//! The streams that have ended: the newest by name, and what all of them have counted. `streams` has those
//! that run.

use std::collections::VecDeque;

use cutrickle_pipeline::{EndReason, Metrics, Params, StreamStatus};
use serde_json::Value;

/// Streams that are remembered after their end.
pub(crate) const MAX_KEPT: usize = 32;
/// Parameters larger than this, as JSON, are not kept beyond their stream's end.
pub(crate) const MAX_KEPT_PARAMS: usize = 64 << 10;

/// The streams that have ended.
#[derive(Debug, Default)]
pub(crate) struct Ended {
    /// The last status of each of the newest, oldest first.
    kept: VecDeque<StreamStatus>,
    totals: Metrics,
    by_reason: [u64; EndReason::ALL.len()],
}

impl Ended {
    /// A stream has ended with this status.
    pub(crate) fn add(&mut self, mut last: StreamStatus) {
        let place = EndReason::ALL.iter().position(|reason| Some(*reason) == last.end_reason);
        if let Some(count) = place.and_then(|place| self.by_reason.get_mut(place)) {
            *count += 1;
        }
        last.metrics = last.metrics.at_rest();
        self.totals.take_in(last.metrics);
        if Value::Object(last.params.clone()).to_string().len() > MAX_KEPT_PARAMS {
            last.params = Params::new();
        }
        if self.kept.len() == MAX_KEPT {
            self.kept.pop_front();
        }
        self.kept.push_back(last);
    }

    /// The newest of that name.
    pub(crate) fn find(&self, id: &str) -> Option<&StreamStatus> {
        self.kept.iter().rev().find(|last| last.stream_id == id)
    }

    /// The newest.
    pub(crate) fn newest(&self) -> Option<&StreamStatus> {
        self.kept.back()
    }

    /// All that are remembered, oldest first.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &StreamStatus> {
        self.kept.iter()
    }

    /// What all of them have counted, including those that are forgotten.
    pub(crate) fn totals(&self) -> Metrics {
        self.totals
    }

    /// How many have ended for each reason.
    pub(crate) fn by_reason(&self) -> impl Iterator<Item = (EndReason, u64)> {
        EndReason::ALL.into_iter().zip(self.by_reason)
    }
}

#[cfg(test)]
mod tests {
    use cutrickle_pipeline::{StageBackends, StreamState};

    use super::*;

    fn last(id: &str, frames_in: u64, end_reason: EndReason) -> StreamStatus {
        StreamStatus {
            stream_id: id.into(),
            state: StreamState::Offline,
            metrics: Metrics { frames_in, fps: 30.0, ..Metrics::default() },
            params: Params::from_iter([("prompt".to_owned(), "a cat".into())]),
            backends: StageBackends::default(),
            input: None,
            output_size: None,
            uptime_s: 1.0,
            last_error: None,
            started_at: 1,
            ended_at: Some(2),
            end_reason: Some(end_reason),
        }
    }

    #[test]
    fn the_newest_are_kept_and_the_counts_of_all() {
        let mut ended = Ended::default();
        for n in 0..100 {
            ended.add(last(&format!("s{n}"), n, EndReason::InputEnded));
        }
        assert_eq!((ended.kept().count(), ended.newest().unwrap().stream_id.as_str()), (MAX_KEPT, "s99"));
        assert!(ended.find("s67").is_none() && ended.find("s68").is_some());
        assert_eq!(ended.totals().frames_in, (0..100).sum::<u64>());
        let counts: Vec<_> = ended.by_reason().filter(|(_, count)| *count > 0).collect();
        assert_eq!(counts, [(EndReason::InputEnded, 100)]);
        assert_eq!(ended.by_reason().count(), EndReason::ALL.len());
    }

    #[test]
    fn of_one_name_the_newest_is_found_at_rest_and_without_parameters_that_are_too_large() {
        let mut ended = Ended::default();
        ended.add(last("a", 1, EndReason::Stopped));
        let mut large = last("a", 2, EndReason::InputFailed);
        large.params.insert("image".into(), "x".repeat(MAX_KEPT_PARAMS).into());
        ended.add(large);
        let found = ended.find("a").unwrap();
        assert_eq!((found.metrics.frames_in, found.metrics.fps), (2, 0.0));
        assert!(found.params.is_empty());
        assert_eq!(ended.kept().next().unwrap().params.len(), 1);
    }
}
