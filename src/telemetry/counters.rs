//! Counters: a table for each thread, written by that thread alone and summed when read.
//!
//! A table has one writer, so adding is a relaxed load and a relaxed store: no `lock` prefix, no
//! cache line shared with another thread. Besides the fixed [`Tally`] it holds one number for
//! each [`CounterSlot`], (record × region × pool), in chunks which [`Telemetry::slot`] adds before it
//! hands the slot out, so that counting never allocates. That number is of answers on grounds of
//! health; for other grounds there are more, once [`Telemetry::expect_trouble`] was called. Must
//! not know what is in a record.

use super::{
    detail::Detail,
    figures::Figures,
    observed::Observed,
    tally::{Counted, Reason, Tally},
};
use crate::ids::CounterSlot;
use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Slots given out by name: ten pools for each of 100,000 records. At 8 bytes a thread this
/// bounds a thread's table to 8 MB.
const SLOTS_MAX: usize = 1_000_000;
/// Slots a chunk: 32 KiB a thread, so small installations pay for one chunk.
const CHUNK: usize = 4_096;
/// A row of slots for each of the grounds on which an answer may be given.
const ROWS: usize = Reason::ALL.len();
/// The row that is always there.
const HEALTHY: usize = Reason::Healthy as usize;
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
    /// The pool answered.
    pub pool: Box<str>,
}

/// One thread's table. Any thread may read it; only the one it was made for may add.
#[derive(Debug)]
#[repr(align(128))] // Two lines: the prefetcher fetches pairs, and neighbours have other writers.
pub struct ThreadCounters {
    tallies: [AtomicU64; Tally::COUNT],
    /// Why the last reply that the kernel refused was; 0 once somebody has read it.
    send_error: AtomicI32,
    rows: [[OnceLock<Box<[AtomicU64]>>; CHUNKS]; ROWS],
}

impl ThreadCounters {
    fn new(size: Size) -> Self {
        let counters = ThreadCounters {
            tallies: [const { AtomicU64::new(0) }; Tally::COUNT],
            send_error: AtomicI32::new(0),
            rows: [const { [const { OnceLock::new() }; CHUNKS] }; ROWS],
        };
        counters.grow(size);
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

    /// Counts `n` replies that the kernel refused with the error number `errno`.
    #[inline]
    pub fn refused(&self, n: u64, errno: i32) {
        self.send_error.store(errno, Relaxed);
        self.add(Tally::SendDrop, n);
    }

    /// Counts one answer.
    #[inline]
    pub fn answer(&self, counted: Counted) {
        if let Some(cell) = self.cell(counted.reason as usize, counted.slot.index()) {
            bump(cell, 1);
        }
    }

    #[inline]
    fn cell(&self, row: usize, slot: usize) -> Option<&AtomicU64> {
        self.rows.get(row)?.get(slot / CHUNK)?.get()?.get(slot % CHUNK)
    }

    /// What was counted of `slot`, by grounds.
    fn of(&self, slot: usize) -> [u64; ROWS] {
        std::array::from_fn(|row| self.cell(row, slot).map_or(0, |cell| cell.load(Relaxed)))
    }

    fn grow(&self, Size { chunks, trouble }: Size) {
        for (row, cells) in self.rows.iter().enumerate() {
            if row == HEALTHY || trouble {
                for chunk in &cells[..chunks] {
                    chunk.get_or_init(|| (0..CHUNK).map(|_| AtomicU64::new(0)).collect());
                }
            }
        }
    }
}

/// How much room a table needs.
#[derive(Clone, Copy)]
struct Size {
    chunks: usize,
    /// For all grounds, not only for health.
    trouble: bool,
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
    figures: Figures,
    detail: Detail,
}

#[derive(Debug)]
struct Shared {
    threads: Vec<Arc<ThreadCounters>>,
    slots: HashMap<Arc<AnswerName>, CounterSlot>,
    /// By slot; the first is the overflow's.
    names: Vec<Arc<AnswerName>>,
    /// Whether answers may be given on other grounds than health.
    trouble: bool,
}

impl Default for Telemetry {
    fn default() -> Self {
        let other = || Box::from("other");
        let overflow =
            AnswerName { zone: other(), record: other(), region: other(), pool: other() };
        Telemetry {
            shared: Mutex::new(Shared {
                threads: Vec::new(),
                slots: HashMap::new(),
                names: vec![Arc::new(overflow)],
                trouble: false,
            }),
            observed: Observed::default(),
            figures: Figures::default(),
            detail: Detail::default(),
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
        let table = Arc::new(ThreadCounters::new(shared.size()));
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
            shared.grow();
        }
        slot
    }

    /// Gives every table room to count answers on other grounds than health apart: before the
    /// first World that gives such. Most servers never need it, and it is three times as much.
    pub fn expect_trouble(&self) {
        let mut shared = self.shared();
        if !std::mem::replace(&mut shared.trouble, true) {
            shared.grow();
        }
    }

    /// The clients seen lately.
    pub fn observed(&self) -> &Observed {
        &self.observed
    }

    /// What control measures.
    pub fn figures(&self) -> &Figures {
        &self.figures
    }

    /// Which records have series of their own.
    pub fn detail(&self) -> &Detail {
        &self.detail
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
        Totals { tallies }
    }

    /// Why the kernel refused replies of late, as one of the threads had it last; none if it
    /// refused none since this was asked last.
    pub fn take_send_error(&self) -> Option<io::Error> {
        let shared = self.shared();
        let errors = shared.threads.iter().map(|thread| thread.send_error.swap(0, Relaxed));
        errors.max().filter(|&errno| errno != 0).map(io::Error::from_raw_os_error)
    }

    /// Steered answers of all threads by name and by grounds (in the order of [`Reason::ALL`]),
    /// in the order the names came up; those never given are left out.
    pub fn answers(&self) -> Vec<(Arc<AnswerName>, [u64; ROWS])> {
        let shared = self.shared();
        let named = shared.names.iter().enumerate();
        let summed = named.map(|(slot, name)| (Arc::clone(name), shared.sum(slot)));
        summed.filter(|(_, sums)| *sums != [0; ROWS]).collect()
    }

    /// How many answers all threads have counted for `slots` together.
    pub fn answered(&self, slots: &[CounterSlot]) -> u64 {
        let shared = self.shared();
        let sums = slots.iter().flat_map(|slot| shared.sum(slot.index()));
        sums.fold(0, u64::wrapping_add)
    }

    /// Tables only grow and numbers only rise, so what a panicking holder left is sound.
    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Room for every slot given out.
    fn size(&self) -> Size {
        Size { chunks: self.names.len().div_ceil(CHUNK), trouble: self.trouble }
    }

    fn grow(&self) {
        self.threads.iter().for_each(|thread| thread.grow(self.size()));
    }

    /// What all threads counted of `slot`.
    fn sum(&self, slot: usize) -> [u64; ROWS] {
        self.threads.iter().fold([0; ROWS], |mut sums, thread| {
            for (sum, more) in sums.iter_mut().zip(thread.of(slot)) {
                *sum = sum.wrapping_add(more);
            }
            sums
        })
    }
}

/// What had been counted when it was asked for. Threads go on counting meanwhile, so two numbers
/// may be a packet apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    tallies: [u64; Tally::COUNT],
}

impl Totals {
    /// How often `tally` was counted.
    pub fn of(&self, tally: Tally) -> u64 {
        self.tallies[tally.index()]
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
            pool: "gtm.example/eu".into(),
        }
    }

    fn answers(telemetry: &Telemetry) -> Vec<(String, u64)> {
        let answers = telemetry.answers().into_iter();
        answers.map(|(name, sums)| (name.record.to_string(), sums.iter().sum())).collect()
    }

    fn healthy(slot: CounterSlot) -> Counted {
        Counted { slot, reason: Reason::Healthy }
    }

    #[test]
    fn grounds_are_counted_apart_once_they_are_expected() {
        let telemetry = Telemetry::default();
        let (early, www) = (telemetry.thread(), telemetry.slot(name("www")));
        let down = Counted { slot: www, reason: Reason::AllDown };
        early.answer(down);
        assert!(answers(&telemetry).is_empty(), "there was no room yet");
        telemetry.expect_trouble();
        let late = telemetry.thread();
        for counters in [&early, &late] {
            counters.answer(down);
        }
        late.answer(healthy(www));
        assert_eq!(telemetry.answers()[0].1, [1, 0, 0, 2]);
        assert_eq!(telemetry.answered(&[www]), 3);
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
                        counters.answer(healthy(www));
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
    fn why_replies_were_refused_is_told_once() {
        let telemetry = Telemetry::default();
        let threads = [telemetry.thread(), telemetry.thread()];
        let told = || telemetry.take_send_error().and_then(|error| error.raw_os_error());
        assert_eq!(told(), None);
        threads[0].refused(3, libc::EINVAL);
        threads[1].refused(1, libc::EAGAIN);
        assert_eq!((told(), told()), (Some(libc::EINVAL), None));
        assert_eq!(telemetry.totals().of(Tally::SendDrop), 4);
    }

    #[test]
    fn a_name_keeps_its_slot_and_its_count_over_reloads() {
        let telemetry = Telemetry::default();
        let counters = telemetry.thread();
        let before = telemetry.slot(name("www"));
        counters.answer(healthy(before));
        telemetry.slot(name("api"));
        let after = telemetry.slot(name("www"));
        counters.answer(healthy(after));
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
        early.answer(healthy(last));
        late.answer(healthy(last));
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
        telemetry.thread().answer(healthy(OVERFLOW));
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
