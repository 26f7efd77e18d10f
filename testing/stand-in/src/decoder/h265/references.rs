//! The sets of short-term reference pictures of H.265 (7.3.7, 7.4.8).

use super::super::bits::Bits;

/// One set, as the differences between the orders of its members and the order of the picture that it is for.
///
/// Each half lists the nearest member first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Set {
    before: Vec<i64>,
    after: Vec<i64>,
}

impl Set {
    pub(super) fn all(&self) -> impl Iterator<Item = i64> {
        self.before.iter().chain(&self.after).copied()
    }

    /// Reads the set that follows the `known` ones. `in_slice` says whether it stands in a slice header.
    pub(super) fn read(bits: &mut Bits, known: &[Self], in_slice: bool) -> Option<Self> {
        if !known.is_empty() && bits.flag()? {
            let back = if in_slice { bits.ue()? as usize + 1 } else { 1 };
            return Self::predicted(bits, known.get(known.len().checked_sub(back)?)?);
        }
        let (before, after) = (bits.ue()?, bits.ue()?);
        if before > 16 || after > 16 {
            return None;
        }
        let mut side = |count: u32, sign: i64| -> Option<Vec<i64>> {
            let mut at = 0;
            (0..count)
                .map(|_| {
                    at += sign * (i64::from(bits.ue()?) + 1);
                    bits.flag()?;
                    Some(at)
                })
                .collect()
        };
        Some(Self { before: side(before, -1)?, after: side(after, 1)? })
    }

    /// Reads a set that is predicted from another one, whose members are shifted and may be left out (7-61,
    /// 7-62).
    fn predicted(bits: &mut Bits, from: &Self) -> Option<Self> {
        let sign = if bits.flag()? { -1 } else { 1 };
        let moved = sign * (i64::from(bits.ue()?) + 1);
        // There is one flag for each member and one for the picture that the other set was for.
        let mut used = Vec::new();
        for _ in 0..=from.before.len() + from.after.len() {
            used.push(bits.flag()? || bits.flag()?);
        }
        let members: Vec<i64> = from.all().chain([0]).collect();
        let mut kept: Vec<i64> =
            members.iter().zip(&used).filter(|(_, used)| **used).map(|(member, _)| member + moved).collect();
        kept.sort_unstable();
        Some(Self {
            before: kept.iter().rev().copied().filter(|member| *member < 0).collect(),
            after: kept.iter().copied().filter(|member| *member > 0).collect(),
        })
    }
}
