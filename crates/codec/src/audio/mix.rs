//! Mixes rows of samples down to one or two channels with the coefficients of ITU-R BS.775-3, table 2.

use crate::{Error, Result};

/// -3 dB.
const HALF_POWER: f32 = std::f32::consts::FRAC_1_SQRT_2;
const LEFT: [f32; 2] = [1.0, 0.0];
const RIGHT: [f32; 2] = [0.0, 1.0];
const CENTRE: [f32; 2] = [HALF_POWER, HALF_POWER];
const SURROUND_LEFT: [f32; 2] = [HALF_POWER, 0.0];
const SURROUND_RIGHT: [f32; 2] = [0.0, HALF_POWER];
/// A single surround channel goes to both sides with the power of a pair.
const SURROUND: [f32; 2] = [0.5, 0.5];
/// The recommendation omits the low-frequency channel.
const LOW: [f32; 2] = [0.0, 0.0];

/// The gain of each channel into left and right, by the number of channels in WAVE order.
fn shares(channels: usize) -> Result<&'static [[f32; 2]]> {
    Ok(match channels {
        1 => &[[1.0, 1.0]],
        2 => &[LEFT, RIGHT],
        3 => &[LEFT, RIGHT, CENTRE],
        4 => &[LEFT, RIGHT, SURROUND_LEFT, SURROUND_RIGHT],
        5 => &[LEFT, RIGHT, CENTRE, SURROUND_LEFT, SURROUND_RIGHT],
        6 => &[LEFT, RIGHT, CENTRE, LOW, SURROUND_LEFT, SURROUND_RIGHT],
        7 => &[LEFT, RIGHT, CENTRE, LOW, SURROUND, SURROUND_LEFT, SURROUND_RIGHT],
        8 => &[LEFT, RIGHT, CENTRE, LOW, SURROUND_LEFT, SURROUND_RIGHT, SURROUND_LEFT, SURROUND_RIGHT],
        n => return Err(Error::unsupported(format!("sound with {n} channels"))),
    })
}

/// Mixes `rows` into the one or two rows of `out`, replacing their contents. The gains of each mixed row are
/// scaled to add up to one, so that it never clips.
pub(super) fn mix(rows: &[Vec<f32>], out: &mut [Vec<f32>]) -> Result<()> {
    let shares = shares(rows.len())?;
    let to_mono = out.len() == 1;
    for (side, mixed) in out.iter_mut().enumerate() {
        mixed.clear();
        mixed.resize(rows.first().map_or(0, Vec::len), 0.0);
        let share = |pair: &[f32; 2]| match to_mono {
            true => pair.iter().sum(),
            false => pair.get(side).copied().unwrap_or(0.0),
        };
        let total: f32 = shares.iter().map(share).sum();
        for (row, pair) in rows.iter().zip(shares) {
            let gain = share(pair) / total;
            if gain != 0.0 {
                mixed.iter_mut().zip(row).for_each(|(sum, sample)| *sum += gain * sample);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mixed(rows: &[f32], outputs: usize) -> Vec<f32> {
        let rows: Vec<Vec<f32>> = rows.iter().map(|&s| vec![s]).collect();
        let mut out = vec![Vec::new(); outputs];
        mix(&rows, &mut out).unwrap();
        out.into_iter().map(|row| row[0]).collect()
    }

    #[test]
    fn mono_goes_to_both_sides_at_its_own_level() {
        assert_eq!(mixed(&[0.5], 2), [0.5, 0.5]);
    }

    #[test]
    fn stereo_to_mono_is_the_mean() {
        assert_eq!(mixed(&[1.0, 0.5], 1), [0.75]);
    }

    #[test]
    fn surround_keeps_the_recommendations_proportions_and_never_clips() {
        let full = mixed(&[1.0; 6], 2);
        assert!(full.iter().all(|s| (s - 1.0).abs() < 1e-6), "{full:?}");
        let left = mixed(&[1.0, 0.0, 0.0, 0.0, 0.0, 0.0], 2);
        let centre = mixed(&[0.0, 0.0, 1.0, 0.0, 0.0, 0.0], 2);
        let surround = mixed(&[0.0, 0.0, 0.0, 0.0, 1.0, 0.0], 2);
        assert_eq!(left[1], 0.0);
        assert_eq!(surround[1], 0.0);
        assert!((centre[0] / left[0] - HALF_POWER).abs() < 1e-6);
        assert!((surround[0] / left[0] - HALF_POWER).abs() < 1e-6);
        assert_eq!(mixed(&[0.0, 0.0, 0.0, 1.0, 0.0, 0.0], 2), [0.0, 0.0]);
    }

    #[test]
    fn more_than_eight_channels_are_refused() {
        assert!(mix(&vec![vec![0.0]; 9], &mut [Vec::new()]).unwrap_err().is_unsupported());
        assert!(mix(&[], &mut [Vec::new()]).unwrap_err().is_unsupported());
    }
}
