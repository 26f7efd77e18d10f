//! Decoding of AAC-LC in ADTS frames that ffmpeg encoded.
#![allow(clippy::unwrap_used)]

mod audio_signal;

use audio_signal::{Noise, adts_frames, amplitude, ffmpeg, frequency};
use cutrickle_codec::audio::{channels, packet_duration};
use cutrickle_codec::{AudioDecoder, Backends, Error};
use cutrickle_media::AudioCodec;

fn decoder() -> Box<dyn AudioDecoder> {
    Backends::builtin().open_audio_decoder(AudioCodec::Aac).unwrap()
}

/// One second of 440 Hz with an amplitude of 0.5 on the left, and with two channels also 1000 Hz with 0.25 on
/// the right.
fn tones(rate: u32, channels: usize) -> Option<Vec<Vec<u8>>> {
    let left = "0.5*sin(2*PI*440*t)";
    let expression = match channels {
        1 => format!("aevalsrc={left}:s={rate}:d=1"),
        _ => format!("aevalsrc={left}|0.25*sin(2*PI*1000*t):s={rate}:d=1"),
    };
    let arguments = ["-f", "lavfi", "-i", &expression, "-c:a", "aac", "-b:a", "160k", "-f", "adts", "pipe:1"];
    Some(adts_frames(&ffmpeg(&arguments, &[])?))
}

/// The samples of all frames, with one row per channel.
fn decoded(decoder: &mut dyn AudioDecoder, frames: &[Vec<u8>]) -> Vec<Vec<f32>> {
    let mut rows: Vec<Vec<f32>> = Vec::new();
    for frame in frames {
        let samples = decoder.decode(frame).unwrap();
        rows.resize(samples.channels.len(), Vec::new());
        for (row, new) in rows.iter_mut().zip(&samples.channels) {
            assert_eq!(new.len(), 1024);
            row.extend(new);
        }
    }
    rows
}

fn assert_tones(rows: &[Vec<f32>], rate: u32) {
    let middle: Vec<&[f32]> = rows.iter().map(|row| &row[8_192..32_768]).collect();
    assert!((frequency(middle[0], rate) - 440.0).abs() < 0.5, "{}", frequency(middle[0], rate));
    assert!((amplitude(middle[0], 440.0, rate) - 0.5).abs() < 0.02);
    if let Some(right) = middle.get(1) {
        assert!((amplitude(right, 1_000.0, rate) - 0.25).abs() < 0.01);
        assert!(amplitude(middle[0], 1_000.0, rate) < 0.005, "the right channel leaks into the left");
        assert!(amplitude(right, 440.0, rate) < 0.005, "the left channel leaks into the right");
    }
}

#[test]
fn tones_keep_their_frequency_level_and_side() {
    for rate in [44_100, 48_000] {
        for count in [1, 2] {
            let Some(frames) = tones(rate, count) else { return };
            let mut decoder = decoder();
            assert_eq!(decoder.decode(&frames[0]).unwrap().sample_rate, rate);
            let rows = decoded(&mut *decoder, &frames[1..]);
            assert_eq!(rows.len(), count);
            assert_tones(&rows, rate);
        }
    }
}

#[test]
fn a_frame_tells_its_duration_and_channels_undecoded() {
    for (rate, count) in [(44_100, 1), (48_000, 2), (22_050, 2)] {
        let Some(frames) = tones(rate, count) else { return };
        for frame in &frames {
            assert_eq!(packet_duration(AudioCodec::Aac, frame), Some((1024, rate)));
            assert_eq!(channels(AudioCodec::Aac, frame), Some(count));
        }
    }
    assert_eq!(packet_duration(AudioCodec::Aac, &[0xff, 0xf1, 0x50]), None);
    assert_eq!(channels(AudioCodec::Aac, &[]), None);
}

#[test]
fn a_change_of_rate_and_channels_is_followed() {
    let mut decoder = decoder();
    for (rate, count) in [(48_000, 2), (44_100, 1), (44_100, 2)] {
        let Some(frames) = tones(rate, count) else { return };
        let rows = decoded(&mut *decoder, &frames);
        assert_eq!(rows.len(), count);
        assert_tones(&rows, rate);
    }
}

/// A frame whose header has these fields, followed by ten bytes of zero.
fn frame(profile: u8, rate_index: u8, channels: u8) -> Vec<u8> {
    let length = 17u8;
    let mut frame = vec![
        0xff,
        0xf1,
        profile << 6 | rate_index << 2 | channels >> 2,
        channels << 6,
        length >> 3,
        length << 5 | 0x1f,
        0xfc,
    ];
    frame.resize(usize::from(length), 0);
    frame
}

#[test]
fn an_error_names_what_was_wrong() {
    let error = |packet: &[u8]| -> Error { decoder().decode(packet).unwrap_err() };
    let mut several = frame(1, 3, 2);
    several[6] |= 2;
    for (packet, words, unsupported) in [
        (vec![], "0 bytes", false),
        (vec![0xff; 6], "6 bytes", false),
        (vec![0; 20], "syncword", false),
        (frame(1, 13, 2), "index 13", false),
        (frame(1, 3, 2)[..12].to_vec(), "17 bytes in a packet of 12", false),
        ([frame(1, 3, 2), vec![0]].concat(), "17 bytes in a packet of 18", false),
        (frame(0, 3, 2), "Main", true),
        (frame(3, 3, 2), "LTP", true),
        (frame(1, 3, 6), "6 channels", true),
        (frame(1, 3, 7), "8 channels", true),
        (frame(1, 3, 0), "program config", true),
        (several, "3 raw data blocks", true),
    ] {
        let error = error(&packet);
        assert!(error.to_string().contains(words), "{error} lacks {words:?}");
        assert_eq!(error.is_unsupported(), unsupported, "{error}");
    }
}

#[test]
fn the_core_of_he_aac_is_decoded() {
    let Some(mut frames) = tones(24_000, 2) else { return };
    // Inserts a fill element of eight bytes, which claims to be SBR data, before the end element.
    let fill: Vec<bool> =
        bits(0b110, 3).chain(bits(8, 4)).chain(bits(0xd, 4)).chain((0..60).map(|n| n % 3 == 0)).collect();
    for frame in &mut frames {
        let mut payload: Vec<bool> = frame[7..].iter().flat_map(|&byte| bits(byte.into(), 8)).collect();
        let end = payload.iter().rposition(|&bit| bit).unwrap() - 2;
        payload.splice(end..end, fill.iter().copied());
        payload.resize(payload.len().next_multiple_of(8), false);
        frame.truncate(7);
        frame.extend(payload.chunks(8).map(|byte| byte.iter().fold(0, |sum, &bit| sum << 1 | u8::from(bit))));
        let length = frame.len();
        frame[3] = frame[3] & !3 | (length >> 11) as u8;
        frame[4] = (length >> 3) as u8;
        frame[5] = (length << 5) as u8 | frame[5] & 0x1f;
    }
    let rows = decoded(&mut *decoder(), &frames);
    assert_eq!(rows.len(), 2);
    assert!((frequency(&rows[0][4_096..20_480], 24_000) - 440.0).abs() < 0.5);
    assert!((amplitude(&rows[1][4_096..20_480], 1_000.0, 24_000) - 0.25).abs() < 0.01);
}

fn bits(value: u32, count: u32) -> impl Iterator<Item = bool> {
    (0..count).rev().map(move |n| value >> n & 1 == 1)
}

#[test]
fn damaged_frames_are_errors_and_good_ones_after_them_are_decoded() {
    let Some(frames) = tones(44_100, 2) else { return };
    let mut noise = Noise(1);
    let mut decoder = decoder();
    for _ in 0..20 {
        for frame in &frames {
            let mut damaged = frame.clone();
            match noise.next() % 3 {
                // Keeps the header, so that the damage reaches the parser of the payload.
                0 => {
                    let random = noise.bytes(damaged.len() - 7);
                    damaged[7..].copy_from_slice(&random);
                }
                1 => {
                    let at = 7 + noise.next() as usize % (damaged.len() - 7);
                    damaged[at] ^= 1 << (noise.next() % 8);
                }
                _ => damaged.truncate(noise.next() as usize % damaged.len()),
            }
            drop(decoder.decode(&damaged));
        }
    }
    // The first good frame may be refused, if a damaged frame left the decoder with another channel layout.
    drop(decoder.decode(&frames[0]));
    assert_tones(&decoded(&mut *decoder, &frames[1..]), 44_100);
}

#[test]
fn random_bytes_are_errors() {
    let mut noise = Noise(2);
    let mut decoder = decoder();
    for _ in 0..2_000 {
        let length = noise.next() as usize % 64;
        assert!(decoder.decode(&noise.bytes(length)).is_err());
    }
}
