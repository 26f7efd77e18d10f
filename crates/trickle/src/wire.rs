//! The header names and status codes of the protocol. What follows from them is decided elsewhere.

use http::{HeaderMap, HeaderName, StatusCode};

/// The number of the segment that a response is about.
pub(crate) const SEQ: HeaderName = HeaderName::from_static("lp-trickle-seq");
/// The number of the segment that will be written next.
pub(crate) const LATEST: HeaderName = HeaderName::from_static("lp-trickle-latest");
/// Present with any value if the channel has ended.
pub(crate) const CLOSED: HeaderName = HeaderName::from_static("lp-trickle-closed");
/// Present with any value on a POST if the publisher has restarted.
pub(crate) const RESET: HeaderName = HeaderName::from_static("lp-trickle-reset");
/// Identifies the publisher, so that a server can tell several publishers of one channel apart. Only this
/// crate sends it; servers that do not know it ignore it.
pub(crate) const PUBLISHER: HeaderName = HeaderName::from_static("lp-trickle-publisher");
/// The content type of the channel, on the POST that creates it.
pub(crate) const EXPECT_CONTENT: HeaderName = HeaderName::from_static("expect-content");

/// The status code of a channel that exists but does not have the requested segment.
pub(crate) const NO_SUCH_SEGMENT: u16 = 470;

/// The segment number in a header, or `None` if the header is missing or malformed.
pub(crate) fn number(headers: &HeaderMap, name: &HeaderName) -> Option<u64> {
    headers.get(name)?.to_str().ok()?.trim().parse().ok()
}

/// The publisher that sent a request, if it identifies itself.
#[cfg(feature = "server")]
pub(crate) fn publisher(headers: &HeaderMap) -> Option<u64> {
    u64::from_str_radix(headers.get(PUBLISHER)?.to_str().ok()?, 16).ok()
}

/// Whether a retry may succeed after a response with this status.
pub(crate) fn is_transient(status: StatusCode) -> bool {
    status.is_server_error()
        || status == StatusCode::REQUEST_TIMEOUT
        || status == StatusCode::TOO_MANY_REQUESTS
}

/// Whether `status` is [`NO_SUCH_SEGMENT`].
pub(crate) fn is_no_such_segment(status: StatusCode) -> bool {
    status.as_u16() == NO_SUCH_SEGMENT
}
