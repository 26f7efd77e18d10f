//! Sends a prepared stream in real time, and notes when each frame was actually sent.

use std::time::Duration;

use cutrickle_trickle::Publisher;
use cutrickle_worker::Failure;
use tokio::time::{Instant, sleep_until};

use super::source::Unit;

/// What was sent.
#[derive(Debug, Default)]
pub struct Sent {
    /// When each frame was handed to its connection, by number.
    pub frames: Vec<Instant>,
    /// How long after it was due each of them was sent.
    pub late: Vec<Duration>,
}

/// Sends each of `units` when it is due, counted from `began`. A delay does not postpone those that follow.
///
/// # Errors
/// The channel accepts no more data.
pub async fn send(publisher: &mut Publisher, units: &[Unit], began: Instant) -> Result<Sent, Failure> {
    let failed = |e| Failure::because("sending to the trickle server", e);
    let mut sent = Sent::default();
    let mut segment = publisher.segment().await.map_err(failed)?;
    let mut is_first = true;
    for unit in units {
        let due = began + unit.due;
        sleep_until(due).await;
        if unit.begins_segment && !std::mem::take(&mut is_first) {
            let next = publisher.segment().await.map_err(failed)?;
            std::mem::replace(&mut segment, next).finish();
        }
        if unit.frame.is_some() {
            let now = Instant::now();
            sent.frames.push(now);
            sent.late.push(now.saturating_duration_since(due));
        }
        segment.write(unit.bytes.clone()).await.map_err(failed)?;
    }
    segment.finish();
    Ok(sent)
}
