//! Sends a prepared stream in real time, and notes when each picture really went out.

use std::time::Duration;

use cutrickle_trickle::Publisher;
use tokio::time::{Instant, sleep_until};

use super::source::Unit;
use crate::failure::Failure;

/// What was sent.
#[derive(Debug, Default)]
pub struct Sent {
    /// When each picture was handed to its connection, by number.
    pub pictures: Vec<Instant>,
    /// How much later than due each of them was.
    pub late: Vec<Duration>,
}

/// Sends `units`, each when it is due after `began`. A delay does not move those after it.
///
/// # Errors
/// The channel takes nothing more.
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
        if unit.picture.is_some() {
            let now = Instant::now();
            sent.pictures.push(now);
            sent.late.push(now.saturating_duration_since(due));
        }
        segment.write(unit.bytes.clone()).await.map_err(failed)?;
    }
    segment.finish();
    Ok(sent)
}
