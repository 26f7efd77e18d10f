//! Flags about how streams are run, for the commands that run a worker: what is dropped, and how long an outage may last.

use std::time::Duration;

use cutrickle::{Queueing, StreamOptions};

/// Which pictures a slow processor is given.
#[derive(Debug, clap::Args)]
pub struct Queue {
    /// Which pictures a processor that is slower than its input is given.
    #[arg(long, value_enum, default_value_t = Which::Latest)]
    queue: Which,
    /// How far live video may fall behind, in milliseconds, before frames are dropped; without effect on `--queue all`.
    #[arg(long, value_name = "MILLISECONDS", value_parser = clap::value_parser!(u64).range(1..=600_000), default_value_t = 1000)]
    max_latency: u64,
}

/// Which pictures are processed.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Which {
    /// The newest frame each time; those in between are dropped.
    Latest,
    /// Every frame in order, as long as no more than `--max-queue-size` wait: for video that is not live.
    All,
}

impl Queue {
    /// Tells the streams.
    pub fn apply(&self, options: &mut StreamOptions) {
        options.queueing = match self.queue {
            Which::Latest => Queueing::Latest,
            Which::All => Queueing::All,
        };
        options.max_latency = Duration::from_millis(self.max_latency);
    }
}

/// How long a stream outlives what it needs.
#[derive(Debug, clap::Args)]
pub struct Outages {
    /// Seconds to keep trying a trickle server that is out of reach before the stream ends. Without it 30 for the input
    /// and 600 for what is published.
    #[arg(long, value_name = "SECONDS")]
    retry_for: Option<u32>,
    /// End a stream whose input brings no video and no audio for this many seconds, be it that its server is out of
    /// reach; 0 waits forever.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    input_timeout: u32,
}

impl Outages {
    /// Tells the streams.
    pub fn apply(&self, options: &mut StreamOptions) {
        let seconds = |seconds: u32| Duration::from_secs(seconds.into());
        if let Some(retry_for) = self.retry_for.map(seconds) {
            options.retry.input = retry_for;
            options.retry.output = retry_for;
        }
        options.input_timeout = (self.input_timeout > 0).then(|| seconds(self.input_timeout));
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Both {
        #[command(flatten)]
        queue: Queue,
        #[command(flatten)]
        outages: Outages,
    }

    fn options(arguments: &[&str]) -> StreamOptions {
        let both = Both::try_parse_from([&["serve"], arguments].concat()).ok().unwrap();
        let mut options = StreamOptions::default();
        both.queue.apply(&mut options);
        both.outages.apply(&mut options);
        options
    }

    #[test]
    fn flags_that_are_left_out_change_nothing() {
        let (got, want) = (options(&[]), StreamOptions::default());
        assert_eq!((got.queueing, got.max_latency), (want.queueing, want.max_latency));
        assert_eq!((got.retry, got.input_timeout), (want.retry, want.input_timeout));
    }

    #[test]
    fn each_flag_reaches_its_option() {
        let got =
            options(&["--queue", "all", "--max-latency", "250", "--retry-for", "5", "--input-timeout", "0"]);
        assert_eq!((got.queueing, got.max_latency), (Queueing::All, Duration::from_millis(250)));
        assert_eq!((got.retry.input, got.retry.output), (Duration::from_secs(5), Duration::from_secs(5)));
        assert_eq!(got.input_timeout, None);
        assert_eq!(options(&["--input-timeout", "7"]).input_timeout, Some(Duration::from_secs(7)));
    }
}
