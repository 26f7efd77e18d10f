//! `cutrickle process`: runs a file through built-in processors, as fast as the machine can.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use cutrickle::{
    AudioOutput, DeviceChoice, Ends, FileSink, FileSource, InputKind, MetricsRegistry, OpenedDevices, Params,
    Queueing, Session, StreamOptions, StreamState, StreamStatus, initialize,
};
use cutrickle_file::{Progress, Written};
use cutrickle_worker::{Failure, VideoArgs, end_signal, open_devices};
use indicatif::ProgressBar;

use crate::output::print;
use crate::processors::{Name, Precision, chain};
use crate::progress;

/// The arguments of `cutrickle process`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// MPEG-TS or MP4 file to process.
    input: PathBuf,
    /// File to write: MPEG-TS if its name ends in `.ts`, MP4 if it ends in `.mp4`. Until it is complete, its name has
    /// `.part` added.
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// Replace the output file if it exists.
    #[arg(long)]
    overwrite: bool,
    /// Processors to run, in order, comma-separated: `tint,mirror`.
    #[arg(long, value_enum, value_delimiter = ',', required = true)]
    processor: Vec<Name>,
    /// Parameters of the processors, as a JSON object: `{"strength": 0.5}`. `cutrickle list` shows them.
    #[arg(long, value_name = "JSON", value_parser = params, default_value = "{}")]
    params: Params,
    /// File of weights (safetensors) for `depth` or `segment`. May be repeated: one file for each of them, in
    /// their order.
    #[arg(long, value_name = "PATH")]
    weights: Vec<PathBuf>,
    /// Data type that neural networks compute in.
    #[arg(long, value_enum, default_value_t)]
    dtype: Precision,
    /// Where tensors live: `auto` (the first GPU, otherwise the CPU), `cpu`, or `cuda:0`.
    #[arg(long, value_name = "DEVICE", default_value_t)]
    device: DeviceChoice,
    #[command(flatten)]
    video: VideoArgs,
    /// Codec of the output audio.
    #[arg(long, value_enum, default_value_t = Audio::Source)]
    audio: Audio,
}

/// Codec of the output audio.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Audio {
    /// The input's codec; audio that was not processed is passed through.
    Source,
    /// Opus.
    Opus,
}

fn params(text: &str) -> Result<Params, String> {
    serde_json::from_str(text).map_err(|e| format!("a JSON object is wanted: {e}"))
}

/// How often the progress bar is brought up to date.
const TICK: Duration = Duration::from_millis(200);
/// How long what is in flight may take to end after a signal. The file is completed after that as well.
const ENDING: Duration = Duration::from_secs(10);

/// Runs to the end of the file, or until a signal ends it. What has been written by then is a file that plays.
pub async fn run(args: Args) -> Result<(), Failure> {
    let stage = chain(&args.processor, args.dtype, &args.weights)?;
    let options = options(&args)?;
    let (source, progress) = FileSource::open(&args.input).await?;
    let stage = initialize(stage, &options.device).await?;
    let sink = if args.overwrite {
        FileSink::create(&args.output).await?
    } else {
        FileSink::create_new(&args.output).await.map_err(|e| match e.is_existing() {
            true => Failure::because(e, "--overwrite replaces it"),
            false => e.into(),
        })?
    };
    let written = sink.written();
    let ends = Ends::new().with_source(source).with_sink(sink);
    let began = Instant::now();
    let started = Session::start(&stage, "process", args.params, ends, options, &MetricsRegistry::new()?);
    let session = started.map_err(|e| match e.is_invalid() {
        true => Failure::because("--params", e).at_start(),
        false => e.into(),
    })?;
    let interrupted = ended(&session, &progress, &written, began).await;
    let taken = began.elapsed();
    let status = session.status();
    warn(&status);
    if status.state == StreamState::Error && !interrupted {
        return Err(status.last_error.unwrap_or_else(|| "the stream failed".into()).into());
    }
    let metrics = &status.metrics;
    if written.units() == 0 || (metrics.frames_failed > 0 && written.frames() == 0) {
        let taken = status.input.is_some_and(|input| input.tracks.iter().any(|track| track.taken));
        let quiet = if taken { "nothing came out of it" } else { "no track of H.264, H.265, AAC or Opus" };
        let why = status.last_error.unwrap_or_else(|| quiet.into());
        return Err(Failure::because(args.input.display(), why));
    }
    print(format_args!("{}\n", summary(&written, taken)))
}

/// How the stream is run.
fn options(args: &Args) -> Result<StreamOptions, Failure> {
    let OpenedDevices { devices, fallback } = open_devices(&args.device)?;
    let [device] = devices.as_slice() else {
        return Err(Failure::usage(format!("--device {}: a file is processed on one device", args.device)));
    };
    let mut options = StreamOptions::default();
    args.video.apply(&mut options);
    // Asked here, a codec that no encoder makes is an error. The stream would fall back to H.264.
    let checked = options.backends.check_video_encoder(options.coding.codec, device);
    checked.map_err(|e| Failure::because("--video-codec", e).at_start())?;
    options.device = device.clone();
    options.device_fallback = fallback;
    options.queueing = Queueing::Lossless;
    // However slow a processor is, the file does not go away.
    options.input_timeout = None;
    options.stop_deadline = ENDING;
    options.audio = match args.audio {
        Audio::Source => AudioOutput::Source,
        Audio::Opus => AudioOutput::Opus,
    };
    Ok(options)
}

/// Waits for the end of the stream, and says whether a signal has brought it about. A second signal is not waited for.
async fn ended(session: &Session, progress: &Progress, written: &Written, began: Instant) -> bool {
    let bar = progress::bar("processing", progress.total());
    let mut tick = tokio::time::interval(TICK);
    let mut ended = std::pin::pin!(session.ended());
    let mut signal = std::pin::pin!(end_signal());
    let mut interrupted = false;
    loop {
        tokio::select! {
            () = &mut ended => break,
            () = &mut signal => {
                if std::mem::replace(&mut interrupted, true) {
                    break;
                }
                session.stop();
                signal.set(end_signal());
            }
            _ = tick.tick() => show(&bar, progress, written, began),
        }
    }
    bar.finish_and_clear();
    interrupted
}

fn show(bar: &ProgressBar, progress: &Progress, written: &Written, began: Instant) {
    bar.set_position(progress.done());
    let rate = written.frames() as f64 / began.elapsed().as_secs_f64().max(0.001);
    bar.set_message(format!("{} frames, {rate:.1} a second", written.frames()));
}

/// Logs what of the input is missing in the output.
fn warn(status: &StreamStatus) {
    let tracks = status.input.iter().flat_map(|input| &input.tracks);
    for track in tracks.filter(|track| matches!(track.kind, InputKind::Video | InputKind::Audio)) {
        if !track.taken {
            tracing::warn!("input: {track}");
        }
    }
    let failed = status.metrics.frames_failed;
    if failed > 0 {
        let error = status.last_error.as_deref().unwrap_or_default();
        tracing::warn!("{failed} frames failed; the last error: {error}");
    }
}

fn summary(written: &Written, taken: Duration) -> String {
    let (frames, plays, taken) = (written.frames(), written.duration().seconds(), taken.as_secs_f64());
    let kind = if frames == 0 { "audio" } else { "video" };
    let rate = frames as f64 / taken.max(0.001);
    format!("{frames} frames, {plays:.1} s of {kind}, in {taken:.1} s: {rate:.1} frames per second")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_a_json_object() {
        assert_eq!(params("{\"strength\": 0.5}").ok().unwrap()["strength"], 0.5);
        for text in ["", "0.5", "[]", "strength=0.5"] {
            assert!(params(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_summary_is_one_line() {
        let line = summary(&Written::default(), Duration::ZERO);
        assert_eq!(line, "0 frames, 0.0 s of audio, in 0.0 s: 0.0 frames per second");
    }
}
