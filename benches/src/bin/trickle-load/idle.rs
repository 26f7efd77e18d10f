//! Channels that nobody writes to, and readers that wait on them. Measures what it costs the server to hold
//! them.

use std::io;
use std::time::Duration;

use serde_json::{Value, json};

use crate::connection::{Connection, Target};
use crate::process::usage;
use crate::publish::{create, delete};

/// How long the server gets to handle the last requests.
const SETTLE: Duration = Duration::from_secs(1);

/// Opens that many channels, and that many readers which are distributed over them, measures the server and
/// closes everything.
///
/// # Errors Returns an error if the server cannot be reached, if it refuses a request, or if it answers a
/// reader that should wait.
pub async fn hold(target: &Target, channels: usize, readers: usize, pid: Option<u32>) -> io::Result<Value> {
    let memory = || pid.map(usage).transpose();
    let name = |index: usize| format!("idle-{}-{index}", std::process::id());
    let before = memory()?;
    for index in 0..channels {
        create(target, &name(index)).await?;
    }
    let mut waiting = Vec::with_capacity(readers);
    for index in 0..readers {
        let mut connection = Connection::open(target).await?;
        connection.ask("GET", &format!("{}/-1", name(index % channels.max(1))), "").await?;
        waiting.push(connection);
    }
    tokio::time::sleep(SETTLE).await;
    let held = memory()?;
    for connection in &mut waiting {
        let answered = tokio::time::timeout(Duration::ZERO, connection.finish()).await;
        if let Ok(answer) = answered {
            let status = answer?.status;
            return Err(io::Error::other(format!("a reader that should wait was answered {status}")));
        }
    }
    for index in 0..channels {
        delete(target, &name(index)).await?;
    }
    for connection in &mut waiting {
        let answer = connection.finish().await?;
        if !answer.closed {
            return Err(io::Error::other("a reader was not told that its channel has ended"));
        }
    }
    Ok(json!({
        "idle_channels": channels,
        "waiting_readers": readers,
        "server_rss_before_mb": before.map(|usage| usage.rss_mb),
        "server_rss_mb": held.map(|usage| usage.rss_mb),
    }))
}
