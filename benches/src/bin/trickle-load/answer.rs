//! Parses an HTTP/1.1 response as it arrives, without copying its body. It supports what trickle servers
//! send, and skips interim responses. Reading from the socket is done in `connection`.

use std::io;

/// What a trickle client needs to know from the head of a response.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Head {
    pub status: u16,
    pub latest: Option<u64>,
    /// The channel has ended.
    pub closed: bool,
    /// The connection is closed after this response.
    pub last: bool,
    chunked: bool,
    length: u64,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Part<'a> {
    Head(Head),
    Data(&'a [u8]),
    End,
}

/// No trickle server sends a longer head, or a longer line between chunks.
const MAX_LINE: usize = 8192;

#[derive(Debug, Default)]
enum Expect {
    #[default]
    Head,
    Data {
        left: u64,
        chunked: bool,
    },
    /// The line break after the data of a chunk.
    Break,
    Size,
    Trailer,
    End,
}

/// The state of the parser between two reads. It buffers incomplete lines, but never the body.
#[derive(Debug, Default)]
pub struct Answer {
    expect: Expect,
    line: Vec<u8>,
}

impl Answer {
    /// Removes the next part from the front of `bytes`. Returns `None` if more bytes are needed.
    ///
    /// # Errors
    /// Returns an error if the bytes are not an HTTP response.
    pub fn part<'a>(&mut self, bytes: &mut &'a [u8]) -> io::Result<Option<Part<'a>>> {
        loop {
            match self.expect {
                Expect::Head => {
                    if !self.take_until(bytes, b"\r\n\r\n")? {
                        return Ok(None);
                    }
                    let head = head(&std::mem::take(&mut self.line))?;
                    if (100..200).contains(&head.status) {
                        continue;
                    }
                    self.expect = match head {
                        Head { chunked: true, .. } => Expect::Size,
                        Head { length: 0, .. } => Expect::End,
                        Head { length: left, .. } => Expect::Data { left, chunked: false },
                    };
                    return Ok(Some(Part::Head(head)));
                }
                Expect::Data { left, chunked } => {
                    if bytes.is_empty() {
                        return Ok(None);
                    }
                    let length = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let (data, rest) = bytes.split_at(length);
                    *bytes = rest;
                    let left = left - length as u64;
                    self.expect = match (left, chunked) {
                        (0, true) => Expect::Break,
                        (0, false) => Expect::End,
                        (left, chunked) => Expect::Data { left, chunked },
                    };
                    return Ok(Some(Part::Data(data)));
                }
                Expect::Break => {
                    if !self.take_until(bytes, b"\r\n")? {
                        return Ok(None);
                    }
                    self.line.clear();
                    self.expect = Expect::Size;
                }
                Expect::Size => {
                    if !self.take_until(bytes, b"\r\n")? {
                        return Ok(None);
                    }
                    let size = self.line.split(|&byte| byte == b';').next().unwrap_or_default();
                    let size = std::str::from_utf8(size).ok().map(str::trim);
                    let left = size
                        .and_then(|size| u64::from_str_radix(size, 16).ok())
                        .ok_or_else(|| malformed("a chunk without its size"))?;
                    self.line.clear();
                    self.expect =
                        if left == 0 { Expect::Trailer } else { Expect::Data { left, chunked: true } };
                }
                Expect::Trailer => {
                    if !self.take_until(bytes, b"\r\n")? {
                        return Ok(None);
                    }
                    let is_last = self.line.len() == 2;
                    self.line.clear();
                    if is_last {
                        self.expect = Expect::End;
                    }
                }
                Expect::End => {
                    self.expect = Expect::Head;
                    return Ok(Some(Part::End));
                }
            }
        }
    }

    /// Moves bytes to `line`, up to and including `end`. Returns false if `end` has not arrived yet.
    fn take_until(&mut self, bytes: &mut &[u8], end: &[u8]) -> io::Result<bool> {
        while let Some((&byte, rest)) = bytes.split_first() {
            *bytes = rest;
            self.line.push(byte);
            if self.line.ends_with(end) {
                return Ok(true);
            }
            if self.line.len() > MAX_LINE {
                return Err(malformed("an endless line"));
            }
        }
        Ok(false)
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the server sent {what}"))
}

fn head(text: &[u8]) -> io::Result<Head> {
    let text = String::from_utf8_lossy(text);
    let mut lines = text.split("\r\n");
    let status = lines.next().unwrap_or_default();
    let status = status.strip_prefix("HTTP/1.1 ").and_then(|rest| rest.get(..3)?.parse().ok());
    let mut head = Head { status: status.ok_or_else(|| malformed("a malformed status"))?, ..Head::default() };
    for line in lines {
        let Some((name, value)) = line.split_once(':') else { continue };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "lp-trickle-latest" => head.latest = value.parse().ok(),
            "lp-trickle-closed" => head.closed = true,
            "connection" => head.last = value.eq_ignore_ascii_case("close"),
            "transfer-encoding" => head.chunked = value.eq_ignore_ascii_case("chunked"),
            "content-length" => head.length = value.parse().map_err(|_| malformed("a malformed length"))?,
            _ => {}
        }
    }
    Ok(head)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHUNKED: &str = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nLp-Trickle-Latest: 8\r\n\
        Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n10;x=y\r\n0123456789abcdef\r\n0\r\nA: b\r\n\r\n";
    const PLAIN: &str = "HTTP/1.1 470 status code 470\r\nLp-Trickle-Closed: terminated\r\n\
        Connection: close\r\nContent-Length: 5\r\n\r\nEntry";

    /// The heads and bodies of responses that arrive in pieces of `size` bytes.
    fn read(text: &str, size: usize) -> (Vec<Head>, Vec<String>) {
        let (mut answer, mut heads, mut bodies) = (Answer::default(), Vec::new(), Vec::new());
        let mut body = Vec::new();
        for mut piece in text.as_bytes().chunks(size) {
            while let Some(part) = answer.part(&mut piece).unwrap() {
                match part {
                    Part::Head(head) => heads.push(head),
                    Part::Data(data) => body.extend_from_slice(data),
                    Part::End => bodies.push(String::from_utf8(std::mem::take(&mut body)).unwrap()),
                }
            }
        }
        (heads, bodies)
    }

    #[test]
    fn answers_are_the_same_however_they_arrive() {
        let text = [CHUNKED, PLAIN, CHUNKED].concat();
        for size in 1..text.len() {
            let (heads, bodies) = read(&text, size);
            assert_eq!(heads.iter().map(|head| head.status).collect::<Vec<_>>(), [200, 470, 200]);
            assert_eq!(heads.first().and_then(|head| head.latest), Some(8));
            assert_eq!(heads.get(1).map(|head| (head.closed, head.last)), Some((true, true)));
            assert_eq!(bodies, ["abc0123456789abcdef", "Entry", "abc0123456789abcdef"]);
        }
    }

    #[test]
    fn what_is_no_answer_is_an_error() {
        for text in [
            "SSH-2.0\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            &"x".repeat(9000),
        ] {
            let (mut answer, mut bytes) = (Answer::default(), text.as_bytes());
            let failed = std::iter::repeat_with(|| answer.part(&mut bytes)).take(4).any(|part| part.is_err());
            assert!(failed, "{text}");
        }
    }
}
