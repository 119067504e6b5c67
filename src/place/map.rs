//! The client map: from a client's prefix to its class, and back to the widest prefix that may
//! share its answer. The one structure of this room a query touches.
//!
//! For each family, a root of 65,536 cells for the first 16 bits, then blocks of 16 cells for
//! every 4 bits more; a cell is a finished set of classes or leads to a block. Beside the cells
//! of root and block stands a binary heap of unions: for every aligned prefix inside, the set
//! of classes below it. So a lookup is one load for the root and one a block, and a scope is
//! found by climbing the heaps from the leaf while the classes below stay within the answer's
//! mask (DESIGN §5, ECS scope). Equal blocks are stored once; they can be, because a block says
//! nothing of where it hangs.
//!
//! Must not know what a class means, nor any answer.

use super::{
    fold::{self, HIDINGS},
    locate::{Location, LocationTable},
    nets::{self, ClassRun, Classes, Span},
    sets::{CLASSES_MAX, ClassMask, NONE, SetId, Sets, SetsBuilder},
};
use crate::ids::Class;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

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

/// Prefix → class, for one set of regions and rules.
#[derive(Debug)]
pub struct ClientMap {
    v4: Family,
    v6: Family,
    sets: Sets,
    default: Class,
    nets: Vec<IpNet>,
}

/// Where a lookup ended; what [`ClientMap::scope`] climbs from.
#[derive(Clone, Copy, Debug)]
pub struct Hit {
    /// The client's class.
    pub class: Class,
    /// Whether the map knows this space; if not, the class is the default one.
    pub known: bool,
    set: SetId,
    is_v4: bool,
    /// To add to a length to speak of the address as it came (IPv4 hidden in IPv6).
    shift: u8,
    key: [u8; 16],
    blocks: u8,
    path: [u32; BLOCKS_DEEP_MAX],
}

impl Hit {
    /// The widest prefix around the client in which the map makes no difference at all, in the
    /// family the client was looked up in after folding.
    pub fn net(&self) -> IpNet {
        let len = self.leaf_len();
        let bits = u128::from_be_bytes(self.key) & !nets::ones_after(len);
        if self.is_v4 {
            let ip = Ipv4Addr::from_bits((bits >> 96) as u32);
            Ipv4Net::new(ip, len)
                .expect("IPv4 blocks end at /32")
                .into()
        } else {
            let ip = Ipv6Addr::from_bits(bits);
            Ipv6Net::new(ip, len).expect("blocks end at /128").into()
        }
    }
    fn leaf_len(&self) -> u8 {
        ROOT_BITS + BLOCK_BITS * self.blocks
    }
    fn root_index(&self) -> usize {
        usize::from(u16::from_be_bytes([self.key[0], self.key[1]]))
    }
}

impl ClientMap {
    /// The most classes a map can tell apart; `Class` ids must be below.
    pub const CLASSES_MAX: usize = CLASSES_MAX;

    /// Compiles a map. `nets` are the networks rules name, in any order, as written (IPv4 in
    /// IPv6 is folded here). `class_of` says the class of a location inside the networks whose
    /// indices it is given, longest first; it is called once for each combination that occurs.
    /// What is in no network and not in `table` stays unknown and gets `default`.
    ///
    /// # Errors
    /// The first error of `class_of`.
    ///
    /// # Panics
    /// If `class_of` gives a class of [`Self::CLASSES_MAX`] or above; compile refuses such maps.
    pub fn build<E>(
        table: Option<&LocationTable>,
        nets: &[IpNet],
        class_of: &mut dyn FnMut(Option<&Location>, &[u32]) -> Result<Class, E>,
        default: Class,
    ) -> Result<ClientMap, E> {
        let nets: Vec<IpNet> = nets.iter().map(|net| fold::fold_rule(*net)).collect();
        let (spans_v4, spans_v6) = spans(&nets);
        let mut classes = Classes::new(table, class_of);
        let (places_v4, places_v6) = (
            table.into_iter().flat_map(|t| t.v4.iter()),
            table.into_iter().flat_map(|t| t.v6.iter()),
        );
        let runs_v4 = nets::overlay(places_v4, &spans_v4, &mut classes)?;
        let runs_v6 = nets::overlay(places_v6, &spans_v6, &mut classes)?;
        let every = classes.every();
        assert!(every.last().is_none_or(|class| class.index() < CLASSES_MAX));

        let mut sets = SetsBuilder::new(every);
        let v4 = Builder::new(&mut sets, 24, &spans_v4).build(&runs_v4);
        let (runs_v6, spans_v6) = with_hidden_ipv4(runs_v6, spans_v6, v4.union());
        let v6 = Builder::new(&mut sets, 56, &spans_v6).build(&runs_v6);
        let sets = sets.finish();
        Ok(ClientMap {
            v4,
            v6,
            sets,
            default,
            nets,
        })
    }

    /// The class of the client at `ip`.
    #[inline]
    pub fn lookup(&self, ip: IpAddr) -> Hit {
        self.lookup_net(ip, if ip.is_ipv4() { 32 } else { 128 })
    }

    /// The class of the client network `ip/source_len` (ECS): that of its first address. The
    /// bits of `ip` after `source_len` are zero.
    #[inline]
    pub fn lookup_net(&self, ip: IpAddr, source_len: u8) -> Hit {
        let folded = fold::fold_net(ip, source_len);
        let mut key = [0; 16];
        let (family, is_v4) = match folded.ip {
            IpAddr::V4(v4) => {
                key[..4].copy_from_slice(&v4.octets());
                (&self.v4, true)
            }
            IpAddr::V6(v6) => {
                key = v6.octets();
                (&self.v6, false)
            }
        };
        let mut hit = Hit {
            class: self.default,
            known: false,
            set: NONE,
            is_v4,
            shift: folded.shift,
            key,
            blocks: 0,
            path: [0; BLOCKS_DEEP_MAX],
        };
        hit.set = family.find(&mut hit);
        if let Some(class) = self.sets.class(hit.set) {
            hit.class = class;
            hit.known = true;
        }
        hit
    }

    /// The length of the widest prefix around `hit` whose mapped space has only classes in
    /// `same`; at least 1. It may be longer than the source prefix (RFC 7871 §7.2.1), and speaks
    /// of the address as it was looked up, also where IPv4 was hidden in it.
    pub fn scope(&self, hit: &Hit, same: &ClassMask) -> u8 {
        let family = if hit.is_v4 { &self.v4 } else { &self.v6 };
        if !self.sets.within(hit.set, same) {
            // A network too wide to tell which hidden IPv4 it means: nobody else shares it.
            return if hit.is_v4 { 32 + hit.shift } else { 128 };
        }
        let len = family.climb(hit, |set| self.sets.within(set, same));
        len.max(1) + hit.shift
    }

    /// The networks rules name, in the order given, as the map sees them.
    pub fn nets(&self) -> &[IpNet] {
        &self.nets
    }

    /// Bytes held.
    pub fn bytes(&self) -> usize {
        self.v4.bytes() + self.v6.bytes() + self.sets.bytes() + size_of_val(&self.nets[..])
    }
}

/// The networks of each family, sorted.
fn spans(nets: &[IpNet]) -> (Vec<Span>, Vec<Span>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for (index, net) in nets.iter().enumerate() {
        let spans = if matches!(net, IpNet::V4(_)) {
            &mut v4
        } else {
            &mut v6
        };
        spans.push(Span::new(net, index));
    }
    v4.sort_unstable();
    v6.sort_unstable();
    (v4, v6)
}

/// Puts all of IPv4's classes where IPv4 hides in IPv6. Those clients are looked up in the IPv4
/// map, so an IPv6 scope must not reach over them unless the answer is the same there too.
fn with_hidden_ipv4(
    runs: Vec<ClassRun>,
    mut spans: Vec<Span>,
    all_v4: SetId,
) -> (Vec<ClassRun>, Vec<Span>) {
    let mut out: Vec<ClassRun> = Vec::with_capacity(runs.len() + 2 * HIDINGS.len());
    let mut hidden: Vec<Span> = HIDINGS.iter().map(Span::of_hiding).collect();
    hidden.sort_unstable();
    let mut runs = runs.into_iter().peekable();
    let mut set = NONE;
    for span in &hidden {
        while let Some(run) = runs.next_if(|run| run.start < span.start) {
            set = run.set;
            out.push(run);
        }
        out.push(ClassRun {
            start: span.start,
            set: all_v4,
        });
        let after = span.last() + 1;
        while let Some(run) = runs.next_if(|run| run.start <= after) {
            set = run.set;
        }
        out.push(ClassRun { start: after, set });
    }
    out.extend(runs);
    spans.extend(hidden);
    spans.sort_unstable();
    (out, spans)
}

/// Sixteen cells: one cache line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(align(64))]
struct Cells([u32; BLOCK_CELLS]);

/// One family's cells and unions.
#[derive(Debug)]
struct Family {
    root: Box<[u32]>,
    /// The heap above the root: entry 1 is the whole space, entry `n` the union of `2n` and
    /// `2n + 1`, entries from `ROOT_CELLS` on would be the cells themselves.
    root_unions: Box<[SetId]>,
    blocks: Box<[Cells]>,
    /// The same heap for each block.
    unions: Box<[[SetId; BLOCK_CELLS]]>,
}

impl Family {
    /// Walks from the root to the set at `hit`'s key, noting the blocks it passes.
    #[inline]
    fn find(&self, hit: &mut Hit) -> SetId {
        let mut cell = self.root[hit.root_index()];
        while cell & TO_BLOCK != 0 {
            let block = cell & !TO_BLOCK;
            let depth = usize::from(hit.blocks);
            hit.path[depth] = block;
            cell = self.blocks[block as usize].0[nibble(&hit.key, depth)];
            hit.blocks += 1;
        }
        cell as SetId
    }
    /// The length of the widest prefix that holds only sets which are `within`.
    fn climb(&self, hit: &Hit, within: impl Fn(SetId) -> bool) -> u8 {
        let mut len = hit.leaf_len();
        for depth in (0..usize::from(hit.blocks)).rev() {
            let heap = &self.unions[hit.path[depth] as usize];
            let mut node = BLOCK_CELLS + nibble(&hit.key, depth);
            while node > 1 {
                node /= 2;
                if !within(heap[node]) {
                    return len;
                }
                len -= 1;
            }
        }
        let mut node = ROOT_CELLS + hit.root_index();
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
    fn union(&self) -> SetId {
        self.root_unions[1]
    }
    fn bytes(&self) -> usize {
        size_of_val(&*self.root)
            + size_of_val(&*self.root_unions)
            + size_of_val(&*self.blocks)
            + size_of_val(&*self.unions)
    }
}

/// The four bits of `key` that block number `depth` below the root resolves.
#[inline]
fn nibble(key: &[u8; 16], depth: usize) -> usize {
    let byte = key[(usize::from(ROOT_BITS) / 8 + depth / 2) & 15];
    usize::from(if depth % 2 == 0 { byte >> 4 } else { byte & 15 })
}

/// Cuts runs into blocks, from the leaves up.
struct Builder<'s> {
    sets: &'s mut SetsBuilder,
    /// Where precision ends, unless a longer network lies below.
    limit: u8,
    /// The networks longer than that, sorted.
    deep: Vec<Span>,
    blocks: Vec<Cells>,
    unions: Vec<[SetId; BLOCK_CELLS]>,
    known: HashMap<Cells, u32>,
}

impl<'s> Builder<'s> {
    fn new(sets: &'s mut SetsBuilder, limit: u8, spans: &[Span]) -> Self {
        let deep = spans.iter().filter(|span| span.len > limit);
        Builder {
            sets,
            limit,
            deep: deep.copied().collect(),
            blocks: Vec::new(),
            unions: Vec::new(),
            known: HashMap::new(),
        }
    }

    fn build(mut self, runs: &[ClassRun]) -> Family {
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
        let inside = self.deep[from..]
            .iter()
            .take_while(|span| span.start <= last);
        inside.into_iter().any(|span| span.len > len)
    }
}

/// The runs that touch the prefix `start/len`; `rest` begins with one that does, and moves on.
fn runs_of<'r>(rest: &mut &'r [ClassRun], start: u128, len: u8) -> &'r [ClassRun] {
    let last = start | nets::ones_after(len);
    let over = rest
        .partition_point(|run| run.start <= start)
        .saturating_sub(1);
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

#[cfg(test)]
mod tests;
