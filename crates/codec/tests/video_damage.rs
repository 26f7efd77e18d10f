//! The decoder of openh264 with streams that are damaged, that change, or that it does not support.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod video_media;

use cutrickle_codec::{Error, VideoDecoder};
use cutrickle_frame::{Origin, VideoFrame};
use cutrickle_media::{AccessUnit, Loss, Ticks, Timestamp};
use video_media::{Media, decode_all, edit, h264, has_ffmpeg, openh264, psnr, samples, source};

/// A stream with keyframes at 0, 10 and 20.
fn media() -> Media {
    h264(&source(320, 240, 30), &["-bf", "0", "-g", "10", "-x264-params", "scenecut=0"])
}

/// The frame that each unit produced, or `None` if there was none. Errors are ignored.
fn each(decoder: &mut dyn VideoDecoder, units: &[AccessUnit]) -> Vec<Option<VideoFrame>> {
    let frame = |unit: &AccessUnit| {
        let mut frames = Vec::new();
        let _ = decoder.decode(unit, Origin::now(), &mut |frame| frames.push(frame));
        assert!(frames.len() <= 1);
        frames.pop()
    };
    units.iter().map(frame).collect()
}

#[track_caller]
fn right(frames: &[Option<VideoFrame>], pictures: &[Vec<u8>]) {
    for (frame, picture) in frames.iter().zip(pictures) {
        assert!(samples(frame.as_ref().unwrap()) == *picture);
    }
}

#[test]
fn a_lost_unit_costs_frames_until_the_next_keyframe_at_most() {
    if !has_ffmpeg() {
        return;
    }
    let media = media();
    for lost in [0, 5, 10] {
        let mut units = media.units.clone();
        units.remove(lost);
        if let Some(next) = units.get_mut(lost) {
            next.loss = Some(Loss { packets: 0, units: 1 });
        }
        let frames = each(&mut *openh264(), &units);
        right(&frames[..lost.min(units.len())], &media.pictures);
        right(&frames[19..], &media.pictures[20..]);
    }
}

#[test]
fn a_damaged_unit_costs_frames_until_the_next_keyframe_at_most() {
    if !has_ffmpeg() {
        return;
    }
    let media = media();
    let mut random = Random(7);
    for hit in [4, 10] {
        for cut in [false, true] {
            let mut units = media.units.clone();
            edit(&mut units[hit], |data| {
                let middle = data.len() / 2;
                if cut {
                    data.truncate(middle);
                } else {
                    data[middle..].iter_mut().take(40).for_each(|byte| *byte ^= random.next() as u8);
                }
            });
            units[hit].damaged = true;
            let frames = each(&mut *openh264(), &units);
            right(&frames[..hit], &media.pictures);
            right(&frames[20..], &media.pictures[20..]);
        }
    }
}

#[test]
fn nothing_comes_out_before_the_first_whole_keyframe() {
    if !has_ffmpeg() {
        return;
    }
    let media = media();
    let frames = each(&mut *openh264(), &media.units[5..]);
    assert!(frames[..5].iter().all(Option::is_none));
    right(&frames[5..], &media.pictures[10..]);

    let mut units = media.units;
    let half = units[0].data.len() / 2;
    units[0].data.truncate(half);
    let frames = each(&mut *openh264(), &units);
    assert!(frames[..10].iter().all(Option::is_none));
    right(&frames[10..], &media.pictures[10..]);
}

#[test]
fn the_size_may_change_at_a_keyframe_and_no_frame_is_lost() {
    if !has_ffmpeg() {
        return;
    }
    let options = ["-bf", "2", "-g", "10"];
    let (large, small) = (h264(&source(1280, 720, 12), &options), h264(&source(512, 512, 12), &options));
    let mut units = large.units.clone();
    for (round, part) in [&small, &large].into_iter().enumerate() {
        let shift = Ticks::PER_SECOND * (round as i64 + 1);
        let shifted = |unit: AccessUnit| AccessUnit { pts: unit.pts + shift, dts: unit.dts + shift, ..unit };
        units.extend(part.units.iter().cloned().map(shifted));
    }
    let (frames, _) = decode_all(&mut *openh264(), &units);
    let pictures = [&large, &small, &large].into_iter().flat_map(|media| &media.pictures);
    assert_eq!(frames.len(), 36);
    for (frame, picture) in frames.iter().zip(pictures) {
        // The B-frames of openh264 are not exact.
        assert!(psnr(&samples(frame), picture) > 55.0);
    }
    assert_eq!((frames[12].width(), frames[24].width()), (512, 1280));
}

#[test]
fn streams_that_it_does_not_decode_are_told_with_what_does() {
    if !has_ffmpeg() {
        return;
    }
    for (pixels, options, what) in [
        ("yuv420p10le", &[][..], "10-bit"),
        ("yuv422p", &[], "4:2:2"),
        ("yuv444p", &[], "4:4:4"),
        ("gray", &[], "monochrome"),
        ("yuv420p", &["-flags", "+ilme+ildct", "-x264-params", "tff=1"], "interlaced"),
    ] {
        let media = h264(&source(320, 240, 2), &[&["-pix_fmt", pixels], options].concat());
        let mut decoder = openh264();
        let errors: Vec<Error> = media
            .units
            .iter()
            .map(|unit| {
                decoder.decode(unit, Origin::now(), &mut |_| panic!("a frame of {what}")).unwrap_err()
            })
            .collect();
        assert_eq!(errors.len(), 2);
        assert!(errors.iter().all(Error::is_unsupported));
        let message = errors[0].to_string();
        assert!(message.contains(what) && message.contains("feature `ffmpeg`"), "{message}");
    }
}

#[test]
fn a_supported_stream_after_an_unsupported_one_decodes() {
    if !has_ffmpeg() {
        return;
    }
    let (ten_bit, eight_bit) = (h264(&source(320, 240, 1), &["-pix_fmt", "yuv420p10le"]), media());
    let mut decoder = openh264();
    decoder.decode(&ten_bit.units[0], Origin::now(), &mut |_| ()).unwrap_err();
    right(&each(&mut *decoder, &eight_bit.units), &eight_bit.pictures);
}

#[test]
fn no_bytes_make_the_decoder_panic_and_it_recovers_with_the_next_whole_keyframe() {
    if !has_ffmpeg() {
        return;
    }
    let media = h264(&source(160, 128, 12), &["-bf", "2", "-g", "6", "-x264-params", "slices=2:scenecut=0"]);
    let mut random = Random(1);
    let mut decoder = openh264();
    for round in 0..400 {
        let mut unit = media.units[random.below(media.units.len())].clone();
        edit(&mut unit, |data| match round % 4 {
            0 => data.truncate(random.below(data.len())),
            1 => {
                for _ in 0..=random.below(20) {
                    let at = random.below(data.len());
                    data[at] = random.next() as u8;
                }
            }
            2 => {
                let (from, to) = (random.below(data.len()), random.below(data.len()));
                data.drain(from.min(to)..from.max(to));
            }
            _ => {
                *data = (0..random.below(400)).map(|_| random.next() as u8).collect();
                data.splice(..0, [0, 0, 0, 1, (random.next() % 32) as u8 | 0x60]);
            }
        });
        (unit.pts, unit.dts) = (Timestamp::from_ticks(round * 3000), Timestamp::from_ticks(round * 3000));
        unit.keyframe |= round % 7 == 0;
        let _ = decoder.decode(&unit, Origin::now(), &mut |_| ());
    }
    decoder.flush(&mut |_| ()).unwrap();
    // The stream is decoded twice, because the first time may still suffer from damaged parameter sets.
    let _ = each_any(&mut *decoder, &media.units);
    let frames = each_any(&mut *decoder, &media.units);
    assert!(frames.iter().any(|frame| samples(frame) == media.pictures[0]));
}

/// All frames of the units. Errors are ignored.
fn each_any(decoder: &mut dyn VideoDecoder, units: &[AccessUnit]) -> Vec<VideoFrame> {
    let mut frames = Vec::new();
    for unit in units {
        let _ = decoder.decode(unit, Origin::now(), &mut |frame| frames.push(frame));
    }
    let _ = decoder.flush(&mut |frame| frames.push(frame));
    frames
}

/// A xorshift generator of random numbers, which gives the same sequence every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}
