//! Opus in both directions: our decoder reads packets of ffmpeg, and our own packets are decoded by both.
#![allow(clippy::unwrap_used)]

mod audio_signal;
mod ogg;

use audio_signal::{Noise, amplitude, click, ffmpeg, frequency, peak, sine, tone_to_noise};
use cutrickle_codec::audio::{channels, packet_duration};
use cutrickle_codec::{AudioDecoder, AudioEncoder, Backends, Result, Samples};
use cutrickle_media::{AccessUnit, AudioCodec, Ticks, Timestamp};

fn decoder() -> Box<dyn AudioDecoder> {
    Backends::builtin().open_audio_decoder(AudioCodec::Opus).unwrap()
}

fn encoder(channels: usize) -> Result<Box<dyn AudioEncoder>> {
    Backends::builtin().open_audio_encoder(AudioCodec::Opus, channels)
}

/// Encodes everything in pieces of 1024 samples. The first sample has the time `start`, in ticks of 90 kHz.
fn encoded(channels: usize, sample_rate: u32, rows: &[Vec<f32>], start: i64) -> Vec<AccessUnit> {
    let mut encoder = encoder(channels).unwrap();
    let mut packets = Vec::new();
    for at in (0..rows[0].len()).step_by(1024) {
        let piece = |row: &Vec<f32>| row[at..row.len().min(at + 1024)].to_vec();
        let samples = Samples { sample_rate, channels: rows.iter().map(piece).collect() };
        let timestamp = Timestamp::from_ticks(start + at as i64 * 90_000 / i64::from(sample_rate));
        encoder.encode(&samples, timestamp, &mut |packet| packets.push(packet)).unwrap();
    }
    encoder.flush(&mut |packet| packets.push(packet)).unwrap();
    packets
}

fn decoded<'a>(packets: impl IntoIterator<Item = &'a [u8]>) -> Vec<Vec<f32>> {
    let mut decoder = decoder();
    let mut rows: Vec<Vec<f32>> = Vec::new();
    for packet in packets {
        let samples = decoder.decode(packet).unwrap();
        assert_eq!(samples.sample_rate, 48_000);
        assert_eq!(
            packet_duration(AudioCodec::Opus, packet),
            Some((samples.channels[0].len() as u32, 48_000))
        );
        rows.resize(samples.channels.len(), Vec::new());
        for (row, new) in rows.iter_mut().zip(&samples.channels) {
            row.extend(new);
        }
    }
    rows
}

fn data(packets: &[AccessUnit]) -> impl Iterator<Item = &[u8]> {
    packets.iter().map(|packet| &packet.data[..])
}

#[test]
fn packets_of_another_encoder_and_of_any_duration_are_decoded() {
    for (milliseconds, count) in
        [("2.5", 1), ("5", 2), ("10", 1), ("20", 2), ("60", 1), ("100", 2), ("120", 2)]
    {
        let source = match count {
            1 => "aevalsrc=0.5*sin(2*PI*440*t):s=48000:d=1",
            _ => "aevalsrc=0.5*sin(2*PI*440*t)|0.25*sin(2*PI*1000*t):s=48000:d=1",
        };
        let arguments = [
            "-f",
            "lavfi",
            "-i",
            source,
            "-c:a",
            "libopus",
            "-b:a",
            "128k",
            "-frame_duration",
            milliseconds,
            "-f",
            "opus",
            "pipe:1",
        ];
        let Some(file) = ffmpeg(&arguments, &[]) else { return };
        let packets = ogg::packets(&file);
        // The first two packets are headers (RFC 7845, section 5).
        let rows = decoded(packets[2..].iter().map(Vec::as_slice));
        assert_eq!(rows.len(), count);
        assert_eq!(channels(AudioCodec::Opus, &packets[2]), Some(count));
        let left = &rows[0][4_800..43_200];
        assert!((frequency(left, 48_000) - 440.0).abs() < 0.5, "{milliseconds} ms");
        assert!((amplitude(left, 440.0, 48_000) - 0.5).abs() < 0.02, "{milliseconds} ms");
        if count == 2 {
            assert!((amplitude(&rows[1][4_800..43_200], 1_000.0, 48_000) - 0.25).abs() < 0.01);
        }
    }
}

#[test]
fn a_stereo_packet_turns_the_output_to_stereo_for_good() {
    let mono = encoded(1, 48_000, &[sine(440.0, 0.5, 48_000, 4_800)], 0);
    let stereo = encoded(2, 48_000, &vec![sine(440.0, 0.5, 48_000, 4_800); 2], 0);
    let mut decoder = decoder();
    let counts = [&mono[0], &stereo[0], &mono[1]].map(|p| decoder.decode(&p.data).unwrap().channels.len());
    assert_eq!(counts, [1, 2, 2]);
}

#[test]
fn a_tone_survives_the_round_trip() {
    for rate in [48_000, 44_100, 16_000] {
        for count in [1, 2] {
            let rows = vec![sine(440.0, 0.5, rate, rate as usize); count];
            let packets = encoded(count, rate, &rows, 0);
            assert_eq!(channels(AudioCodec::Opus, &packets[0].data), Some(count));
            let rows = decoded(data(&packets));
            assert_eq!(rows.len(), count);
            let middle = &rows[0][4_800..43_200];
            assert!((frequency(middle, 48_000) - 440.0).abs() < 0.2);
            assert!((amplitude(middle, 440.0, 48_000) - 0.5).abs() < 0.02);
            let ratio = tone_to_noise(middle, 440.0, 48_000);
            assert!(ratio > 20.0, "{rate} Hz, {count} channels: {ratio} dB");
        }
    }
}

#[test]
fn sides_stay_apart() {
    let rows = [sine(440.0, 0.5, 48_000, 48_000), vec![0.0; 48_000]];
    let rows = decoded(data(&encoded(2, 48_000, &rows, 0)));
    let (left, right) = (&rows[0][4_800..43_200], &rows[1][4_800..43_200]);
    assert!((amplitude(left, 440.0, 48_000) - 0.5).abs() < 0.02);
    assert!(amplitude(right, 440.0, 48_000) < 0.005, "{}", amplitude(right, 440.0, 48_000));
}

#[test]
fn surround_is_mixed_down() {
    // Of the six channels of 5.1 only the left surround is not silent.
    let mut rows = vec![vec![0.0; 48_000]; 6];
    rows[4] = sine(440.0, 0.9, 48_000, 48_000);
    let rows = decoded(data(&encoded(2, 48_000, &rows, 0)));
    let gain = 0.5f64.sqrt() / (1.0 + 2.0 * 0.5f64.sqrt());
    assert!((amplitude(&rows[0][4_800..43_200], 440.0, 48_000) - 0.9 * gain).abs() < 0.02);
    assert!(amplitude(&rows[1][4_800..43_200], 440.0, 48_000) < 0.005);
}

#[test]
fn a_click_comes_out_at_its_own_time() {
    for rate in [48_000, 44_100, 22_050] {
        for count in [1, 2] {
            let start = 123_456;
            // The click is 0.7 s after the start.
            let rows = vec![click(rate as usize * 7 / 10, rate, rate as usize); count];
            let packets = encoded(count, rate, &rows, start);
            let rows = decoded(data(&packets));
            let heard = packets[0].pts.ticks() + peak(&rows[0]) as i64 * 90_000 / 48_000;
            let off = heard - (start + 63_000);
            assert!(off.abs() <= 45, "{rate} Hz, {count} channels: {off} ticks off");
        }
    }
}

#[test]
fn packets_follow_each_other_without_holes_and_cover_the_input() {
    let packets = encoded(2, 44_100, &vec![sine(440.0, 0.5, 44_100, 44_100); 2], 9_000);
    assert_eq!(packets[0].pts.ticks(), 9_000 - 585);
    for pair in packets.windows(2) {
        assert_eq!(pair[1].pts - pair[0].pts, Ticks::new(1_800));
    }
    let end = packets[packets.len() - 1].pts.ticks() + 1_800;
    assert!((99_000..99_000 + 1_800).contains(&end), "{end}");
}

#[test]
fn a_gap_restarts_the_timestamps_and_less_than_20_ms_does_not() {
    let mut encoder = encoder(1).unwrap();
    let mut times = Vec::new();
    let samples = Samples { sample_rate: 48_000, channels: vec![vec![0.1; 960]] };
    for timestamp in [0, 1_800 + 1_700, 3_600 - 1_700, 5_400 + 1_900, 9_100] {
        let timestamp = Timestamp::from_ticks(timestamp);
        encoder.encode(&samples, timestamp, &mut |packet| times.push(packet.pts.ticks())).unwrap();
    }
    encoder.flush(&mut |packet| times.push(packet.pts.ticks())).unwrap();
    encoder.flush(&mut |packet| times.push(packet.pts.ticks())).unwrap();
    // Three packets of the first run and one with what was left in its lookahead, and then the same for the
    // second run.
    let expected = [0, 1_800, 3_600, 5_400, 7_300, 9_100, 10_900].map(|t| t - 585);
    assert_eq!(times, expected);
}

#[test]
fn ffmpeg_hears_what_was_encoded_at_the_time_it_was() {
    let mut left = sine(440.0, 0.25, 48_000, 96_000);
    left[..48_000].fill(0.0);
    let right = click(24_000, 48_000, 96_000);
    let packets = encoded(2, 48_000, &[left, right], 0);
    // The samples before time zero are what containers call the pre-skip.
    let pre_skip = (-packets[0].pts.ticks() * 48_000 / 90_000) as u16;
    let file = ogg::opus_file(2, pre_skip, data(&packets));
    let arguments = ["-i", "pipe:0", "-f", "f32le", "-ac", "2", "-ar", "48000", "pipe:1"];
    let Some(pcm) = ffmpeg(&arguments, &file) else { return };
    let samples: Vec<f32> = pcm.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect();
    let side = |n| -> Vec<f32> { samples.iter().skip(n).step_by(2).copied().collect() };
    let (left, right) = (side(0), side(1));
    assert!((frequency(&left[52_800..91_200], 48_000) - 440.0).abs() < 0.2);
    assert!((amplitude(&left[52_800..91_200], 440.0, 48_000) - 0.25).abs() < 0.01);
    assert!(amplitude(&right[52_800..91_200], 440.0, 48_000) < 0.005);
    assert!(left[..43_200].iter().all(|s| s.abs() < 0.01));
    assert!(peak(&right).abs_diff(24_000) <= 24, "{}", peak(&right));
}

#[test]
fn damaged_packets_are_errors_and_good_ones_after_them_are_decoded() {
    let tone = encoded(2, 48_000, &vec![sine(440.0, 0.5, 48_000, 48_000); 2], 0);
    let mut noise = Noise(3);
    let mut decoder = decoder();
    assert!(decoder.decode(&[]).is_err());
    for _ in 0..4_000 {
        // Most random bytes are a valid packet that contains noise. None of them may do any harm.
        let length = 1 + noise.next() as usize % 200;
        if let Ok(samples) = decoder.decode(&noise.bytes(length)) {
            assert!(samples.channels.iter().all(|row| row.len() <= 5_760));
        }
    }
    for packet in &tone {
        let mut damaged = packet.data.to_vec();
        let at = noise.next() as usize % damaged.len();
        damaged[at] ^= 1 << (noise.next() % 8);
        drop(decoder.decode(&damaged));
        drop(decoder.decode(&packet.data[..at.max(1)]));
    }
    let mut left = Vec::new();
    for packet in &tone {
        left.extend(decoder.decode(&packet.data).unwrap().channels.remove(0));
    }
    assert!((amplitude(&left[4_800..43_200], 440.0, 48_000) - 0.5).abs() < 0.02);
}

#[test]
fn an_encoder_survives_samples_that_are_no_sound() {
    let mut noise = Noise(4);
    let mut encoder = encoder(2).unwrap();
    let mut packets = Vec::new();
    for n in 0..200 {
        let wild = |noise: &mut Noise| -> Vec<f32> {
            (0..1024).map(|_| f32::from_bits(noise.next() as u32)).collect()
        };
        let channels = vec![wild(&mut noise), wild(&mut noise)];
        let samples = Samples { sample_rate: [48_000, 44_100][n % 2], channels };
        let timestamp = Timestamp::from_ticks(n as i64 * 1_920);
        encoder.encode(&samples, timestamp, &mut |packet| packets.push(packet)).unwrap();
    }
    encoder.flush(&mut |packet| packets.push(packet)).unwrap();
    assert!(packets.len() >= 200);
    decoded(data(&packets));
    let samples = Samples { sample_rate: 48_000, channels: vec![vec![0.0; 960]; 9] };
    assert!(encoder.encode(&samples, Timestamp::ZERO, &mut |_| {}).unwrap_err().is_unsupported());
    let samples = Samples { sample_rate: 1, channels: vec![vec![0.0; 960]] };
    assert!(encoder.encode(&samples, Timestamp::ZERO, &mut |_| {}).unwrap_err().is_unsupported());
}

#[test]
fn only_one_or_two_channels_are_encoded() {
    assert!(encoder(0).err().unwrap().is_unsupported());
    let packets = encoded(3, 48_000, &vec![sine(440.0, 0.5, 48_000, 4_800); 3], 0);
    assert!(packets.iter().all(|packet| channels(AudioCodec::Opus, &packet.data) == Some(2)));
}

#[test]
fn the_backends_have_the_names_of_the_status() {
    let backends = Backends::builtin();
    for (codec, name) in [(AudioCodec::Aac, "symphonia"), (AudioCodec::Opus, "libopus")] {
        assert_eq!(backends.open_audio_decoder(codec).unwrap().backend(), name);
    }
    assert_eq!(encoder(6).unwrap().backend(), "libopus");
}

#[cfg(not(feature = "fdk-aac"))]
#[test]
fn encoding_aac_without_its_feature_names_the_feature() {
    let error = Backends::builtin().open_audio_encoder(AudioCodec::Aac, 2).err().unwrap();
    assert!(error.is_unsupported());
    assert!(error.to_string().contains("`fdk-aac`"), "{error}");
}
