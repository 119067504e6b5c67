//! A table of names: open addressing over lower-cased wire bytes, one probe for a hit.
//!
//! Keys are labels in wire form without the part that all names of a table share: in a zone the
//! labels in front of its apex, so that the apex itself is the empty key. Each key has a value
//! and an index that never changes. Must not know what the values mean.
//!
//! Sizes: a slot has 8 bytes at a load of 1/2, an entry 16 bytes and its value; keys of more than
//! [`PACKED_MAX`] bytes stand in an arena. A lookup touches one slot's cache line and one entry's.

use super::slots::{EMPTY, Slots};
use crate::wire::{NameKey, PACKED_MAX};
use crate::{pages, prefetch::prefetch};

/// A table is full: 2³² entries, or 4 GiB of long names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many names for one table")]
pub(super) struct TableFull;

/// A map from names to `T`.
#[derive(Clone, Debug)]
pub(super) struct Names<T> {
    slots: Slots,
    entries: Vec<Entry<T>>,
    /// The keys that are too long for their entry.
    arena: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Entry<T> {
    /// A short key, as [`NameKey::packed`] has it; or where in the arena it begins and, in the last
    /// byte as well, how long it is.
    key: [u8; PACKED_MAX + 1],
    value: T,
}

impl<T> Default for Names<T> {
    fn default() -> Self {
        Names { slots: Slots::default(), entries: Vec::new(), arena: Vec::new() }
    }
}

impl<T> Names<T> {
    /// How many names there are; their indices are `0..len()`.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The value at an index that this table gave out.
    #[inline]
    pub(super) fn value(&self, index: u32) -> &T {
        &self.entries[index as usize].value
    }

    /// The value at `index`, if this table gave out so many.
    #[inline]
    pub(super) fn get(&self, index: u32) -> Option<&T> {
        self.entries.get(index as usize).map(|entry| &entry.value)
    }

    /// The value at an index that this table gave out, to be changed.
    pub(super) fn value_mut(&mut self, index: u32) -> &mut T {
        &mut self.entries[index as usize].value
    }

    /// The key at an index that this table gave out.
    #[inline]
    pub(super) fn key(&self, index: u32) -> &[u8] {
        self.entries[index as usize].key(&self.arena)
    }

    /// The index of `key`, if it is in the table.
    pub(super) fn find(&self, key: &[u8]) -> Option<u32> {
        self.find_key(NameKey::new(key))
    }

    /// The index of `key`, if it is in the table.
    #[inline(always)] // Saving and restoring registers would cost a third of what it does.
    pub(super) fn find_key(&self, key: NameKey<'_>) -> Option<u32> {
        match key.packed() {
            Some(packed) => self.slots.find(key.hash(), |index| self.is_packed(index, packed)),
            None => self.find_long(key),
        }
    }

    #[inline(never)]
    fn find_long(&self, key: NameKey<'_>) -> Option<u32> {
        self.slots.find(key.hash(), |index| self.key(index) == key.bytes())
    }

    /// Whether `key` stands at an index that this table gave out.
    #[inline]
    pub(super) fn is_at(&self, index: u32, key: NameKey<'_>) -> bool {
        match key.packed() {
            Some(packed) => self.is_packed(index, packed),
            None => self.key(index) == key.bytes(),
        }
    }

    #[inline]
    fn is_packed(&self, index: u32, packed: u128) -> bool {
        u128::from_le_bytes(self.entries[index as usize].key) == packed
    }

    /// Asks for the first that [`Names::find_key`] would look at for a name of this `hash`.
    #[inline]
    pub(super) fn prefetch_slot(&self, hash: u64) {
        self.slots.prefetch(hash);
    }

    /// Asks for what stands at the index that the name of this `hash` is likely to have, and says
    /// which that is.
    #[inline]
    pub(super) fn prefetch_entry(&self, hash: u64) -> Option<u32> {
        let index = self.slots.likely(hash)?;
        prefetch(self.entries.get(index as usize)?);
        Some(index)
    }

    /// The index of `key`, put into the table with `value` if it was not there.
    ///
    /// # Panics
    /// If `key` is longer than 255 bytes, which no name is.
    pub(super) fn insert(&mut self, key: &[u8], value: T) -> Result<u32, TableFull> {
        let key = NameKey::new(key);
        if let Some(index) = self.find_key(key) {
            return Ok(index);
        }
        let index = u32::try_from(self.entries.len()).map_err(|_| TableFull)?;
        if index == EMPTY {
            return Err(TableFull);
        }
        let kept = match key.packed() {
            Some(packed) => packed.to_le_bytes(),
            None => {
                let start = u32::try_from(self.arena.len()).map_err(|_| TableFull)?;
                self.arena.extend_from_slice(key.bytes());
                let mut kept = [0; PACKED_MAX + 1];
                kept[..4].copy_from_slice(&start.to_le_bytes());
                kept[PACKED_MAX] =
                    u8::try_from(key.bytes().len()).expect("a name has at most 255 bytes");
                kept
            }
        };
        self.entries.push(Entry { key: kept, value });
        let Names { slots, entries, arena } = self;
        slots.insert(key.hash(), index, |index| entries[index as usize].hash(arena));
        Ok(index)
    }

    /// Gives back the memory that growing has left over; what is large moves into huge pages.
    pub(super) fn settle(&mut self) {
        let Names { slots, entries, arena } = self;
        slots.settle(|index| entries[index as usize].hash(arena));
        pages::settle(entries);
        pages::settle(arena);
    }
}

impl<T> Entry<T> {
    #[inline]
    fn key<'k>(&'k self, arena: &'k [u8]) -> &'k [u8] {
        let [short @ .., len] = &self.key;
        let len = usize::from(*len);
        if let Some(key) = short.get(..len) {
            return key;
        }
        let [a, b, c, d, ..] = *short;
        let start = u32::from_le_bytes([a, b, c, d]) as usize;
        &arena[start..start + len]
    }

    fn hash(&self, arena: &[u8]) -> u64 {
        NameKey::new(self.key(arena)).hash()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn an_empty_table_finds_nothing() {
        let names = Names::<()>::default();
        assert_eq!((names.len(), names.find(b"")), (0, None));
    }

    #[test]
    fn an_entry_is_as_small_as_the_header_says() {
        assert_eq!(size_of::<Entry<[u32; 4]>>(), 32);
    }

    proptest! {
        #[test]
        fn the_table_is_a_map(keys in prop::collection::vec(prop::collection::vec(0u8..3, 0..20), 0..300)) {
            let mut names = Names::default();
            let mut model = HashMap::new();
            for key in &keys {
                let next = model.len() as u32;
                let expected = *model.entry(key.clone()).or_insert(next);
                prop_assert_eq!(names.insert(key, expected), Ok(expected));
            }
            names.settle();
            prop_assert_eq!(names.len(), model.len());
            for (key, &index) in &model {
                prop_assert_eq!(names.find(key), Some(index));
                prop_assert_eq!(names.key(index), key.as_slice());
                prop_assert_eq!(*names.value(index), index);
            }
            prop_assert_eq!(names.find(&[9; 4]), None);
        }
    }
}
