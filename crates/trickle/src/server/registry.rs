//! The channels of a server. Creates, finds and ends them, and announces this in the changefeed.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::ServerConfig;
use super::budget::Budget;
use super::channel::{Channel, Limits, Write};
use crate::lock::lock;

/// The name of the changefeed, the channel that announces new and removed channels.
pub(crate) const CHANGES: &str = "_changes";

pub(crate) type Shared = Arc<Mutex<Channel>>;

/// Why a channel could not be found or created.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoChannel {
    Missing,
    /// The limit on the number of channels is reached.
    Full,
}

pub(crate) struct Registry {
    channels: Mutex<HashMap<String, Shared>>,
    max_channels: usize,
    window: u64,
    segment_bytes: u64,
    budget: Arc<Budget>,
    changes: Option<Shared>,
}

impl Registry {
    pub(crate) fn new(config: &ServerConfig, now: Instant) -> Registry {
        let mut registry = Registry {
            channels: Mutex::default(),
            max_channels: config.max_channels,
            window: config.window.max(1),
            segment_bytes: config.max_segment_bytes,
            budget: Budget::new(config.max_total_bytes),
            changes: None,
        };
        if config.changefeed {
            let channel = registry.channel("application/json", now);
            lock(&registry.channels).insert(CHANGES.to_owned(), channel.clone());
            registry.changes = Some(channel);
        }
        registry
    }

    fn channel(&self, content_type: &str, now: Instant) -> Shared {
        let limits =
            Limits { window: self.window, segment_bytes: self.segment_bytes, account: self.budget.account() };
        Arc::new(Mutex::new(Channel::new(content_type.into(), limits, now)))
    }

    /// Whether only the server may write to the channel `name`.
    pub(crate) fn is_reserved(&self, name: &str) -> bool {
        self.changes.is_some() && name == CHANGES
    }

    pub(crate) fn find(&self, name: &str) -> Result<Shared, NoChannel> {
        lock(&self.channels).get(name).cloned().ok_or(NoChannel::Missing)
    }

    /// Finds the channel with this name or creates it.
    pub(crate) fn find_or_create(
        &self,
        name: &str,
        content_type: &str,
        now: Instant,
    ) -> Result<Shared, NoChannel> {
        let mut channels = lock(&self.channels);
        if let Some(channel) = channels.get(name) {
            return Ok(channel.clone());
        }
        if channels.len() >= self.max_channels {
            return Err(NoChannel::Full);
        }
        let channel = self.channel(content_type, now);
        channels.insert(name.to_owned(), channel.clone());
        self.announce("added", &[name], now);
        Ok(channel)
    }

    /// Ends `channel`. Returns false if it is gone already, even if there is a new channel with the same
    /// name.
    pub(crate) fn remove_this(&self, name: &str, channel: &Shared, now: Instant) -> bool {
        let mut channels = lock(&self.channels);
        if !channels.get(name).is_some_and(|found| Arc::ptr_eq(found, channel)) {
            return false;
        }
        channels.remove(name);
        lock(channel).terminate();
        self.announce("removed", &[name], now);
        true
    }

    /// Ends the channels without a new segment for `timeout`.
    pub(crate) fn sweep(&self, now: Instant, timeout: Duration) {
        let mut channels = lock(&self.channels);
        let mut idle = Vec::new();
        channels.retain(|name, channel| {
            let mut channel = lock(channel);
            let keep = name.starts_with('_') || !channel.is_idle(now, timeout);
            if !keep {
                channel.terminate();
                idle.push(name.clone());
            }
            keep
        });
        let idle: Vec<&str> = idle.iter().map(String::as_str).collect();
        if !idle.is_empty() {
            tracing::info!(channels = ?idle, "closed idle trickle channels");
            self.announce("removed", &idle, now);
        }
    }

    pub(crate) fn len(&self) -> usize {
        lock(&self.channels).len()
    }

    pub(crate) fn held(&self) -> u64 {
        self.budget.bytes()
    }

    pub(crate) fn evicted(&self) -> u64 {
        self.budget.evicted()
    }

    /// Writes one segment to the changefeed. The caller holds the lock of the channels, so that the order
    /// of the changes is correct.
    fn announce(&self, what: &str, names: &[&str], now: Instant) {
        let Some(changes) = &self.changes else { return };
        let names: Vec<String> = names.iter().map(|name| json_string(name)).collect();
        let text = format!("{{\"{what}\":[{}]}}", names.join(","));
        let mut changes = lock(changes);
        if let Write::Open(segment) = changes.write(None, false, None) {
            changes.begin(segment.seq(), now, None);
            segment.append(Bytes::from(text));
            changes.finish(segment.seq());
        }
    }
}

/// Quotes a string for JSON, see RFC 8259, section 7.
fn json_string(text: &str) -> String {
    let mut out = String::with_capacity(text.len().saturating_add(2));
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::super::channel::{Index, Read};
    use super::*;

    fn registry(config: ServerConfig) -> (Registry, Instant) {
        let now = Instant::now();
        (Registry::new(&config, now), now)
    }

    fn change(registry: &Registry, seq: u64) -> String {
        let Read::Segment(segment) = lock(&registry.find(CHANGES).unwrap()).read(Index::At(seq)) else {
            panic!("no change {seq}")
        };
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(Some(text)) = segment.reader().poll_next(&mut context) else { panic!("empty") };
        String::from_utf8(text.to_vec()).unwrap()
    }

    #[test]
    fn idle_channels_are_swept_except_those_with_an_underscore() {
        let (registry, start) = registry(ServerConfig::default());
        let timeout = Duration::from_secs(300);
        for name in ["a", "_b", "c"] {
            registry.find_or_create(name, "t", start).unwrap();
        }
        let later = start + Duration::from_secs(200);
        let c = registry.find("c").unwrap();
        lock(&c).read(Index::Next);
        lock(&c).begin(0, later, None);
        registry.sweep(start + Duration::from_secs(299), timeout);
        assert_eq!(registry.len(), 3);
        registry.sweep(start + timeout, timeout);
        assert_eq!(registry.find("a").err(), Some(NoChannel::Missing));
        assert!(registry.find("_b").is_ok() && registry.find("c").is_ok());
    }

    #[test]
    fn the_changefeed_tells_what_came_and_went_in_one_segment_each() {
        let (registry, now) = registry(ServerConfig { changefeed: true, ..ServerConfig::default() });
        registry.find_or_create("a\"b", "t", now).unwrap();
        registry.find_or_create("a\"b", "t", now).unwrap();
        registry.find_or_create("c", "t", now).unwrap();
        let c = registry.find("c").unwrap();
        assert!(registry.remove_this("c", &c, now));
        assert!(!registry.remove_this("c", &c, now));
        assert_eq!(change(&registry, 0), r#"{"added":["a\"b"]}"#);
        assert_eq!(change(&registry, 1), r#"{"added":["c"]}"#);
        assert_eq!(change(&registry, 2), r#"{"removed":["c"]}"#);
        registry.sweep(now + Duration::from_secs(300), Duration::from_secs(300));
        assert_eq!(change(&registry, 3), r#"{"removed":["a\"b"]}"#);
        assert!(registry.find(CHANGES).is_ok());
    }

    #[test]
    fn the_number_of_channels_is_bounded() {
        let (registry, now) = registry(ServerConfig { max_channels: 2, ..ServerConfig::default() });
        registry.find_or_create("a", "t", now).unwrap();
        registry.find_or_create("b", "t", now).unwrap();
        assert_eq!(registry.find_or_create("c", "t", now).err(), Some(NoChannel::Full));
        assert!(registry.find_or_create("a", "t", now).is_ok());
    }
}
