//! A long list of which a change copies a chunk: two Worlds share all but what tells them apart.
//!
//! For what is as long as there are addresses, of which a verdict changes one. Knows nothing of
//! what it holds.

use std::{
    ops::{Index, IndexMut},
    sync::Arc,
};

/// Elements a chunk: so few are copied for one, and the list of chunks of 10,000 is one of 80.
const CHUNK: usize = 128;

/// A list in chunks, each shared with the lists it was cloned from until one of them changes it.
#[derive(Clone, Debug)]
pub struct Chunked<T> {
    /// All but the last are full.
    chunks: Vec<Arc<Vec<T>>>,
}

impl<T> Default for Chunked<T> {
    fn default() -> Chunked<T> {
        Chunked { chunks: Vec::new() }
    }
}

impl<T> Chunked<T> {
    /// The element at `index`.
    pub fn get(&self, index: usize) -> Option<&T> {
        self.chunks.get(index / CHUNK)?.get(index % CHUNK)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.chunks.iter().flat_map(|chunk| chunk.iter())
    }

    /// The places where `other` may hold something else; chunks that both share are passed over.
    pub fn differing<'a>(&'a self, other: &'a Chunked<T>) -> impl Iterator<Item = usize> + 'a {
        let chunks = self.chunks.iter().enumerate().filter(|(index, chunk)| {
            !other.chunks.get(*index).is_some_and(|other| Arc::ptr_eq(chunk, other))
        });
        chunks.flat_map(|(index, chunk)| (0..chunk.len()).map(move |at| index * CHUNK + at))
    }
}

impl<T: Clone> Chunked<T> {
    /// Adds one more.
    pub fn push(&mut self, element: T) {
        match self.chunks.last_mut().filter(|chunk| chunk.len() < CHUNK) {
            Some(chunk) => Arc::make_mut(chunk).push(element),
            None => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(element);
                self.chunks.push(Arc::new(chunk));
            }
        }
    }

    /// The element at `index`, to be changed.
    pub fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        let chunk = self.chunks.get_mut(index / CHUNK)?;
        // One that is not there copies nothing.
        (index % CHUNK < chunk.len()).then(|| &mut Arc::make_mut(chunk)[index % CHUNK])
    }
}

impl<T: Clone> FromIterator<T> for Chunked<T> {
    fn from_iter<I: IntoIterator<Item = T>>(elements: I) -> Chunked<T> {
        let mut list = Chunked::default();
        elements.into_iter().for_each(|element| list.push(element));
        list
    }
}

impl<T: PartialEq> PartialEq for Chunked<T> {
    fn eq(&self, other: &Chunked<T>) -> bool {
        let is_same = |(one, other): (&Arc<Vec<T>>, &Arc<Vec<T>>)| {
            Arc::ptr_eq(one, other) || one.as_slice() == other.as_slice()
        };
        self.chunks.len() == other.chunks.len()
            && std::iter::zip(&self.chunks, &other.chunks).all(is_same)
    }
}

impl<T> Index<usize> for Chunked<T> {
    type Output = T;
    fn index(&self, index: usize) -> &T {
        &self.chunks[index / CHUNK][index % CHUNK]
    }
}

impl<T: Clone> IndexMut<usize> for Chunked<T> {
    fn index_mut(&mut self, index: usize) -> &mut T {
        &mut Arc::make_mut(&mut self.chunks[index / CHUNK])[index % CHUNK]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_a_list() {
        for length in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK] {
            let list: Chunked<usize> = (0..length).collect();
            assert!(list.iter().copied().eq(0..length));
            assert_eq!(list.get(length), None);
            assert!((0..length).all(|at| list.get(at) == Some(&at) && list[at] == at));
        }
    }

    #[test]
    fn a_change_copies_its_chunk_and_no_other() {
        let before: Chunked<usize> = (0..3 * CHUNK).collect();
        let mut after = before.clone();
        assert_eq!(after.differing(&before).count(), 0);
        assert_eq!(after.get_mut(3 * CHUNK), None);
        after[CHUNK + 7] = 0;
        *after.get_mut(CHUNK + 8).unwrap() = 0;
        assert_eq!((before[CHUNK + 7], before[CHUNK + 8]), (CHUNK + 7, CHUNK + 8));
        assert!(after.differing(&before).eq(CHUNK..2 * CHUNK));
        assert!(after != before);
        // What is changed back is equal, and shared no more.
        (after[CHUNK + 7], after[CHUNK + 8]) = (CHUNK + 7, CHUNK + 8);
        assert!(after == before && after.differing(&before).count() == CHUNK);
        after.push(1);
        assert!(after != before && after.differing(&before).last() == Some(3 * CHUNK));
    }
}
