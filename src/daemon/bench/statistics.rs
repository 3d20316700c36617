//! Medians, their spread, and how sure a ratio is.

use serde::Serialize;

/// How seldom the lower bound of a ratio may be above the truth.
const ERROR: f64 = 0.05;

/// Of several runs.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(super) struct Summary {
    pub(super) min: f64,
    pub(super) median: f64,
    pub(super) max: f64,
}

impl Summary {
    /// `None` of nothing.
    pub(super) fn of(values: &[f64]) -> Option<Summary> {
        let sorted = sorted(values);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        Some(Summary { min, median: median_of_sorted(&sorted)?, max })
    }
}

/// Of many runs, of which the slow ones matter.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub(super) struct Spread {
    pub(super) min: f64,
    pub(super) median: f64,
    /// 95 of 100 are not above it: always one of the values.
    pub(super) p95: f64,
    pub(super) max: f64,
}

impl Spread {
    /// `None` of nothing.
    pub(super) fn of(values: &[f64]) -> Option<Spread> {
        let sorted = sorted(values);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let rank = (sorted.len() * 95).div_ceil(100);
        Some(Spread { min, median: median_of_sorted(&sorted)?, p95: sorted[rank - 1], max })
    }

    /// With three decimals.
    pub(super) fn rounded(self) -> Spread {
        let [min, median, p95, max] =
            [self.min, self.median, self.p95, self.max].map(|value| rounded(value, 3));
        Spread { min, median, p95, max }
    }
}

/// The median; `None` of nothing.
pub(super) fn median(values: &[f64]) -> Option<f64> {
    median_of_sorted(&sorted(values))
}

/// What the median is above with 95 % confidence, whatever the values' distribution (the sign
/// test's one-sided interval); `None` of fewer than five values, which do not tell.
pub(super) fn lower_bound(values: &[f64]) -> Option<f64> {
    let sorted = sorted(values);
    let count = sorted.len();
    // Of `count` tosses of a coin, the probability of exactly `below` heads, summed up. Beyond a
    // thousand tosses the first terms are zero, and the sum is right all the same.
    let (mut term, mut sum, mut bound) = (0.5_f64.powi(i32::try_from(count).ok()?), 0.0, None);
    for (below, value) in sorted.into_iter().enumerate() {
        sum += term;
        if sum > ERROR {
            break;
        }
        bound = Some(value);
        term *= (count - below) as f64 / (below + 1) as f64;
    }
    bound
}

/// The value with this many decimals.
pub(super) fn rounded(value: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (value * scale).round() / scale
}

fn sorted(values: &[f64]) -> Vec<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn median_of_sorted(sorted: &[f64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    let upper = *sorted.get(middle)?;
    let is_even = sorted.len().is_multiple_of(2);
    Some(if is_even { (sorted[middle - 1] + upper) / 2.0 } else { upper })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up_to(count: u32) -> Vec<f64> {
        (1..=count).rev().map(f64::from).collect()
    }

    #[test]
    fn a_median_is_the_middle_or_between_the_two_in_the_middle() {
        let summary = Summary::of(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!(summary, Summary { min: 1.0, median: 2.0, max: 3.0 });
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!((Summary::of(&[]), median(&[])), (None, None));
    }

    #[test]
    fn the_95th_percentile_is_the_smallest_value_that_is_enough() {
        for (count, p95) in [(1, 1.0), (10, 10.0), (19, 19.0), (20, 19.0), (50, 48.0), (100, 95.0)]
        {
            let spread = Spread::of(&up_to(count)).unwrap();
            assert_eq!((spread.p95, spread.max), (p95, f64::from(count)), "{count}");
        }
        let spread = Spread::of(&[4.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!(spread, Spread { min: 1.0, median: 2.5, p95: 4.0, max: 4.0 });
        assert_eq!(Spread::of(&[]), None);
    }

    /// Values of the sign test's table, one-sided 5 %.
    #[test]
    fn the_lower_bound_is_the_sign_tests() {
        for (count, rank) in [(5, 1.0), (7, 1.0), (8, 2.0), (10, 2.0), (11, 3.0), (12, 3.0)] {
            assert_eq!(lower_bound(&up_to(count)), Some(rank), "{count}");
        }
        assert_eq!(lower_bound(&up_to(20)), Some(6.0));
        assert_eq!(lower_bound(&up_to(100)), Some(42.0));
        for count in 0..5 {
            assert_eq!(lower_bound(&up_to(count)), None, "{count}");
        }
    }

    #[test]
    fn values_are_rounded_to_decimals() {
        assert_eq!((rounded(1.2345, 3), rounded(1234.56, 0)), (1.235, 1235.0));
    }
}
