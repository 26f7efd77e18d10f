//! Describes what a transport stream carries, for the status and the log.

use cutrickle_media::{Codec, Tracks};
use cutrickle_mpegts::{ContentKind, ElementaryStream, Ignored, Program};
use cutrickle_pipeline::{InputInfo, InputKind, InputTrack};

/// Returns the selected tracks of `program`.
pub(crate) fn tracks(program: &Program) -> Tracks {
    let mut tracks = Tracks::default();
    for track in &program.tracks {
        match track.codec {
            Codec::Video(codec) => tracks.video = Some(codec),
            Codec::Audio(codec) => (tracks.audio, tracks.audio_channels) = (Some(codec), track.opus_channels),
        }
    }
    tracks
}

/// Returns everything that `program` lists.
pub(crate) fn info(program: &Program) -> InputInfo {
    InputInfo { program: program.number, tracks: program.streams.iter().map(track).collect() }
}

fn track(stream: &ElementaryStream) -> InputTrack {
    let kind = match stream.kind {
        ContentKind::Video => InputKind::Video,
        ContentKind::Audio => InputKind::Audio,
        ContentKind::Subtitles => InputKind::Subtitles,
        ContentKind::Data => InputKind::Data,
    };
    InputTrack {
        program: stream.program,
        pid: stream.pid,
        language: stream.language.clone(),
        taken: stream.ignored.is_none(),
        ignored: stream.ignored.map(|why| reason(why, kind).to_owned()),
        ..InputTrack::new(kind, stream.codec)
    }
}

const fn reason(why: Ignored, kind: InputKind) -> &'static str {
    match (why, kind) {
        (Ignored::Program, _) => "another program",
        (Ignored::Second, InputKind::Video) => "a second video track",
        (Ignored::Second, _) => "a second audio track",
        (Ignored::Codec, InputKind::Video) => "no decoder: send H.264 or H.265",
        (Ignored::Codec, InputKind::Audio) => "no decoder: send AAC or Opus",
        (Ignored::Codec, InputKind::Subtitles | InputKind::Data) => "neither video nor audio",
    }
}

#[cfg(test)]
mod tests {
    use cutrickle_media::VideoCodec;
    use cutrickle_mpegts::Track;

    use super::*;

    fn stream(
        pid: u16,
        kind: ContentKind,
        codec: &'static str,
        ignored: Option<Ignored>,
    ) -> ElementaryStream {
        let language = (kind == ContentKind::Audio).then(|| "deu".to_owned());
        ElementaryStream { program: 7, pid, kind, codec, language, ignored }
    }

    #[test]
    fn the_log_names_what_is_taken_and_what_is_not_and_why() {
        let program = Program {
            number: 7,
            tracks: vec![Track { pid: 256, codec: Codec::H264, opus_channels: None }],
            streams: vec![
                stream(256, ContentKind::Video, "h264", None),
                stream(257, ContentKind::Audio, "ac3", Some(Ignored::Codec)),
                stream(258, ContentKind::Video, "h264", Some(Ignored::Second)),
            ],
        };
        assert_eq!(
            info(&program).to_string(),
            "program 7: h264 (PID 256) taken; ac3 (PID 257, deu) ignored: no decoder: send AAC or Opus; \
             h264 (PID 258) ignored: a second video track"
        );
        assert_eq!(tracks(&program), Tracks { video: Some(VideoCodec::H264), ..Tracks::default() });
    }
}
