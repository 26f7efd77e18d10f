//! The trickle protocol: subscriber, publisher and server.
//!
//! Trickle is segmented publish-subscribe over HTTP/1.1. A *channel* holds a sequence of numbered
//! *segments*; publishers POST them, subscribers GET them, and bytes reach every subscriber while they
//! are still being written. The content of a segment is opaque to this crate.
//!
//! There is one invariant: **a subscriber sees segments in ascending order, and what it sees of a segment is
//! a prefix of what was written to it.** A failure, such as a lost connection, a restarted server or a reader
//! that is too slow for the window, costs the end of a segment or whole segments. It never changes the order
//! and never leaves a gap within a segment.
//!
//! This is how to subscribe. [`Subscriber::next`] requests the following segment in the background while the
//! current one is being read:
//!
//! ```no_run
//! use cutrickle_trickle::{ClientConfig, Error, Start, Subscriber};
//!
//! async fn follow(url: &str) -> Result<(), Error> {
//!     let mut channel = Subscriber::new(url, Start::Current, ClientConfig::default())?;
//!     while let Some(mut segment) = channel.next().await? {
//!         while let Some(bytes) = segment.chunk().await {
//!             println!("segment {}: {} more bytes", segment.seq(), bytes.len());
//!         }
//!         if !segment.is_complete() {
//!             println!("segment {} broke off", segment.seq());
//!         }
//!     }
//!     Ok(())
//! }
//! ```
//!
//! This is how to publish. [`SegmentWriter::try_write`] never waits and works on threads outside of a
//! runtime. It returns an error if the buffer of the segment is full:
//!
//! ```no_run
//! use bytes::Bytes;
//! use cutrickle_trickle::{ClientConfig, Error, Publisher};
//!
//! async fn publish(url: &str, segments: Vec<Vec<Bytes>>) -> Result<(), Error> {
//!     let mut channel = Publisher::new(url, "video/MP2T", ClientConfig::default())?;
//!     for parts in segments {
//!         let mut segment = channel.segment().await?;
//!         for part in parts {
//!             if let Err(error) = segment.try_write(part) {
//!                 println!("dropped: {error}");
//!             }
//!         }
//!         segment.finish();
//!     }
//!     channel.close().await
//! }
//! ```
//!
//! The server is behind the feature `server`, which is on by default.
//!
//! The logic of the sequence numbers (`subscribe::follow`, `publish::recover`, `server::channel`) uses no
//! sockets and no clock. It takes the time and the responses as arguments.

#![forbid(unsafe_code)]

mod client;
mod error;
mod lock;
mod publish;
#[cfg(feature = "server")]
mod server;
mod subscribe;
mod wire;

pub use client::{ClientConfig, without_secrets};
pub use error::Error;
pub use publish::{Delivery, PublishCounters, Publisher, SegmentWriter};
#[cfg(feature = "server")]
pub use server::{ChannelRequest, Hooks, Refusal, SegmentBody, Server, ServerConfig, Service};
pub use subscribe::{SegmentReader, Start, Subscriber};

#[cfg(all(test, feature = "server"))]
mod tests {
    use super::*;

    fn is_send<T: Send>(value: T) -> T {
        value
    }

    fn is_send_sync<T: Send + Sync>() {}

    #[test]
    fn everything_may_go_to_another_thread() {
        is_send_sync::<Error>();
        is_send_sync::<PublishCounters>();
        is_send_sync::<Service>();
        is_send_sync::<SegmentWriter>();
        is_send_sync::<Hooks>();
        let config = ClientConfig::default;
        let mut subscriber = is_send(Subscriber::new("http://h/c", Start::Next, config()).unwrap());
        drop(is_send(subscriber.next()));
        let mut publisher = is_send(Publisher::new("http://h/c", "a/b", config()).unwrap());
        drop(is_send(publisher.create()));
        drop(is_send(publisher.segment()));
        drop(is_send(publisher.close()));
        let service = Service::new(&ServerConfig::default());
        let body = http_body_util::Empty::<bytes::Bytes>::new();
        drop(is_send(service.handle(http::Request::new(body))));
    }

    #[allow(dead_code, reason = "only compiled")]
    fn so_may_reading_and_writing(mut reader: SegmentReader, mut writer: SegmentWriter) {
        drop(is_send(reader.chunk()));
        drop(is_send(reader.collect(1)));
        drop(is_send(writer.write(bytes::Bytes::new())));
    }
}
