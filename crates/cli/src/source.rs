//! A source: reads a transport stream or an MP4 file and publishes it as a live stream, in real time or as fast as it is read.
//! What is published when is `remux`'s business.

use std::io::{self, SeekFrom};
use std::path::Path;
use std::time::Duration;

use bytes::BytesMut;
use cutrickle::trickle::{ClientConfig, Publisher, SegmentWriter};
use cutrickle_error::chain;
use cutrickle_mpegts::Event;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt, Stdin};
use tokio::time::Instant;

use crate::failure::Failure;
use crate::mp4::Mp4;
use crate::remux::{Chunk, Remux};

/// The clip that ships with the program: 5.3 s of Big Buck Bunny, H.264 720p30 and AAC. It loops without a gap.
pub const CLIP: &[u8] = include_bytes!("../../../assets/clip/big-buck-bunny.ts");

/// What a channel of transport streams says it carries.
pub const CONTENT_TYPE: &str = "video/MP2T";
/// How much is read at once.
const PIECE: usize = 64 << 10;
/// A transport stream has shown a unit before this many bytes.
const LONGEST_SEARCH: usize = 8 << 20;

/// Where bytes come from.
#[derive(Debug)]
pub enum Input {
    /// A transport stream in a file, by its name for messages.
    File(String, File),
    /// An MP4 file, and whether its tracks were told.
    Mp4(Mp4, bool),
    /// Standard input, which cannot start over.
    Stdin(Stdin),
    /// The clip, and how much of it is left.
    Clip(&'static [u8]),
}

/// How fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Each picture when it is due. What the server does not take in time is dropped.
    RealTime,
    /// As fast as the server takes it.
    AsRead,
}

/// What was done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// Segments begun.
    pub segments: u64,
    /// Bytes handed over.
    pub bytes: u64,
    /// Segments that were not taken whole.
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
        if Mp4::is_one(&beginning) {
            return Ok(Self::Mp4(Mp4::open(file, name).await?, false));
        }
        Ok(Self::File(name, file))
    }

    fn name(&self) -> &str {
        match self {
            Self::File(name, _) => name,
            Self::Mp4(mp4, _) => mp4.name(),
            Self::Stdin(_) => "standard input",
            Self::Clip(_) => "the clip",
        }
    }

    /// Gives `remux` what comes next, by way of `piece`; how many bytes that were, 0 at the end.
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
            Self::Mp4(mp4, told) => {
                if !std::mem::replace(told, true) {
                    remux.take(Event::Program(mp4.program()));
                }
                let Some(unit) = mp4.next().await? else { return Ok(0) };
                let size = unit.data.len();
                remux.take(Event::Unit(unit));
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
            Self::Mp4(mp4, told) => {
                mp4.rewind();
                *told = false;
                Ok(())
            }
            Self::Clip(left) => {
                *left = CLIP;
                Ok(())
            }
        }
    }
}

/// Publishes to one channel.
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
    /// The URL is malformed, or nothing answers there.
    pub async fn connect(url: &str, pace: Pace, mut config: ClientConfig) -> Result<Self, Failure> {
        if pace == Pace::AsRead {
            // A slow server makes the source slow, it does not lose segments.
            config.patience = Duration::from_secs(60);
        }
        let mut publisher = Publisher::new(url, CONTENT_TYPE, config)?;
        match publisher.create().await {
            // A server that does not create channels may still have this one: the first segment will tell.
            Err(e) if e.status().is_none() => Err(e.into()),
            _ => Ok(Self { publisher, segment: None, pace, sent: Sent::default() }),
        }
    }

    /// Publishes `input` to its end; `looped`: over and over. Calls `progress` at each segment.
    ///
    /// # Errors
    /// The input cannot be read or has nothing to publish, or the channel takes nothing more.
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
                    tokio::time::sleep_until(began + ticks(chunk.due)).await;
                }
                let starts_segment = chunk.starts_segment;
                self.send(chunk).await?;
                if starts_segment {
                    progress(self.sent);
                }
            }
            if !remux.has_begun() {
                if searched == 0 && Mp4::is_one(&piece) {
                    let hint = "an MP4 file, which cannot be read from there: name the file";
                    return Err(Failure::because(input.name(), hint));
                }
                searched = searched.saturating_add(read);
                if read == 0 || searched > LONGEST_SEARCH {
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

    /// Ends the channel in order.
    ///
    /// # Errors
    /// The server could not be told.
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
                // The rest of a segment with a hole is of no use.
                tracing::warn!("{}", chain(&e));
                self.segment = None;
                self.sent.cut += 1;
            }
        }
        Ok(())
    }
}

/// 90 kHz.
fn ticks(count: i64) -> Duration {
    Duration::from_micros(u64::try_from(count).unwrap_or(0).saturating_mul(100) / 9)
}
