//! An MP4 file to access units, in the order of decoding. What a sample becomes is in `form`, where it lies in
//! `sample_table`.

use std::io::{self, SeekFrom};

use cutrickle_error::chain;
use cutrickle_media::{AccessUnit, Codec, Ticks, Timestamp, Tracks};
use cutrickle_pipeline::{InputInfo, InputKind, InputTrack};
use mp4_atom::{Atom, DecodeMaybe, Header, Moov, Stsd, Trak};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use super::form::{Form, codec};
use super::sample_table::{Sample, beginning, samples};
use crate::{Error, Result};

/// An index longer than this is a damaged one: it has about ten bytes a sample.
const MAX_INDEX: u64 = 256 << 20;
/// A coded frame is smaller.
const MAX_SAMPLE: u32 = 64 << 20;

/// An MP4 file, and how far it was read.
///
/// Of several tracks of a kind the first one of a known codec is read. Samples are read one by one as they are asked for;
/// the index is held in memory.
#[derive(Debug)]
pub struct Mp4Reader {
    file: File,
    info: InputInfo,
    tracks: Vec<Track>,
}

/// One track.
#[derive(Debug)]
struct Track {
    number: u32,
    codec: Codec,
    opus_channels: Option<u8>,
    /// What becomes of the samples of each description; `None` for one of another codec.
    forms: Vec<Option<Form>>,
    /// In ticks of 90 kHz, on the clock that the tracks share.
    samples: Vec<Sample>,
    next: usize,
}

impl Mp4Reader {
    /// Whether a file that begins so is an MP4 file. Eight bytes are enough to tell.
    pub fn is_one(beginning: &[u8]) -> bool {
        beginning.get(4..8) == Some(b"ftyp")
    }

    /// Reads the index of `file`, whose name is for messages.
    ///
    /// # Errors
    /// The file cannot be read, or its index is missing or damaged. [`Error::is_unsupported`]: it is in fragments, or it has
    /// no track of H.264, H.265, AAC or Opus.
    pub async fn open(mut file: File, name: impl Into<String>) -> Result<Self> {
        let name = name.into();
        let index = index(&mut file).await.map_err(|e| Error::failed(&name).because(e))?;
        let index =
            index.ok_or_else(|| Error::failed(&name).because("an MP4 file without an index (`moov`)"))?;
        let moov = Moov::decode_body(&mut &index[..])
            .map_err(|e| Error::failed(&name).because(format!("the MP4 file's index: {}", chain(&e))))?;
        if moov.mvex.is_some() {
            let hint = "an MP4 file in fragments; make a transport stream of it: ffmpeg -i FILE -c copy -f mpegts FILE.ts";
            return Err(Error::unsupported(name).because(hint));
        }
        let of = |video: bool| {
            let mut tracks = moov.trak.iter().filter_map(|trak| Track::of(trak, &moov));
            tracks.find(|track| track.codec.is_video() == video && !track.samples.is_empty())
        };
        let mut tracks: Vec<_> = of(true).into_iter().chain(of(false)).collect();
        if tracks.is_empty() {
            let hint = "an MP4 file without H.264, H.265, AAC or Opus";
            return Err(Error::unsupported(name).because(hint));
        }
        // Decoding begins before the presentation does: the clock begins with it.
        let first = tracks.iter().filter_map(|track| track.samples.first()).map(|sample| sample.dts).min();
        for track in &mut tracks {
            track.begin_at(first.unwrap_or(0));
        }
        let info = info(&moov, &tracks);
        Ok(Self { file, info, tracks })
    }

    /// The tracks that are read.
    pub fn tracks(&self) -> Tracks {
        let mut tracks = Tracks::default();
        for track in &self.tracks {
            match track.codec {
                Codec::Video(codec) => tracks.video = Some(codec),
                Codec::Audio(codec) => {
                    (tracks.audio, tracks.audio_channels) = (Some(codec), track.opus_channels);
                }
            }
        }
        tracks
    }

    /// Every track of the file, those among them that are read.
    pub fn info(&self) -> &InputInfo {
        &self.info
    }

    /// How many units the file has.
    pub fn samples(&self) -> u64 {
        self.tracks.iter().map(|track| track.samples.len() as u64).sum()
    }

    /// Goes back to the beginning.
    pub fn rewind(&mut self) {
        self.tracks.iter_mut().for_each(|track| track.next = 0);
    }

    /// The next unit; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read or ends too early, or a sample is not what its track says.
    pub async fn next(&mut self) -> io::Result<Option<AccessUnit>> {
        let due = |track: &Track| track.samples.get(track.next).map(|sample| sample.dts);
        let first =
            self.tracks.iter_mut().filter(|track| due(track).is_some()).min_by_key(|track| due(track));
        let Some(track) = first else { return Ok(None) };
        let Some(&sample) = track.samples.get(track.next) else { return Ok(None) };
        track.next += 1;
        let wrong = |what: &str| {
            let text = format!("{} sample {} at byte {}: {what}", track.codec, track.next, sample.offset);
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        if sample.size > MAX_SAMPLE {
            return Err(wrong(&format!("{} bytes", sample.size)));
        }
        let form =
            track.form(sample.description).ok_or_else(|| wrong("its description is of another codec"))?;
        self.file.seek(SeekFrom::Start(sample.offset)).await?;
        let mut coded = vec![0; sample.size as usize];
        self.file.read_exact(&mut coded).await.map_err(|e| wrong(&chain(&e).to_string()))?;
        let data = form.unit(&coded, sample.keyframe).ok_or_else(|| wrong("its lengths are wrong"))?;
        let keyframe = sample.keyframe || track.codec.is_audio();
        let at = Timestamp::from_ticks;
        Ok(Some(AccessUnit {
            track: track.number,
            dts: at(sample.dts),
            ..AccessUnit::new(track.codec, at(sample.pts), keyframe, data)
        }))
    }
}

impl Track {
    /// `None` where its codec is another.
    fn of(trak: &Trak, moov: &Moov) -> Option<Self> {
        let table = &trak.mdia.minf.stbl;
        let (codec, opus_channels) = codec(&table.stsd)?;
        let forms = table.stsd.codecs.iter().map(|described| Form::of(described, codec)).collect();
        let time_scale = trak.mdia.mdhd.timescale;
        let begins = beginning(trak.edts.as_ref(), time_scale, moov.mvhd.timescale);
        let ticks = |time: i64| {
            let ticks = i128::from(time.saturating_sub(begins)) * i128::from(Ticks::PER_SECOND.get());
            i64::try_from(ticks.div_euclid(i128::from(time_scale.max(1)))).unwrap_or(i64::MAX)
        };
        let mut samples = samples(table);
        for sample in &mut samples {
            (sample.dts, sample.pts) = (ticks(sample.dts), ticks(sample.pts));
        }
        Some(Self { number: trak.tkhd.track_id, codec, opus_channels, forms, samples, next: 0 })
    }

    /// Takes `first` as the beginning of the clock. From here on times of decoding increase, whatever the file says.
    fn begin_at(&mut self, first: i64) {
        let mut next = i64::MIN;
        for sample in &mut self.samples {
            sample.dts = sample.dts.saturating_sub(first).max(next);
            sample.pts = sample.pts.saturating_sub(first).max(sample.dts);
            next = sample.dts.saturating_add(1);
        }
    }

    /// What becomes of samples of the description of this number.
    fn form(&self, description: u32) -> Option<&Form> {
        self.forms.get(usize::try_from(description).ok()?.checked_sub(1)?)?.as_ref()
    }
}

/// The content of the box `moov`, wherever in the file it is.
async fn index(file: &mut File) -> io::Result<Option<Vec<u8>>> {
    let length = file.metadata().await?.len();
    let mut at = 0_u64;
    while at < length {
        file.seek(SeekFrom::Start(at)).await?;
        let mut head = Vec::with_capacity(16);
        file.take(16).read_to_end(&mut head).await?;
        let mut rest = &head[..];
        let damaged =
            |what: String| io::Error::new(io::ErrorKind::InvalidData, format!("box at byte {at}: {what}"));
        let Some(header) = Header::decode_maybe(&mut rest).map_err(|e| damaged(chain(&e).to_string()))?
        else {
            break;
        };
        let content = at + (head.len() - rest.len()) as u64;
        let end = match header.size {
            Some(size) => content.saturating_add(size as u64),
            None => length,
        };
        if header.kind == Moov::KIND {
            let size = end.saturating_sub(content);
            if end > length || size > MAX_INDEX {
                return Err(damaged(format!("an index of {size} bytes")));
            }
            let mut index = Vec::new();
            file.seek(SeekFrom::Start(content)).await?;
            file.take(size).read_to_end(&mut index).await?;
            return Ok(Some(index));
        }
        at = end;
    }
    Ok(None)
}

/// Every track of the file. Those of `taken` are read.
fn info(moov: &Moov, taken: &[Track]) -> InputInfo {
    let tracks = moov.trak.iter().map(|trak| {
        let number = trak.tkhd.track_id;
        let kind = match trak.mdia.hdlr.handler.as_ref() {
            b"vide" => InputKind::Video,
            b"soun" => InputKind::Audio,
            b"sbtl" | b"subt" | b"text" | b"clcp" => InputKind::Subtitles,
            _ => InputKind::Data,
        };
        let known = codec(&trak.mdia.minf.stbl.stsd);
        let name =
            known.map_or_else(|| unknown(&trak.mdia.minf.stbl.stsd), |(codec, _)| codec.name().to_owned());
        let ignored = match (known, kind) {
            _ if taken.iter().any(|track| track.number == number) => None,
            (Some((codec, _)), _) if codec.is_video() => Some("a second video track"),
            (Some(_), _) => Some("a second audio track"),
            (None, InputKind::Video) => Some("no decoder: send H.264 or H.265"),
            (None, InputKind::Audio) => Some("no decoder: send AAC or Opus"),
            (None, InputKind::Subtitles | InputKind::Data) => Some("neither video nor audio"),
        };
        InputTrack {
            pid: u16::try_from(number).unwrap_or_default(),
            language: Some(trak.mdia.mdhd.language.clone()).filter(|code| code != "und"),
            taken: ignored.is_none(),
            ignored: ignored.map(str::to_owned),
            ..InputTrack::new(kind, name)
        }
    });
    InputInfo { program: 0, tracks: tracks.collect() }
}

/// The name of a codec that is not known here.
fn unknown(descriptions: &Stsd) -> String {
    let name = match descriptions.codecs.first() {
        Some(mp4_atom::Codec::Unknown(kind, _)) => return kind.to_string(),
        Some(mp4_atom::Codec::Av01(_)) => "av1",
        Some(mp4_atom::Codec::Vp08(_)) => "vp8",
        Some(mp4_atom::Codec::Vp09(_)) => "vp9",
        Some(mp4_atom::Codec::Mp3(_)) => "mp3",
        Some(mp4_atom::Codec::Mp4a(_)) => "mp4a",
        Some(mp4_atom::Codec::Ac3(_)) => "ac3",
        Some(mp4_atom::Codec::Eac3(_)) => "eac3",
        Some(mp4_atom::Codec::Flac(_)) => "flac",
        _ => "another",
    };
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use cutrickle_media::{AudioCodec, TrackKind};
    use cutrickle_mpegts::{Demuxer, Event};

    use super::*;

    const CLIP: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../cli/assets/clip/big-buck-bunny.ts");

    /// A file that ffmpeg makes of the clip by these arguments.
    fn made(name: &str, arguments: &[&str]) -> PathBuf {
        let file = std::env::temp_dir().join(format!("cutrickle-file-{}-{name}", std::process::id()));
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-y", "-i", CLIP]).args(arguments).arg(&file);
        let output = command.output().expect("ffmpeg (package ffmpeg)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        file
    }

    async fn open(path: &Path) -> Result<Mp4Reader> {
        Mp4Reader::open(File::open(path).await.unwrap(), path.display().to_string()).await
    }

    /// All units, and the file is gone.
    async fn units(path: &Path) -> Vec<AccessUnit> {
        let mut mp4 = open(path).await.unwrap();
        std::fs::remove_file(path).unwrap();
        let mut units = Vec::new();
        while let Some(unit) = mp4.next().await.unwrap() {
            units.push(unit);
        }
        assert_eq!(units.len() as u64, mp4.samples());
        assert!(units.windows(2).all(|pair| pair[0].dts <= pair[1].dts));
        units
    }

    fn clip() -> Vec<AccessUnit> {
        let (mut demuxer, mut units) = (Demuxer::new(), Vec::new());
        let mut sink = |event| {
            if let Event::Unit(unit) = event {
                units.push(unit);
            }
        };
        demuxer.push(&std::fs::read(CLIP).unwrap(), &mut sink);
        demuxer.end_segment(&mut sink);
        units
    }

    fn of(units: &[AccessUnit], kind: TrackKind) -> Vec<&AccessUnit> {
        units.iter().filter(|unit| unit.codec.kind() == kind).collect()
    }

    #[tokio::test]
    async fn units_are_those_of_the_transport_stream_that_the_file_was_made_of() {
        for (name, flags) in [("front.mp4", "+faststart"), ("back.mov", "+use_metadata_tags")] {
            let file = made(name, &["-c", "copy", "-movflags", flags]);
            let (here, there) = (units(&file).await, clip());
            let (frames, wanted) = (of(&here, TrackKind::Video), of(&there, TrackKind::Video));
            assert_eq!(frames.len(), wanted.len());
            let shift = frames[0].pts - wanted[0].pts;
            for (frame, wanted) in frames.iter().zip(&wanted) {
                assert_eq!((frame.pts, frame.dts), (wanted.pts + shift, wanted.dts + shift));
                assert_eq!(frame.keyframe, wanted.keyframe);
                // Parameter sets may stand before it once more, and start codes be longer.
                let slice = wanted.data.windows(4).rposition(|code| code[..3] == [0, 0, 1]).unwrap();
                assert!(frame.data.ends_with(&wanted.data[slice..]), "the frame at {}", wanted.pts);
            }
            let (packets, wanted) = (of(&here, TrackKind::Audio), of(&there, TrackKind::Audio));
            assert_eq!(packets.len(), wanted.len());
            for (packet, wanted) in packets.iter().zip(&wanted) {
                let off = packet.pts.distance(wanted.pts + shift);
                assert!(off <= Ticks::from_millis(1), "{} is {off} from {}", packet.pts, wanted.pts);
                assert_eq!(packet.data, wanted.data);
            }
        }
    }

    #[tokio::test]
    async fn reordered_frames_and_opus_keep_their_times() {
        let coded =
            ["-c:v", "libx264", "-bf", "2", "-preset", "ultrafast", "-c:a", "libopus", "-ar", "48000"];
        let here = units(&made("reordered.mp4", &coded)).await;
        let (frames, there) = (of(&here, TrackKind::Video), clip());
        let frame = Ticks::new(3_000);
        assert!(frames.iter().any(|unit| unit.pts > unit.dts + frame), "nothing is reordered");
        let mut shown: Vec<Timestamp> = frames.iter().map(|unit| unit.pts).collect();
        shown.sort_unstable();
        assert_eq!(shown.len(), of(&there, TrackKind::Video).len());
        assert!(shown.windows(2).all(|pair| pair[1] - pair[0] == frame));
        let packets = of(&here, TrackKind::Audio);
        assert_eq!(packets[0].codec, Codec::OPUS);
        // An encoder's first packets begin before the audio that it was given.
        let behind = |video: Timestamp, audio: &[&AccessUnit]| audio[0].pts - video;
        let wanted = behind(of(&there, TrackKind::Video)[0].pts, &of(&there, TrackKind::Audio));
        let found = behind(shown[0], &packets);
        assert!((found - wanted).abs() < Ticks::from_millis(40), "audio is {found} behind, not {wanted}");
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_one_line() {
        let fragments = ["-an", "-c:v", "copy", "-movflags", "frag_keyframe+empty_moov"];
        let file = made("fragments.mp4", &fragments);
        let refused = open(&file).await.unwrap_err();
        assert!(refused.is_unsupported() && format!("{refused:?}").contains("in fragments"), "{refused:?}");
        let whole = made("whole.mp4", &["-c", "copy", "-movflags", "+faststart"]);
        let bytes = std::fs::read(&whole).unwrap();
        for (cut, wanted) in [(20, "without an index"), (2_000, "an index of"), (40_000, "h264 sample")] {
            std::fs::write(&file, &bytes[..cut]).unwrap();
            let said = match open(&file).await {
                Err(e) => format!("{e:?}"),
                Ok(mut mp4) => loop {
                    match mp4.next().await {
                        Ok(Some(_)) => {}
                        Ok(None) => panic!("{cut} bytes are read to an end"),
                        Err(e) => break e.to_string(),
                    }
                },
            };
            assert!(said.contains(wanted) && !said.contains('\n'), "{cut} bytes: {said}");
        }
        // Damage anywhere in the index is an error or other units, never more.
        for at in (32..8_000).step_by(53) {
            let mut damaged = bytes.clone();
            damaged[at] ^= 0xFF;
            std::fs::write(&file, &damaged).unwrap();
            if let Ok(mut mp4) = open(&file).await {
                while let Ok(Some(_)) = mp4.next().await {}
            }
        }
        std::fs::remove_file(file).unwrap();
        std::fs::remove_file(whole).unwrap();
    }

    #[tokio::test]
    async fn tracks_that_are_not_read_are_named_with_the_reason() {
        let coded = ["-map", "0:v", "-map", "0:a", "-map", "0:a", "-c:v", "mpeg4", "-c:a", "copy"];
        let file = made("others.mp4", &coded);
        let mp4 = open(&file).await.unwrap();
        std::fs::remove_file(&file).unwrap();
        assert_eq!(mp4.tracks(), Tracks { audio: Some(AudioCodec::Aac), ..Tracks::default() });
        let reasons: Vec<_> = mp4.info().tracks.iter().map(|track| track.ignored.as_deref()).collect();
        let decoder = "no decoder: send H.264 or H.265";
        assert_eq!(reasons, [Some(decoder), None, Some("a second audio track")]);
    }
}
