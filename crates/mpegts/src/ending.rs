//! Learns whether a packet with stuffing ends its PES packet. Knows nothing of payloads.

/// A PES packet of unbounded length ends where the next one begins, a whole frame later. Most muxers put
/// stuffing into its last packet and no other, so the end can usually be detected as it arrives. Whether a
/// stream does so has to be observed first, and one counter-example disables the rule.
#[derive(Debug, Default)]
pub(crate) struct StuffingRule {
    held: u8,
    broken: bool,
    /// Whether the previous packet had stuffing and was part of a PES packet of unbounded length.
    stuffed: bool,
}

impl StuffingRule {
    /// How often in a row the rule must hold before it is applied.
    const PROOF: u8 = 8;

    fn is_trusted(&self) -> bool {
        !self.broken && self.held >= Self::PROOF
    }

    /// Observes a packet that follows the previous one without a gap. Returns whether it shows that a unit
    /// was emitted too early.
    pub(crate) fn observe(&mut self, start: bool) -> bool {
        if !std::mem::take(&mut self.stuffed) {
            return false;
        }
        if start {
            self.held = self.held.saturating_add(1);
            return false;
        }
        let too_early = self.is_trusted();
        self.broken = true;
        too_early
    }

    /// Records a packet. Returns whether it ends the unit.
    pub(crate) fn ends(&mut self, unbounded: bool, stuffed: bool) -> bool {
        self.stuffed = unbounded && stuffed;
        self.stuffed && self.is_trusted()
    }

    /// Returns whether the previous packet was probably the last of its unit, and forgets it, so that the
    /// next packet is not compared with it.
    pub(crate) fn take_plausible(&mut self) -> bool {
        std::mem::take(&mut self.stuffed) && !self.broken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(rule: &mut StuffingRule) -> bool {
        rule.observe(true);
        assert!(!rule.ends(true, false));
        assert!(!rule.observe(false));
        rule.ends(true, true)
    }

    #[test]
    fn it_is_acted_upon_after_eight_proofs() {
        let mut rule = StuffingRule::default();
        // The beginning of a unit confirms the previous one, so the ninth is the first to benefit.
        let ended: Vec<bool> = (0..10).map(|_| unit(&mut rule)).collect();
        assert_eq!(ended.iter().position(|&ended| ended), Some(8));
        assert!(ended[8..].iter().all(|&ended| ended));
    }

    #[test]
    fn one_counter_example_ends_it_for_good() {
        let mut rule = StuffingRule::default();
        for _ in 0..20 {
            unit(&mut rule);
        }
        assert!(rule.observe(false));
        for _ in 0..20 {
            assert!(!unit(&mut rule));
        }
    }

    #[test]
    fn a_unit_that_fills_its_last_packet_proves_nothing() {
        let mut rule = StuffingRule::default();
        for _ in 0..20 {
            rule.observe(true);
            assert!(!rule.ends(true, false));
        }
        assert!(!unit(&mut rule));
    }
}
