//! An MP4 file as what a transport stream carries: access units in Annex B and ADTS, in the order of decoding. The boxes
//! are read by mp4-atom; when a unit is due is told, waiting for it is left to `source`.

mod sample_table;

use std::io::{self, SeekFrom};

use bytes::{BufMut, Bytes, BytesMut};
use cutrickle_error::chain;
use cutrickle_mpegts::{AUDIO_PID, AccessUnit, Codec, Program, TICKS_PER_SECOND, Track, VIDEO_PID};
use mp4_atom::{Atom, DecodeMaybe, Header, Moov, Stsd, Trak};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};

use crate::failure::Failure;
use sample_table::{Sample, beginning, samples};

/// An index longer than this is a damaged one: it has about ten bytes a sample.
const LONGEST_INDEX: u64 = 256 << 20;
/// A coded picture is smaller.
const LARGEST_SAMPLE: u32 = 64 << 20;
const START_CODE: [u8; 4] = [0, 0, 0, 1];

/// A file and how far it was read.
#[derive(Debug)]
pub struct Mp4 {
    file: File,
    name: String,
    tracks: Vec<TrackSamples>,
}

/// One track.
#[derive(Debug)]
struct TrackSamples {
    track: Track,
    form: Form,
    /// In ticks of 90 kHz, on the clock that the tracks share.
    samples: Vec<Sample>,
    next: usize,
}

/// How a sample becomes a unit.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Form {
    /// Each NAL unit behind its length, of so many bytes; these parameter sets, in Annex B, belong before a keyframe.
    Lengths { size: usize, parameter_sets: Vec<u8> },
    /// A raw AAC frame, whose ADTS header is this but for its length.
    Aac([u8; 7]),
    /// A packet as it is.
    Packet,
}

impl Mp4 {
    /// Whether a file that begins so is an MP4 file.
    pub fn is_one(beginning: &[u8]) -> bool {
        beginning.get(4..8) == Some(b"ftyp")
    }

    /// Reads the index of `file`, whose name is for messages.
    ///
    /// # Errors
    /// The file cannot be read, its index is missing or damaged, it is in fragments, or it has no track of a codec that a
    /// transport stream is made of here.
    pub async fn open(mut file: File, name: String) -> Result<Self, Failure> {
        let index = index(&mut file).await.map_err(|e| Failure::because(&name, e))?;
        let index = index.ok_or_else(|| Failure::because(&name, "an MP4 file without an index (`moov`)"))?;
        let moov = Moov::decode_body(&mut &index[..])
            .map_err(|e| Failure::because(&name, format!("the MP4 file's index: {}", chain(&e))))?;
        if moov.mvex.is_some() {
            let hint = "an MP4 file in fragments; make a transport stream of it: ffmpeg -i FILE -c copy -f mpegts FILE.ts";
            return Err(Failure::because(&name, hint));
        }
        let of = |video: bool| {
            let mut tracks = moov.trak.iter().filter_map(|trak| TrackSamples::of(trak, &moov));
            tracks.find(|track| track.track.codec.is_video() == video && !track.samples.is_empty())
        };
        let mut tracks: Vec<_> = of(true).into_iter().chain(of(false)).collect();
        if tracks.is_empty() {
            return Err(Failure::because(&name, "an MP4 file without H.264, H.265, AAC or Opus"));
        }
        // Decoding begins before the presentation does: the clock begins with it.
        let first = tracks.iter().filter_map(|track| track.samples.first()).map(|sample| sample.dts).min();
        for sample in tracks.iter_mut().flat_map(|track| &mut track.samples) {
            sample.dts = sample.dts.saturating_sub(first.unwrap_or(0));
            sample.pts = sample.pts.saturating_sub(first.unwrap_or(0)).max(sample.dts);
        }
        Ok(Self { file, name, tracks })
    }

    /// For messages.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The tracks that are read.
    pub fn program(&self) -> Program {
        Program { tracks: self.tracks.iter().map(|track| track.track).collect(), ..Program::default() }
    }

    /// Back to the beginning.
    pub fn rewind(&mut self) {
        self.tracks.iter_mut().for_each(|track| track.next = 0);
    }

    /// The next unit; `None` at the end.
    ///
    /// # Errors
    /// The file cannot be read or ends too early, or a sample is not what its track says.
    pub async fn next(&mut self) -> io::Result<Option<AccessUnit>> {
        let due = |track: &TrackSamples| track.samples.get(track.next).map(|sample| sample.dts);
        let first =
            self.tracks.iter_mut().filter(|track| due(track).is_some()).min_by_key(|track| due(track));
        let Some(track) = first else { return Ok(None) };
        let Some(&sample) = track.samples.get(track.next) else { return Ok(None) };
        track.next += 1;
        let wrong = |what: &str| {
            let text =
                format!("{} sample {} at byte {}: {what}", track.track.codec, track.next, sample.offset);
            io::Error::new(io::ErrorKind::InvalidData, text)
        };
        if sample.size > LARGEST_SAMPLE {
            return Err(wrong(&format!("{} bytes", sample.size)));
        }
        self.file.seek(SeekFrom::Start(sample.offset)).await?;
        let mut coded = vec![0; sample.size as usize];
        self.file.read_exact(&mut coded).await.map_err(|e| wrong(&chain(&e).to_string()))?;
        let data = track.form.unit(&coded, sample.keyframe).ok_or_else(|| wrong("its lengths are wrong"))?;
        Ok(Some(AccessUnit {
            pid: track.track.pid,
            codec: track.track.codec,
            pts: sample.pts,
            dts: sample.dts,
            keyframe: sample.keyframe || track.track.codec.is_audio(),
            loss: None,
            damaged: false,
            data,
        }))
    }
}

impl TrackSamples {
    /// `None` where its codec is another.
    fn of(trak: &Trak, moov: &Moov) -> Option<Self> {
        let table = &trak.mdia.minf.stbl;
        let (codec, form, opus_channels) = Form::of(&table.stsd)?;
        let time_scale = trak.mdia.mdhd.timescale;
        let begins = beginning(trak.edts.as_ref(), time_scale, moov.mvhd.timescale);
        let ticks = |time: i64| {
            let ticks = i128::from(time.saturating_sub(begins)) * i128::from(TICKS_PER_SECOND);
            i64::try_from(ticks.div_euclid(i128::from(time_scale.max(1)))).unwrap_or(i64::MAX)
        };
        let mut samples = samples(table);
        for sample in &mut samples {
            (sample.dts, sample.pts) = (ticks(sample.dts), ticks(sample.pts));
        }
        let pid = if codec.is_video() { VIDEO_PID } else { AUDIO_PID };
        Some(Self { track: Track { pid, codec, opus_channels }, form, samples, next: 0 })
    }
}

impl Form {
    fn of(description: &Stsd) -> Option<(Codec, Self, Option<u8>)> {
        let lengths = |size, sets: &mut dyn Iterator<Item = &Vec<u8>>| Self::Lengths {
            size,
            parameter_sets: sets.flat_map(|set| START_CODE.iter().chain(set)).copied().collect(),
        };
        match description.codecs.first()? {
            mp4_atom::Codec::Avc1(mp4_atom::Avc1 { avcc, .. })
            | mp4_atom::Codec::Avc3(mp4_atom::Avc3 { avcc, .. }) => {
                let mut sets = avcc.sequence_parameter_sets.iter().chain(&avcc.picture_parameter_sets);
                Some((Codec::H264, lengths(usize::from(avcc.length_size), &mut sets), None))
            }
            mp4_atom::Codec::Hev1(mp4_atom::Hev1 { hvcc, .. })
            | mp4_atom::Codec::Hvc1(mp4_atom::Hvc1 { hvcc, .. }) => {
                let mut sets = hvcc.arrays.iter().flat_map(|array| &array.nalus);
                Some((Codec::H265, lengths(usize::from(hvcc.length_size_minus_one) + 1, &mut sets), None))
            }
            mp4_atom::Codec::Mp4a(mp4a) => {
                let config = mp4a.esds.es_desc.dec_config.dec_specific.as_ref()?;
                let header = adts_header(config.profile, config.freq_index, config.chan_conf)?;
                Some((Codec::Aac, Self::Aac(header), None))
            }
            mp4_atom::Codec::Opus(opus) => {
                Some((Codec::Opus, Self::Packet, Some(opus.dops.output_channel_count)))
            }
            _ => None,
        }
    }

    /// `None` where `sample` is not of this form.
    fn unit(&self, sample: &[u8], keyframe: bool) -> Option<Bytes> {
        match self {
            Self::Lengths { size, parameter_sets } => {
                let mut unit = BytesMut::with_capacity(sample.len() + parameter_sets.len() + 64);
                if keyframe {
                    unit.put_slice(parameter_sets);
                }
                let mut rest = sample;
                while !rest.is_empty() {
                    let (length, behind) = rest.split_at_checked(*size)?;
                    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
                    let (nal, behind) = behind.split_at_checked(length)?;
                    unit.put_slice(&START_CODE);
                    unit.put_slice(nal);
                    rest = behind;
                }
                Some(unit.freeze())
            }
            Self::Aac(header) => {
                // `aac_frame_length`, 13 bits over three bytes, counts the header.
                let length =
                    u16::try_from(sample.len() + header.len()).ok().filter(|length| *length < 1 << 13)?;
                let mut header = *header;
                header[3] |= (length >> 11) as u8;
                header[4] = (length >> 3) as u8;
                header[5] |= (length << 5) as u8;
                Some([&header, sample].concat().into())
            }
            Self::Packet => Some(Bytes::copy_from_slice(sample)),
        }
    }
}

/// The header of frames of this AudioSpecificConfig (ISO/IEC 14496-3, 1.6.2.1) as ISO/IEC 13818-7, 6.2, has it, its length
/// left 0. `None` for what ADTS has no words for. What stands for SBR is sent as the AAC-LC that it rests on.
fn adts_header(object_type: u8, frequency: u8, channels: u8) -> Option<[u8; 7]> {
    let profile = match object_type {
        1..=4 => object_type - 1,
        5 | 29 => 1,
        _ => return None,
    };
    if frequency > 12 || !(1..=7).contains(&channels) {
        return None;
    }
    // No CRC; a buffer fullness of all ones is a variable rate.
    let second = profile << 6 | frequency << 2 | channels >> 2;
    Some([0xFF, 0xF1, second, channels << 6, 0, 0x1F, 0xFC])
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
            if end > length || size > LONGEST_INDEX {
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

#[cfg(test)]
mod tests {
    use std::path::{Path, PathBuf};
    use std::process::Command;

    use cutrickle_mpegts::{Demuxer, Event, TrackKind};

    use super::*;
    use crate::source::CLIP;

    /// A file that ffmpeg makes of the clip by these arguments; `None` where it is not installed and need not be.
    fn made(name: &str, arguments: &[&str]) -> Option<PathBuf> {
        let clip = concat!(env!("CARGO_MANIFEST_DIR"), "/../../assets/clip/big-buck-bunny.ts");
        let file = std::env::temp_dir().join(format!("cutrickle-{}-{name}", std::process::id()));
        let mut command = Command::new("ffmpeg");
        command.args(["-v", "error", "-y", "-i", clip]).args(arguments).arg(&file);
        match command.output() {
            Ok(output) => {
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                Some(file)
            }
            Err(e) if std::env::var("CI").as_deref() != Ok("true") => {
                eprintln!("skipped: ffmpeg: {e}");
                None
            }
            Err(e) => panic!("ffmpeg is wanted (package ffmpeg): {e}"),
        }
    }

    async fn open(path: &Path) -> Result<Mp4, Failure> {
        Mp4::open(File::open(path).await.unwrap(), path.display().to_string()).await
    }

    /// All units, and the file is gone.
    async fn units(path: &Path) -> Vec<AccessUnit> {
        let mut mp4 = open(path).await.unwrap_or_else(|e| panic!("{}", e.line()));
        std::fs::remove_file(path).unwrap();
        let mut units = Vec::new();
        while let Some(unit) = mp4.next().await.unwrap() {
            units.push(unit);
        }
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
        demuxer.push(CLIP, &mut sink);
        demuxer.end_segment(&mut sink);
        units
    }

    fn of(units: &[AccessUnit], kind: TrackKind) -> Vec<&AccessUnit> {
        units.iter().filter(|unit| unit.codec.kind() == kind).collect()
    }

    #[tokio::test]
    async fn units_are_those_of_the_transport_stream_that_the_file_was_made_of() {
        for (name, flags) in [("front.mp4", "+faststart"), ("back.mov", "+use_metadata_tags")] {
            let Some(file) = made(name, &["-c", "copy", "-movflags", flags]) else { return };
            let (here, there) = (units(&file).await, clip());
            let (pictures, wanted) = (of(&here, TrackKind::Video), of(&there, TrackKind::Video));
            assert_eq!(pictures.len(), wanted.len());
            let shift = pictures[0].pts - wanted[0].pts;
            for (picture, wanted) in pictures.iter().zip(&wanted) {
                assert_eq!((picture.pts, picture.dts), (wanted.pts + shift, wanted.dts + shift));
                assert_eq!(picture.keyframe, wanted.keyframe);
                // Parameter sets may stand before it once more, and start codes be longer.
                let slice = wanted.data.windows(4).rposition(|code| code[..3] == [0, 0, 1]).unwrap();
                assert!(picture.data.ends_with(&wanted.data[slice..]), "the picture at {}", wanted.pts);
            }
            let (sounds, wanted) = (of(&here, TrackKind::Audio), of(&there, TrackKind::Audio));
            assert_eq!(sounds.len(), wanted.len());
            for (sound, wanted) in sounds.iter().zip(&wanted) {
                assert!(
                    (sound.pts - wanted.pts - shift).abs() <= 90,
                    "{} is 1 ms from {}",
                    sound.pts,
                    wanted.pts
                );
                assert_eq!(sound.data, wanted.data);
            }
        }
    }

    #[tokio::test]
    async fn reordered_pictures_and_opus_keep_their_times() {
        let coded =
            ["-c:v", "libx264", "-bf", "2", "-preset", "ultrafast", "-c:a", "libopus", "-ar", "48000"];
        let Some(file) = made("reordered.mp4", &coded) else { return };
        let here = units(&file).await;
        let (pictures, there) = (of(&here, TrackKind::Video), clip());
        assert!(pictures.iter().any(|picture| picture.pts > picture.dts + 3_000), "nothing is reordered");
        let mut shown: Vec<i64> = pictures.iter().map(|picture| picture.pts).collect();
        shown.sort_unstable();
        assert_eq!(shown.len(), of(&there, TrackKind::Video).len());
        assert!(shown.windows(2).all(|pair| pair[1] - pair[0] == 3_000));
        let sounds = of(&here, TrackKind::Audio);
        assert_eq!(sounds[0].codec, Codec::Opus);
        // An encoder's first packets begin before the sound that it was given.
        let behind = |pictures: i64, sounds: &[&AccessUnit]| sounds[0].pts - pictures;
        let wanted = behind(of(&there, TrackKind::Video)[0].pts, &of(&there, TrackKind::Audio));
        let found = behind(shown[0], &sounds);
        assert!((found - wanted).abs() < 40 * 90, "sound is {found} ticks behind, not {wanted}");
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_one_line() {
        let fragments = ["-an", "-c:v", "copy", "-movflags", "frag_keyframe+empty_moov"];
        let Some(file) = made("fragments.mp4", &fragments) else { return };
        assert!(open(&file).await.unwrap_err().line().contains("in fragments"));
        let Some(whole) = made("whole.mp4", &["-c", "copy", "-movflags", "+faststart"]) else { return };
        let bytes = std::fs::read(&whole).unwrap();
        for (cut, wanted) in [(20, "without an index"), (2_000, "an index of"), (40_000, "h264 sample")] {
            std::fs::write(&file, &bytes[..cut]).unwrap();
            let said = match open(&file).await {
                Err(e) => e.line().to_owned(),
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
}
