//! A subscriber: reads segment after segment, the GET of the next one being open meanwhile, throws the
//! bytes away and counts.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::answer::{Head, Part};
use crate::connection::{Connection, Target};
use crate::histogram::Histogram;
use crate::rate::{Shape, Writes};

/// Connections that may break before a subscriber gives up.
const MOST_BROKEN: u64 = 20;

/// What a subscriber saw.
#[derive(Clone, Default)]
pub struct Received {
    pub bytes: u64,
    /// From the sending of a write to the arrival of its last byte.
    pub latency: Histogram,
    /// Segments that did not come, or not whole.
    pub lost: u64,
    /// Writes that were not those that should have come.
    pub wrong: u64,
    /// Connections that broke.
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

/// Follows `channel` from segment 0 to its end. `next` is the segment that it is at.
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
                // The connection that runs ahead asked for the following segment.
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
                if received.broken > MOST_BROKEN {
                    return Err(error);
                }
                received.lost += 1;
                (current, ahead) = (None, None);
                next.store(seq + 1, Ordering::Relaxed);
            }
        }
    }
}

/// Reads one segment and asks for the next as soon as this one begins. The number to go on with, or `None`
/// at the channel's end.
#[allow(clippy::too_many_arguments, reason = "one caller; a struct of them would only be taken apart again")]
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
            // The window is past it, or the server lost what it had.
            let latest = head.latest.unwrap_or(seq + 1).max(seq + 1);
            received.lost += latest - seq;
            Ok(Some(latest))
        }
        status => Err(io::Error::other(format!("segment {seq} of {channel}: answered {status}"))),
    }
}

/// Sends a GET over `idle`, or over a new connection.
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
