//! Hash → index: open addressing in slots of eight bytes, whatever it is that the indices stand
//! for.
//!
//! At most every other slot is taken; any number of slots will do, so that a finished table has no
//! more than it needs ([`Slots::settle`]) where powers of two would waste up to half. So what is
//! not there is known after two and a half slots on average (eight and a half if three in four
//! were taken), which a miss pays for each label it tries; they mostly stand in one cache line.
//! Half of the hash stands in the slot and keeps what does not match out of it. Must not know keys: whoever asks compares them.

use crate::{pages, prefetch::prefetch};

/// A slot that holds nothing; so every index is below this.
pub(super) const EMPTY: u32 = u32::MAX;

/// Slots of a table that grows from nothing.
const FEWEST: usize = 4;

/// Where things stand in a table, by the hash of what they are.
#[derive(Clone, Debug, Default)]
pub(super) struct Slots {
    slots: Vec<Slot>,
    taken: usize,
}

#[derive(Clone, Copy, Debug)]
struct Slot {
    /// The lower half of the hash; the upper half chose the slot.
    tag: u32,
    index: u32,
}

impl Slots {
    /// Slots for `count` things.
    pub(super) fn with_capacity(count: usize) -> Self {
        Slots { slots: vec![Slot { tag: 0, index: EMPTY }; slots_for(count)], taken: 0 }
    }

    /// The index with this `hash` for which `is_it` holds.
    #[inline(always)] // As `Names::find_key`.
    pub(super) fn find(&self, hash: u64, is_it: impl Fn(u32) -> bool) -> Option<u32> {
        if self.slots.is_empty() {
            return None;
        }
        let mut at = self.home(hash);
        loop {
            let slot = self.slots[at];
            if slot.index == EMPTY {
                return None;
            }
            if slot.tag == hash as u32 && is_it(slot.index) {
                return Some(slot.index);
            }
            at = self.next(at);
        }
    }

    /// Asks for where the search for `hash` begins.
    #[inline]
    pub(super) fn prefetch(&self, hash: u64) {
        if let Some(slot) = self.slots.get(self.home(hash)) {
            prefetch(slot);
        }
    }

    /// The first index that may be the one with this `hash`.
    #[inline]
    pub(super) fn likely(&self, hash: u64) -> Option<u32> {
        let (before, from) = self.slots.split_at_checked(self.home(hash))?;
        let mut searched = from.iter().chain(before).take_while(|slot| slot.index != EMPTY);
        searched.find(|slot| slot.tag == hash as u32).map(|slot| slot.index)
    }

    /// Adds `index`, which is not there yet; `hash_of` gives the hash of any that is.
    pub(super) fn insert(&mut self, hash: u64, index: u32, hash_of: impl Fn(u32) -> u64) {
        if slots_for(self.taken + 1) > self.slots.len() {
            self.resize((self.slots.len() * 2).max(FEWEST), hash_of);
        }
        self.occupy(hash, index);
    }

    /// Gives back the slots that growing has left over.
    pub(super) fn settle(&mut self, hash_of: impl Fn(u32) -> u64) {
        let enough = slots_for(self.taken);
        if enough < self.slots.len() {
            self.resize(enough, hash_of);
        }
        pages::settle(&mut self.slots);
    }

    fn resize(&mut self, count: usize, hash_of: impl Fn(u32) -> u64) {
        let empty = Slot { tag: 0, index: EMPTY };
        let old = std::mem::replace(&mut self.slots, vec![empty; count]);
        self.taken = 0;
        for slot in old.iter().filter(|slot| slot.index != EMPTY) {
            self.occupy(hash_of(slot.index), slot.index);
        }
    }

    /// Adds `index`, which is not there yet, to a table that was made large enough for it.
    pub(super) fn occupy(&mut self, hash: u64, index: u32) {
        let mut at = self.home(hash);
        while self.slots[at].index != EMPTY {
            at = self.next(at);
        }
        self.slots[at] = Slot { tag: hash as u32, index };
        self.taken += 1;
    }

    /// Where the search for a hash begins: its upper half, scaled to the number of slots.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        (((hash >> 32) * self.slots.len() as u64) >> 32) as usize
    }

    #[inline]
    fn next(&self, at: usize) -> usize {
        if at + 1 == self.slots.len() { 0 } else { at + 1 }
    }
}

/// Twice as many as things.
fn slots_for(count: usize) -> usize {
    count * 2
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::hash;

    #[test]
    fn a_finished_table_has_twice_as_many_slots_as_things() {
        let hash_of = |index: u32| hash(&index.to_be_bytes());
        for count in [0, 1, 3, 1_000, 100_001] {
            let mut slots = Slots::default();
            for index in 0..count {
                slots.insert(hash_of(index), index, hash_of);
            }
            slots.settle(hash_of);
            assert_eq!(slots.slots.len(), count as usize * 2);
            for index in 0..count {
                assert_eq!(slots.find(hash_of(index), |found| found == index), Some(index));
            }
            assert_eq!(slots.find(hash_of(count), |_| true), None, "{count}");
        }
        assert_eq!(size_of::<Slot>(), 8);
    }
}
