//! The token that calls to the stream endpoints must send.

use std::fmt;
use std::sync::Arc;

use axum::http::{HeaderMap, header};
use subtle::ConstantTimeEq;

use crate::refusal::Refusal;

/// A worker's token, if it has one. Never printed.
#[derive(Clone, Default)]
pub(crate) struct Token(Option<Arc<str>>);

impl Token {
    pub(crate) fn new(token: &str) -> Self {
        Self(Some(token.into()))
    }

    /// The token itself, for the orchestrator that is to send it; empty where there is none.
    pub(crate) fn text(&self) -> &str {
        self.0.as_deref().unwrap_or_default()
    }

    /// Checks that the call has the token: `Authorization: Bearer <token>`. Takes as long for one that is
    /// wrong in its first byte as for one that is wrong in its last.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        let Some(token) = &self.0 else { return Ok(()) };
        let shown = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes()).and_then(bearer);
        if shown.is_some_and(|shown| token.as_bytes().ct_eq(shown).into()) {
            Ok(())
        } else {
            Err(Refusal::unauthorized())
        }
    }
}

/// The credentials of the scheme `Bearer`, whose name is case-insensitive (RFC 9110, section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, rest) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| rest.trim_ascii())
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Token(…)" } else { "Token(none)" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(token: &Token, value: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(header::AUTHORIZATION, value.parse().unwrap());
        }
        token.check(&headers).is_ok()
    }

    #[test]
    fn only_the_token_itself_opens() {
        let token = Token::new("s3cret");
        for good in ["Bearer s3cret", "bearer s3cret", "BEARER  s3cret "] {
            assert!(check(&token, Some(good)), "{good}");
        }
        for bad in
            ["s3cret", "Bearer", "Bearer ", "Bearer s3cre", "Bearer s3cretx", "Basic s3cret", "Bearer S3cret"]
        {
            assert!(!check(&token, Some(bad)), "{bad}");
        }
        assert!(!check(&token, None));
        assert!(check(&Token::default(), None), "a worker without a token is open");
    }

    #[test]
    fn a_token_is_never_printed() {
        assert!(!format!("{:?}", Token::new("s3cret")).contains("s3cret"));
    }
}
