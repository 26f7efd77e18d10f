//! Which hosts a worker connects to, as it is its callers who name them.

use axum::http::Uri;
use axum::http::uri::Authority;

use crate::Error;

/// Patterns of hosts. Where there are none, every host is allowed.
#[derive(Debug, Clone, Default)]
pub(crate) struct AllowedHosts(Vec<Pattern>);

/// `host`, `*.domain`, either with `:port`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern {
    host: String,
    /// Whether any host below `host` is meant, and not `host` itself.
    below: bool,
    port: Option<u16>,
}

impl AllowedHosts {
    /// Adds a pattern.
    pub(crate) fn add(&mut self, pattern: &str) -> Result<(), Error> {
        let malformed = || {
            Error::invalid(format!(
                "allowed host {pattern:?}: a host name, an IP address or `*.domain` is wanted, with or without `:port`"
            ))
        };
        let (below, rest) = match pattern.trim().strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, pattern.trim()),
        };
        let authority: Authority = rest.parse().map_err(|_| malformed())?;
        let host = authority.host().to_ascii_lowercase();
        let has_port = authority.as_str().len() > host.len();
        if host.is_empty() || host.contains('*') || authority.as_str().contains('@') {
            return Err(malformed());
        }
        if has_port && authority.port_u16().is_none() {
            return Err(malformed());
        }
        self.0.push(Pattern { host, below, port: authority.port_u16() });
        Ok(())
    }

    /// Whether this URL may be connected to.
    ///
    /// # Errors
    /// The host that may not.
    pub(crate) fn check(&self, url: &str) -> Result<(), String> {
        let uri: Uri = url.parse().unwrap_or_default();
        let (host, port) = (uri.host().unwrap_or_default(), uri.port_u16());
        let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
        if self.0.is_empty() || self.0.iter().any(|pattern| pattern.matches(host, port.unwrap_or(usual))) {
            Ok(())
        } else {
            Err(host.to_owned())
        }
    }
}

impl Pattern {
    fn matches(&self, host: &str, port: u16) -> bool {
        let host = host.trim_end_matches('.').to_ascii_lowercase();
        let fits = if self.below {
            host.strip_suffix(&self.host).is_some_and(|rest| rest.len() > 1 && rest.ends_with('.'))
        } else {
            host == self.host
        };
        fits && (self.port.is_none_or(|wanted| wanted == port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(patterns: &[&str], authority: &str) -> bool {
        let mut hosts = AllowedHosts::default();
        for pattern in patterns {
            hosts.add(pattern).unwrap();
        }
        hosts.check(&format!("http://{authority}/x")).is_ok()
    }

    #[test]
    fn without_patterns_every_host_is_allowed() {
        assert!(allowed(&[], "anything:1"));
    }

    #[test]
    fn a_pattern_means_one_host_or_all_below_a_domain() {
        let patterns = ["orch.example", "*.live.example", "127.0.0.1:8935", "[::1]"];
        for good in [
            "orch.example",
            "ORCH.example:9",
            "a.b.live.example",
            "127.0.0.1:8935",
            "[::1]:80",
            "orch.example.",
        ] {
            assert!(allowed(&patterns, good), "{good}");
        }
        for bad in
            ["example", "evilorch.example", "live.example", "evillive.example", "127.0.0.1", "127.0.0.1:80"]
        {
            assert!(!allowed(&patterns, bad), "{bad}");
        }
        assert!(allowed(&["127.0.0.1:80"], "127.0.0.1"), "the port that goes without saying");
        let mut https = AllowedHosts::default();
        https.add("orch.example:443").unwrap();
        assert!(https.check("https://orch.example/x").is_ok());
        assert_eq!(https.check("http://orch.example/x"), Err("orch.example".into()));
    }

    #[test]
    fn what_a_url_says_before_the_at_sign_does_not_count() {
        assert!(!allowed(&["orch.example"], "orch.example@evil.example"));
        assert!(allowed(&["orch.example"], "user@orch.example"));
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for pattern in ["", "*", "*.", "a b", "a.*.b", "host:port", "u@h"] {
            assert!(AllowedHosts::default().add(pattern).is_err(), "{pattern:?}");
        }
    }
}
