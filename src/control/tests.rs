//! Control over time: install, observe, tick, and what is written down of it, all told over one
//! bench.

mod gates;
mod judging;
mod publishing;
mod reloads;
mod restarts;
mod times;

use super::{
    event::EventKind,
    hand::{self, Wish, pin::PinFile},
    publish::{Control, TargetVerdict, Unlike},
};
use crate::{
    clock::{Clock, Moment, Since},
    failover::breaker,
    forecast::Clients,
    ids::{Class, PlanId, SlotId},
    policy::{
        rules::{Failback, Mode},
        testing::Given,
    },
    snapshot::{Ramp, Region, Rules, Slot, SlotAddress, Snapshot, testing::snapshot},
    units::{Coordinates, Share},
    verdict::{Damped, Sight, Standing, Stood},
    world::World,
};
use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// A clock that stands still until it is put forward, and a clock on the wall that goes with it
/// unless somebody sets that.
#[derive(Default)]
pub(super) struct Hands {
    now: AtomicU64,
    /// Seconds that were added to the wall clock, or taken away.
    set: AtomicI64,
}

impl Hands {
    pub fn set(&self, now: Moment) {
        self.now.store(now.0, Ordering::Relaxed);
    }

    pub fn set_wall(&self, by: i64) {
        self.set.fetch_add(by, Ordering::Relaxed);
    }
}

impl Clock for Hands {
    fn now(&self) -> Moment {
        Moment(self.now.load(Ordering::Relaxed))
    }
    fn wall(&self) -> SystemTime {
        let set = self.set.load(Ordering::Relaxed);
        let shown = UNIX_EPOCH + Duration::from_nanos(self.now.load(Ordering::Relaxed));
        let by = Duration::from_secs(set.unsigned_abs());
        if set < 0 { shown - by } else { shown + by }
    }
}

pub(super) fn secs(secs: u64) -> Moment {
    Moment(secs * 1_000_000_000)
}

/// A Control, its clock, and how far its journal was read.
struct Bench {
    control: Control,
    clock: Arc<Hands>,
    read: u64,
}

impl Bench {
    /// Control over `text` with `records`, warm, all endpoints up since second 0.
    fn new(text: &str, records: &[&str]) -> Bench {
        let mut bench = Bench::cold(text, records);
        let world = bench.world();
        let targets = world.snapshot.slots.iter().filter_map(|slot| slot.target.as_ref());
        bench.control.observe(targets.map(|key| verdict(key, Standing::Up, secs(0))).collect());
        bench.control.warm();
        bench.events();
        bench
    }

    fn cold(text: &str, records: &[&str]) -> Bench {
        let clock = Arc::new(Hands::default());
        let mut control = Control::new(Arc::clone(&clock) as Arc<dyn Clock>);
        control.install(Arc::new(compiled(text, records)), 1);
        Bench { control, clock, read: 0 }
    }

    fn world(&self) -> Arc<World> {
        self.control.world()
    }

    fn at(&mut self, now: u64) -> &mut Bench {
        self.clock.set(secs(now));
        self
    }

    /// `down s1/4 s2/4`: one change.
    fn observe(&mut self, what: &str) {
        let (word, keys) = what.split_once(' ').unwrap();
        let standing = match word {
            "up" => Standing::Up,
            "degraded" => Standing::Degraded,
            _ => Standing::Down,
        };
        let now = self.clock.now();
        let found = keys.split(' ').map(|key| verdict(key, standing, now)).collect();
        self.control.observe(found);
    }

    /// What an operator wishes.
    fn tell(&mut self, wish: Wish) -> Result<hand::Done, hand::Refusal> {
        self.control.command(&command(wish), &Clients::default())
    }

    /// What was written down since the last look, without how long it took.
    fn events(&mut self) -> Vec<String> {
        let journal = self.control.journal();
        let journal = journal.lock();
        let mut new: Vec<_> = journal.since(self.read).collect();
        self.read = new.last().map_or(self.read, |event| event.seq);
        new.retain(|event| !matches!(event.kind, EventKind::OldAnswers { .. }));
        let words = |kind: &EventKind| match kind {
            EventKind::Published { plans, .. } => format!("published: {plans} plans"),
            EventKind::Verdict { slot, from, to, reason, .. } => {
                format!("{slot} {} → {}: {reason}", from.word(), to.word())
            }
            kind => kind.to_string(),
        };
        new.iter().map(|event| words(&event.kind)).collect()
    }

    /// The endpoints that answer A of the record at `plan`.
    fn answer(&self, plan: u32) -> Vec<String> {
        let world = self.world();
        let selection = world.steering.plan(PlanId(plan)).selection(Class(0));
        let names = selection.variants.iter().filter_map(|variant| {
            let address = variant.rdatas.as_ref()?.iter(None).next()?;
            let address = <[u8; 4]>::try_from(address).ok()?;
            let is = |slot: &&Slot| slot.address == SlotAddress::Ip(address.into());
            Some(world.snapshot.slots.iter().find(is)?.name[2..].to_owned())
        });
        let mut names: Vec<String> = names.collect();
        names.sort_unstable();
        names
    }
}

pub(super) fn command(wish: Wish) -> hand::Command {
    hand::Command {
        wish,
        who: "ana".into(),
        reason: None,
        begins: None,
        lasts: None,
        break_glass: false,
        dry_run: false,
        if_version: None,
        even_if_unknown: false,
        instead_of: None,
        for_whom: Vec::new(),
    }
}

fn compiled(text: &str, records: &[&str]) -> Snapshot {
    snapshot(&Given::new(text), records, Rules::default())
}

pub(super) fn verdict(key: &str, standing: Standing, at: Moment) -> TargetVerdict {
    let sight = Sight { standing, failing: !standing.is_up() };
    TargetVerdict {
        key: key.into(),
        sight,
        reason: standing.word().into(),
        at,
        first_failure: None,
        answered: false,
        observed: false,
        gate: None,
        damped: None,
    }
}

const APP: &str = "
    pool iad = i1/4
    pool dub = d1/4
    pool nrt = n1/4
    failover app = iad dub
    weighted www = dub nrt
";

/// Probes as a test would have them.
#[derive(Default)]
struct Fake(std::sync::Mutex<Told>);

/// What was asked of [`Fake`], and what it is to testify.
#[derive(Default)]
struct Told {
    /// When somebody last answered.
    answered: Option<Moment>,
    failed: Vec<(Arc<str>, Moment)>,
    calls: usize,
    asked: Vec<Arc<str>>,
    hastened: Vec<Arc<str>>,
    listens: bool,
}

impl crate::failover::breaker::Proof for Fake {
    fn answered_since(&self, since: Moment, _: &str) -> bool {
        self.0.lock().unwrap().answered.is_some_and(|at| at > since)
    }
    fn failures(&self) -> Vec<(Arc<str>, Moment)> {
        std::mem::take(&mut self.0.lock().unwrap().failed)
    }
}

impl super::vantage::Vantage for Fake {
    fn update(&self, _: &crate::checkplan::CheckPlan, _: &dyn Fn(&str) -> Option<Stood>) {}
    fn hasten(&self, keys: &[Arc<str>]) {
        self.0.lock().unwrap().hastened.extend_from_slice(keys);
    }
    fn call_witnesses(&self, keys: &[Arc<str>]) {
        let mut told = self.0.lock().unwrap();
        told.calls += 1;
        told.asked.extend_from_slice(keys);
    }
    fn listen(&self, yes: bool) {
        self.0.lock().unwrap().listens = yes;
    }
}

/// Files over `APP` whose endpoints stand in a region each.
fn apart() -> Arc<Snapshot> {
    let mut files = compiled(APP, &["app", "www"]);
    let region =
        |name: &Arc<str>| Region { name: Arc::clone(name), at: Coordinates { lat: 0.0, lon: 0.0 } };
    files.regions = files.slots.iter().map(|slot| region(&slot.name)).collect();
    for (index, slot) in files.slots.iter_mut().enumerate() {
        slot.region = Some(crate::ids::RegionId::at(index));
    }
    Arc::new(files)
}

/// How long the newest publish took.
fn took(bench: &Bench) -> Option<Duration> {
    let journal = bench.control.journal();
    let journal = journal.lock();
    let mut took = journal.since(0).filter_map(|event| match event.kind {
        EventKind::Published { took, .. } => Some(took),
        _ => None,
    });
    took.next_back()
}
