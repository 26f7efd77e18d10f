//! Limits the memory that the segments of all channels may use together, and evicts segments beyond it.
//!
//! The largest channel loses its oldest segment first. So a channel can only evict segments of larger
//! channels or its own, and a channel that keeps growing ends up evicting itself.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

use super::segment::Segment;
use crate::lock::lock;

/// Finding segments to evict is expensive, so this fraction of the budget is freed at once.
const HEADROOM: u64 = 32;

/// The memory that all segments of a server use.
pub(crate) struct Budget {
    max_cost: u64,
    bytes: AtomicU64,
    /// The bytes together with their overhead in memory.
    cost: AtomicU64,
    evicted: AtomicU64,
    /// Ordered by age.
    segments: Mutex<BTreeMap<u64, Weak<Segment>>>,
    next: AtomicU64,
}

/// The share of one channel in the budget.
#[derive(Clone)]
pub(crate) struct Account {
    budget: Arc<Budget>,
    cost: Arc<AtomicU64>,
}

impl Budget {
    pub(crate) fn new(max_cost: u64) -> Arc<Budget> {
        Arc::new(Budget {
            max_cost,
            bytes: AtomicU64::new(0),
            cost: AtomicU64::new(0),
            evicted: AtomicU64::new(0),
            segments: Mutex::default(),
            next: AtomicU64::new(0),
        })
    }

    /// Opens an account for a new channel.
    pub(crate) fn account(self: &Arc<Budget>) -> Account {
        Account { budget: self.clone(), cost: Arc::default() }
    }

    /// The bytes of all segments, without their overhead.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many segments were evicted.
    pub(crate) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// The segments of each channel that are not empty, oldest first.
    fn by_channel(&self) -> Vec<(Account, VecDeque<Arc<Segment>>)> {
        // The lock must be released first. Dropping the last reference to a segment takes it again.
        let all: Vec<Arc<Segment>> = lock(&self.segments).values().filter_map(Weak::upgrade).collect();
        let mut places = BTreeMap::new();
        let mut channels: Vec<(Account, VecDeque<Arc<Segment>>)> = Vec::new();
        for segment in all.into_iter().filter(|segment| segment.cost() > 0) {
            let account = segment.account().clone();
            let place = *places.entry(Arc::as_ptr(&account.cost)).or_insert(channels.len());
            match channels.get_mut(place) {
                Some((_, segments)) => segments.push_back(segment),
                None => channels.push((account, VecDeque::from([segment]))),
            }
        }
        channels
    }

    /// Evicts segments until there is room for `account`, but not its segment `kept`, which is being written.
    fn make_room(&self, account: &Account, kept: u64) {
        let wanted = self.max_cost.saturating_sub(self.max_cost / HEADROOM);
        let mut channels = self.by_channel();
        while self.cost.load(Ordering::Relaxed) > wanted {
            let own = account.held();
            let largest = channels
                .iter_mut()
                .filter(|(other, segments)| !segments.is_empty() && (other.is(account) || other.held() > own))
                .max_by_key(|(other, _)| (other.held(), other.is(account)));
            let Some((owner, segments)) = largest else { return };
            let Some(oldest) = segments.pop_front() else { return };
            if owner.is(account) && oldest.age() == kept {
                continue;
            }
            if oldest.evict() {
                self.evicted.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Account {
    /// The cost of the segments of this channel.
    fn held(&self) -> u64 {
        self.cost.load(Ordering::Relaxed)
    }

    fn is(&self, other: &Account) -> bool {
        Arc::ptr_eq(&self.cost, &other.cost)
    }

    /// Registers a new segment and returns its age.
    pub(crate) fn enter(&self, segment: &Weak<Segment>) -> u64 {
        let age = self.budget.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.budget.segments).insert(age, segment.clone());
        age
    }

    pub(crate) fn leave(&self, age: u64) {
        lock(&self.budget.segments).remove(&age);
    }

    /// Reserves room for the segment with this age and evicts others if necessary. Returns false if there
    /// is not enough room. The caller must not hold the lock of a segment.
    pub(crate) fn reserve(&self, age: u64, bytes: u64, cost: u64) -> bool {
        let budget = &self.budget;
        self.cost.fetch_add(cost, Ordering::Relaxed);
        budget.bytes.fetch_add(bytes, Ordering::Relaxed);
        let before = budget.cost.fetch_add(cost, Ordering::Relaxed);
        if before.saturating_add(cost) <= budget.max_cost {
            return true;
        }
        budget.make_room(self, age);
        if budget.cost.load(Ordering::Relaxed) <= budget.max_cost {
            return true;
        }
        self.release(bytes, cost);
        false
    }

    pub(crate) fn release(&self, bytes: u64, cost: u64) {
        self.cost.fetch_sub(cost, Ordering::Relaxed);
        self.budget.cost.fetch_sub(cost, Ordering::Relaxed);
        self.budget.bytes.fetch_sub(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::segment::{Appended, State};
    use super::*;

    const PART: usize = 10_000;

    fn segment(account: &Account, seq: u64) -> Arc<Segment> {
        Segment::new(seq, 1 << 20, account.clone())
    }

    /// Writes up to `parts` parts and returns how many were accepted.
    fn write(segment: &Segment, parts: usize) -> usize {
        (0..parts).take_while(|_| segment.append(Bytes::from(vec![0; PART])) == Appended::Taken).count()
    }

    #[test]
    fn a_greedy_channel_pushes_out_itself_and_nobody_smaller() {
        let budget = Budget::new(1_000_000);
        let small: Vec<_> = (0..10).map(|_| segment(&budget.account(), 0)).collect();
        for segment in &small {
            assert_eq!(write(segment, 3), 3);
        }
        let greedy = budget.account();
        let kept: Vec<_> = (0..20).map(|seq| segment(&greedy, seq)).collect();
        for segment in &kept {
            assert_eq!(write(segment, 20), 20, "there is room for each when the one before it goes");
            assert!(budget.bytes() <= 1_000_000);
        }
        assert!(small.iter().all(|segment| segment.cost() > 0), "nobody else has lost anything");
        assert!(budget.evicted() >= 16, "{}", budget.evicted());
        assert_eq!(kept.last().map(|segment| segment.state()), Some(State::Open));
        drop((small, kept));
        assert_eq!((budget.bytes(), greedy.held(), lock(&budget.segments).len()), (0, 0, 0));
    }

    #[test]
    fn a_newcomer_gets_its_room_from_the_largest_channel() {
        let budget = Budget::new(1_000_000);
        let (large, medium, newcomer) = (budget.account(), budget.account(), budget.account());
        let of_large = [segment(&large, 0), segment(&large, 1)];
        assert_eq!(write(&of_large[0], 35) + write(&of_large[1], 35), 70);
        let of_medium = segment(&medium, 0);
        assert_eq!(write(&of_medium, 20), 20);
        let of_newcomer = segment(&newcomer, 0);
        assert_eq!(write(&of_newcomer, 20), 20);
        assert_eq!((of_large[0].cost(), of_large[0].state()), (0, State::Closed), "its oldest went");
        assert!(of_large[1].cost() > 0 && of_medium.cost() > 0);
    }

    #[test]
    fn a_segment_that_is_larger_than_everything_is_refused() {
        let budget = Budget::new(100_000);
        let segment = segment(&budget.account(), 0);
        assert!(write(&segment, 20) < 10);
        assert_eq!(segment.append(Bytes::from(vec![0; PART])), Appended::NoRoom);
        assert!(budget.bytes() <= 100_000);
    }

    #[test]
    fn single_bytes_are_counted_with_what_they_cost() {
        let budget = Budget::new(64_000);
        let segment = segment(&budget.account(), 0);
        let taken = (0..2000).take_while(|_| segment.append(Bytes::from_static(b"x")) == Appended::Taken);
        assert!(taken.count() < 1000);
    }
}
