//! The rules for using the decoder. Each is broken once.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod player;
mod stage;

use nvidia_video_codec_sdk::sys::cuviddec::{CUVIDDECODECREATEINFO, CUVIDRECONFIGUREDECODERINFO};
use player::{Player, Settings, clip};
use stage::{Outcome, alone, ok};

/// Decodes one picture and then breaks a rule.
#[track_caller]
fn after_one(name: &str, variables: &[(&str, &str)], work: impl FnOnce(&mut Player)) -> Outcome {
    let outcome = alone(name, variables, || {
        let mut player = Player::new(Settings::default());
        player.feed(&clip(1)[0]);
        work(&mut player);
    });
    assert_eq!(outcome.status, Some(0), "{}", outcome.stderr);
    outcome
}

#[test]
fn no_more_surfaces_are_mapped_than_were_asked_for() {
    let outcome = after_one("no_more_surfaces_are_mapped_than_were_asked_for", &[], |player| {
        let mapped = [player.map(0).unwrap(), player.map(0).unwrap()];
        assert_ne!(mapped[0].0, mapped[1].0);
        assert_eq!(player.map(0), Err(205));
        ok(player.cuvid.cuvidUnmapVideoFrame64(player.decoder, mapped[0].0));
        player.map(0).unwrap();
    });
    assert_eq!(outcome.left("mapped surfaces"), 2);
    assert_eq!(outcome.left("decoders"), 1);
    assert_eq!(outcome.left("parsers"), 1);
}

#[test]
fn what_was_never_decoded_is_not_mapped() {
    after_one("what_was_never_decoded_is_not_mapped", &[], |player| {
        assert_eq!(player.map(1), Err(1));
        assert_eq!(player.map(-1), Err(1));
        assert_eq!(player.map(1000), Err(1));
    });
}

#[test]
fn a_surface_is_mapped_for_a_stream() {
    after_one("a_surface_is_mapped_for_a_stream", &[], |player| {
        player.stream = 0;
        assert_eq!(player.map(0), Err(800));
    });
}

#[test]
fn a_surface_is_unmapped_once() {
    let outcome = after_one("a_surface_is_unmapped_once", &[], |player| {
        let (address, _) = player.map(0).unwrap();
        // It cannot be freed like an allocation either.
        assert_eq!(player.cuda.cuMemFree_v2(address), 1);
        ok(player.cuvid.cuvidUnmapVideoFrame64(player.decoder, address));
        assert_eq!(player.cuvid.cuvidUnmapVideoFrame64(player.decoder, address), 206);
    });
    assert_eq!(outcome.wrong().lines().count(), 2, "{}", outcome.wrong());
}

#[test]
fn a_surface_is_nobodys_after_it_was_unmapped() {
    let outcome = after_one("a_surface_is_nobodys_after_it_was_unmapped", &[], |player| {
        let (address, _) = player.map(0).unwrap();
        ok(player.cuvid.cuvidUnmapVideoFrame64(player.decoder, address));
        let mut byte = 0;
        assert_eq!(player.cuda.cuMemcpyDtoHAsync_v2(&raw mut byte, address, 1, player.stream), 700);
    });
    assert!(outcome.wrong().contains("used after it was freed"), "{}", outcome.wrong());
}

/// A surface is filled when its stream gets there. Without an event, another stream sees what was there
/// before.
#[test]
fn a_surface_is_filled_in_its_streams_order() {
    for seed in ["1", "2", "3", "4"] {
        after_one("a_surface_is_filled_in_its_streams_order", &[("STAND_IN_SEED", seed)], |player| {
            let other = player.cuda.stream();
            let mut early = 0;
            for _ in 0..32 {
                let (address, _) = player.map(0).unwrap();
                early += usize::from(player.cuda.read(address, 64, other) == [0xDB; 64]);
                ok(player.cuda.cuStreamSynchronize(player.stream));
                assert_ne!(player.cuda.read(address, 64, other), [0xDB; 64]);
                ok(player.cuvid.cuvidUnmapVideoFrame64(player.decoder, address));
            }
            assert!(early > 0);
        });
    }
}

#[test]
fn a_mapping_fails_where_it_is_told_to() {
    let settings = [("STAND_IN_FAIL", "cuvidMapVideoFrame64:2=999")];
    after_one("a_mapping_fails_where_it_is_told_to", &settings, |player| {
        assert_eq!(player.map(0), Err(999));
        player.map(0).unwrap();
    });
}

#[test]
fn a_decoder_grows_no_larger_than_it_was_made_for() {
    after_one("a_decoder_grows_no_larger_than_it_was_made_for", &[], |player| {
        let mut info = CUVIDRECONFIGUREDECODERINFO {
            ulWidth: 1280,
            ulHeight: 720,
            ulTargetWidth: 640,
            ulTargetHeight: 360,
            ulNumDecodeSurfaces: 1,
            ..CUVIDRECONFIGUREDECODERINFO::default()
        };
        let set = |info: &CUVIDRECONFIGUREDECODERINFO| {
            player.cuvid.cuvidReconfigureDecoder(player.decoder, (&raw const *info).cast())
        };
        ok(set(&info));
        info.ulWidth = 1296;
        assert_eq!(set(&info), 1);
        (info.ulWidth, info.ulNumDecodeSurfaces) = (1280, 33);
        assert_eq!(set(&info), 1);
    });
}

/// Changes the parameters to ones that no decoder is created with.
type Change = fn(&mut CUVIDDECODECREATEINFO);

#[test]
fn a_decoder_is_made_within_the_devices_limits() {
    after_one("a_decoder_is_made_within_the_devices_limits", &[], |player| {
        let changes: [(i32, Change); 8] = [
            (1, |info| info.ulWidth = 4112),
            (1, |info| info.ulHeight = 8),
            (1, |info| info.ulNumDecodeSurfaces = 0),
            (1, |info| info.ulNumOutputSurfaces = 0),
            (1, |info| info.ulTargetWidth = 641),
            (1, |info| info.display_area.right = 2000),
            (1, |info| info.Reserved2[3] = 1),
            (801, |info| info.bitDepthMinus8 = 2),
        ];
        for (i, (status, change)) in changes.into_iter().enumerate() {
            let mut info = player.info(player.format.as_ref().unwrap(), 4);
            change(&mut info);
            assert_eq!(player.cuvid.cuvidCreateDecoder(&mut 0, &raw const info), status, "{i}");
        }
    });
}
