//! Reports the condition of a stream's outgoing channels, on behalf of whoever serves them.

use std::fmt::Display;
use std::sync::Arc;

use crate::stream::Stream;

/// Why a sink ended without an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SinkEnd {
    /// Everything that the stream provided was delivered.
    Done,
    /// The other side accepts nothing more: the stream ends, without an error.
    Closed,
}

/// An outgoing channel of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Channel {
    Output,
    Events,
    Data,
}

/// The channels whose other side currently accepts nothing, as bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Away(pub(crate) u8);

impl Channel {
    pub(crate) const ALL: [Self; 3] = [Self::Output, Self::Events, Self::Data];

    /// The bit of this channel in a set of channels.
    pub(crate) const fn bit(self) -> u8 {
        1 << self as u8
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Output => "output",
            Self::Events => "events",
            Self::Data => "data",
        }
    }
}

impl Away {
    /// The meaning of `channel` being away, if it is.
    pub(crate) fn reason(self, channel: Channel) -> Option<&'static str> {
        (self.0 & channel.bit() != 0).then_some(match channel {
            Channel::Output => "the output's server is out of reach or takes nothing",
            Channel::Events => "the events' server is out of reach or takes nothing",
            Channel::Data => "the data's server is out of reach or takes nothing",
        })
    }
}

/// Reports the condition of one of a stream's channels. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Outlet {
    pub(crate) stream: Arc<Stream>,
    pub(crate) channel: Channel,
}

impl Outlet {
    /// The stream's name.
    pub fn stream_id(&self) -> &str {
        &self.stream.id
    }

    /// Reports whether the other side accepts what it is sent. While it does not, the stream's state is
    /// `DEGRADED_OUTPUT`.
    pub fn delivers(&self, ok: bool) {
        self.stream.delivers(self.channel, ok);
        if ok && self.channel == Channel::Output {
            self.stream.output_seen();
        }
    }

    /// Reports that the other side accepted this many bytes.
    pub fn sent(&self, bytes: u64) {
        if bytes > 0 && self.channel == Channel::Output {
            self.stream.output_bytes.add(bytes);
            self.stream.first_output();
            self.stream.output_seen();
        }
    }

    /// Reports that this many bytes were given up.
    pub fn dropped(&self, bytes: u64) {
        if self.channel == Channel::Output {
            self.stream.recorder.counts.output_bytes_dropped.add(bytes);
        }
    }

    /// Counts and logs an error that does not end the stream.
    pub fn error(&self, what: impl Display) {
        self.stream.error(format_args!("{}: {what}", self.channel.name()));
    }

    /// Waits until the stream is asked to stop. What is in flight still arrives.
    pub async fn stopping(&self) {
        self.stream.stopped().await;
    }
}
