//! Names and numbers of the protocol that both sides share. What they mean is decided elsewhere.

use http::{HeaderMap, HeaderName, StatusCode};

/// The number of the segment that an answer is about.
pub(crate) const SEQ: HeaderName = HeaderName::from_static("lp-trickle-seq");
/// The next segment number to be written.
pub(crate) const LATEST: HeaderName = HeaderName::from_static("lp-trickle-latest");
/// Present, with any value, when the channel has ended.
pub(crate) const CLOSED: HeaderName = HeaderName::from_static("lp-trickle-closed");
/// On a POST, with any value: the publisher restarted.
pub(crate) const RESET: HeaderName = HeaderName::from_static("lp-trickle-reset");
/// On what a publisher of ours sends: which one it is, so that several on one channel are told apart. Servers that do
/// not know it take no notice.
pub(crate) const PUBLISHER: HeaderName = HeaderName::from_static("lp-trickle-publisher");
/// On the POST that creates a channel: the type of its content.
pub(crate) const EXPECT_CONTENT: HeaderName = HeaderName::from_static("expect-content");

/// The status of "this channel exists, that segment does not".
pub(crate) const NO_SUCH_SEGMENT: u16 = 470;

/// A segment number in a header; `None` where it is missing or not a number.
pub(crate) fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// Which publisher sends this, where it says so.
pub(crate) fn publisher(headers: &HeaderMap) -> Option<u64> {
    u64::from_str_radix(headers.get(PUBLISHER)?.to_str().ok()?, 16).ok()
}

/// Whether `status` is [`NO_SUCH_SEGMENT`].
pub(crate) fn is_no_such_segment(status: StatusCode) -> bool {
    status.as_u16() == NO_SUCH_SEGMENT
}
