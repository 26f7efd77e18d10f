//! Records a channel together with the time at which each piece of it arrived.

use bytes::Bytes;
use cutrickle_trickle::Subscriber;
use cutrickle_worker::Failure;
use tokio::sync::watch;
use tokio::time::Instant;

/// The most that is recorded, so that a worker that never stops sending does not fill the memory.
const MAX_BYTES: usize = 1 << 30;

/// Bytes as they were delivered by the network.
#[derive(Debug)]
pub struct Chunk {
    /// When they were read.
    pub at: Instant,
    /// The bytes.
    pub bytes: Bytes,
}

/// What arrived on a channel.
#[derive(Debug, Default)]
pub struct Recording {
    /// The chunks of each segment, in order.
    pub segments: Vec<Vec<Chunk>>,
}

/// Records until the channel ends or `stop` resolves. The time of each chunk is sent to `latest`.
///
/// # Errors
/// The trickle server fails, or the channel carries more than 1 GiB.
pub async fn receive(
    mut channel: Subscriber,
    latest: watch::Sender<Option<Instant>>,
    stop: impl Future<Output = ()>,
) -> Result<Recording, Failure> {
    let mut recording = Recording::default();
    let mut room = MAX_BYTES;
    let reading = async {
        while let Some(mut segment) = channel.next().await? {
            recording.segments.push(Vec::new());
            while let Some(bytes) = segment.chunk().await {
                let at = Instant::now();
                room = room.checked_sub(bytes.len()).ok_or("the channel carries more than 1 GiB")?;
                if let Some(chunks) = recording.segments.last_mut() {
                    chunks.push(Chunk { at, bytes });
                }
                latest.send_replace(Some(at));
            }
        }
        Ok(())
    };
    tokio::select! {
        ended = reading => ended.map_err(|e: Box<dyn std::error::Error + Send + Sync>| {
            Failure::because("reading from the trickle server", e)
        })?,
        () = stop => {}
    }
    Ok(recording)
}
