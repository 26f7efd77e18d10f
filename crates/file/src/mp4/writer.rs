//! Access units to the bytes of an MP4 file: `ftyp`, the samples in `mdat` as they come, and the index behind them, since
//! only the end knows it. Until [`finish`](Mp4Writer::finish) the file cannot be played.

use std::io::{Seek, SeekFrom, Write};

use cutrickle_error::BoxError;
use cutrickle_media::{AccessUnit, AudioCodec, Codec, Ticks, Tracks, VideoCodec};
use mp4_atom::{Encode, FourCC, Ftyp, Moov, Mvhd};

use super::description;
use super::track::{Sample, Track};

/// The header of a box whose size has 64 bits (ISO/IEC 14496-12, 4.2.2).
const LARGE_HEADER: u64 = 16;

/// A file that is being written.
#[derive(Debug)]
pub(crate) struct Mp4Writer<W> {
    out: W,
    /// Where `mdat` begins, and where the next sample goes.
    media: u64,
    at: u64,
    video: Option<Track>,
    audio: Option<Track>,
    opus_channels: u8,
}

impl<W: Write + Seek> Mp4Writer<W> {
    /// Begins a file where `out` is.
    pub(crate) fn new(mut out: W) -> Result<Self, BoxError> {
        let brand = |name| FourCC::new(name);
        let ftyp = Ftyp {
            major_brand: brand(b"isom"),
            minor_version: 512,
            compatible_brands: [b"isom", b"iso2", b"mp41"].map(brand).to_vec(),
        };
        let mut head = Vec::new();
        ftyp.encode(&mut head)?;
        let media = out.stream_position()? + head.len() as u64;
        head.extend_from_slice(&large_header(LARGE_HEADER));
        out.write_all(&head)?;
        Ok(Self { out, media, at: media + LARGE_HEADER, video: None, audio: None, opus_channels: 2 })
    }

    /// Where the file has got to.
    pub(crate) fn position(&self) -> u64 {
        self.at
    }

    /// Notes the tracks of the units from here on, and hands everything before on to the operating system.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn begin_segment(&mut self, tracks: &Tracks) -> Result<(), BoxError> {
        self.opus_channels = tracks.audio_channels.unwrap_or(2);
        Ok(self.out.flush()?)
    }

    /// Writes a unit.
    ///
    /// # Errors
    /// It cannot be written, is not what its codec says, or is of another codec than its track; video that begins without
    /// parameter sets.
    pub(crate) fn unit(&mut self, unit: &AccessUnit) -> Result<(), BoxError> {
        match unit.codec {
            Codec::Video(codec) => self.video(codec, unit),
            Codec::Audio(codec) => self.audio(codec, unit),
        }
    }

    fn video(&mut self, codec: VideoCodec, unit: &AccessUnit) -> Result<(), BoxError> {
        let (described, sample) = description::video(codec, &unit.data)?;
        let scale = u32::try_from(Ticks::PER_SECOND.get())?;
        let track = of_codec(&mut self.video, unit.codec, scale)?;
        if let Some(described) = described {
            track.describe(described)?;
        } else if !track.is_described() {
            return Err(format!("{} that does not begin with its parameter sets", codec.title()).into());
        }
        let (offset, size) = (self.at, u32::try_from(sample.len())?);
        self.out.write_all(&sample)?;
        self.at += u64::from(size);
        track.add(Sample { at: unit.pts, lasts: None, offset, size, keyframe: unit.keyframe })
    }

    fn audio(&mut self, codec: AudioCodec, unit: &AccessUnit) -> Result<(), BoxError> {
        let packet = description::audio(codec, &unit.data, self.opus_channels)?;
        let track = of_codec(&mut self.audio, unit.codec, packet.rate)?;
        track.describe(packet.description)?;
        let (offset, size) = (self.at, u32::try_from(packet.sample.len())?);
        self.out.write_all(packet.sample)?;
        self.at += u64::from(size);
        // The rate may have changed since the track took its time scale from it.
        let lasts = u64::from(packet.lasts) * u64::from(track.scale()) / u64::from(packet.rate.max(1));
        track.add(Sample { at: unit.pts, lasts: Some(u32::try_from(lasts)?), offset, size, keyframe: true })
    }

    /// Writes the index, and hands everything on to the operating system; how long the file is.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn finish(self) -> Result<u64, BoxError> {
        let Self { mut out, media, at, video, audio, .. } = self;
        let tracks: Vec<Track> = video.into_iter().chain(audio).collect();
        let begins = tracks.iter().filter_map(Track::first).min().unwrap_or_default();
        let mut moov = Moov::default();
        let mut duration = 0;
        for (track, id) in tracks.into_iter().zip(1..) {
            let (trak, plays) = track.finish(id, begins)?;
            moov.trak.push(trak);
            duration = plays.max(duration);
            moov.mvhd.next_track_id = id + 1;
        }
        moov.mvhd = Mvhd {
            timescale: u32::try_from(Ticks::PER_SECOND.get())?,
            duration,
            rate: 1.into(),
            volume: 1.into(),
            ..moov.mvhd
        };
        let mut index = Vec::new();
        moov.encode(&mut index)?;
        out.write_all(&index)?;
        out.seek(SeekFrom::Start(media))?;
        out.write_all(&large_header(at - media))?;
        out.flush()?;
        Ok(at + index.len() as u64)
    }
}

/// The header of an `mdat` of `size` bytes, header included.
fn large_header(size: u64) -> [u8; LARGE_HEADER as usize] {
    let mut header = [0, 0, 0, 1, b'm', b'd', b'a', b't', 0, 0, 0, 0, 0, 0, 0, 0];
    header[8..].copy_from_slice(&size.to_be_bytes());
    header
}

/// The track for units of `codec`, begun with the first one.
fn of_codec(track: &mut Option<Track>, codec: Codec, scale: u32) -> Result<&mut Track, BoxError> {
    let track = track.get_or_insert_with(|| Track::new(codec, scale));
    if track.codec() == codec {
        return Ok(track);
    }
    let (kind, before) = (codec.kind(), track.codec());
    Err(format!(
        "{kind} changes from {before} to {codec}, and a track of an MP4 file has one codec: write a transport stream (.ts), \
         or encode all audio anew"
    )
    .into())
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;
    use std::process::Command;

    use bytes::Bytes;
    use cutrickle_media::Timestamp;
    use cutrickle_mpegts::{Demuxer, Event};

    use super::*;

    /// The access units of what ffmpeg makes by these arguments.
    fn units(arguments: &[&str]) -> Vec<AccessUnit> {
        let source = "testsrc2=size=322x182:rate=25:duration=2";
        let output = Command::new("ffmpeg")
            .args(["-v", "error", "-f", "lavfi", "-i", source])
            .args(["-f", "lavfi", "-i", "sine=frequency=440:sample_rate=44100:duration=2"])
            .args(arguments)
            .args(["-pix_fmt", "yuv420p", "-f", "mpegts", "-"])
            .output()
            .expect("ffmpeg (package ffmpeg)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let (mut demuxer, mut units) = (Demuxer::new(), Vec::new());
        let mut sink = |event| {
            if let Event::Unit(unit) = event {
                units.push(unit);
            }
        };
        demuxer.push(&output.stdout, &mut sink);
        demuxer.end_segment(&mut sink);
        units
    }

    fn written(units: &[AccessUnit]) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        let mut writer = Mp4Writer::new(&mut file).unwrap();
        writer.begin_segment(&Tracks { audio_channels: Some(1), ..Tracks::default() }).unwrap();
        for unit in units {
            writer.unit(unit).unwrap();
        }
        let length = writer.finish().unwrap();
        assert_eq!(length, file.get_ref().len() as u64);
        file.into_inner()
    }

    /// Codec, size, frames that are decoded, and duration of each stream of a file, by ffprobe; complaints are failures.
    fn probed(name: &str, file: &[u8]) -> Vec<String> {
        let path = std::env::temp_dir().join(format!("cutrickle-file-{}-{name}.mp4", std::process::id()));
        std::fs::write(&path, file).unwrap();
        let output = Command::new("ffprobe")
            .args(["-v", "warning", "-count_frames", "-of", "csv=p=0", "-show_entries"])
            .arg("stream=codec_name,codec_tag_string,width,height,pix_fmt,sample_rate,channels,duration,nb_read_frames")
            .arg(&path)
            .output()
            .expect("ffprobe (package ffmpeg)");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn h265_and_opus_are_read_by_others() {
        let coded = ["-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none:bframes=0"];
        let units = units(&[&coded[..], &["-c:a", "libopus"]].concat());
        let told = probed("h265", &written(&units));
        assert_eq!(told[0], "hevc,hvc1,322,182,yuv420p,2.000000,50");
        let packets = units.iter().filter(|unit| unit.codec == Codec::OPUS).count();
        assert_eq!(told[1], format!("opus,Opus,48000,1,{:.6},{packets}", packets as f64 * 0.02));
    }

    #[test]
    fn audio_alone_and_a_rate_that_ticks_do_not_divide() {
        let units = units(&["-vn", "-c:a", "aac"]);
        let told = probed("aac", &written(&units));
        let duration = units.len() as f64 * 1_024.0 / 44_100.0;
        assert_eq!(told, [format!("aac,mp4a,44100,1,{duration:.6},{}", units.len())]);
    }

    #[test]
    fn a_track_has_one_codec_and_video_its_parameter_sets() {
        let mut writer = Mp4Writer::new(Cursor::new(Vec::new())).unwrap();
        let unit = |codec: Codec, data: &'static [u8]| {
            AccessUnit::new(codec, Timestamp::ZERO, true, Bytes::from_static(data))
        };
        let error = writer.unit(&unit(Codec::H264, &[0, 0, 1, 0x65, 1])).unwrap_err().to_string();
        assert!(error.contains("parameter sets"), "{error}");
        writer.unit(&unit(Codec::OPUS, &[0xFC, 1, 2])).unwrap();
        let aac = [0xFF, 0xF1, 0x4C, 0x80, 0x01, 0x5F, 0xFC, 1, 2, 3];
        let error = writer.unit(&unit(Codec::AAC, Box::leak(Box::new(aac)))).unwrap_err().to_string();
        assert!(error.contains("from opus to aac"), "{error}");
    }
}
