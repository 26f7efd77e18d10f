//! The publisher of one channel. It opens the POST of the next segment while it still writes the current one.

use std::io;
use std::time::{Duration, Instant};

use tokio::time::sleep_until;

use crate::connection::{Connection, Target};
use crate::histogram::Histogram;
use crate::rate::{Chunk, Shape, Stamp};

/// What a publisher has done.
pub struct Published {
    /// How many complete segments were written.
    pub segments: u64,
    /// How late each write was.
    pub late: Histogram,
}

/// Creates an empty channel.
pub async fn create(target: &Target, channel: &str) -> io::Result<()> {
    let mut connection = Connection::open(target).await?;
    connection.ask("POST", channel, "Expect-Content: video/MP2T\r\nContent-Length: 0\r\n").await?;
    match connection.finish().await?.status {
        200 => Ok(()),
        status => Err(io::Error::other(format!("creating {channel}: the server answered {status}"))),
    }
}

/// Ends the channel.
pub async fn delete(target: &Target, channel: &str) -> io::Result<()> {
    let mut connection = Connection::open(target).await?;
    connection.ask("DELETE", channel, "").await?;
    connection.finish().await.map(|_| ())
}

/// Writes complete segments for `duration`, beginning at `begin`.
pub async fn publish(
    target: &Target,
    channel: &str,
    shape: Shape,
    epoch: Instant,
    begin: Instant,
    duration: Duration,
) -> io::Result<Published> {
    let mut chunk = Chunk::new(shape);
    let mut late = Histogram::default();
    let (mut segments, mut number) = (0, 0);
    let mut current = Connection::open(target).await?;
    post(&mut current, channel, 0).await?;
    let mut ahead = Connection::open(target).await?;
    sleep_until(begin.into()).await;
    while begin.elapsed() < duration {
        post(&mut ahead, channel, segments + 1).await?;
        for _ in 0..shape.writes {
            if let Some(interval) = shape.interval {
                let due = begin + interval * u32::try_from(number).unwrap_or(u32::MAX);
                sleep_until(due.into()).await;
                late.add(due.elapsed());
            }
            current.write(chunk.stamped(Stamp::now(epoch, number))).await?;
            number += 1;
        }
        current.write(b"0\r\n\r\n").await?;
        let answer = current.finish().await?;
        if answer.status != 200 || answer.closed {
            let status = answer.status;
            return Err(io::Error::other(format!("segment {segments} of {channel}: answered {status}")));
        }
        if answer.last {
            current = Connection::open(target).await?;
        }
        std::mem::swap(&mut current, &mut ahead);
        segments += 1;
    }
    Ok(Published { segments, late })
}

async fn post(connection: &mut Connection<'_>, channel: &str, seq: u64) -> io::Result<()> {
    let headers = "Content-Type: video/MP2T\r\nTransfer-Encoding: chunked\r\n";
    connection.ask("POST", &format!("{channel}/{seq}"), headers).await
}
