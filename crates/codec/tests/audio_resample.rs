//! The resampler keeps frequency, level and timing for every pair of sample rates, and however the input is
//! split.
#![allow(clippy::unwrap_used)]

mod audio_signal;

use audio_signal::{amplitude, click, frequency, peak, sine, tone_to_noise};
use cutrickle_codec::audio::Resampler;

const RATES: [u32; 9] = [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 88_200, 96_000];

fn resampled(from: u32, to: u32, input: &[f32], cut: usize) -> Vec<f32> {
    let mut resampler = Resampler::between(from, to, 1).unwrap().unwrap();
    let mut out = vec![Vec::new()];
    for piece in input.chunks(cut) {
        resampler.process(&[piece.to_vec()], &mut out).unwrap();
    }
    resampler.finish(&mut out).unwrap();
    out.remove(0)
}

#[test]
fn a_tone_keeps_its_frequency_and_level() {
    for rate in RATES {
        let input = sine(1_000.0, 0.5, rate, rate as usize);
        let out = resampled(rate, 48_000, &input, 1024);
        let middle = &out[4_800..43_200];
        assert!((frequency(middle, 48_000) - 1_000.0).abs() < 0.1, "{rate} Hz");
        assert!((amplitude(middle, 1_000.0, 48_000) - 0.5).abs() < 0.005, "{rate} Hz");
        let ratio = tone_to_noise(middle, 1_000.0, 48_000);
        assert!(ratio > 80.0, "{rate} Hz: {ratio} dB");
    }
}

#[test]
fn as_much_time_comes_out_as_went_in() {
    for (from, to, length) in
        [(44_100, 48_000, 44_100), (48_000, 44_100, 1), (44_100, 48_000, 1_000), (8_000, 48_000, 7)]
    {
        let out = resampled(from, to, &vec![0.0; length], 333);
        let expected = (length as f64 * f64::from(to) / f64::from(from)).round() as usize;
        assert_eq!(out.len(), expected, "{length} samples from {from} to {to} Hz");
    }
}

#[test]
fn a_click_stays_where_it_was() {
    for rate in RATES {
        let at = rate as usize / 2;
        let out = resampled(rate, 48_000, &click(at, rate, rate as usize), 1024);
        let expected = at * 48_000 / rate as usize;
        assert!(peak(&out).abs_diff(expected) <= 2, "{rate} Hz: {} for {expected}", peak(&out));
    }
}

#[test]
fn the_cut_of_the_input_does_not_matter() {
    let input = sine(440.0, 0.5, 44_100, 10_000);
    let whole = resampled(44_100, 48_000, &input, 10_000);
    assert_eq!(whole, resampled(44_100, 48_000, &input, 1));
    assert_eq!(whole, resampled(44_100, 48_000, &input, 1_111));
}

#[test]
fn what_the_lower_rate_cannot_carry_is_filtered_out() {
    let out = resampled(96_000, 48_000, &sine(30_000.0, 0.5, 96_000, 96_000), 1024);
    let rest = out[4_800..43_200].iter().fold(0.0f32, |max, s| max.max(s.abs()));
    assert!(rest < 1e-3, "{rest}");
}

#[test]
fn it_can_be_used_again_after_its_end() {
    let input = sine(440.0, 0.5, 44_100, 5_000);
    let mut resampler = Resampler::between(44_100, 48_000, 1).unwrap().unwrap();
    let mut runs = vec![Vec::new(); 2];
    for run in &mut runs {
        resampler.process(std::slice::from_ref(&input), std::slice::from_mut(run)).unwrap();
        resampler.finish(std::slice::from_mut(run)).unwrap();
    }
    assert_eq!(runs[0], runs[1]);
}

#[test]
fn equal_rates_need_none_and_absurd_ones_are_refused() {
    assert!(Resampler::between(48_000, 48_000, 2).unwrap().is_none());
    for (from, to, channels) in [(0, 48_000, 1), (48_000, 0, 1), (u32::MAX, 48_000, 1), (44_100, 48_000, 0)] {
        assert!(Resampler::between(from, to, channels).unwrap_err().is_unsupported());
    }
    // Rates without a common divisor need large blocks, but the output is right.
    let out = resampled(44_101, 48_000, &sine(1_000.0, 0.5, 44_101, 88_202), 1024);
    assert!((frequency(&out[9_600..86_400], 48_000) - 1_000.0).abs() < 0.1);
}

#[test]
fn a_wrong_number_of_rows_is_an_error() {
    let mut resampler = Resampler::between(44_100, 48_000, 2).unwrap().unwrap();
    let mut out = vec![Vec::new(); 2];
    assert!(resampler.process(&[vec![0.0; 10]], &mut out).is_err());
    assert!(resampler.process(&[vec![0.0; 10], vec![0.0; 9]], &mut out).is_err());
}
