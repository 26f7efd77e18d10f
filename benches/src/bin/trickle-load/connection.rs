//! A connection to the server under test. It writes requests and reads responses, into a buffer that all
//! connections of a thread share.

use std::cell::RefCell;
use std::io;
use std::time::Instant;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::answer::{Answer, Head, Part};

/// The maximum number of bytes that are read at once.
const MAX_READ: usize = 256 << 10;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; MAX_READ]);
}

/// The address of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// The host and port.
    authority: String,
    /// The path under which the channels are, ending with a slash.
    base: String,
}

impl Target {
    /// Parses a URL.
    pub fn parse(url: &str) -> Result<Target, String> {
        let rest = url.strip_prefix("http://").ok_or("only http:// URLs can be measured")?;
        let (authority, base) = rest.split_once('/').unwrap_or((rest, ""));
        if authority.is_empty() {
            return Err("the URL names no host".to_owned());
        }
        let port = if authority.contains(':') { "" } else { ":80" };
        let base = base.trim_matches('/');
        let slash = if base.is_empty() { "" } else { "/" };
        Ok(Target { authority: format!("{authority}{port}"), base: format!("/{base}{slash}") })
    }
}

pub struct Connection<'a> {
    target: &'a Target,
    stream: TcpStream,
    answer: Answer,
}

impl<'a> Connection<'a> {
    pub async fn open(target: &'a Target) -> io::Result<Connection<'a>> {
        let stream = TcpStream::connect(&target.authority).await?;
        stream.set_nodelay(true)?;
        Ok(Connection { target, stream, answer: Answer::default() })
    }

    /// Sends the head of a request. Every line of `headers` ends with a line break.
    pub async fn ask(&mut self, method: &str, path: &str, headers: &str) -> io::Result<()> {
        let Target { authority, base } = self.target;
        let head = format!("{method} {base}{path} HTTP/1.1\r\nHost: {authority}\r\n{headers}\r\n");
        self.write(head.as_bytes()).await
    }

    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Waits for bytes and passes their parts to `take`, with the time at which they were read. Returns true
    /// if a response has ended.
    pub async fn read(&mut self, mut take: impl FnMut(Part<'_>, Instant)) -> io::Result<bool> {
        loop {
            self.stream.readable().await?;
            let ended: io::Result<bool> = BUFFER.with_borrow_mut(|buffer| {
                let length = self.stream.try_read(buffer)?;
                if length == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                let now = Instant::now();
                let mut bytes = buffer.get(..length).unwrap_or_default();
                let mut ended = false;
                while let Some(part) = self.answer.part(&mut bytes)? {
                    ended |= part == Part::End;
                    take(part, now);
                }
                Ok(ended)
            });
            match ended {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                other => return other,
            }
        }
    }

    /// Reads a response to its end, ignores the body and returns the head.
    pub async fn finish(&mut self) -> io::Result<Head> {
        let mut found = Head::default();
        let mut take = |part: Part<'_>, _: Instant| {
            if let Part::Head(head) = part {
                found = head;
            }
        };
        while !self.read(&mut take).await? {}
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_taken_apart() {
        let parse = |url| Target::parse(url).map(|target| (target.authority, target.base));
        assert_eq!(parse("http://h:1/"), Ok(("h:1".into(), "/".into())));
        assert_eq!(parse("http://h/ai/trickle"), Ok(("h:80".into(), "/ai/trickle/".into())));
        assert!(parse("https://h/").is_err() && parse("http:///x").is_err());
    }
}
