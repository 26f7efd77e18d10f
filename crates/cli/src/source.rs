//! Reads a transport stream or an MP4 file and publishes it as a live stream, in real time or as fast as
//! possible. What is published when is decided in `remux`.

use std::io::{self, SeekFrom};
use std::path::Path;
use std::time::Duration;

use bytes::BytesMut;
use cutrickle_error::chain;
use cutrickle_file::Mp4Reader;
use cutrickle_trickle::{ClientConfig, Publisher, SegmentWriter};
use cutrickle_worker::Failure;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, Stdin};
use tokio::time::Instant;

use crate::remux::{Chunk, Remux};

/// The built-in clip: 5.3 s of Big Buck Bunny, H.264 720p30 and AAC. It loops without a gap.
pub const CLIP: &[u8] = include_bytes!("../assets/clip/big-buck-bunny.ts");

/// The content type of channels that carry a transport stream.
pub const CONTENT_TYPE: &str = "video/MP2T";
/// How many bytes are read at once.
const PIECE: usize = 64 << 10;
/// How many bytes of a transport stream are searched for the first access unit.
const MAX_SEARCH: usize = 8 << 20;

/// Where a stream is read from.
#[derive(Debug)]
pub enum Input {
    /// A transport stream in a file, with the name of the file for messages.
    File(String, File),
    /// An MP4 file with its name, and whether its tracks have been announced.
    Mp4(String, Mp4Reader, bool),
    /// A transport stream from standard input, which cannot start over.
    Stdin(Stdin),
    /// The part of the clip that is left.
    Clip(&'static [u8]),
}

/// How fast a stream is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Each frame when it is due. What the server does not accept in time is dropped.
    RealTime,
    /// As fast as the server accepts it.
    AsRead,
}

/// What has been published so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// How many segments were begun.
    pub segments: u64,
    /// How many bytes were accepted.
    pub bytes: u64,
    /// How many segments were cut short.
    pub cut: u64,
}

impl Input {
    /// Opens a file, or standard input for `-`.
    ///
    /// # Errors
    /// The file cannot be read.
    pub async fn open(path: &Path) -> Result<Self, Failure> {
        if path == Path::new("-") {
            return Ok(Self::Stdin(tokio::io::stdin()));
        }
        let name = path.display().to_string();
        let failed = |e| Failure::because(&name, e);
        let mut file = File::open(path).await.map_err(failed)?;
        if file.metadata().await.map_err(failed)?.is_dir() {
            return Err(Failure::because(name, "a directory, not a file"));
        }
        let mut beginning = Vec::new();
        (&mut file).take(8).read_to_end(&mut beginning).await.map_err(failed)?;
        file.rewind().await.map_err(failed)?;
        if Mp4Reader::is_one(&beginning) {
            let reader = Mp4Reader::open(file, name.clone()).await?;
            return Ok(Self::Mp4(name, reader, false));
        }
        Ok(Self::File(name, file))
    }

    fn name(&self) -> &str {
        match self {
            Self::File(name, _) | Self::Mp4(name, ..) => name,
            Self::Stdin(_) => "standard input",
            Self::Clip(_) => "the clip",
        }
    }

    /// Gives `remux` what comes next, using `piece` as a buffer. Returns how many bytes that was, or 0 at the
    /// end.
    async fn feed(&mut self, remux: &mut Remux, piece: &mut BytesMut) -> io::Result<usize> {
        piece.clear();
        piece.reserve(PIECE);
        let read = match self {
            Self::File(_, file) => file.read_buf(piece).await?,
            Self::Stdin(stdin) => stdin.read_buf(piece).await?,
            Self::Clip(left) => {
                let (now, later) = left.split_at(left.len().min(PIECE));
                piece.extend_from_slice(now);
                *left = later;
                now.len()
            }
            Self::Mp4(_, mp4, announced) => {
                if !std::mem::replace(announced, true) {
                    remux.tracks(&mp4.tracks());
                }
                let Some(unit) = mp4.next().await? else { return Ok(0) };
                let size = unit.data.len();
                remux.unit(unit);
                return Ok(size);
            }
        };
        remux.push(piece);
        Ok(read)
    }

    async fn rewind(&mut self) -> io::Result<()> {
        match self {
            Self::File(_, file) => file.seek(SeekFrom::Start(0)).await.map(|_| ()),
            Self::Stdin(_) => Err(io::ErrorKind::NotSeekable.into()),
            Self::Mp4(_, mp4, announced) => {
                mp4.rewind();
                *announced = false;
                Ok(())
            }
            Self::Clip(left) => {
                *left = CLIP;
                Ok(())
            }
        }
    }
}

/// A stream that is published to one channel.
pub struct Source {
    publisher: Publisher,
    segment: Option<SegmentWriter>,
    pace: Pace,
    sent: Sent,
}

impl Source {
    /// Connects to the channel at `url`.
    ///
    /// # Errors
    /// The URL is malformed, or the server does not answer.
    pub async fn connect(url: &str, pace: Pace, mut config: ClientConfig) -> Result<Self, Failure> {
        if pace == Pace::AsRead {
            // A slow server slows the source down instead of losing segments.
            config.patience = Duration::from_secs(60);
        }
        let mut publisher = Publisher::new(url, CONTENT_TYPE, config)?;
        match publisher.create().await {
            // A server that does not create channels may still have this one. The first segment will show it.
            Err(e) if e.status().is_none() => Err(e.into()),
            _ => Ok(Self { publisher, segment: None, pace, sent: Sent::default() }),
        }
    }

    /// Publishes `input` to its end, or again and again if it is `looped`. Calls `progress` at each segment.
    ///
    /// # Errors
    /// The input cannot be read or has nothing to publish, or the channel accepts no more data.
    pub async fn run(
        &mut self,
        mut input: Input,
        looped: bool,
        mut progress: impl FnMut(Sent),
    ) -> Result<(), Failure> {
        let mut remux = Remux::default();
        let mut piece = BytesMut::new();
        let mut searched = 0_usize;
        let mut began = None;
        loop {
            let fed = input.feed(&mut remux, &mut piece).await;
            let read = fed.map_err(|e| Failure::because(input.name(), e))?;
            if read == 0 {
                remux.start_over();
            }
            while let Some(chunk) = remux.pop() {
                if self.pace == Pace::RealTime {
                    let began = *began.get_or_insert_with(Instant::now);
                    tokio::time::sleep_until(began + chunk.due.duration()).await;
                }
                let starts_segment = chunk.starts_segment;
                self.send(chunk).await?;
                if starts_segment {
                    progress(self.sent);
                }
            }
            if !remux.has_begun() {
                if searched == 0 && Mp4Reader::is_one(&piece) {
                    let hint = "an MP4 file, which cannot be read from there: name the file";
                    return Err(Failure::because(input.name(), hint));
                }
                searched = searched.saturating_add(read);
                if read == 0 || searched > MAX_SEARCH {
                    return Err(Failure::because(
                        input.name(),
                        "no MPEG transport stream with H.264, H.265, AAC or Opus",
                    ));
                }
            }
            if read == 0 {
                if !looped {
                    return Ok(());
                }
                input.rewind().await.map_err(|e| Failure::because(input.name(), e))?;
            }
        }
    }

    /// Closes the channel.
    ///
    /// # Errors
    /// The server cannot be told.
    pub async fn close(mut self) -> Result<Sent, Failure> {
        if let Some(done) = self.segment.take() {
            done.finish();
        }
        self.publisher.close().await?;
        Ok(self.sent)
    }

    async fn send(&mut self, chunk: Chunk) -> Result<(), Failure> {
        if chunk.starts_segment {
            if let Some(done) = self.segment.take() {
                done.finish();
            }
            self.segment = Some(self.publisher.segment().await?);
            self.sent.segments += 1;
        }
        let Some(segment) = &mut self.segment else { return Ok(()) };
        let size = chunk.data.len() as u64;
        let taken = match self.pace {
            Pace::RealTime => segment.try_write(chunk.data),
            Pace::AsRead => segment.write(chunk.data).await,
        };
        match taken {
            Ok(()) => self.sent.bytes += size,
            Err(e) => {
                // The rest of a segment with a gap is of no use.
                tracing::warn!("{}", chain(&e));
                self.segment = None;
                self.sent.cut += 1;
            }
        }
        Ok(())
    }
}
