//! Sets of classes: the mask a Selection holds, and the sets a map holds of its own space.
//!
//! A map asks one question, "are all classes below this prefix in the mask?", some twenty times
//! a query. Nearly all of its sets are one class or none, so those are told by their id alone;
//! the rest are short interned lists.

use crate::ids::Class;
use std::collections::HashMap;

/// A set of classes, as a bit each: those that share an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClassMask(Vec<u64>);

impl ClassMask {
    /// The set that holds nothing.
    pub const fn new() -> Self {
        ClassMask(Vec::new())
    }
    /// The set that holds only `class`.
    pub fn single(class: Class) -> Self {
        let mut mask = ClassMask::new();
        mask.insert(class);
        mask
    }
    /// Adds `class`.
    pub fn insert(&mut self, class: Class) {
        let word = class.index() / 64;
        if word >= self.0.len() {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (class.index() % 64);
    }
    /// Whether `class` is in it.
    #[inline]
    pub fn contains(&self, class: Class) -> bool {
        let word = self.0.get(class.index() / 64).copied().unwrap_or(0);
        word >> (class.index() % 64) & 1 == 1
    }
    /// Whether every class of `other` is in it.
    fn holds(&self, other: &ClassMask) -> bool {
        let mut words = other.0.iter().enumerate();
        words.all(|(word, bits)| bits & !self.0.get(word).copied().unwrap_or(0) == 0)
    }
    /// The classes in it, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Class> + '_ {
        let bits = (0..self.0.len() * 64).map(Class::at);
        bits.filter(|class| self.contains(*class))
    }
}

impl FromIterator<Class> for ClassMask {
    fn from_iter<I: IntoIterator<Item = Class>>(classes: I) -> Self {
        let mut mask = ClassMask::new();
        classes.into_iter().for_each(|class| mask.insert(class));
        mask
    }
}

/// The id of a set of classes: the class itself, [`NONE`], [`EVERY`], or a list.
pub(super) type SetId = u16;
/// No class at all: unknown space.
pub(super) const NONE: SetId = u16::MAX;
/// Every class of the map.
pub(super) const EVERY: SetId = u16::MAX - 1;
/// How many classes a map can tell apart beside those two ids: 0..=65,533.
pub(super) const CLASSES_MAX: usize = EVERY as usize;
/// A longer list counts as [`EVERY`]: a scope is then narrower than it could be, never wrong.
/// With at most 65,534 lists that bounds them at 16 MiB.
const LIST_MAX: usize = 128;

/// The sets of one map.
#[derive(Debug, PartialEq)]
pub(super) struct Sets {
    /// Ids below are classes, ids from here on are lists.
    classes: SetId,
    /// Every class that occurs.
    every: ClassMask,
    /// The lists behind one another; list `i` ends at `ends[i]`.
    members: Vec<Class>,
    ends: Vec<u32>,
}

impl Sets {
    /// The class that `id` is, if it is a single one.
    #[inline]
    pub(super) fn class(&self, id: SetId) -> Option<Class> {
        (id < self.classes).then_some(Class(id))
    }
    /// Whether `mask` holds all of set `id`.
    #[inline]
    pub(super) fn within(&self, id: SetId, mask: &ClassMask) -> bool {
        match id {
            NONE => true,
            class if class < self.classes => mask.contains(Class(class)),
            list => self.is_list_within(list, mask),
        }
    }
    /// Whether `mask` holds every class of the map: nobody then needs to ask for any set.
    #[inline]
    pub(super) fn are_all_within(&self, mask: &ClassMask) -> bool {
        mask.holds(&self.every)
    }
    /// Most climbs end at the first list they meet.
    #[inline(never)]
    fn is_list_within(&self, list: SetId, mask: &ClassMask) -> bool {
        match list {
            EVERY => self.are_all_within(mask),
            list => self.list(list).iter().all(|class| mask.contains(*class)),
        }
    }
    fn list(&self, id: SetId) -> &[Class] {
        let index = usize::from(id - self.classes);
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.members[start as usize..self.ends[index] as usize]
    }
    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        8 * self.every.0.len() + 2 * self.members.len() + 4 * self.ends.len()
    }
}

/// Interns unions while a map is built.
pub(super) struct SetsBuilder {
    sets: Sets,
    /// How many classes there are.
    count: usize,
    by_list: HashMap<Vec<Class>, SetId>,
    unions: HashMap<(SetId, SetId), SetId>,
}

impl SetsBuilder {
    /// Over `every` class of the map, ascending, each below [`CLASSES_MAX`].
    pub(super) fn new(every: &[Class]) -> Self {
        SetsBuilder {
            sets: Sets {
                classes: every.last().map_or(0, |class| class.0 + 1),
                every: every.iter().copied().collect(),
                members: Vec::new(),
                ends: Vec::new(),
            },
            count: every.len(),
            by_list: HashMap::new(),
            unions: HashMap::new(),
        }
    }
    pub(super) fn union(&mut self, a: SetId, b: SetId) -> SetId {
        match (a, b) {
            _ if a == b => a,
            (NONE, other) | (other, NONE) => other,
            (EVERY, _) | (_, EVERY) => EVERY,
            _ => {
                let pair = (a.min(b), a.max(b));
                if let Some(&known) = self.unions.get(&pair) {
                    return known;
                }
                let id = self.unite(a, b);
                self.unions.insert(pair, id);
                id
            }
        }
    }
    fn unite(&mut self, a: SetId, b: SetId) -> SetId {
        let mut list = [self.members(a), self.members(b)].concat();
        list.sort_unstable();
        list.dedup();
        let sets = &mut self.sets;
        let next = usize::from(sets.classes) + sets.ends.len();
        if list.len() == self.count || list.len() > LIST_MAX {
            return EVERY;
        }
        if let Some(&known) = self.by_list.get(&list) {
            return known;
        }
        if next >= usize::from(EVERY) {
            return EVERY;
        }
        sets.members.extend(&list);
        sets.ends.push(sets.members.len() as u32);
        self.by_list.insert(list, next as SetId);
        next as SetId
    }
    fn members(&self, id: SetId) -> Vec<Class> {
        match self.sets.class(id) {
            Some(class) => vec![class],
            None => self.sets.list(id).to_vec(),
        }
    }
    pub(super) fn finish(mut self) -> Sets {
        self.sets.members.shrink_to_fit();
        self.sets.ends.shrink_to_fit();
        self.sets
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_holds_what_was_put_in() {
        let mask: ClassMask = [Class(3), Class(200)].into_iter().collect();
        assert!(mask.contains(Class(3)) && mask.contains(Class(200)));
        assert!(!mask.contains(Class(4)) && !mask.contains(Class(60_000)));
        assert_eq!(mask.iter().collect::<Vec<_>>(), [Class(3), Class(200)]);
        assert_eq!(ClassMask::single(Class(7)).iter().next(), Some(Class(7)));
    }

    #[test]
    fn unions_are_interned_and_asked_for_by_mask() {
        let mut builder = SetsBuilder::new(&[0, 1, 2, 3].map(Class));
        let ab = builder.union(0, 1);
        assert_eq!(builder.union(1, 0), ab);
        assert_eq!(builder.union(ab, NONE), ab);
        let abc = builder.union(ab, 2);
        assert_eq!(builder.union(0, builder_union(&mut SetsBuilder::new(&[]))), 0);
        assert_eq!(builder.union(abc, 3), EVERY);
        let sets = builder.finish();
        let mask: ClassMask = [Class(0), Class(1)].into_iter().collect();
        assert!(sets.within(ab, &mask) && sets.within(0, &mask) && sets.within(NONE, &mask));
        let all: ClassMask = (0..4).map(Class).collect();
        assert!(sets.within(EVERY, &all) && sets.are_all_within(&all));
        assert!(!sets.are_all_within(&mask));
        assert!(!sets.within(abc, &mask) && !sets.within(3, &mask) && !sets.within(EVERY, &mask));
        assert_eq!((sets.class(1), sets.class(ab), sets.class(NONE)), (Some(Class(1)), None, None));
    }

    fn builder_union(empty: &mut SetsBuilder) -> SetId {
        empty.union(NONE, NONE)
    }

    #[test]
    fn long_lists_count_as_everything() {
        let classes: Vec<Class> = (0..1000).map(Class).collect();
        let mut builder = SetsBuilder::new(&classes);
        let long = (1..=LIST_MAX as u16).fold(0, |all, class| builder.union(all, class));
        assert_eq!(long, EVERY);
        let shorter = (1..LIST_MAX as u16).fold(0, |all, class| builder.union(all, class));
        assert_ne!(shorter, EVERY);
    }
}
