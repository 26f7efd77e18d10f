//! A file as the output of a stream. Its name says what kind of file it is.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use cutrickle_error::BoxError;
use cutrickle_pipeline::ends::{Coded, Outlet, Output, Sink, SinkEnd};
use cutrickle_ts::Writer;
use tokio::sync::mpsc;

use crate::mp4::Mp4Writer;
use crate::written::Tally;
use crate::{Error, Result, Written};

/// What waits for the disk, in units and beginnings of segments.
const MAX_WAITING: usize = 64;
/// Bytes that are written at once, if no segment ends before.
const PIECE: usize = 1 << 20;

/// A file as the output of a stream: a transport stream where its name ends in `.ts`, an MP4 file where it ends in `.mp4`.
///
/// **Names.** While the stream runs it writes to a file beside the target, whose name has `.part` added. However the stream
/// ends, by its input, by a stop or by an error, what has been written is completed and takes the target's name, so that a
/// file under this name can always be played, and one that is replaced stays until there is a new one. Where writing itself
/// fails, or the process is killed, the target is untouched and the `.part` is left; of a transport stream it can be
/// played, of an MP4 file it cannot. A stream that puts out nothing leaves nothing.
///
/// **Codecs.** An MP4 file has H.264, H.265, AAC and Opus, and one codec for each track throughout; its pictures may change
/// their size. Where audio would change from one codec to another, as when a processor begins to alter AAC in mid-stream
/// that cannot be encoded as AAC here, the stream ends with an error: ask for
/// [`AudioOutput::Opus`](cutrickle_pipeline::AudioOutput::Opus), or write a transport stream.
#[derive(Debug)]
pub struct FileSink {
    file: Part,
    format: Format,
    tally: Tally,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    TransportStream,
    Mp4,
}

impl FileSink {
    /// A file at `path`, in place of the one that may be there.
    ///
    /// # Errors
    /// The file beside it cannot be created, or there is something at `path` that is not a file. [`Error::is_unsupported`]:
    /// `path` ends neither in `.ts` nor in `.mp4`.
    pub async fn create(path: impl AsRef<Path>) -> Result<Self> {
        Self::open(path.as_ref(), true).await
    }

    /// A file at `path`, where there is none.
    ///
    /// # Errors
    /// As [`create`](Self::create), and [`Error::is_existing`]: there is something at `path`.
    pub async fn create_new(path: impl AsRef<Path>) -> Result<Self> {
        Self::open(path.as_ref(), false).await
    }

    async fn open(path: &Path, replaces: bool) -> Result<Self> {
        let (path, name) = (path.to_owned(), path.display().to_string());
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        let format = match extension.as_ref().and_then(|extension| extension.to_str()) {
            Some("ts") => Format::TransportStream,
            Some("mp4") => Format::Mp4,
            _ => {
                return Err(
                    Error::unsupported(name).because("the name of a file to write ends in .ts or .mp4")
                );
            }
        };
        let opened = tokio::task::spawn_blocking(move || Part::create(&path, replaces)).await;
        let file = opened.map_err(|e| Error::failed(name).because(e))??;
        Ok(Self { file, format, tally: Tally::default() })
    }

    /// What has been written so far, to be asked while the stream runs.
    pub fn written(&self) -> Written {
        self.tally.written()
    }
}

impl Sink for FileSink {
    async fn run(self, mut output: Output) -> cutrickle_pipeline::Result<SinkEnd> {
        let outlet = output.outlet();
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        // It ends with the channel, and completes the file even where this task is given up.
        let writing = tokio::task::spawn_blocking(move || self.write(receiver, &outlet));
        while let Some(coded) = output.next().await {
            if sender.send(coded).await.is_err() {
                break;
            }
        }
        drop(sender);
        writing.await??;
        Ok(SinkEnd::Done)
    }
}

impl FileSink {
    /// Runs on a thread that may block, until the channel is closed.
    fn write(self, mut coded: mpsc::Receiver<Coded>, outlet: &Outlet) -> Result<()> {
        let Self { file, format, mut tally } = self;
        let written = fill(&file, format, &mut coded, outlet, &mut tally);
        coded.close();
        while let Some(coded) = coded.blocking_recv() {
            outlet.dropped(size(&coded));
        }
        written.map_err(|e| Error::failed(file.target.display().to_string()).because(e))
    }
}

/// Writes everything that comes, and completes the file.
fn fill(
    file: &Part,
    format: Format,
    coded: &mut mpsc::Receiver<Coded>,
    outlet: &Outlet,
    tally: &mut Tally,
) -> Result<(), BoxError> {
    let mut container = Container::new(format, file.open()?)?;
    while let Some(coded) = coded.blocking_recv() {
        let before = container.position();
        container.write(&coded).inspect_err(|_| outlet.dropped(size(&coded)))?;
        outlet.sent(container.position() - before);
        tally.reached(container.position());
        if let Coded::Unit(unit) = &coded {
            tally.unit(unit);
        }
    }
    if tally.written().units() == 0 {
        return file.discard();
    }
    tally.reached(container.finish()?);
    file.complete()
}

fn size(coded: &Coded) -> u64 {
    match coded {
        Coded::Unit(unit) => unit.data.len() as u64,
        Coded::Segment(_) => 0,
    }
}

/// A file of either format.
enum Container {
    TransportStream {
        writer: Writer,
        file: BufWriter<File>,
        at: u64,
    },
    /// Boxed for its size: there is one per file.
    Mp4(Box<Mp4Writer<BufWriter<File>>>),
}

impl Container {
    fn new(format: Format, file: File) -> Result<Self, BoxError> {
        let file = BufWriter::with_capacity(PIECE, file);
        Ok(match format {
            Format::TransportStream => Self::TransportStream { writer: Writer::new(), file, at: 0 },
            Format::Mp4 => Self::Mp4(Box::new(Mp4Writer::new(file)?)),
        })
    }

    /// How long the file has become.
    fn position(&self) -> u64 {
        match self {
            Self::TransportStream { at, .. } => *at,
            Self::Mp4(writer) => writer.position(),
        }
    }

    /// Writes the next of what a stream puts out. A segment is in the file when the next one begins.
    fn write(&mut self, coded: &Coded) -> Result<(), BoxError> {
        match self {
            Self::TransportStream { writer, file, at } => {
                if let Coded::Segment(_) = coded {
                    file.flush()?;
                }
                writer.write(coded)?;
                let bytes = writer.take();
                *at += bytes.len() as u64;
                Ok(file.write_all(&bytes)?)
            }
            Self::Mp4(writer) => match coded {
                Coded::Segment(tracks) => writer.begin_segment(tracks),
                Coded::Unit(unit) => writer.unit(unit),
            },
        }
    }

    /// Completes the file; how long it is.
    fn finish(self) -> Result<u64, BoxError> {
        match self {
            Self::TransportStream { mut file, at, .. } => {
                file.flush()?;
                Ok(at)
            }
            Self::Mp4(writer) => writer.finish(),
        }
    }
}

/// A file under its temporary name. One that was never written to is gone when this is.
#[derive(Debug)]
struct Part {
    target: PathBuf,
    path: PathBuf,
    file: File,
}

impl Part {
    fn create(target: &Path, replaces: bool) -> Result<Self> {
        let name = target.display().to_string();
        let target = match fs::metadata(target) {
            Ok(_) if !replaces => return Err(Error::existing(name).because("the file exists")),
            Ok(there) if !there.is_file() => return Err(Error::failed(name).because("not a file")),
            // A link stays one: what it leads to is replaced.
            Ok(_) => fs::canonicalize(target).map_err(|e| Error::failed(&name).because(e))?,
            Err(_) => target.to_owned(),
        };
        let mut part = OsString::from(&target);
        part.push(".part");
        let path = PathBuf::from(part);
        let file = File::create(&path).map_err(|e| Error::failed(name).because(e))?;
        Ok(Self { target, path, file })
    }

    fn open(&self) -> Result<File, BoxError> {
        Ok(self.file.try_clone()?)
    }

    /// Takes the file away.
    fn discard(&self) -> Result<(), BoxError> {
        Ok(fs::remove_file(&self.path)?)
    }

    /// Gives the file the target's name.
    fn complete(&self) -> Result<(), BoxError> {
        Ok(fs::rename(&self.path, &self.target)?)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        // With something in it, it has the target's name by now, or is what could not be completed.
        if self.file.metadata().is_ok_and(|file| file.len() == 0) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
