//! Where events are numbered, logged and kept: a ring in memory, and the state database.
//!
//! What is written down in one call is one *incident*. All of it is kept; of a large one only
//! the first lines are logged, since ten thousand of them tell nobody more than their summary.
//! Those who follow wait for [`SharedJournal::newest`] and then read. The lock is held for as
//! long as it takes to number events: nothing is published, logged or written meanwhile.

use super::event::{Event, EventKind, Stamp};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// Events kept in memory: a bad night's worth, at some 300 bytes each.
pub const RING: usize = 16_384;
/// Events of one incident that are logged one by one.
const LOGGED: usize = 20;

/// The newest events, oldest first.
#[derive(Debug, Default)]
pub struct Journal {
    ring: VecDeque<Event>,
    seq: u64,
    boot: u64,
}

impl Journal {
    /// A journal for run number `boot`, whose first event follows number `seq`.
    pub fn new(boot: u64, seq: u64) -> Journal {
        Journal { ring: VecDeque::new(), seq, boot }
    }

    /// The events after number `seq`, as far back as they are in memory.
    pub fn since(&self, seq: u64) -> impl DoubleEndedIterator<Item = &Event> + Clone {
        let old = self.ring.partition_point(|event| event.seq <= seq);
        self.ring.range(old..)
    }

    /// Number of the newest event.
    pub fn newest(&self) -> u64 {
        self.seq
    }

    /// Number of the oldest event in memory; of the next one, if there is none.
    pub fn oldest(&self) -> u64 {
        self.ring.front().map_or(self.seq + 1, |event| event.seq)
    }

    /// Numbers and keeps what happened together.
    fn push(&mut self, stamp: Stamp, kinds: Vec<EventKind>) -> Vec<Event> {
        let (incident, boot) = (self.seq + 1, self.boot);
        let Stamp { at, wall, swap, who } = stamp;
        let number =
            |(seq, kind)| Event { seq, boot, at, wall, swap, incident, who: who.clone(), kind };
        let events: Vec<Event> = (incident..).zip(kinds).map(number).collect();
        self.seq += events.len() as u64;
        let surplus = (self.ring.len() + events.len()).saturating_sub(RING);
        self.ring.drain(..surplus.min(self.ring.len()));
        self.ring.extend(events.iter().skip(events.len().saturating_sub(RING)).cloned());
        events
    }
}

/// The journal as it is shared by those who write and those who read it.
#[derive(Clone, Debug)]
pub struct SharedJournal {
    journal: Arc<Mutex<Journal>>,
    newest: watch::Sender<u64>,
}

impl Default for SharedJournal {
    fn default() -> Self {
        SharedJournal::new(Journal::default())
    }
}

impl SharedJournal {
    /// Shares `journal`.
    pub fn new(journal: Journal) -> SharedJournal {
        let newest = watch::Sender::new(journal.newest());
        SharedJournal { journal: Arc::new(Mutex::new(journal)), newest }
    }

    /// The journal, for a moment. Never held while anything is published.
    pub fn lock(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of the newest event, and a way to wait for the next one.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Numbers, keeps and logs what happened together: one incident.
    pub fn record_all(&self, stamp: Stamp, kinds: Vec<EventKind>) {
        if kinds.is_empty() {
            return;
        }
        let events = {
            let mut journal = self.lock();
            let events = journal.push(stamp, kinds);
            self.newest.send_replace(journal.newest());
            events
        };
        log(&events);
    }
}

/// One line an event, up to [`LOGGED`]; the publication is always told, with how many were not.
fn log(incident: &[Event]) {
    let is_summary = |event: &&Event| matches!(event.kind, EventKind::Published { .. });
    let mut left = LOGGED;
    let mut unsaid = 0;
    for event in incident.iter().filter(|event| !is_summary(event)) {
        match left {
            0 => unsaid += 1,
            _ => {
                left -= 1;
                line(event, 0);
            }
        }
    }
    match incident.iter().find(is_summary) {
        Some(summary) => line(summary, unsaid),
        None if unsaid > 0 => {
            let incident = incident[0].incident;
            tracing::warn!(incident, "{unsaid} more: tradewind events --incident {incident}");
        }
        None => {}
    }
}

fn line(event: &Event, unsaid: usize) {
    let Event { kind, swap, incident, .. } = event;
    let more = match unsaid {
        0 => String::new(),
        more => format!("; {more} more: tradewind events --incident {incident}"),
    };
    let who = event.who.as_deref();
    if kind.is_alarm() {
        tracing::warn!(event = kind.word(), swap, incident, who, "{kind}{more}");
    } else {
        tracing::info!(event = kind.word(), swap, incident, who, "{kind}{more}");
    }
}

#[cfg(test)]
mod tests {
    use super::{super::event::tests::fell, *};
    use crate::clock::Moment;
    use std::time::UNIX_EPOCH;

    fn stamp() -> Stamp {
        Stamp { at: Moment(1), wall: UNIX_EPOCH, swap: 3, who: Some("ada".into()) }
    }

    fn falls(count: usize) -> Vec<EventKind> {
        (0..count).map(|n| fell(&format!("z/a/{n}"))).collect()
    }

    #[test]
    fn what_is_written_together_is_one_incident_and_numbers_go_on_over_restarts() {
        let journal = SharedJournal::new(Journal::new(2, 40));
        journal.record_all(stamp(), falls(2));
        journal.record_all(stamp(), Vec::new());
        journal.record_all(stamp(), falls(1));
        let journal = journal.lock();
        let numbers: Vec<_> = journal.since(0).map(|e| (e.seq, e.incident, e.boot)).collect();
        assert_eq!(numbers, [(41, 41, 2), (42, 41, 2), (43, 43, 2)]);
        assert!(journal.since(0).all(|event| event.who.as_deref() == Some("ada")));
        assert_eq!(journal.since(42).count(), 1);
        assert_eq!((journal.oldest(), journal.newest()), (41, 43));
    }

    #[test]
    fn the_ring_keeps_the_newest() {
        let journal = SharedJournal::default();
        journal.record_all(stamp(), falls(10));
        journal.record_all(stamp(), falls(RING - 5));
        assert_eq!(journal.lock().oldest(), 6);
        journal.record_all(stamp(), falls(RING + 7));
        let journal = journal.lock();
        assert_eq!(journal.since(0).count(), RING);
        assert_eq!(journal.newest(), (RING * 2 + 12) as u64);
        assert_eq!(journal.oldest(), journal.newest() - RING as u64 + 1);
    }

    #[test]
    fn of_a_large_incident_twenty_lines_are_logged_and_the_summary_counts_the_rest() {
        let (lines, guard) = crate::control::testlog::capture();
        let journal = SharedJournal::default();
        let mut kinds = falls(50);
        let summary = super::super::event::Summary::of(&kinds);
        let took = std::time::Duration::ZERO;
        kinds.push(EventKind::Published { plans: 1, took, summary });
        journal.record_all(stamp(), kinds);
        drop(guard);
        let lines = lines.text();
        let said: Vec<&str> = lines.lines().collect();
        assert_eq!(said.len(), 21, "{lines}");
        assert!(
            said[20].contains("50 verdict down; 30 more: tradewind events --incident 1"),
            "{lines}"
        );
    }

    #[tokio::test]
    async fn followers_wait_for_the_next_event() {
        let journal = SharedJournal::default();
        let mut newest = journal.newest();
        let waiting = tokio::spawn(async move {
            newest.changed().await.unwrap();
            *newest.borrow()
        });
        journal.record_all(stamp(), falls(3));
        assert_eq!(waiting.await.unwrap(), 3);
    }
}
