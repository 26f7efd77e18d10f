//! The arithmetic of a measurement: percentiles, and what became of a sequence of numbers.

/// The median, the 99th percentile and the maximum of a set of values, in their unit.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Spread {
    /// Half of the values are at most this.
    pub p50: f64,
    /// 99 of 100 values are at most this.
    pub p99: f64,
    /// All values are at most this.
    pub max: f64,
}

impl Spread {
    /// The spread of `values`, or `None` if there are no values.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        Some(Self { p50: at(&values, 0.5)?, p99: at(&values, 0.99)?, max: *values.last()? })
    }
}

/// The nearest-rank percentile of sorted values.
fn at(sorted: &[f64], share: f64) -> Option<f64> {
    let rank = (share * sorted.len() as f64).ceil() as usize;
    sorted.get(rank.saturating_sub(1)).copied()
}

/// The median of a set of values, and the value that is furthest from 0.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Offset {
    /// Half of the values are at most this.
    pub median: f64,
    /// The value furthest from 0.
    pub worst: f64,
}

impl Offset {
    /// The offset of `values`, or `None` if there are no values.
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let worst = values.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs()))?;
        Some(Self { median: at(&values, 0.5)?, worst })
    }
}

/// What became of frames that were numbered from 0 without gaps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Order {
    /// How many numbers came.
    pub received: u32,
    /// How many never came, of the numbers from the first one that came to the last one that was sent.
    pub lost: u32,
    /// How many frames had a number that had come before.
    pub repeated: u32,
    /// How many frames came for the first time, but after a higher number.
    pub reordered: u32,
}

impl Order {
    /// The order of `numbers`, as they came, when `sent` numbers were sent. Higher numbers are ignored.
    pub fn of(numbers: impl IntoIterator<Item = u32>, sent: u32) -> Self {
        let mut seen = vec![false; sent as usize];
        let mut order = Self::default();
        let (mut first, mut highest) = (None, None);
        for number in numbers {
            let Some(seen) = seen.get_mut(number as usize) else { continue };
            if std::mem::replace(seen, true) {
                order.repeated += 1;
                continue;
            }
            order.received += 1;
            if highest.is_some_and(|highest| number < highest) {
                order.reordered += 1;
            }
            highest = highest.max(Some(number));
            first.get_or_insert(number);
        }
        let from = first.unwrap_or(0) as usize;
        order.lost = seen.iter().skip(from).filter(|seen| !**seen).count() as u32;
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values = (1..=200).rev().map(f64::from).collect();
        assert_eq!(Spread::of(values), Some(Spread { p50: 100.0, p99: 198.0, max: 200.0 }));
        assert_eq!(Spread::of(vec![7.0]), Some(Spread { p50: 7.0, p99: 7.0, max: 7.0 }));
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn the_worst_offset_is_the_furthest_to_either_side() {
        assert_eq!(Offset::of(vec![3.0, -8.0, 1.0]), Some(Offset { median: 1.0, worst: -8.0 }));
    }

    #[test]
    fn a_sequence_without_gaps_is_in_order() {
        assert_eq!(Order::of(0..10, 10), Order { received: 10, ..Order::default() });
    }

    #[test]
    fn lost_repeated_and_reordered_are_told_apart() {
        let order = Order::of([2, 3, 3, 6, 5, 7, 3], 10);
        // 4, 8 and 9 never came. 0 and 1 were sent before the worker was there.
        assert_eq!(order, Order { received: 5, lost: 3, repeated: 2, reordered: 1 });
    }

    #[test]
    fn where_nothing_came_all_is_lost() {
        assert_eq!(Order::of([], 4), Order { lost: 4, ..Order::default() });
        assert_eq!(Order::of([17], 4).received, 0, "a number that was never sent");
    }
}
