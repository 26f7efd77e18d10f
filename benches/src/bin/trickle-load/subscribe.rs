//! A subscriber. It reads one segment after the other, discards the bytes and counts them. While it reads a
//! segment it already opens the GET of the next one.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::answer::{Head, Part};
use crate::connection::{Connection, Target};
use crate::histogram::Histogram;
use crate::rate::{Shape, Writes};

/// How many connections may break before a subscriber gives up.
const MAX_BROKEN: u64 = 20;

/// What a subscriber has observed.
#[derive(Clone, Default)]
pub struct Received {
    pub bytes: u64,
    /// The time from the start of each write to the arrival of its last byte.
    pub latency: Histogram,
    /// The number of segments that did not arrive, or not completely.
    pub lost: u64,
    /// The number of writes that were not the expected ones.
    pub wrong: u64,
    /// The number of connections that broke.
    pub broken: u64,
}

impl Received {
    pub fn merge(&mut self, other: &Received) {
        self.bytes += other.bytes;
        self.latency.merge(&other.latency);
        self.lost += other.lost;
        self.wrong += other.wrong;
        self.broken += other.broken;
    }
}

/// Follows `channel` from segment 0 to the end. `next` is kept at the number of the segment that is being
/// read.
pub async fn subscribe(
    target: &Target,
    channel: &str,
    shape: Shape,
    epoch: Instant,
    next: &AtomicU64,
) -> io::Result<Received> {
    let mut received = Received::default();
    let mut current = None;
    let mut ahead = None;
    loop {
        let seq = next.load(Ordering::Relaxed);
        let outcome =
            segment(target, channel, shape, epoch, seq, &mut current, &mut ahead, &mut received).await;
        match outcome {
            Ok(Some(then)) => {
                // The other connection has already requested the following segment.
                if then == seq + 1 {
                    std::mem::swap(&mut current, &mut ahead);
                } else {
                    (current, ahead) = (None, None);
                }
                next.store(then, Ordering::Relaxed);
            }
            Ok(None) => return Ok(received),
            Err(error) => {
                received.broken += 1;
                if received.broken > MAX_BROKEN {
                    return Err(error);
                }
                received.lost += 1;
                (current, ahead) = (None, None);
                next.store(seq + 1, Ordering::Relaxed);
            }
        }
    }
}

/// Reads one segment, and requests the next one as soon as this one begins. Returns the number of the segment
/// to continue with, or `None` if the channel has ended.
#[allow(
    clippy::too_many_arguments,
    reason = "there is one caller, and a struct would only be taken apart again"
)]
async fn segment<'a>(
    target: &'a Target,
    channel: &str,
    shape: Shape,
    epoch: Instant,
    seq: u64,
    current: &mut Option<Connection<'a>>,
    ahead: &mut Option<Connection<'a>>,
    received: &mut Received,
) -> io::Result<Option<u64>> {
    let mut connection = match current.take() {
        Some(connection) => connection,
        None => get(target, None, channel, seq).await?,
    };
    let mut writes = Writes::new(shape);
    let mut head = Head::default();
    let mut number = seq * shape.writes;
    let mut asked = false;
    loop {
        let ended = connection
            .read(|part, now| match part {
                Part::Head(found) => head = found,
                Part::Data(data) if head.status == 200 => writes.pass(data, |stamp| {
                    if stamp.number == number {
                        let sent = epoch + Duration::from_nanos(stamp.nanos);
                        received.latency.add(now.saturating_duration_since(sent));
                    } else {
                        received.wrong += 1;
                    }
                    number += 1;
                }),
                _ => {}
            })
            .await?;
        if head.status == 200 && !head.closed && !asked {
            asked = true;
            let idle = ahead.take();
            *ahead = Some(get(target, idle, channel, seq + 1).await?);
        }
        if ended {
            break;
        }
    }
    *current = (!head.last).then_some(connection);
    match head.status {
        200 if head.closed => Ok(None),
        200 => {
            received.bytes += writes.offset();
            received.lost += u64::from(writes.offset() != shape.segment_bytes());
            Ok(Some(seq + 1))
        }
        404 => Ok(None),
        470 => {
            // The segment is no longer within the server's window, or the server has lost it.
            let latest = head.latest.unwrap_or(seq + 1).max(seq + 1);
            received.lost += latest - seq;
            Ok(Some(latest))
        }
        status => Err(io::Error::other(format!("segment {seq} of {channel}: answered {status}"))),
    }
}

/// Sends a GET over the connection `idle` if there is one that works, or else over a new connection.
async fn get<'a>(
    target: &'a Target,
    idle: Option<Connection<'a>>,
    channel: &str,
    seq: u64,
) -> io::Result<Connection<'a>> {
    let path = format!("{channel}/{seq}");
    if let Some(mut idle) = idle
        && idle.ask("GET", &path, "").await.is_ok()
    {
        return Ok(idle);
    }
    let mut connection = Connection::open(target).await?;
    connection.ask("GET", &path, "").await?;
    Ok(connection)
}
