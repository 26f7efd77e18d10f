//! Parses the URL of a channel.

use std::sync::Arc;

use http::Uri;

use crate::error::{Error, Kind};

/// The address of a channel.
#[derive(Clone, Debug)]
pub(crate) struct Address {
    pub(crate) tls: bool,
    /// A name or an IP address, without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The value of the `Host` header.
    pub(crate) authority: String,
    /// The path of the channel, without a trailing slash.
    path: String,
    /// The query including its `?`, or an empty string.
    query: String,
    /// The URL as messages show it, without credentials and query.
    pub(crate) shown: Arc<str>,
}

/// Removes the credentials and the query from a URL, so that it can be shown in a message. The URL may be
/// malformed.
pub fn without_secrets(url: &str) -> String {
    let end = url.find(['?', '#']).unwrap_or(url.len());
    let (kept, rest) = url.split_at(end);
    let (scheme, below) =
        kept.split_once("://").map_or(("", kept), |(_, below)| kept.split_at(kept.len() - below.len()));
    let (authority, path) = below.split_at(below.find('/').unwrap_or(below.len()));
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}{host}{path}{}", if rest.is_empty() { "" } else { "?…" })
}

impl Address {
    pub(crate) fn parse(url: &str) -> Result<Address, Error> {
        let url = url.trim();
        let shown = without_secrets(url);
        let bad = |why: &str| Error::new(Kind::Url(format!("the trickle URL {shown:?} {why}")));
        if url.is_empty() {
            return Err(Error::new(Kind::Url("the trickle URL is missing".into())));
        }
        let lower = url.get(..8).unwrap_or(url).to_ascii_lowercase();
        if !lower.starts_with("http://") && !lower.starts_with("https://") {
            return Err(bad("does not begin with http:// or https://"));
        }
        let uri: Uri = url.parse().map_err(|cause| bad("is malformed").source(cause))?;
        let authority = uri.authority().ok_or_else(|| bad("has no host"))?;
        let host = authority.host();
        if host.is_empty() || host == "[]" {
            return Err(bad("has no host"));
        }
        let tls = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
        let (scheme, default_port) = if tls { ("https", 443) } else { ("http", 80) };
        // `authority.port_u16()` is also `None` for a port that is not a number.
        let after_host = authority.as_str().rsplit('@').next().unwrap_or_default().get(host.len()..);
        let port = match (authority.port_u16(), after_host) {
            (Some(0), _) => return Err(bad("has port 0")),
            (Some(port), _) => port,
            (None, Some("")) => default_port,
            (None, _) => return Err(bad("has a malformed port")),
        };
        let path = uri.path().trim_end_matches('/').to_owned();
        if path.is_empty() {
            return Err(bad("names no channel"));
        }
        let authority = match authority.port() {
            Some(_) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Ok(Address {
            tls,
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port,
            shown: format!("{scheme}://{authority}{path}").into(),
            query: uri.query().map(|query| format!("?{query}")).unwrap_or_default(),
            authority,
            path,
        })
    }

    /// The request target of the channel, or of a path segment below it.
    pub(crate) fn target(&self, below: Option<&str>) -> String {
        match below {
            Some(below) => format!("{}/{below}{}", self.path, self.query),
            None => format!("{}{}", self.path, self.query),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_comes_apart() {
        let a = Address::parse("https://user:secret@[::1]:9443/ai/trickle/x/?key=1").unwrap();
        assert!(a.tls);
        assert_eq!((a.host.as_str(), a.port, a.authority.as_str()), ("::1", 9443, "[::1]:9443"));
        assert_eq!(a.target(Some("next")), "/ai/trickle/x/next?key=1");
        assert_eq!(&*a.shown, "https://[::1]:9443/ai/trickle/x");
        let a = Address::parse("http://host/x").unwrap();
        assert_eq!((a.port, a.authority.as_str(), a.target(None).as_str()), (80, "host", "/x"));
    }

    #[test]
    fn no_message_has_a_password_or_a_query_in_it() {
        for (url, shown) in [
            ("https://user:s3cret@host:1/x?token=s3cret", "https://host:1/x?…"),
            ("http://u:s3cret@a@host/x#s3cret", "http://host/x?…"),
            ("user:s3cret@host/x", "host/x"),
            ("http://host/a@b", "http://host/a@b"),
            ("?s3cret", "?…"),
            ("", ""),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
        for url in [
            "ftp://u:s3cret@host/x",
            "http://u:s3cret@ho st/x",
            "http://u:s3cret@host?s3cret",
            "http://u:s3cret@host:0/x",
        ] {
            let error = Address::parse(url).unwrap_err();
            assert!(!format!("{error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn a_missing_or_malformed_url_is_one_clear_line() {
        for (url, word) in [
            ("", "missing"),
            ("   ", "missing"),
            ("localhost:3389/x", "http://"),
            ("ftp://host/x", "http://"),
            ("http://", "malformed"),
            ("http:///x", "malformed"),
            ("http://host", "no channel"),
            ("http://host//", "no channel"),
            ("http://host:0/x", "port 0"),
            ("http://host:99999/x", "port"),
            ("http://ho st/x", "malformed"),
            ("http://é", "malformed"),
        ] {
            let error = Address::parse(url).unwrap_err();
            assert!(error.is_url());
            let text = error.to_string();
            assert!(text.contains(word) && !text.contains('\n'), "{url:?}: {text}");
        }
    }
}
