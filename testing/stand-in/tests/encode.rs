//! The encoder: access units decode to the frames that were given, parameter sets and IDR pictures come where
//! they were requested, and every rule of its use is enforced.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod player;
mod recorder;
mod stage;

use cutrickle_frame::I420;
use player::{Unit, clip, nv12, reference};
use recorder::{PITCH, Recorder, session};
use stage::{Cuda, alone, made, ok};

const ENCODER: (&str, &str) = ("STAND_IN_NVENC", "1");
const STRICT: (&str, &str) = ("STAND_IN_STRICT_EXIT", "1");

fn psnr(a: &I420, b: &I420) -> f64 {
    let ([a, ..], [b, ..]) = (a.planes(), b.planes());
    let sum: f64 = a.data.iter().zip(b.data).map(|(a, b)| (f64::from(*a) - f64::from(*b)).powi(2)).sum();
    10.0 * (255.0f64.powi(2) * a.data.len() as f64 / sum).log10()
}

fn kinds(data: &[u8]) -> Vec<u8> {
    let starts = data.windows(4).filter(|at| at[..3] == [0, 0, 1]);
    let mut kinds: Vec<u8> = starts.map(|at| at[3] & 0x1f).collect();
    kinds.dedup();
    kinds
}

#[test]
fn pictures_come_back_as_they_were_given() {
    alone("pictures_come_back_as_they_were_given", &[ENCODER, STRICT], || {
        let pictures: Vec<I420> = reference(&clip(8)).into_iter().map(|(_, picture)| picture).collect();
        let mut recorder = Recorder::new(1280, 720, |_, _| {});
        let mut units = Vec::new();
        for (i, picture) in pictures.iter().enumerate() {
            recorder.write(&nv12(picture));
            let coded = recorder.encode(1000 + i as u64, if i == 5 { 2 } else { 0 });
            assert_eq!(coded.timestamp, 1000 + i as u64);
            assert_eq!(coded.keyframe, i == 0 || i == 5, "picture {i}");
            // Only the first access unit has parameter sets, because no others were requested.
            let expected: &[u8] = if i == 0 {
                &[7, 8, 5]
            } else if i == 5 {
                &[5]
            } else {
                &[1]
            };
            assert_eq!(kinds(&coded.bytes), expected);
            units.push(Unit { data: coded.bytes, timestamp: i as i64, keyframe: coded.keyframe });
        }
        for ((_, decoded), given) in reference(&units).iter().zip(&pictures) {
            let near = psnr(decoded, given);
            assert!(near > 32.0, "{near} dB");
        }
        recorder.close();
    })
    .is_clean();
}

#[test]
fn parameter_sets_and_delimiters_come_where_they_are_asked_for() {
    alone("parameter_sets_and_delimiters_come_where_they_are_asked_for", &[ENCODER, STRICT], || {
        let mut recorder = Recorder::new(320, 240, |_, config| {
            // SAFETY: the preset has filled in H.264's part of the union.
            let codec = unsafe { &mut config.encodeCodecConfig.h264Config };
            codec.set_repeatSPSPPS(1);
            codec.set_outputAUD(1);
            (config.gopLength, codec.idrPeriod) = (3, 3);
        });
        recorder.write(&vec![128; 320 * 240 * 3 / 2]);
        let kinds: Vec<_> = (0..7).map(|i| kinds(&recorder.encode(i, 0).bytes)).collect();
        let (idr, other) = (vec![9, 7, 8, 5], vec![9, 1]);
        let expected: Vec<_> = (0..7).map(|i| if i % 3 == 0 { idr.clone() } else { other.clone() }).collect();
        assert_eq!(kinds, expected);
        recorder.close();
    })
    .is_clean();
}

/// The encoder reads a frame when its stream gets there, not when it is called.
#[test]
fn a_picture_is_read_in_the_order_of_the_stream() {
    for seed in ["1", "2", "3"] {
        let settings = [ENCODER, ("STAND_IN_SEED", seed)];
        alone("a_picture_is_read_in_the_order_of_the_stream", &settings, || {
            let mut recorder = Recorder::new(320, 240, |_, _| {});
            for value in [16, 200, 90] {
                let (stream, memory) = (recorder.stream, recorder.memory);
                ok(recorder.cuda.cuMemsetD8Async(memory, value, PITCH as usize * 240, stream));
                ok(recorder.cuda.cuMemsetD8Async(
                    memory + u64::from(PITCH) * 240,
                    128,
                    PITCH as usize * 120,
                    stream,
                ));
                let coded = recorder.encode(0, 2 | 4);
                // This is written after the frame is read, so it must not show.
                ok(recorder.cuda.cuMemsetD8Async(memory, 255, PITCH as usize * 240, stream));
                let unit = Unit { data: coded.bytes, timestamp: 0, keyframe: true };
                let [luma, ..] = reference(&[unit])[0].1.planes().map(|plane| plane.data[5000]);
                assert!(luma.abs_diff(value) <= 2, "{luma} for {value}");
            }
            recorder.close();
        })
        .is_clean();
    }
}

#[test]
fn a_gpu_without_an_encoder_says_so() {
    let outcome = alone("a_gpu_without_an_encoder_says_so", &[STRICT], || {
        let cuda = Cuda::ready();
        assert_eq!(session(&cuda).unwrap_err(), 2);
        cuda.close();
    });
    outcome.is_clean();
}

#[test]
fn so_many_sessions_and_no_more() {
    alone("so_many_sessions_and_no_more", &[ENCODER, STRICT, ("STAND_IN_NVENC_SESSIONS", "1")], || {
        let cuda = Cuda::ready();
        let (first, list) = session(&cuda).unwrap();
        assert_eq!(session(&cuda).unwrap_err(), 10);
        // SAFETY: the function comes from the list and gets the session that the list opened.
        assert_eq!(unsafe { list.nvEncDestroyEncoder.unwrap()(first) } as i32, 0);
        cuda.close();
    })
    .is_clean();
}

/// Asserts that a wrong use of the encoder returns `status` and is reported with the words `said`.
#[track_caller]
fn is_refused(name: &str, said: &str, status: i32, work: impl FnOnce(&mut Recorder) -> i32) {
    let outcome = alone(name, &[ENCODER], || {
        let mut recorder = Recorder::new(320, 240, |_, _| {});
        assert_eq!(work(&mut recorder), status);
    });
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    assert!(outcome.wrong().contains(said), "{}", outcome.wrong());
}

#[test]
fn without_streams_nothing_is_encoded() {
    is_refused("without_streams_nothing_is_encoded", "nvEncSetIOCudaStreams", 9, |recorder| {
        recorder.reopen();
        recorder.submit(0, 0, |_| {})
    });
}

#[test]
fn an_unmapped_input_is_refused() {
    is_refused("an_unmapped_input_is_refused", "the input is not mapped", 25, |recorder| {
        recorder.unmap();
        recorder.submit(0, 0, |_| {})
    });
}

#[test]
fn an_input_is_not_unmapped_while_it_is_encoded() {
    is_refused("an_input_is_not_unmapped_while_it_is_encoded", "was not locked", 9, |recorder| {
        assert_eq!(recorder.submit(0, 0, |_| {}), 0);
        recorder.unmap()
    });
}

#[test]
fn a_bitstream_buffer_takes_one_picture() {
    is_refused("a_bitstream_buffer_takes_one_picture", "the bitstream buffer is in use", 9, |recorder| {
        assert_eq!(recorder.submit(0, 0, |_| {}), 0);
        recorder.submit(1, 0, |_| {})
    });
}

#[test]
fn another_structs_version_is_refused() {
    is_refused("another_structs_version_is_refused", "version", 15, |recorder| {
        recorder.submit(0, 0, |parameters| parameters.version += 1)
    });
}

#[test]
fn reserved_fields_are_zero() {
    is_refused("reserved_fields_are_zero", "reserved fields", 8, |recorder| {
        recorder.submit(0, 0, |parameters| parameters.reserved3[283] = 1)
    });
}

#[test]
fn another_pitch_than_was_registered_is_refused() {
    is_refused("another_pitch_than_was_registered_is_refused", "another size or pitch", 8, |recorder| {
        recorder.submit(0, 0, |parameters| parameters.inputPitch = 320)
    });
}

#[test]
fn the_end_has_to_be_told() {
    is_refused("the_end_has_to_be_told", "the end was not told", 0, |recorder| {
        recorder.encode(0, 0);
        recorder.destroy()
    });
}

#[test]
fn what_was_registered_has_to_be_unregistered() {
    let outcome = alone("what_was_registered_has_to_be_unregistered", &[ENCODER], || {
        Recorder::new(320, 240, |_, _| {});
    });
    for what in ["encoder sessions", "registered resources", "mapped resources", "bitstream buffers"] {
        assert_eq!(outcome.left(what), 1, "{what}");
    }
}

#[test]
fn a_picture_outside_of_an_allocation_is_not_registered() {
    let name = "a_picture_outside_of_an_allocation_is_not_registered";
    is_refused(name, "lies in no allocation", 23, |recorder| {
        recorder.register(recorder.memory + 16 * u64::from(PITCH), PITCH).unwrap_err()
    });
}

/// The real library refuses it too, although its documentation does not say so.
#[test]
fn memory_of_a_pool_is_not_registered() {
    is_refused("memory_of_a_pool_is_not_registered", "a pool's", 23, |recorder| {
        let (stream, size) = (recorder.stream, 2 * PITCH as usize * 240);
        let address = made(|address| recorder.cuda.cuMemAllocAsync(address, size, stream));
        let status = recorder.register(address, PITCH).unwrap_err();
        ok(recorder.cuda.cuMemFreeAsync(address, stream));
        status
    });
}
