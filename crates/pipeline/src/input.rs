//! Describes the contents of the input for the status and the log: which tracks are used, which are not, and
//! why. The source makes that decision.

use std::fmt;

use cutrickle_media::{Size, Tracks};
use serde::Serialize;
use utoipa::ToSchema;

/// What the input carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct InputInfo {
    /// The number of the program that is taken.
    pub program: u16,
    /// Every track of every program that the input names.
    pub tracks: Vec<InputTrack>,
}

/// What a track carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum InputKind {
    /// Video.
    Video,
    /// Audio.
    Audio,
    /// Subtitles or teletext.
    Subtitles,
    /// Anything else.
    Data,
}

/// One track of the input. What is not known is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct InputTrack {
    /// The number of its program.
    pub program: u16,
    /// Its packet identifier, or its number in another container.
    pub pid: u16,
    /// What it carries.
    pub kind: InputKind,
    /// The usual short name of its codec: `h264`, `aac`, `ac3`.
    pub codec: String,
    /// ISO 639-2 code of its language.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Width of its video in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub width: Option<u32>,
    /// Height of its video in pixels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub height: Option<u32>,
    /// Samples per second of its audio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sample_rate: Option<u32>,
    /// Channels of its audio.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub channels: Option<u32>,
    /// Whether the stream takes it.
    pub taken: bool,
    /// Why it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignored: Option<String>,
}

/// Properties known only from the units of the selected tracks.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Measured {
    pub(crate) size: Option<Size>,
    pub(crate) sample_rate: Option<u32>,
    pub(crate) channels: Option<u32>,
}

impl InputInfo {
    /// An input with these tracks and nothing else.
    pub fn of(tracks: &Tracks) -> Self {
        let video = tracks.video.map(|codec| InputTrack::new(InputKind::Video, codec.name()));
        let audio = tracks.audio.map(|codec| InputTrack::new(InputKind::Audio, codec.name()));
        Self { program: 0, tracks: video.into_iter().chain(audio).collect() }
    }

    /// Adds the properties measured from the units of the selected tracks.
    pub(crate) fn measured(&mut self, measured: Measured) {
        for track in self.tracks.iter_mut().filter(|track| track.taken) {
            match track.kind {
                InputKind::Video => {
                    (track.width, track.height) = measured.size.map(|size| (size.width, size.height)).unzip();
                }
                InputKind::Audio => {
                    (track.sample_rate, track.channels) = (measured.sample_rate, measured.channels);
                }
                InputKind::Subtitles | InputKind::Data => {}
            }
        }
    }
}

impl InputTrack {
    /// A selected track of which nothing more is known.
    pub fn new(kind: InputKind, codec: impl Into<String>) -> Self {
        Self {
            program: 0,
            pid: 0,
            kind,
            codec: codec.into(),
            language: None,
            width: None,
            height: None,
            sample_rate: None,
            channels: None,
            taken: true,
            ignored: None,
        }
    }
}

/// Everything in one line, for the log.
impl fmt::Display for InputInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "program {}", self.program)?;
        if self.tracks.is_empty() {
            f.write_str(" without any track")?;
        }
        for (index, track) in self.tracks.iter().enumerate() {
            write!(f, "{} {track}", if index == 0 { ':' } else { ';' })?;
        }
        Ok(())
    }
}

impl fmt::Display for InputTrack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (PID {}", self.codec, self.pid)?;
        if let Some(language) = &self.language {
            write!(f, ", {language}")?;
        }
        match &self.ignored {
            None => f.write_str(") taken"),
            Some(why) => write!(f, ") ignored: {why}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(pid: u16, kind: InputKind, codec: &str, ignored: Option<&str>) -> InputTrack {
        let language = (kind == InputKind::Audio).then(|| "deu".to_owned());
        let (taken, ignored) = (ignored.is_none(), ignored.map(Into::into));
        InputTrack { program: 7, pid, language, taken, ignored, ..InputTrack::new(kind, codec) }
    }

    fn info() -> InputInfo {
        InputInfo {
            program: 7,
            tracks: vec![
                track(256, InputKind::Video, "h264", None),
                track(257, InputKind::Audio, "ac3", Some("no decoder: send AAC or Opus")),
                track(258, InputKind::Video, "h264", Some("a second video track")),
            ],
        }
    }

    #[test]
    fn the_log_names_what_is_taken_and_what_is_not_and_why() {
        assert_eq!(
            info().to_string(),
            "program 7: h264 (PID 256) taken; ac3 (PID 257, deu) ignored: no decoder: send AAC or Opus; \
             h264 (PID 258) ignored: a second video track"
        );
    }

    #[test]
    fn the_status_leaves_out_what_is_not_known() {
        let mut info = info();
        info.measured(Measured { size: Some(Size::new(320, 240)), ..Measured::default() });
        assert_eq!(
            serde_json::to_value(&info.tracks[..2]).unwrap(),
            serde_json::json!([
                {"program": 7, "pid": 256, "kind": "video", "codec": "h264", "width": 320, "height": 240,
                 "taken": true},
                {"program": 7, "pid": 257, "kind": "audio", "codec": "ac3", "language": "deu", "taken": false,
                 "ignored": "no decoder: send AAC or Opus"},
            ])
        );
    }
}
