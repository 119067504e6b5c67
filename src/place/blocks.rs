//! One family's part of a client map: the root, the blocks below it, and the heaps of unions
//! beside them. [`super::map`] says what they are for.
//!
//! Must not know addresses as people write them: a key is 16 bytes, IPv4 in the first four.

use super::{
    nets::{self, ClassRun, Span},
    sets::{NONE, SetId, SetsBuilder},
};
use crate::{pages, prefetch::prefetch};
use foldhash::fast::FixedState;
use std::collections::HashMap;

/// Bits the root resolves.
const ROOT_BITS: u8 = 16;
const ROOT_CELLS: usize = 1 << ROOT_BITS;
/// Bits a block resolves: a cache line of cells.
const BLOCK_BITS: u8 = 4;
const BLOCK_CELLS: usize = 1 << BLOCK_BITS;
/// Blocks below the root to resolve all of an IPv6 address.
const BLOCKS_DEEP_MAX: usize = (128 - ROOT_BITS as usize) / BLOCK_BITS as usize;
/// Set in a cell that leads to a block.
const TO_BLOCK: u32 = 1 << 31;

/// Sixteen cells: one cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(align(64))]
struct Cells([u32; BLOCK_CELLS]);

/// One family's cells and unions.
#[derive(Debug, PartialEq)]
pub(super) struct Family {
    root: Box<[u32]>,
    /// The heap above the root: entry 1 is the whole space, entry `n` the union of `2n` and
    /// `2n + 1`, entries from `ROOT_CELLS` on would be the cells themselves.
    root_unions: Box<[SetId]>,
    blocks: Box<[Cells]>,
    /// The same heap for each block.
    unions: Box<[[SetId; BLOCK_CELLS]]>,
}

/// The way from the root to one key's leaf.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path {
    key: [u8; 16],
    set: SetId,
    depth: u8,
    blocks: [u32; BLOCKS_DEEP_MAX],
}

impl Path {
    /// The set of the leaf it ends at.
    #[inline]
    pub(super) fn set(&self) -> SetId {
        self.set
    }
    /// The key as a number.
    pub(super) fn bits(&self) -> u128 {
        u128::from_be_bytes(self.key)
    }
}

impl Family {
    /// Walks to the leaf that holds `key`.
    #[inline]
    pub(super) fn find(&self, key: [u8; 16]) -> Path {
        let mut blocks = [0; BLOCKS_DEEP_MAX];
        let mut depth = 0;
        let mut cell = self.root[root_index(&key)];
        while cell & TO_BLOCK != 0 {
            let block = cell & !TO_BLOCK;
            blocks[depth] = block;
            cell = self.blocks[block as usize].0[nibble(&key, depth)];
            depth += 1;
        }
        Path { key, set: cell as SetId, depth: depth as u8, blocks }
    }
    /// Asks for what [`Family::find`] and [`Family::climb`] look at in the root.
    #[inline]
    pub(super) fn prefetch_root(&self, key: &[u8; 16]) {
        let index = root_index(key);
        prefetch(&self.root[index]);
        prefetch(&self.root_unions[(ROOT_CELLS + index) / 2]);
    }
    /// Once that is there: for what they look at in the block below it, if there is one.
    #[inline]
    pub(super) fn prefetch_block(&self, key: &[u8; 16]) {
        let cell = self.root[root_index(key)];
        let block = (cell & !TO_BLOCK) as usize;
        if cell & TO_BLOCK != 0
            && let (Some(cells), Some(heap)) = (self.blocks.get(block), self.unions.get(block))
        {
            prefetch(cells);
            prefetch(heap);
        }
    }
    /// Climbs from the leaf while the sets above are `within`: the length of the last prefix
    /// that was.
    pub(super) fn climb(&self, path: &Path, within: impl Fn(SetId) -> bool) -> u8 {
        let mut len = ROOT_BITS + BLOCK_BITS * path.depth;
        for depth in (0..usize::from(path.depth)).rev() {
            let heap = &self.unions[path.blocks[depth] as usize];
            let mut node = BLOCK_CELLS + nibble(&path.key, depth);
            while node > 1 {
                node /= 2;
                if !within(heap[node]) {
                    return len;
                }
                len -= 1;
            }
        }
        let mut node = ROOT_CELLS + root_index(&path.key);
        while node > 1 {
            node /= 2;
            if !within(self.root_unions[node]) {
                return len;
            }
            len -= 1;
        }
        len
    }
    /// Every class of the family.
    pub(super) fn union(&self) -> SetId {
        self.root_unions[1]
    }
    pub(super) fn bytes(&self) -> usize {
        size_of_val(&*self.root)
            + size_of_val(&*self.root_unions)
            + size_of_val(&*self.blocks)
            + size_of_val(&*self.unions)
    }
}

/// The first 16 bits of `key`.
#[inline]
fn root_index(key: &[u8; 16]) -> usize {
    usize::from(u16::from_be_bytes([key[0], key[1]]))
}

/// The four bits of `key` that block number `depth` below the root resolves.
#[inline]
fn nibble(key: &[u8; 16], depth: usize) -> usize {
    let byte = key[(usize::from(ROOT_BITS) / 8 + depth / 2) & 15];
    usize::from(if depth.is_multiple_of(2) { byte >> 4 } else { byte & 15 })
}

/// Cuts runs into a family, from the leaves up.
pub(super) struct Builder<'s> {
    sets: &'s mut SetsBuilder,
    /// Where precision ends, unless a longer network lies below.
    limit: u8,
    /// The networks longer than that, sorted.
    deep: Vec<Span>,
    blocks: Vec<Cells>,
    unions: Vec<[SetId; BLOCK_CELLS]>,
    known: HashMap<Cells, u32, FixedState>,
}

impl<'s> Builder<'s> {
    pub(super) fn new(sets: &'s mut SetsBuilder, limit: u8, spans: &[Span]) -> Self {
        let deep = spans.iter().filter(|span| span.len > limit);
        Builder {
            sets,
            limit,
            deep: deep.copied().collect(),
            blocks: Vec::new(),
            unions: Vec::new(),
            known: HashMap::default(),
        }
    }

    pub(super) fn build(mut self, runs: &[ClassRun]) -> Family {
        let mut rest = runs;
        let root: Vec<u32> = (0..ROOT_CELLS)
            .map(|index| {
                let start = (index as u128) << (128 - ROOT_BITS);
                let here = runs_of(&mut rest, start, ROOT_BITS);
                self.cell(start, ROOT_BITS, here)
            })
            .collect();
        let mut root_unions = vec![NONE; ROOT_CELLS];
        for node in (1..ROOT_CELLS).rev() {
            let child = |side: usize| match (2 * node + side).checked_sub(ROOT_CELLS) {
                Some(cell) => self.set_of(root[cell]),
                None => root_unions[2 * node + side],
            };
            let (left, right) = (child(0), child(1));
            root_unions[node] = self.sets.union(left, right);
        }
        pages::settle(&mut self.blocks);
        pages::settle(&mut self.unions);
        Family {
            root: root.into(),
            root_unions: root_unions.into(),
            blocks: self.blocks.into(),
            unions: self.unions.into(),
        }
    }

    /// The cell for the prefix `start/len`, which `runs` cover.
    fn cell(&mut self, start: u128, len: u8, runs: &[ClassRun]) -> u32 {
        if let [only] = runs {
            return only.set.into();
        }
        if len >= self.limit && !self.has_longer_net(start, len) {
            return majority(start, len, runs).into();
        }
        let mut cells = [0; BLOCK_CELLS];
        let mut rest = runs;
        let len = len + BLOCK_BITS;
        for (index, cell) in cells.iter_mut().enumerate() {
            let start = start | (index as u128) << (128 - len);
            let here = runs_of(&mut rest, start, len);
            *cell = self.cell(start, len, here);
        }
        self.intern(Cells(cells))
    }

    fn intern(&mut self, cells: Cells) -> u32 {
        let first = cells.0[0];
        if first & TO_BLOCK == 0 && cells.0.iter().all(|cell| *cell == first) {
            return first;
        }
        if let Some(known) = self.known.get(&cells) {
            return *known;
        }
        let mut heap = [NONE; BLOCK_CELLS];
        for node in (1..BLOCK_CELLS).rev() {
            let child = |side: usize| match (2 * node + side).checked_sub(BLOCK_CELLS) {
                Some(cell) => self.set_of(cells.0[cell]),
                None => heap[2 * node + side],
            };
            let (left, right) = (child(0), child(1));
            heap[node] = self.sets.union(left, right);
        }
        let cell = self.blocks.len() as u32 | TO_BLOCK;
        self.blocks.push(cells);
        self.unions.push(heap);
        self.known.insert(cells, cell);
        cell
    }

    fn set_of(&self, cell: u32) -> SetId {
        if cell & TO_BLOCK == 0 {
            cell as SetId
        } else {
            self.unions[(cell & !TO_BLOCK) as usize][1]
        }
    }

    fn has_longer_net(&self, start: u128, len: u8) -> bool {
        let last = start | nets::ones_after(len);
        let from = self.deep.partition_point(|span| span.start < start);
        let inside = self.deep[from..].iter().take_while(|span| span.start <= last);
        inside.into_iter().any(|span| span.len > len)
    }
}

/// The runs that touch the prefix `start/len`; `rest` begins with one that does, and moves on.
fn runs_of<'r>(rest: &mut &'r [ClassRun], start: u128, len: u8) -> &'r [ClassRun] {
    let last = start | nets::ones_after(len);
    let over = rest.partition_point(|run| run.start <= start).saturating_sub(1);
    *rest = &rest[over..];
    &rest[..rest.partition_point(|run| run.start <= last)]
}

/// The class with most addresses in `start/len`, the first of equals; unknown space has no vote.
fn majority(start: u128, len: u8, runs: &[ClassRun]) -> SetId {
    let end = start | nets::ones_after(len);
    let mut votes: Vec<(SetId, u128)> = Vec::new();
    for (index, run) in runs.iter().enumerate().filter(|(_, run)| run.set != NONE) {
        let last = runs.get(index + 1).map_or(end, |next| next.start - 1);
        let size = last - run.start.max(start) + 1;
        match votes.iter_mut().find(|(set, _)| *set == run.set) {
            Some((_, votes)) => *votes += size,
            None => votes.push((run.set, size)),
        }
    }
    let first_best = votes.iter().rev().max_by_key(|(_, size)| *size);
    first_best.map_or(NONE, |(set, _)| *set)
}
