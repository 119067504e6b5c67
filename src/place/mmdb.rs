//! Reads a vendor's `.mmdb` into a [`Database`]. `mmdb/format.rs` knows the format,
//! `mmdb/record.rs` what vendors write into it.
//!
//! The file is read whole, never mapped: an updater may truncate it under us (SIGBUS). Its tree
//! is walked once, each distinct record that some address of a map gets is decoded once, and the
//! bytes are dropped; nothing here is used by a query. A broken file is an error, never a panic:
//! the tree is walked with a budget, since the links of a damaged one may lead in circles.
//!
//! Our own reader and not a library's, because a City database has three million leaves and a
//! hundred thousand records: walked and decoded one by one through serde they took four fifths
//! of the time a start needs.

mod format;
mod record;

use super::{
    locate::{Identity, Location},
    table::{Database, Key, NOWHERE, Runs, RunsBuilder, Spaces, TableInfo},
};
use crate::spread;
use foldhash::fast::FixedState;
use format::{File, Look, Side, Value};
use memmap2::{Advice, MmapMut};
use record::{Record, Records};
use std::{collections::HashMap, fs, io::Read, path::Path};

/// The largest file read: ten times the largest location database sold today. Offsets into it
/// fit 32 bits.
const FILE_BYTES_MAX: u64 = 2 << 30;

/// Read at once. Kernels that take no processor from a system call would keep one for 30 ms over a
/// whole City database, and nobody would answer there.
const READ_BYTES: usize = 1 << 20;

/// Runs that room is made for at once: as many as a City database has of one family. What is not
/// needed of it is never touched, and given back.
const ROOM_MAX: usize = 4 << 20;

/// Records that are read in one go: a City database has ten times as many, and what a reader
/// remembers of keys and codes is found again in some hundreds.
const PART: usize = 16 << 10;

/// Why a location database was refused.
#[derive(Debug, thiserror::Error)]
pub enum MmdbProblem {
    /// The file could not be read at all.
    #[error("cannot be read: {0}")]
    Unreadable(#[from] std::io::Error),
    /// Larger than any location database.
    #[error("is {bytes} bytes; at most {FILE_BYTES_MAX} are read")]
    TooLarge {
        /// Its size.
        bytes: u64,
    },
    /// Not an MMDB file, or one that was cut short.
    #[error("is not a whole MMDB file (was the download cut short?): {0}")]
    NotMmdb(&'static str),
    /// The header is fine, the content is not.
    #[error("is damaged: {0}")]
    Damaged(&'static str),
    /// It knows no country, continent, or AS number of any address.
    #[error(
        "holds no locations: its type is `{kind}`, its records have {fields}; \
         use a City, Country or ASN database"
    )]
    NoLocations {
        /// What it calls itself.
        kind: String,
        /// The fields of its first record.
        fields: String,
    },
}

/// Reads the database at `path`.
///
/// # Errors
/// When the file cannot be read or is not a sound location database.
pub fn read(path: &Path) -> Result<Database, MmdbProblem> {
    let mut file = fs::File::open(path)?;
    let bytes = file.metadata()?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(MmdbProblem::TooLarge { bytes });
    }
    // Memory of its own, gone with this function, and not a Vec's: where there is not so much, that
    // is an error like any other.
    let mut held = MmapMut::map_anon(bytes.max(1) as usize)?;
    // Thirty faults instead of fifteen thousand; without, it is read all the same.
    let _ = held.advise(Advice::HugePage);
    let held = &mut held[..bytes as usize];
    for piece in held.chunks_mut(READ_BYTES) {
        file.read_exact(piece)?;
    }
    parse(held)
}

/// Reads the database in `bytes`.
///
/// # Errors
/// When they are not a sound location database.
pub fn parse(bytes: &[u8]) -> Result<Database, MmdbProblem> {
    let file = File::new(bytes).map_err(MmdbProblem::NotMmdb)?;
    let runs = Walk::new(&file).run();
    let (mut v4, mut v6) = runs.ok_or(MmdbProblem::Damaged("its search tree is no tree"))?;
    let mut found = Offsets::up_to(file.value_bytes());
    v4.each_place(|at| found.insert(at));
    v6.each_place(|at| found.insert(at));
    let found = found.ranked();
    let records = records(&file, &found.offsets().collect::<Vec<u32>>());
    let records = records.ok_or(MmdbProblem::Damaged("a record cannot be read"))?;
    let distinct = Distinct::of(&records);
    if distinct.locations.is_empty() {
        let fields = fields(&file, found.offsets().next());
        return Err(MmdbProblem::NoLocations { kind: file.kind, fields });
    }
    let place = |at: u32| distinct.by_record[found.rank(at)];
    v4.map_places(place);
    v6.map_places(place);
    let spaces = Spaces { v4, v6, locations: distinct.locations };
    let info = TableInfo { date: day(file.built), source: file.kind, ..TableInfo::default() };
    Ok(Database::new(spaces, info))
}

/// The records at `offsets` in their order, part by part, read on all cores; `None` if one is
/// damaged.
fn records(file: &File<'_>, offsets: &[u32]) -> Option<Vec<Vec<Record>>> {
    let parts: Vec<&[u32]> = offsets.chunks(PART).collect();
    let parts = spread::map(&parts, |part| Records::new(file.values()).read(part));
    parts.into_iter().collect()
}

/// The day of a Unix time, `YYYY-MM-DD`.
fn day(epoch: u64) -> String {
    let seconds = i64::try_from(epoch).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds)
        .map_or_else(|_| String::from("unknown"), |at| at.strftime("%Y-%m-%d").to_string())
}

/// The names of the fields of the record at `at`, for whoever gave us the wrong database.
fn fields(file: &File<'_>, at: Option<u32>) -> String {
    let mut names = Vec::new();
    let values = file.values();
    if let Some(Value::Map(fields)) = at.and_then(|at| values.at(at as usize)) {
        // Every record was read before, so this one can be.
        let _ = fields.each(|key, _| {
            names.extend(values.text(key).map(String::from_utf8_lossy));
            Some(Look::On)
        });
    }
    if names.is_empty() { "no fields".into() } else { names.join(", ") }
}

/// One pass over the search tree, to runs of record offsets.
struct Walk<'f> {
    file: &'f File<'f>,
    /// Nodes that may still be visited. A tree of n nodes has n; three times that leaves room
    /// for writers that share branches.
    budget: u64,
}

impl<'f> Walk<'f> {
    fn new(file: &'f File<'f>) -> Self {
        let budget = 3 * u64::from(file.node_count());
        Walk { file, budget }
    }

    /// Both families; `None` if the tree leads in circles or out of the file.
    fn run(&mut self) -> Option<(Runs<u32>, Runs<u64>)> {
        if !self.file.is_v6 {
            let v4 = self.family(Side::Node(0), 32, None)?;
            return Some((v4, RunsBuilder::new().finish()));
        }
        // IPv4 is at ::/96, and again, by the same nodes, wherever IPv4 hides in IPv6: those
        // clients are looked up as IPv4 (super::fold).
        let mut top = Side::Node(0);
        for _ in 0..96 {
            let Side::Node(node) = top else { break };
            [top, _] = self.file.node(node)?;
        }
        let aliased = match top {
            Side::Node(node) => Some(node),
            _ => None,
        };
        Some((self.family(top, 32, None)?, self.family(Side::Node(0), 128, aliased)?))
    }

    /// What is below `top`, where addresses have `end` bits, without the node `skipped`.
    fn family<K: Key>(&mut self, top: Side, end: u32, skipped: Option<u32>) -> Option<Runs<K>> {
        let room = (self.file.node_count() as usize).min(ROOM_MAX);
        let runs = RunsBuilder::with_room(room);
        let mut descent = Descent { walk: self, runs, end, skipped };
        descent.take(top, 0, 0)?;
        Some(descent.runs.finish())
    }
}

/// The walk over one family.
struct Descent<'w, 'f, K> {
    walk: &'w mut Walk<'f>,
    runs: RunsBuilder<K>,
    end: u32,
    skipped: Option<u32>,
}

impl<K: Key> Descent<'_, '_, K> {
    /// Takes what `side` leads to, which the first `len` bits of the key `first` led to.
    #[inline(always)] // A leaf, as every other side is, is no call.
    fn take(&mut self, side: Side, first: u64, len: u32) -> Option<()> {
        match side {
            Side::Empty => {}
            Side::Value(offset) => {
                let rest = K::MAX.checked_shr(len).unwrap_or(0);
                self.runs.add(first, first | rest, offset);
            }
            Side::Node(node) if self.skipped == Some(node) => {}
            Side::Node(node) => self.enter(node, first, len)?,
        }
        Some(())
    }

    fn enter(&mut self, node: u32, first: u64, len: u32) -> Option<()> {
        self.walk.budget = self.walk.budget.checked_sub(1)?;
        if len == self.end {
            return None;
        }
        let [left, right] = self.walk.file.node(node)?;
        // Zero beyond the bits of a key: there, the first of several leaves counts.
        let bit = (K::MAX - (K::MAX >> 1)).checked_shr(len).unwrap_or(0);
        self.take(left, first, len + 1)?;
        self.take(right, first | bit, len + 1)
    }
}

/// A set of offsets as a bit each: what is met three million times must cost nothing to look up.
struct Offsets(Vec<u64>);

impl Offsets {
    fn up_to(len: usize) -> Self {
        Offsets(vec![0; len.div_ceil(64)])
    }
    fn insert(&mut self, offset: u32) {
        // The file has checked that every offset is below its length.
        self.0[offset as usize / 64] |= 1 << (offset % 64);
    }
    fn ranked(self) -> RankedOffsets {
        let mut count = 0;
        let ranked = self.0.into_iter().map(|word| {
            let before = count;
            count += word.count_ones();
            (word, before)
        });
        RankedOffsets(ranked.collect())
    }
}

/// The set when it is complete: each offset has a number, in their order. Beside each word how
/// many offsets are in earlier ones, in the same line of the cache.
struct RankedOffsets(Vec<(u64, u32)>);

impl RankedOffsets {
    fn rank(&self, offset: u32) -> usize {
        let (word, before) = self.0[offset as usize / 64];
        let lower = word & ((1 << (offset % 64)) - 1);
        (before + lower.count_ones()) as usize
    }
    fn offsets(&self) -> impl Iterator<Item = u32> + '_ {
        (0..).zip(&self.0).flat_map(|(index, (word, _))| {
            let mut rest = *word;
            std::iter::from_fn(move || {
                let bit = (rest != 0).then(|| rest.trailing_zeros())?;
                rest &= rest - 1;
                Some(index * 64 + bit)
            })
        })
    }
}

/// Distinct locations, and which record is which.
struct Distinct {
    locations: Vec<Location>,
    by_record: Vec<u32>,
}

impl Distinct {
    fn of(parts: &[Vec<Record>]) -> Self {
        let records = || parts.iter().flatten();
        // The trap (DESIGN §5, Latency): GeoLite2 gives 37.751, -97.822 to most of the United
        // States. Whatever point a country-level record has is a default, whoever shares it.
        let default_points = records().filter_map(Record::default_point).collect();
        let mut known: HashMap<_, _, FixedState> = HashMap::default();
        let mut locations = Vec::new();
        let by_record = records().map(|record| {
            if record.is_empty() {
                return NOWHERE;
            }
            let found = record.location(&default_points);
            *known.entry(Identity::of(&found)).or_insert_with(|| {
                locations.push(found);
                locations.len() as u32 - 1
            })
        });
        let by_record = by_record.collect();
        Distinct { locations, by_record }
    }
}

#[cfg(test)]
mod tests;
