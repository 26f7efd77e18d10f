//! Files at the ends of a stream: MPEG transport streams (`.ts`) and MP4 files (`.mp4`).
//!
//! A [`FileSource`] hands over the access units of a file as fast as they are taken, and a [`FileSink`] writes what a stream
//! puts out. The stream between them should run with [`Queueing::Lossless`](cutrickle_pipeline::Queueing::Lossless), so
//! that the file is read at the processor's pace and no frame is dropped.
//!
//! ```no_run
//! use cutrickle_file::{FileSink, FileSource};
//! use cutrickle_pipeline::{Ends, MetricsRegistry, Params, Queueing, Result, Session, Stage, StreamOptions};
//!
//! async fn process(stage: &impl Stage) -> Result<()> {
//!     let (source, progress) = FileSource::open("in.mp4").await?;
//!     let sink = FileSink::create("out.mp4").await?;
//!     let ends = Ends::new().with_source(source).with_sink(sink);
//!     let mut options = StreamOptions::default();
//!     options.queueing = Queueing::Lossless;
//!     // However slow the processor is, the file does not go away.
//!     options.input_timeout = None;
//!     let session = Session::start(stage, "file", Params::new(), ends, options, &MetricsRegistry::new()?)?;
//!     session.ended().await;
//!     assert_eq!(progress.fraction(), 1.0);
//!     Ok(())
//! }
//! ```
//!
//! [`Mp4Reader`] reads MP4 files for those who have no stream. The format of transport streams is left to
//! `cutrickle-mpegts` and `cutrickle-ts`, the layout of MP4 boxes to mp4-atom.
#![forbid(unsafe_code)]

mod error;
mod mp4;
mod progress;
mod sink;
mod source;
mod written;

pub use error::{Error, Result};
pub use mp4::Mp4Reader;
pub use progress::Progress;
pub use sink::FileSink;
pub use source::FileSource;
pub use written::Written;
