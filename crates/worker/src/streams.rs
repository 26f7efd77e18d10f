//! Arguments about how streams are run: which frames are dropped, and how long an outage may last.

use std::time::Duration;

use cutrickle_live::TrickleOptions;
use cutrickle_pipeline::{Queueing, StreamOptions};

/// Which frames a slow processor is given.
#[derive(Debug, Clone, clap::Args)]
pub struct Queue {
    /// Which frames a processor that is slower than its input is given.
    #[arg(long, value_enum, default_value_t = Which::Latest)]
    queue: Which,
    /// How far live video may fall behind, in milliseconds, before frames are dropped. Has no effect with
    /// `--queue all`.
    #[arg(
        long,
        value_name = "MILLISECONDS",
        value_parser = clap::value_parser!(u64).range(1..=600_000),
        default_value_t = 1000
    )]
    max_latency: u64,
}

/// Which frames are processed.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Which {
    /// The newest frame each time; frames in between are dropped.
    Latest,
    /// Every frame in order, as long as no more than `--max-queue-size` are waiting: for video that is not
    /// live.
    All,
}

impl Queue {
    /// Sets the options of streams that these arguments are about.
    pub fn apply(&self, options: &mut StreamOptions) {
        options.queueing = match self.queue {
            Which::Latest => Queueing::Latest,
            Which::All => Queueing::All,
        };
        options.max_latency = Duration::from_millis(self.max_latency);
    }
}

/// How long a stream waits for what is missing.
#[derive(Debug, Clone, clap::Args)]
pub struct Outages {
    /// Seconds to retry a trickle server that cannot be reached before the stream ends. If left out, 30 for
    /// the input and 600 for everything that is published.
    #[arg(long, value_name = "SECONDS")]
    retry_for: Option<u32>,
    /// End a stream whose input has had no video and no audio for this many seconds, even while its server
    /// cannot be reached; 0 waits forever.
    #[arg(long, value_name = "SECONDS", default_value_t = 60)]
    input_timeout: u32,
}

impl Outages {
    /// Sets the options of streams that these arguments are about.
    pub fn apply(&self, options: &mut StreamOptions) {
        options.input_timeout = (self.input_timeout > 0).then(|| seconds(self.input_timeout));
    }

    /// Sets the options of trickle that these arguments are about.
    pub fn apply_to_trickle(&self, trickle: &mut TrickleOptions) {
        if let Some(retry_for) = self.retry_for.map(seconds) {
            trickle.retry.input = retry_for;
            trickle.retry.output = retry_for;
        }
    }
}

fn seconds(seconds: u32) -> Duration {
    Duration::from_secs(seconds.into())
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

    fn options(arguments: &[&str]) -> (StreamOptions, TrickleOptions) {
        let both = Both::try_parse_from([&["serve"], arguments].concat()).ok().unwrap();
        let (mut options, mut trickle) = (StreamOptions::default(), TrickleOptions::default());
        both.queue.apply(&mut options);
        both.outages.apply(&mut options);
        both.outages.apply_to_trickle(&mut trickle);
        (options, trickle)
    }

    #[test]
    fn flags_that_are_left_out_change_nothing() {
        let (got, trickle) = options(&[]);
        let want = StreamOptions::default();
        assert_eq!((got.queueing, got.max_latency), (want.queueing, want.max_latency));
        assert_eq!((trickle.retry, got.input_timeout), (TrickleOptions::default().retry, want.input_timeout));
    }

    #[test]
    fn each_flag_reaches_its_option() {
        let (got, trickle) =
            options(&["--queue", "all", "--max-latency", "250", "--retry-for", "5", "--input-timeout", "0"]);
        assert_eq!((got.queueing, got.max_latency), (Queueing::All, Duration::from_millis(250)));
        let five = Duration::from_secs(5);
        assert_eq!((trickle.retry.input, trickle.retry.output), (five, five));
        assert_eq!(got.input_timeout, None);
        assert_eq!(options(&["--input-timeout", "7"]).0.input_timeout, Some(Duration::from_secs(7)));
    }
}
