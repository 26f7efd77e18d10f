//! Learns whether a stuffed packet ends the PES packet it belongs to. Knows nothing of payloads.

/// A PES packet of unbounded length ends where the next one begins, a whole picture later. But muxers fill
/// its last packet with stuffing and no other, so most streams tell the end as it happens. Whether this one
/// does has to be seen first, and one counter-example is enough to give the idea up.
#[derive(Debug, Default)]
pub(crate) struct StuffingRule {
    held: u8,
    broken: bool,
    /// Whether the packet before was stuffed and in a PES packet of unbounded length.
    stuffed: bool,
}

impl StuffingRule {
    /// How often in a row the rule must have held before it is acted upon.
    const PROOF: u8 = 8;

    fn is_trusted(&self) -> bool {
        !self.broken && self.held >= Self::PROOF
    }

    /// A packet follows the one before without a gap. Says whether it shows that a unit was handed on too
    /// early.
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

    /// A packet was taken. Says whether the unit ends with it.
    pub(crate) fn ends(&mut self, unbounded: bool, stuffed: bool) -> bool {
        self.stuffed = unbounded && stuffed;
        self.stuffed && self.is_trusted()
    }

    /// Whether the packet before was likely the last of its unit; what comes next is not to be compared
    /// with it.
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
        // The beginning of a unit proves the one before it, so the ninth is the first to profit.
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
