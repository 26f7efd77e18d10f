//! Records a channel with the time that each piece of it arrived.

use bytes::Bytes;
use cutrickle_trickle::Subscriber;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::failure::Failure;

/// No more than this is recorded: a worker that sends without end must not fill the memory.
const MOST_BYTES: usize = 1 << 30;

/// Bytes as the network delivered them.
#[derive(Debug)]
pub struct Chunk {
    /// When they were read.
    pub at: Instant,
    /// What was read.
    pub bytes: Bytes,
}

/// What arrived on a channel: segments of chunks.
#[derive(Debug, Default)]
pub struct Recording {
    /// The segments in order.
    pub segments: Vec<Vec<Chunk>>,
}

/// Records until the channel ends or `stop` resolves. `latest` hears the time of each chunk.
///
/// # Errors
/// The trickle server fails, or the channel carries more than 1 GiB.
pub async fn receive(
    mut channel: Subscriber,
    latest: watch::Sender<Option<Instant>>,
    stop: impl Future<Output = ()>,
) -> Result<Recording, Failure> {
    let mut recording = Recording::default();
    let mut room = MOST_BYTES;
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
