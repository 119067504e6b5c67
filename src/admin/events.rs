//! `/v1/events`: what happened, in pages, and for those who wait for what happens next.
//!
//! Whoever follows asks again and again for what came after the last number it saw, and each
//! time waits for it: nothing is held for a follower that is not there, so that one that was
//! cut off, or whose server was restarted, goes on where it stopped.
//!
//! Whoever waits takes a seat. Those of the control socket are apart from those of the public door,
//! so that no neighbour keeps the operator from following.

use super::{peer::Peer, schema::EventLine};
use crate::{
    clock::Clock,
    config::parse_duration,
    control::{event::Event, journal::SharedJournal},
};
use serde::Deserialize;
use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, SystemTime},
};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::sleep,
};
use utoipa::IntoParams;

/// Events in one reply; `since` asks for more.
pub(super) const EVENTS_MAX: usize = 1_000;
/// The longest that one request waits: less than any time-out between it and us.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Followers of a door at a time: a quarter of what it serves at once ([`super::seats`]), so that
/// others are served.
const FOLLOWERS_MAX: usize = 16;

/// Where a follower comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Door {
    /// At the control socket.
    Control,
    /// Over TCP.
    Public,
}

impl Door {
    /// Where `peer` came in.
    pub fn of(peer: &Peer) -> Door {
        match peer {
            Peer::User(_) => Door::Control,
            Peer::Token { .. } | Peer::Stranger { .. } => Door::Public,
        }
    }
}

/// The parameters of `/v1/events`.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// A number, or how long ago: `120`, `1h`.
    pub since: Option<String>,
    /// Only events of this incident.
    incident: Option<u64>,
    /// Only these kinds, separated by commas; `alarm` is any that someone should look at.
    kind: Option<String>,
    /// Only so many, the newest.
    last: Option<usize>,
    /// Seconds to wait for an event if there is none.
    #[serde(default)]
    pub wait: u64,
}

/// Why a request for events is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum EventsRefused {
    #[error("`since={0}` is neither a number nor a duration like 1h")]
    Since(String),
    #[error("{FOLLOWERS_MAX} others follow already; ask without `wait`")]
    Crowded,
}

/// What is asked for, read.
#[derive(Debug, PartialEq)]
pub(super) struct Wanted {
    after: u64,
    not_before: Option<SystemTime>,
    incident: Option<u64>,
    kinds: Vec<String>,
    last: usize,
}

/// What answers.
pub(super) struct Events {
    journal: SharedJournal,
    clock: Arc<dyn Clock>,
    /// Free seats at the control socket, and at the public door.
    control: Arc<Semaphore>,
    public: Arc<Semaphore>,
}

/// A seat of a follower, free again when this is gone.
pub(super) type Seat = OwnedSemaphorePermit;

impl Events {
    pub fn new(journal: SharedJournal, clock: Arc<dyn Clock>) -> Events {
        let seats = || Arc::new(Semaphore::new(FOLLOWERS_MAX));
        Events { journal, clock, control: seats(), public: seats() }
    }

    /// A page of what is asked for at `door`; waits for the first of it as long as `asked` says.
    pub async fn page(
        self: Arc<Self>,
        door: Door,
        asked: EventsQuery,
    ) -> Result<Vec<EventLine>, EventsRefused> {
        let wanted = self.read(&asked)?;
        if asked.wait == 0 {
            return Ok(self.look(wanted).await.0);
        }
        let _seat = self.seat(door)?;
        let wait = WAIT_MAX.min(Duration::from_secs(asked.wait));
        Ok(self.wait(wanted, wait).await.0)
    }

    /// A seat for one who follows at `door`, if any is free.
    pub fn seat(&self, door: Door) -> Result<Seat, EventsRefused> {
        let seats = match door {
            Door::Control => &self.control,
            Door::Public => &self.public,
        };
        Arc::clone(seats).try_acquire_owned().map_err(|_| EventsRefused::Crowded)
    }

    /// A page, for whose first event it waits for this `time` at most, and what is wanted after it.
    pub async fn wait(
        self: Arc<Self>,
        mut wanted: Wanted,
        time: Duration,
    ) -> (Vec<EventLine>, Wanted) {
        let mut over = std::pin::pin!(sleep(time));
        let mut newest = self.journal.newest();
        loop {
            // Marked as seen before it is read: what comes in between is not waited for.
            newest.borrow_and_update();
            let (page, seen) = Arc::clone(&self).look(wanted).await;
            if !page.is_empty() {
                return (page, seen);
            }
            wanted = seen;
            tokio::select! {
                changed = newest.changed() => if changed.is_err() {
                    // The journal is gone only when the server is.
                    return (page, wanted);
                },
                () = &mut over => return (page, wanted),
            }
        }
    }

    /// A page, and what is wanted after it. Away from the threads that probe and accept: it may
    /// have to read the disk.
    pub async fn look(self: Arc<Self>, mut wanted: Wanted) -> (Vec<EventLine>, Wanted) {
        let unread = (Vec::new(), wanted.again());
        let looking = tokio::task::spawn_blocking(move || {
            let mut page = VecDeque::new();
            let is_tail = wanted.last < EVENTS_MAX;
            self.journal.visit(wanted.after, &mut |event| {
                if wanted.ended_at(event) {
                    return false;
                }
                if wanted.accepts(event) {
                    page.push_back(EventLine::from(event));
                }
                wanted.after = event.seq;
                if is_tail && page.len() > wanted.last {
                    page.pop_front();
                }
                is_tail || page.len() < EVENTS_MAX
            });
            (page.into(), wanted)
        });
        // It is cancelled only while the server stops.
        looking.await.unwrap_or(unread)
    }

    /// Reads what is asked for.
    pub fn read(&self, asked: &EventsQuery) -> Result<Wanted, EventsRefused> {
        let (mut after, mut not_before) = (0, None);
        if let Some(since) = &asked.since {
            match (since.parse(), parse_duration(since)) {
                (Ok(number), _) => after = number,
                (_, Ok(ago)) => not_before = self.clock.wall().checked_sub(ago),
                _ => return Err(EventsRefused::Since(since.clone())),
            }
        }
        // Numbers that were never given out are of a server whose state was lost since then:
        // whoever saw them has seen nothing of what happens now.
        if after > *self.journal.newest().borrow() {
            after = 0;
        }
        if let Some(incident) = asked.incident {
            after = after.max(incident.saturating_sub(1));
        }
        let kinds = asked.kind.iter().flat_map(|kinds| kinds.split(',')).map(str::to_owned);
        let last = asked.last.unwrap_or(EVENTS_MAX).min(EVENTS_MAX);
        Ok(Wanted { after, not_before, incident: asked.incident, kinds: kinds.collect(), last })
    }
}

impl Wanted {
    fn accepts(&self, event: &Event) -> bool {
        let is = |kind: &String| {
            *kind == event.kind.word() || (kind == "alarm" && event.kind.is_alarm())
        };
        self.not_before.is_none_or(|at| event.wall >= at)
            && self.incident.is_none_or(|incident| incident == event.incident)
            && (self.kinds.is_empty() || self.kinds.iter().any(is))
    }

    /// Whether nothing more can come: an incident's events stand together.
    fn ended_at(&self, event: &Event) -> bool {
        self.incident.is_some_and(|incident| event.incident > incident)
    }

    /// All that comes after what was seen: how much of what there was, and since when, was said of
    /// that.
    pub fn after_these(self) -> Wanted {
        Wanted { last: EVENTS_MAX, not_before: None, ..self }
    }

    fn again(&self) -> Wanted {
        let Wanted { after, not_before, incident, ref kinds, last } = *self;
        Wanted { after, not_before, incident, kinds: kinds.clone(), last }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::{Moment, SystemClock},
        control::{
            event::{EventKind, Stamp},
            journal::Journal,
        },
    };
    use std::time::UNIX_EPOCH;

    /// A journal in which regions went down, two at a time, each a minute after the other.
    fn events(journal: &SharedJournal) -> Arc<Events> {
        struct Late;
        impl Clock for Late {
            fn now(&self) -> Moment {
                Moment(0)
            }
            fn wall(&self) -> SystemTime {
                UNIX_EPOCH + Duration::from_secs(180)
            }
        }
        for minute in 0..3 {
            happen(journal, minute);
        }
        Arc::new(Events::new(journal.clone(), Arc::new(Late)))
    }

    fn happen(journal: &SharedJournal, minute: u64) {
        let wall = UNIX_EPOCH + Duration::from_secs(60 * minute);
        let demo = |up| EventKind::Demo { region: format!("r{minute}").into(), up };
        let refused = EventKind::Refused { cause: "SIGHUP".into(), errors: 1 };
        let stamp = Stamp { at: Moment(minute), wall, swap: 0, who: None };
        journal.record_all(stamp, vec![demo(false), refused]);
    }

    async fn ask(events: &Arc<Events>, query: &str) -> Result<Vec<u64>, EventsRefused> {
        let asked: axum::extract::Query<EventsQuery> =
            axum::extract::Query::try_from_uri(&format!("/?{query}").parse().unwrap()).unwrap();
        let page = Arc::clone(events).page(Door::Public, asked.0).await?;
        Ok(page.iter().map(|line| line.seq).collect())
    }

    #[tokio::test]
    async fn events_are_chosen_by_number_age_incident_and_kind() {
        let events = events(&SharedJournal::default());
        for (query, numbers) in [
            ("", vec![1, 2, 3, 4, 5, 6]),
            ("since=4", vec![5, 6]),
            ("since=2m", vec![3, 4, 5, 6]),
            ("since=10s", vec![]),
            ("incident=3", vec![3, 4]),
            ("incident=4", vec![]),
            ("kind=demo", vec![1, 3, 5]),
            ("kind=alarm&since=2", vec![4, 6]),
            ("kind=alarm,demo&incident=5", vec![5, 6]),
            ("since=7", vec![1, 2, 3, 4, 5, 6]),
            ("last=2", vec![5, 6]),
            ("last=2&kind=demo", vec![3, 5]),
            ("last=0", vec![]),
        ] {
            assert_eq!(ask(&events, query).await.unwrap(), numbers, "{query}");
        }
        let wrong = ask(&events, "since=soon").await.unwrap_err();
        assert_eq!(wrong, EventsRefused::Since("soon".into()));
    }

    #[tokio::test]
    async fn a_follower_waits_for_what_it_asked_for_and_for_nothing_else() {
        let journal = SharedJournal::new(Journal::new(1, 0), None);
        let events = events(&journal);
        let asked = Arc::clone(&events);
        let waiting = tokio::spawn(async move { ask(&asked, "since=6&kind=loaded&wait=30").await });
        happen(&journal, 4);
        let loaded = EventKind::Loaded {
            revision: 1,
            cause: "start".into(),
            zones: 1,
            records: 1,
            held: Vec::new(),
        };
        let (at, wall) = (Moment(9), SystemClock::default().wall());
        journal.record_all(Stamp { at, wall, swap: 1, who: None }, vec![loaded]);
        assert_eq!(waiting.await.unwrap().unwrap(), [9]);
    }

    #[tokio::test]
    async fn a_wait_ends_with_nothing_and_followers_are_bounded() {
        let events = events(&SharedJournal::default());
        let mut waiting = tokio::task::JoinSet::new();
        for _ in 0..FOLLOWERS_MAX {
            let events = Arc::clone(&events);
            waiting.spawn(async move { ask(&events, "since=6&wait=1").await });
        }
        while events.public.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(ask(&events, "since=6&wait=1").await, Err(EventsRefused::Crowded));
        assert_eq!(ask(&events, "since=5").await.unwrap(), [6]);
        assert!(events.seat(Door::Control).is_ok(), "who operates it follows all the same");
        while let Some(page) = waiting.join_next().await {
            assert_eq!(page.unwrap().unwrap(), [0; 0]);
        }
    }
}
