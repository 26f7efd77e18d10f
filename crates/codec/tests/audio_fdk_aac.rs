//! Encoding of AAC-LC. The output is checked with our own decoder and with ffmpeg.
#![cfg(feature = "fdk-aac")]
#![allow(clippy::unwrap_used)]

mod audio_signal;

use audio_signal::{amplitude, click, ffmpeg, frequency, peak, sine};
use cutrickle_codec::audio::{channels, packet_duration};
use cutrickle_codec::{AudioEncoder, Backends, Result, Samples};
use cutrickle_media::{AccessUnit, AudioCodec, Ticks, Timestamp};

fn encoder(channels: usize) -> Result<Box<dyn AudioEncoder>> {
    Backends::builtin().open_audio_encoder(AudioCodec::Aac, channels)
}

/// Encodes everything in pieces of 1000 samples. The first sample has the time `start`, in ticks of 90 kHz.
fn encoded(channels: usize, sample_rate: u32, rows: &[Vec<f32>], start: i64) -> Vec<AccessUnit> {
    let mut encoder = encoder(channels).unwrap();
    let mut packets = Vec::new();
    for at in (0..rows[0].len()).step_by(1000) {
        let piece = |row: &Vec<f32>| row[at..row.len().min(at + 1000)].to_vec();
        let samples = Samples { sample_rate, channels: rows.iter().map(piece).collect() };
        let timestamp = Timestamp::from_ticks(start + at as i64 * 90_000 / i64::from(sample_rate));
        encoder.encode(&samples, timestamp, &mut |packet| packets.push(packet)).unwrap();
    }
    encoder.flush(&mut |packet| packets.push(packet)).unwrap();
    packets
}

fn decoded(packets: &[AccessUnit]) -> Vec<Vec<f32>> {
    let mut decoder = Backends::builtin().open_audio_decoder(AudioCodec::Aac).unwrap();
    let mut rows: Vec<Vec<f32>> = Vec::new();
    for packet in packets {
        assert_eq!(packet_duration(AudioCodec::Aac, &packet.data), Some((1024, 48_000)));
        let samples = decoder.decode(&packet.data).unwrap();
        rows.resize(samples.channels.len(), Vec::new());
        for (row, new) in rows.iter_mut().zip(&samples.channels) {
            row.extend(new);
        }
    }
    rows
}

#[test]
fn tones_survive_the_round_trip_on_their_sides() {
    for rate in [48_000, 44_100] {
        let length = rate as usize;
        let rows = [sine(440.0, 0.5, rate, length), sine(1_000.0, 0.25, rate, length)];
        let packets = encoded(2, rate, &rows, 0);
        assert_eq!(channels(AudioCodec::Aac, &packets[0].data), Some(2));
        let rows = decoded(&packets);
        let (left, right) = (&rows[0][8_192..40_960], &rows[1][8_192..40_960]);
        assert!((frequency(left, 48_000) - 440.0).abs() < 0.2);
        assert!((amplitude(left, 440.0, 48_000) - 0.5).abs() < 0.02);
        assert!((amplitude(right, 1_000.0, 48_000) - 0.25).abs() < 0.01);
        assert!(amplitude(right, 440.0, 48_000) < 0.005);
    }
}

#[test]
fn a_click_comes_out_at_its_own_time() {
    for rate in [48_000, 44_100] {
        for count in [1, 2] {
            let start = 123_456;
            let rows = vec![click(rate as usize * 7 / 10, rate, rate as usize); count];
            let packets = encoded(count, rate, &rows, start);
            let rows = decoded(&packets);
            assert_eq!(rows.len(), count);
            let heard = packets[0].pts.ticks() + peak(&rows[0]) as i64 * 90_000 / 48_000;
            let off = heard - (start + 63_000);
            assert!(off.abs() <= 45, "{rate} Hz, {count} channels: {off} ticks off");
        }
    }
}

#[test]
fn the_output_covers_the_input() {
    let packets = encoded(2, 48_000, &vec![sine(440.0, 0.5, 48_000, 48_000); 2], 0);
    for pair in packets.windows(2) {
        assert_eq!(pair[1].pts - pair[0].pts, Ticks::new(1_920));
    }
    let end = packets[packets.len() - 1].pts.ticks() + 1_920;
    assert!((90_000..90_000 + 1_920).contains(&end), "{end}");
}

#[test]
fn ffmpeg_decodes_the_stream() {
    let rows = [sine(440.0, 0.5, 48_000, 48_000), sine(1_000.0, 0.25, 48_000, 48_000)];
    let stream: Vec<u8> =
        encoded(2, 48_000, &rows, 0).iter().flat_map(|packet| packet.data.to_vec()).collect();
    let arguments = ["-f", "aac", "-i", "pipe:0", "-f", "f32le", "pipe:1"];
    let Some(pcm) = ffmpeg(&arguments, &stream) else { return };
    let left: Vec<f32> =
        pcm.chunks_exact(8).map(|b| f32::from_le_bytes(b[..4].try_into().unwrap())).collect();
    assert!((frequency(&left[8_192..40_960], 48_000) - 440.0).abs() < 0.2);
    assert!((amplitude(&left[8_192..40_960], 440.0, 48_000) - 0.5).abs() < 0.02);
}

#[test]
fn it_is_named_and_refuses_no_channels() {
    assert!(encoder(0).err().unwrap().is_unsupported());
    let encoder = encoder(6).unwrap();
    assert_eq!((encoder.backend(), encoder.codec()), ("fdk-aac", AudioCodec::Aac));
}
