//! Counters: a table for each thread, written by that thread alone and summed when read.
//!
//! A table has one writer, so adding is a relaxed load and a relaxed store: no `lock` prefix, no
//! cache line shared with another thread. Besides the fixed [`Tally`] it holds one number for
//! each [`CounterSlot`], (record × region), in chunks which [`Telemetry::slot`] adds before it
//! hands the slot out, so that counting never allocates. Must not know what is in a record.

use super::{observed::Observed, tally::Tally};
use crate::ids::CounterSlot;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Slots given out by name: ten regions for each of 100,000 records. At 8 bytes a thread this
/// bounds a thread's table to 8 MB.
const SLOTS_MAX: usize = 1_000_000;
/// Slots a chunk: 32 KiB a thread, so small installations pay for one chunk.
const CHUNK: usize = 4_096;
/// Chunks that hold [`SLOTS_MAX`] slots and the overflow slot.
const CHUNKS: usize = (SLOTS_MAX + 1).div_ceil(CHUNK);
/// Counts for every name that came after [`SLOTS_MAX`] others.
const OVERFLOW: CounterSlot = CounterSlot(0);

/// The stable name behind a [`CounterSlot`]: outlives every reload.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AnswerName {
    /// The zone's origin.
    pub zone: Box<str>,
    /// The record's owner name.
    pub record: Box<str>,
    /// The region answered; empty if the answer belongs to none.
    pub region: Box<str>,
}

/// One thread's table. Any thread may read it; only the one it was made for may add.
#[derive(Debug)]
#[repr(align(128))] // Two lines: the prefetcher fetches pairs, and neighbours have other writers.
pub struct ThreadCounters {
    tallies: [AtomicU64; Tally::COUNT],
    chunks: [OnceLock<Box<[AtomicU64]>>; CHUNKS],
}

impl ThreadCounters {
    fn new(chunks: usize) -> Self {
        let counters = ThreadCounters {
            tallies: [const { AtomicU64::new(0) }; Tally::COUNT],
            chunks: [const { OnceLock::new() }; CHUNKS],
        };
        counters.grow(chunks);
        counters
    }

    /// Counts one `tally`.
    #[inline]
    pub fn count(&self, tally: Tally) {
        self.add(tally, 1);
    }

    /// Counts `n` of `tally`.
    #[inline]
    pub fn add(&self, tally: Tally, n: u64) {
        bump(&self.tallies[tally.index()], n);
    }

    /// Counts one answer of `slot`.
    #[inline]
    pub fn answer(&self, slot: CounterSlot) {
        if let Some(cell) = self.cell(slot.index()) {
            bump(cell, 1);
        }
    }

    #[inline]
    fn cell(&self, slot: usize) -> Option<&AtomicU64> {
        self.chunks.get(slot / CHUNK)?.get()?.get(slot % CHUNK)
    }

    fn grow(&self, chunks: usize) {
        for chunk in &self.chunks[..chunks] {
            chunk.get_or_init(|| (0..CHUNK).map(|_| AtomicU64::new(0)).collect());
        }
    }
}

/// Adds to a number that no other thread writes.
#[inline]
fn bump(cell: &AtomicU64, n: u64) {
    cell.store(cell.load(Relaxed).wrapping_add(n), Relaxed);
}

/// All threads' tables, the names of their slots, and the clients seen in samples.
#[derive(Debug)]
pub struct Telemetry {
    shared: Mutex<Shared>,
    observed: Observed,
}

#[derive(Debug)]
struct Shared {
    threads: Vec<Arc<ThreadCounters>>,
    slots: HashMap<Arc<AnswerName>, CounterSlot>,
    /// By slot; the first is the overflow's.
    names: Vec<Arc<AnswerName>>,
}

impl Default for Telemetry {
    fn default() -> Self {
        let other = || Box::from("other");
        let overflow = AnswerName { zone: other(), record: other(), region: other() };
        Telemetry {
            shared: Mutex::new(Shared {
                threads: Vec::new(),
                slots: HashMap::new(),
                names: vec![Arc::new(overflow)],
            }),
            observed: Observed::default(),
        }
    }
}

impl Telemetry {
    /// A table for the calling thread (or the one about to be started). Hand clones of the `Arc`
    /// to that thread only. The table of a thread that has ended is given out again, its numbers
    /// kept: what was counted stays counted.
    pub fn thread(&self) -> Arc<ThreadCounters> {
        let mut shared = self.shared();
        // `get_mut` succeeds only if nobody else holds the table, and orders us after them.
        let free = shared.threads.iter_mut().position(|table| Arc::get_mut(table).is_some());
        if let Some(free) = free {
            return shared.threads[free].clone();
        }
        let table = Arc::new(ThreadCounters::new(shared.chunks()));
        shared.threads.push(table.clone());
        table
    }

    /// The slot of `name`: always the same for the same name, never taken back. Past
    /// 1,000,000 names all share one. Every thread's table has room before this
    /// returns, so a World that uses the slot may be published.
    pub fn slot(&self, name: AnswerName) -> CounterSlot {
        let mut shared = self.shared();
        if let Some(&slot) = shared.slots.get(&name) {
            return slot;
        }
        if shared.names.len() > SLOTS_MAX {
            return OVERFLOW;
        }
        let slot = CounterSlot::at(shared.names.len());
        let name = Arc::new(name);
        shared.names.push(name.clone());
        shared.slots.insert(name, slot);
        if slot.index().is_multiple_of(CHUNK) {
            let chunks = shared.chunks();
            shared.threads.iter().for_each(|thread| thread.grow(chunks));
        }
        slot
    }

    /// The clients seen lately.
    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    /// The name behind `slot`.
    pub fn name(&self, slot: CounterSlot) -> Option<Arc<AnswerName>> {
        self.shared().names.get(slot.index()).cloned()
    }

    /// The sums over all threads.
    pub fn totals(&self) -> Totals {
        let shared = self.shared();
        let mut tallies = [0; Tally::COUNT];
        for thread in &shared.threads {
            for (sum, cell) in tallies.iter_mut().zip(&thread.tallies) {
                *sum = u64::wrapping_add(*sum, cell.load(Relaxed));
            }
        }
        let sum = |slot| {
            let cells = shared.threads.iter().filter_map(|thread| thread.cell(slot));
            cells.fold(0, |sum: u64, cell| sum.wrapping_add(cell.load(Relaxed)))
        };
        let named = shared.names.iter().enumerate().map(|(slot, name)| (name, sum(slot)));
        let answers =
            named.filter(|&(_, sum)| sum > 0).map(|(name, sum)| (name.clone(), sum)).collect();
        Totals { tallies, answers }
    }

    /// How many answers all threads have counted for `slots` together.
    pub fn answered(&self, slots: &[CounterSlot]) -> u64 {
        let shared = self.shared();
        let cells = shared
            .threads
            .iter()
            .flat_map(|thread| slots.iter().filter_map(|slot| thread.cell(slot.index())));
        cells.fold(0, |sum: u64, cell| sum.wrapping_add(cell.load(Relaxed)))
    }

    /// Tables only grow and numbers only rise, so what a panicking holder left is sound.
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Chunks that hold every slot given out.
    fn chunks(&self) -> usize {
        self.names.len().div_ceil(CHUNK)
    }
}

/// What had been counted when it was asked for. Threads go on counting meanwhile, so two numbers
/// may be a packet apart.
#[derive(Clone, Debug)]
pub struct Totals {
    tallies: [u64; Tally::COUNT],
    answers: Vec<(Arc<AnswerName>, u64)>,
}

impl Totals {
    /// How often `tally` was counted.
    pub fn of(&self, tally: Tally) -> u64 {
        self.tallies[tally.index()]
    }
    /// Answers by name, in the order the names came up; those never given are left out.
    pub fn answers(&self) -> impl Iterator<Item = (&AnswerName, u64)> {
        self.answers.iter().map(|(name, sum)| (&**name, *sum))
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Family, Via};
    use super::*;

    fn name(record: impl ToString) -> AnswerName {
        AnswerName {
            zone: "gtm.example.".into(),
            record: record.to_string().into(),
            region: "eu-west-1".into(),
        }
    }

    fn answers(telemetry: &Telemetry) -> Vec<(String, u64)> {
        let totals = telemetry.totals();
        totals.answers().map(|(name, n)| (name.record.to_string(), n)).collect()
    }

    #[test]
    fn totals_are_sums_over_threads_still_counting() {
        let telemetry = Telemetry::default();
        let www = telemetry.slot(name("www"));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let counters = telemetry.thread();
                scope.spawn(move || {
                    for _ in 0..10_000 {
                        counters.count(Tally::Query(Via::Udp, Family::V6));
                        counters.answer(www);
                    }
                    counters.add(Tally::KernelDrop, 7);
                });
            }
        });
        let totals = telemetry.totals();
        assert_eq!(totals.of(Tally::Query(Via::Udp, Family::V6)), 40_000);
        assert_eq!(totals.of(Tally::Query(Via::Udp, Family::V4)), 0);
        assert_eq!(totals.of(Tally::KernelDrop), 28);
        assert_eq!(answers(&telemetry), [("www".to_string(), 40_000)]);
    }

    #[test]
    fn a_name_keeps_its_slot_and_its_count_over_reloads() {
        let telemetry = Telemetry::default();
        let counters = telemetry.thread();
        let before = telemetry.slot(name("www"));
        counters.answer(before);
        telemetry.slot(name("api"));
        let after = telemetry.slot(name("www"));
        counters.answer(after);
        assert_eq!(before, after);
        assert_eq!(answers(&telemetry), [("www".to_string(), 2)]);
    }

    #[test]
    fn tables_have_room_before_a_slot_is_known() {
        let telemetry = Telemetry::default();
        let early = telemetry.thread();
        for record in 0..CHUNK * 2 {
            telemetry.slot(name(record));
        }
        let last = telemetry.slot(name("last"));
        let late = telemetry.thread();
        early.answer(last);
        late.answer(last);
        assert_eq!(answers(&telemetry), [("last".to_string(), 2)]);
    }

    #[test]
    fn names_past_the_bound_share_one_slot() {
        let telemetry = Telemetry::default();
        for record in 0..SLOTS_MAX {
            assert_ne!(telemetry.slot(name(record)), OVERFLOW);
        }
        assert_eq!(telemetry.slot(name("one too many")), OVERFLOW);
        assert_eq!(telemetry.slot(name(0)), CounterSlot(1), "known names stay known");
        telemetry.thread().answer(OVERFLOW);
        assert_eq!(answers(&telemetry), [("other".to_string(), 1)]);
    }

    #[test]
    fn the_table_of_an_ended_thread_is_given_out_again_with_its_numbers() {
        let telemetry = Telemetry::default();
        let first = telemetry.thread();
        first.count(Tally::Ecs);
        assert!(!Arc::ptr_eq(&first, &telemetry.thread()), "held by a living thread");
        let address = Arc::as_ptr(&first);
        drop(first);
        let second = telemetry.thread();
        assert_eq!(Arc::as_ptr(&second), address);
        second.count(Tally::Ecs);
        assert_eq!(telemetry.totals().of(Tally::Ecs), 2);
    }
}
