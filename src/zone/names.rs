//! A table of names: open addressing over lower-cased wire bytes, one probe for a hit.
//!
//! Keys are labels in wire form without the part that all names of a table share: in a zone the
//! labels in front of its apex, so that the apex itself is the empty key. Each key has a value
//! and an index that never changes. Must not know what the values mean.
//!
//! Sizes: a slot has 8 bytes at a load of 3/4, an entry 16 bytes and its value; keys of more than
//! [`INLINE_MAX`] bytes stand in an arena. A lookup touches one slot's cache line and one entry's.

use super::slots::{EMPTY, Slots};
use crate::wire::hash;

/// The longest key that stands in the entry itself: `host123456`, or two short labels.
const INLINE_MAX: usize = 15;

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
    key_len: u8,
    /// The key, or where in the arena it begins.
    key: [u8; INLINE_MAX],
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
    #[inline]
    pub(super) fn find(&self, key: &[u8]) -> Option<u32> {
        self.slots.find(hash(key), |index| self.key(index) == key)
    }

    /// The index of `key`, put into the table with `value` if it was not there.
    ///
    /// # Panics
    /// If `key` is longer than 255 bytes, which no name is.
    pub(super) fn insert(&mut self, key: &[u8], value: T) -> Result<u32, TableFull> {
        if let Some(index) = self.find(key) {
            return Ok(index);
        }
        let index = u32::try_from(self.entries.len()).map_err(|_| TableFull)?;
        if index == EMPTY {
            return Err(TableFull);
        }
        let mut inline = [0; INLINE_MAX];
        if key.len() <= INLINE_MAX {
            inline[..key.len()].copy_from_slice(key);
        } else {
            let start = u32::try_from(self.arena.len()).map_err(|_| TableFull)?;
            inline[..4].copy_from_slice(&start.to_le_bytes());
            self.arena.extend_from_slice(key);
        }
        self.entries.push(Entry {
            key_len: u8::try_from(key.len()).expect("a name has at most 255 bytes"),
            key: inline,
            value,
        });
        let Names { slots, entries, arena } = self;
        slots.insert(hash(key), index, |index| hash(entries[index as usize].key(arena)));
        Ok(index)
    }

    /// Gives back the memory that growing has left over.
    pub(super) fn shrink(&mut self) {
        let Names { slots, entries, arena } = self;
        slots.shrink(|index| hash(entries[index as usize].key(arena)));
        entries.shrink_to_fit();
        arena.shrink_to_fit();
    }
}

impl<T> Entry<T> {
    #[inline]
    fn key<'k>(&'k self, arena: &'k [u8]) -> &'k [u8] {
        let len = usize::from(self.key_len);
        if len <= INLINE_MAX {
            return &self.key[..len];
        }
        let [a, b, c, d, ..] = self.key;
        let start = u32::from_le_bytes([a, b, c, d]) as usize;
        &arena[start..start + len]
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
            names.shrink();
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
