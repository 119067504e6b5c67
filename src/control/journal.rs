//! Where events are numbered, logged and kept: a ring in memory, and the state database.
//!
//! What is written down in one call is one *incident*. All of it is kept; of a large one only
//! the first lines are logged, since ten thousand of them tell nobody more than their summary.
//! Those who follow wait for [`SharedJournal::newest`] and then read. The lock is held for as
//! long as it takes to number or to read events: nothing is published, logged or waited for
//! meanwhile.

use super::{
    event::{Event, EventKind, Facts, Stamp},
    store::{Ends, Keeper, LEAP, StoreError, StoreHealth, Write},
};
use serde::{Deserialize, Serialize};
use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::watch;

/// Events kept in memory: a bad night's worth, at some 300 bytes each.
pub const RING: usize = 16_384;
/// Events of one incident that are logged one by one.
const LOGGED: usize = 20;

/// How far somebody has read: the last event's number, and the run that gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Its number.
    pub seq: u64,
    /// The number of the run.
    pub boot: u64,
}

impl Mark {
    /// With `event` as the last one.
    pub fn at(event: &Event) -> Mark {
        Mark { seq: event.seq, boot: event.boot }
    }

    /// How many events were between this and `event`, the next one there still is. Numbers that
    /// no run gave out, because one crashed and the next one leapt, were none; how many of the
    /// one that crashed are gone as well nobody can know.
    pub fn gone_before(self, event: &Event) -> u64 {
        let last = event.seq.saturating_sub(1);
        let since = match event.boot == self.boot {
            true => self.seq,
            false => self.seq.max(last / LEAP * LEAP),
        };
        last.saturating_sub(since)
    }
}

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

    /// Up to and with the newest event.
    pub fn mark(&self) -> Mark {
        Mark { seq: self.seq, boot: self.boot }
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
    /// Without one, events last as long as the process.
    keeper: Option<Keeper>,
}

impl Default for SharedJournal {
    fn default() -> Self {
        SharedJournal::new(Journal::default(), None)
    }
}

impl SharedJournal {
    /// Shares `journal`; what happens is also given to `keeper`.
    pub fn new(journal: Journal, keeper: Option<Keeper>) -> SharedJournal {
        let newest = watch::Sender::new(journal.newest());
        SharedJournal { journal: Arc::new(Mutex::new(journal)), newest, keeper }
    }

    /// The journal, for a moment. Never held while anything is published.
    pub fn lock(&self) -> MutexGuard<'_, Journal> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Number of the newest event, and a way to wait for the next one.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.newest.subscribe()
    }

    /// Shows the entries of the audit after number `since` as they are kept, oldest first, as long
    /// as `visit` wants more; and says where they begin and end.
    ///
    /// # Errors
    /// When those on disk cannot be read.
    pub fn audit(
        &self,
        since: u64,
        visit: &mut dyn FnMut(u64, &str) -> bool,
    ) -> Result<Ends, StoreError> {
        match &self.keeper {
            Some(keeper) => keeper.audit(since, visit),
            None => Ok(Ends::default()),
        }
    }

    /// Shows the events after number `since`, oldest first, as long as `visit` wants more. What
    /// memory has no more is read from disk.
    pub fn visit(&self, since: u64, visit: &mut dyn FnMut(&Event) -> bool) {
        let (oldest, mut enough) = (self.lock().oldest(), false);
        if let Some(keeper) = self.keeper.as_ref().filter(|_| since.saturating_add(1) < oldest) {
            // What cannot be read is not shown; that the store fails is told by its health.
            let _ = keeper.events(since, &mut |event| {
                let is_older = event.seq < oldest;
                enough = is_older && !visit(&event);
                is_older && !enough
            });
        }
        let journal = self.lock();
        let mut newer = journal.since(since.max(oldest.saturating_sub(1)));
        while !enough && let Some(event) = newer.next() {
            enough = !visit(event);
        }
    }

    /// How keeping events and everything else goes.
    pub fn store_health(&self) -> StoreHealth {
        self.keeper.as_ref().map(Keeper::health).unwrap_or_default()
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
            if let Some(keeper) = &self.keeper {
                // Under the lock, so that the store gets them in order; it takes them at once.
                keeper.write(vec![Write::Events(events.clone())]);
            }
            events
        };
        log(&events);
    }
}

fn log(incident: &[Event]) {
    for Line { event, unsaid } in lines(incident) {
        let Event { kind, seq, swap, incident, who, .. } = event;
        let (word, who) = (kind.word(), who.as_deref());
        let Facts { subject, before: from, after: to, .. } = kind.facts();
        let more = match unsaid {
            0 => String::new(),
            more => format!("; {more} more: tradewind events --incident {incident}"),
        };
        if kind.is_alarm() {
            tracing::warn!(
                event = word,
                seq,
                swap,
                incident,
                who,
                subject,
                from,
                to,
                "{kind}{more}"
            );
        } else {
            tracing::info!(
                event = word,
                seq,
                swap,
                incident,
                who,
                subject,
                from,
                to,
                "{kind}{more}"
            );
        }
    }
}

/// An event that is logged, and how many are not that it stands for.
struct Line<'a> {
    event: &'a Event,
    unsaid: usize,
}

/// What is logged of an incident: its first [`LOGGED`] events and its summary, the last of which
/// says how many more there were.
fn lines(incident: &[Event]) -> Vec<Line<'_>> {
    let is_summary = |event: &Event| matches!(event.kind, EventKind::Published { .. });
    let single = incident.iter().filter(|event| !is_summary(event)).take(LOGGED);
    let summary = incident.iter().filter(|event| is_summary(event));
    let mut lines: Vec<_> = single.chain(summary).map(|event| Line { event, unsaid: 0 }).collect();
    let unsaid = incident.len() - lines.len();
    if let Some(last) = lines.last_mut() {
        last.unsaid = unsaid;
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{
        super::event::{Summary, tests::fell},
        *,
    };
    use crate::clock::Moment;
    use std::time::{Duration, UNIX_EPOCH};

    fn stamp() -> Stamp {
        Stamp { at: Moment(1), wall: UNIX_EPOCH, swap: 3, who: Some("ada".into()) }
    }

    fn falls(count: usize) -> Vec<EventKind> {
        (0..count).map(|n| fell(&format!("z/a/{n}"))).collect()
    }

    #[test]
    fn what_is_written_together_is_one_incident_and_numbers_go_on_over_restarts() {
        let journal = SharedJournal::new(Journal::new(2, 40), None);
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
    fn numbers_that_were_leapt_over_are_no_events_that_are_gone() {
        let kinds = falls(1);
        let event = |seq, boot| Event {
            seq,
            ..Journal::new(boot, 0).push(stamp(), kinds.clone())[0].clone()
        };
        let after = Mark { seq: 40, boot: 2 };
        for (seq, boot, gone) in [
            (41, 2, 0),
            (61, 2, 20),
            (100_051, 2, 100_010),
            // The next run, after a good end and after a crash; and with its first events gone.
            (41, 3, 0),
            (100_001, 3, 0),
            (61, 3, 20),
            (100_021, 3, 20),
            (200_021, 4, 20),
        ] {
            assert_eq!(after.gone_before(&event(seq, boot)), gone, "{seq} {boot}");
        }
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
        let mut kinds = falls(50);
        let summary = Summary::of(&kinds);
        kinds.push(EventKind::Published { plans: 1, took: Duration::ZERO, summary });
        let events = Journal::default().push(stamp(), kinds);
        let logged = lines(&events);
        assert_eq!(
            logged.iter().map(|l| l.unsaid).collect::<Vec<_>>(),
            [&[0; 20][..], &[30]].concat()
        );
        let last = logged[20].event.kind.to_string();
        assert_eq!(last, "published: 1 plans in 0.0 ms: 50 verdict down");

        let events = Journal::default().push(stamp(), falls(22));
        assert_eq!(lines(&events).last().map(|line| (line.event.seq, line.unsaid)), Some((20, 2)));
        let events = Journal::default().push(stamp(), falls(2));
        assert!(lines(&events).iter().all(|line| line.unsaid == 0));
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
