//! Control over time: install, observe, tick, and what is written down of it.
//!
//! Long, because all of it is told over one bench.

use super::{
    event::EventKind,
    hand::{self, Wish, clients::Clients, pin::PinFile},
    publish::{Control, TargetVerdict, Unlike},
};
use crate::{
    clock::{Clock, Moment, Since},
    failover::breaker,
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
        even_if_unknown: false,
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

#[test]
fn one_batch_is_one_publish_with_its_events_in_order() {
    let mut bench = Bench::new(APP, &["app", "www", "www"]);
    let before = bench.world();
    bench.at(10).observe("down i1/4 n1/4");
    assert_eq!(bench.world().swap, before.swap + 1);
    assert_eq!(
        bench.events(),
        [
            "z/i1 up → down: down",
            "z/n1 up → down: down",
            "z/app: iad → dub (the active member is not available)",
            "published: 2 plans",
        ]
    );
    assert_eq!([bench.answer(0), bench.answer(1)], [["d1"], ["d1"]]);
}

#[test]
fn a_verdict_makes_only_the_plans_it_touches_anew() {
    let mut bench = Bench::new(APP, &["app", "www"]);
    let before = bench.world();
    bench.at(10).observe("down i1/4");
    let after = bench.world();
    assert!(!after.steering.shares(&before.steering, PlanId(0)));
    assert!(after.steering.shares(&before.steering, PlanId(1)));
    assert!(Arc::ptr_eq(&after.snapshot, &before.snapshot));
}

#[test]
fn a_failing_probe_without_consequence_shows_in_the_ttl_alone() {
    let mut bench = Bench::new(APP, &["app"]);
    let sight = Sight { standing: Standing::Up, failing: true };
    let failing = TargetVerdict { sight, ..verdict("d1/4", Standing::Up, secs(3)) };
    bench.control.observe(vec![failing.clone()]);
    let world = bench.world();
    assert_eq!(world.steering.plan(PlanId(0)).selection(Class(0)).ttl.as_secs(), 5);
    assert_eq!(world.state.verdict(SlotId(1)).unwrap().since, secs(0));
    assert_eq!(bench.events(), ["published: 1 plans"]);
    // Said twice it changes nothing.
    bench.control.observe(vec![failing]);
    assert_eq!(bench.world().swap, world.swap);
    assert!(bench.events().is_empty());
}

#[test]
fn failback_waits_in_wake_and_happens_in_tick() {
    let mut bench = Bench::new(APP, &["app"]);
    bench.at(10).observe("down i1/4");
    assert_eq!(bench.control.wake(), None);
    bench.at(100).observe("up i1/4");
    assert_eq!(bench.control.wake(), Some(secs(400)));
    assert_eq!(bench.answer(0), ["d1"]);
    bench.events();
    bench.at(399).control.tick();
    assert_eq!(bench.answer(0), ["d1"]);
    assert!(bench.events().is_empty());
    bench.at(400).control.tick();
    assert_eq!(bench.answer(0), ["i1"]);
    assert_eq!(
        bench.events(),
        [
            "z/app: dub → iad (a preferred member has been available long enough)",
            "published: 1 plans",
        ]
    );
    assert_eq!(bench.control.wake(), None);
}

#[test]
fn a_pending_failback_is_not_forgotten_while_others_change() {
    let text = "
        pool a = a1/4
        pool b = b1/4
        pool c = c1/4
        pool d = d1/4
        failover one = a b
        failover two = c d
    ";
    let mut bench = Bench::new(text, &["one", "two"]);
    bench.at(10).observe("down a1/4");
    bench.at(20).observe("up a1/4");
    assert_eq!(bench.control.wake(), Some(secs(320)));
    bench.at(30).observe("down c1/4");
    assert_eq!(bench.control.wake(), Some(secs(320)));
    bench.at(40).observe("up c1/4");
    bench.at(320).control.tick();
    assert_eq!([bench.answer(0), bench.answer(1)], [["a1"], ["d1"]]);
    assert_eq!(bench.control.wake(), Some(secs(340)));
    bench.at(340).control.tick();
    assert_eq!(bench.answer(1), ["c1"]);
}

#[test]
fn last_good_is_what_fell_in_the_last_change() {
    let mut bench = Bench::new("pool a = a1/4 a2/4 a3/4", &["a"]);
    bench.at(1).observe("down a1/4");
    bench.events();
    bench.at(2).observe("down a2/4 a3/4");
    assert_eq!(bench.answer(0), ["a2", "a3"]);
    assert!(bench.events().contains(&"z/a now answered on these grounds: all-down".into()));
    // A reload forgets nothing of it.
    bench.at(3).control.install(Arc::new(compiled("pool a = a1/4 a2/4 a3/4", &["a"])), 2);
    assert_eq!(bench.answer(0), ["a2", "a3"]);
    assert_eq!(bench.events(), ["published: 1 plans"]);
    bench.at(4).observe("up a1/4");
    assert_eq!(bench.answer(0), ["a1"]);
    let events = bench.events();
    assert!(events.contains(&"z/a now answered on these grounds: healthy".into()), "{events:?}");
}

#[test]
fn one_event_tells_the_grounds_of_all_records_of_a_plan() {
    let mut bench = Bench::new("pool a = a1/4", &["a", "a"]);
    bench.at(1).observe("down a1/4");
    let grounds = "z/a and 1 more now answered on these grounds: all-down".to_owned();
    assert!(bench.events().contains(&grounds));
}

#[test]
fn verdicts_and_since_when_live_through_a_reload() {
    let mut bench = Bench::new(APP, &["app"]);
    bench.at(10).observe("down d1/4");
    let known = bench.world().state.verdict(SlotId(1)).cloned();
    let fell = bench.world().swap;
    bench.events();
    // A new endpoint comes first, so every id moves.
    let longer = format!("pool new = x1/4\n{APP}");
    bench.at(50).control.install(Arc::new(compiled(&longer, &["app"])), 2);
    let world = bench.world();
    assert_eq!(world.state.verdict(SlotId(2)), known.as_ref());
    assert_eq!((world.revision, world.state.fell[2]), (2, fell));
    let new = world.state.verdict(SlotId(0)).unwrap();
    assert_eq!((new.sight.standing, &*new.reason), (Standing::Unknown, "not probed yet"));
    assert_eq!(bench.events(), ["published: 1 plans"]);
}

#[test]
fn a_reload_that_judges_a_slot_by_a_dead_target_is_a_fall() {
    let mut bench = Bench::new(APP, &["app", "www"]);
    bench.at(10).observe("down n1/4");
    bench.events();
    let mut other = compiled(APP, &["app", "www"]);
    other.slots[0].target = Some("n1/4".into());
    bench.at(20).control.install(Arc::new(other), 2);
    assert_eq!(bench.world().state.fell[0], bench.world().swap);
    assert_eq!(
        bench.events(),
        [
            "z/i1 up → down: down",
            "z/app: iad → dub (the active member is not available)",
            "published: 2 plans",
        ]
    );
}

#[test]
fn latches_live_through_reloads_that_reorder_and_add_members() {
    let mut bench = Bench::new(APP, &["app"]);
    bench.at(10).observe("down i1/4");
    bench.at(20).observe("up i1/4");
    bench.events();
    let reordered = APP.replace("app = iad dub", "app = nrt iad dub");
    bench.at(30).control.install(Arc::new(compiled(&reordered, &["app"])), 2);
    assert_eq!(bench.answer(0), ["d1"]);
    assert_eq!(bench.events(), ["published: 1 plans"]);
    // The one that waited goes on waiting; the new one starts to.
    assert_eq!(bench.control.wake(), Some(secs(320)));
    bench.at(320).control.tick();
    assert_eq!(bench.answer(0), ["i1"]);
    assert_eq!(bench.control.wake(), Some(secs(330)));
    bench.at(330).control.tick();
    assert_eq!(bench.answer(0), ["n1"]);
}

#[test]
fn a_reload_that_takes_the_active_member_out_says_where_it_went() {
    let mut bench = Bench::new(APP, &["app"]);
    bench.at(10).observe("down i1/4");
    bench.events();
    let without = APP.replace("app = iad dub", "app = iad nrt");
    bench.at(20).control.install(Arc::new(compiled(&without, &["app"])), 2);
    assert_eq!(
        bench.events(),
        [
            "z/app: dub → iad (its active member is in the files no more)",
            "z/app: iad → nrt (the first that works of those that are left)",
            "published: 1 plans",
        ]
    );
    assert_eq!(bench.answer(0), ["n1"]);
    // A failover that comes under a new name starts afresh.
    let renamed = APP.replace("failover app", "failover new");
    bench.at(30).control.install(Arc::new(compiled(&renamed, &["new"])), 3);
    let events = bench.events();
    assert_eq!(events[0], "z/new: iad → dub (the active member is not available)");
}

#[test]
fn a_manual_failover_whose_active_member_is_taken_out_does_not_go_to_a_dead_one() {
    let manual = Rules { failover: Mode::Manual, failback: Failback::Manual, ..Rules::default() };
    let files = |text: &str| Arc::new(snapshot(&Given::new(text), &["app"], manual));
    let three = APP.replace("app = iad dub", "app = iad dub nrt");
    let mut bench = Bench::new(&three, &["app"]);
    bench.control.install(files(&three), 2);
    bench.at(10).observe("down i1/4");
    bench.tell(Wish::Approve { target: "record:z/app".into() }).unwrap();
    assert_eq!(bench.answer(0), ["d1"]);
    bench.events();
    bench.at(20).control.install(files(&three.replace("iad dub nrt", "iad nrt")), 3);
    assert_eq!(bench.answer(0), ["n1"]);
    assert_eq!(
        bench.events(),
        [
            "z/app: dub → iad (its active member is in the files no more)",
            "z/app: iad → nrt (the first that works of those that are left)",
            "published: 1 plans",
        ]
    );
}

#[test]
fn results_are_awaited_before_steered_names_are_answered() {
    let mut bench = Bench::cold(APP, &["app", "www"]);
    assert!(bench.world().warming);
    bench.observe("down i1/4");
    bench.observe("up d1/4");
    // A reload in between makes nothing warm.
    bench.control.install(Arc::new(compiled(APP, &["app", "www"])), 2);
    bench.control.tick();
    assert!(bench.world().warming);
    bench.control.warm();
    let world = bench.world();
    assert_eq!((world.warming, world.revision), (false, 2));
    assert_eq!(bench.answer(0), ["d1"]);
    assert_eq!(bench.answer(1), ["d1", "n1"]);
    assert_eq!(world.state.fell, [0, 0, 0], "down at the first result is no fall");
    let events = bench.events();
    assert!(events.contains(&"z/i1 unknown → down: down".into()), "{events:?}");
    assert!(!events.iter().any(|event| event.contains("→ up")), "{events:?}");
    // Once warm, always warm.
    bench.control.warm();
    assert_eq!(bench.world().swap, world.swap);
}

#[test]
fn a_start_and_a_reload_tell_who_is_not_answered_from_health() {
    let mut bench = Bench::cold(APP, &["app"]);
    bench.observe("down i1/4 d1/4");
    bench.control.warm();
    let grounds = "z/app now answered on these grounds: all-down".to_owned();
    assert!(bench.events().contains(&grounds));
    // The same record on the same grounds is no news; a new one is.
    let with_dub = "pool iad = i1/4\npool dub = d1/4\npool nrt = n1/4\nfailover app = iad dub\n";
    bench.control.install(Arc::new(compiled(with_dub, &["dub", "app"])), 2);
    let told = ["z/dub now answered on these grounds: all-down", "published: 2 plans"];
    assert_eq!(bench.events(), told);
    bench.control.install(Arc::new(compiled(with_dub, &["nrt", "dub"])), 3);
    assert_eq!(bench.events(), ["published: 2 plans"]);
}

#[test]
fn late_results_of_targets_that_are_gone_change_nothing() {
    let mut bench = Bench::new(APP, &["app"]);
    let world = bench.world();
    bench.observe("down gone/4");
    assert_eq!(bench.world().swap, world.swap);
    assert!(bench.events().is_empty());
}

#[test]
fn a_publish_is_timed_from_the_probe_that_decided_it() {
    let mut bench = Bench::new(APP, &["app"]);
    bench.at(10);
    bench.control.observe(vec![verdict("i1/4", Standing::Down, secs(7))]);
    assert_eq!(took(&bench), Some(Duration::from_secs(3)));
    let world = bench.world();
    let verdict = world.state.verdict(SlotId(0)).unwrap();
    assert_eq!((verdict.since, verdict.since_wall), (secs(7), UNIX_EPOCH + Duration::from_secs(7)));
}

#[test]
fn replaced_worlds_are_freed_by_a_tick_once_nobody_reads_them() {
    let mut bench = Bench::new(APP, &["app"]);
    let mut reader = bench.control.reader();
    let old = Arc::downgrade(&bench.world());
    bench.at(10).observe("down i1/4");
    bench.control.tick();
    assert!(old.upgrade().is_some(), "a reader still holds it");
    reader.refresh();
    assert!(old.upgrade().is_some(), "readers free nothing");
    bench.control.tick();
    assert!(old.upgrade().is_none());
}

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

#[test]
fn without_a_witness_nothing_falls_and_with_one_it_does() {
    let mut bench = Bench::new(APP, &["app", "www"]);
    let fake = Arc::new(Fake::default());
    bench.control.watch_from(Arc::clone(&fake) as Arc<dyn super::vantage::Vantage>);
    bench.at(10).observe("down i1/4");
    assert_eq!(bench.answer(0), ["i1"], "nobody has answered since it failed");
    {
        let told = fake.0.lock().unwrap();
        assert!(told.listens && told.asked.len() == 2, "{:?}", told.asked);
    }
    fake.0.lock().unwrap().answered = Some(secs(11));
    bench.at(11).control.heard();
    assert_eq!(bench.answer(0), ["d1"]);
    assert!(!fake.0.lock().unwrap().listens);
    // What the witness was waited for is part of the time it took.
    assert_eq!(took(&bench), Some(Duration::from_secs(1)));
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

#[test]
fn a_guard_is_asked_although_nobody_else_is_up() {
    let mut bench = Bench::new("pool web = w1/4", &["web"]);
    let fake = Arc::new(Fake::default());
    bench.control.watch_from(Arc::clone(&fake) as Arc<dyn super::vantage::Vantage>);
    let settings = breaker::Settings { guards: true, ..breaker::Settings::default() };
    bench.control.guard(settings, Unlike::default());
    bench.control.install(Arc::new(compiled("pool web = w1/4", &["web"])), 2);
    bench.at(10).observe("down w1/4");
    assert_eq!(fake.0.lock().unwrap().calls, 1);
    assert!(bench.world().state.standings.of(SlotId(0)).standing.is_up());
    // Cut off, and asked again later: then the guard can be reached.
    bench.at(11).control.tick();
    assert!(bench.control.held().cut_off.is_some());
    bench.at(16).control.tick();
    assert_eq!(fake.0.lock().unwrap().calls, 2);
    fake.0.lock().unwrap().answered = Some(secs(17));
    bench.at(17).control.heard();
    assert_eq!(fake.0.lock().unwrap().hastened, ["w1/4".into()]);
    fake.0.lock().unwrap().failed.push(("w1/4".into(), secs(18)));
    bench.at(18).control.heard();
    assert_eq!(bench.world().state.standings.of(SlotId(0)).standing, Standing::Down);
}

#[test]
fn a_member_nobody_has_probed_is_no_place_to_return_to() {
    let mut edited = compiled(APP, &["app", "www"]);
    let mut bench = Bench::new(APP, &["app", "www"]);
    bench.at(10).observe("down i1/4");
    assert_eq!(bench.answer(0), ["d1"]);
    // Its check was edited: another target judges it, of which nothing is known yet.
    edited.slots[0].target = Some("x1/4".into());
    bench.at(20).control.install(Arc::new(edited), 2);
    assert_eq!(bench.control.wake(), None, "no failback is due");
    bench.at(1_000).control.tick();
    assert_eq!(bench.answer(0), ["d1"]);
    // Its health is counted from the first result on.
    bench.observe("up x1/4");
    assert_eq!((bench.answer(0), bench.control.wake()), (vec!["d1".into()], Some(secs(1_300))));
}

#[test]
fn a_member_nobody_has_probed_is_answered_when_there_is_nothing_better() {
    let mut edited = compiled(APP, &["app", "www"]);
    let mut bench = Bench::new(APP, &["app", "www"]);
    bench.at(10).observe("down i1/4");
    edited.slots[0].target = Some("x1/4".into());
    bench.at(20).control.install(Arc::new(edited), 2);
    bench.at(30).observe("down d1/4");
    assert_eq!(bench.answer(0), ["i1"]);
}

#[test]
fn a_restart_under_a_pin_brings_nobody_back_and_takes_nobody_out() {
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let _inside = runtime.enter();
    let clock = Arc::new(Hands::default());
    let start = |pinned: bool| {
        let shared = Arc::clone(&clock) as Arc<dyn Clock>;
        let (keeper, saved, alarm) =
            super::store::Keeper::open(dir.path(), Arc::clone(&shared)).unwrap();
        assert_eq!(alarm, None);
        let mut control = Control::with_saved(shared, saved, keeper);
        if pinned {
            control.pin_file(Some(PinFile { reason: None, since: None }));
        }
        control.install(Arc::new(compiled(APP, &["app", "www"])), 1);
        Bench { control, clock: Arc::clone(&clock), read: 0 }
    };
    let stop = |bench: Bench| {
        let keeper = bench.control.keeper().unwrap();
        drop(bench);
        runtime.block_on(keeper.close()).unwrap();
    };
    let mut bench = start(false);
    bench.control.warm();
    bench.observe("up i1/4 d1/4 n1/4");
    bench.at(10).observe("down i1/4");
    bench.control.pin_file(Some(PinFile { reason: None, since: None }));
    // What happens under the pin takes no effect, and none by a restart either.
    bench.at(20).observe("down n1/4");
    assert_eq!(
        (bench.answer(0), bench.answer(1)),
        (vec!["d1".into()], vec!["d1".into(), "n1".into()])
    );
    stop(bench);
    let mut bench = start(true);
    let standing = |bench: &Bench, slot| bench.world().state.standings.of(SlotId(slot)).standing;
    assert_eq!(
        [0, 1, 2].map(|slot| standing(&bench, slot)),
        [Standing::Down, Standing::Up, Standing::Up]
    );
    assert_eq!(
        (bench.answer(0), bench.answer(1)),
        (vec!["d1".into()], vec!["d1".into(), "n1".into()])
    );
    // Probes find the same again.
    bench.at(30).observe("down n1/4");
    bench.control.pin_file(None);
    assert_eq!(
        [0, 1, 2].map(|slot| standing(&bench, slot)),
        [Standing::Down, Standing::Up, Standing::Down]
    );
    stop(bench);
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

#[test]
fn a_mass_failure_is_held_and_takes_effect_in_its_time_or_when_confirmed() {
    let mut bench = Bench::new(APP, &["app", "www"]);
    bench.control.install(apart(), 2);
    bench.at(10).observe("down i1/4");
    bench.at(11).observe("down d1/4 n1/4");
    // Two of three pools would be gone: Dublin is held as it was, and Tokyo with it.
    assert_eq!(
        (bench.answer(0), bench.answer(1)),
        (vec!["d1".into()], vec!["d1".into(), "n1".into()])
    );
    let (until, falls) = bench.control.held().mass.unwrap();
    assert_eq!((until, falls), (secs(131), 2));
    let world = bench.world();
    let verdict = world.state.verdicts.iter().find(|v| v.reason.contains("too much fell at once"));
    assert!(verdict.is_some_and(|verdict| verdict.sight.failing), "{:?}", world.state.verdicts);
    for now in 12..=130 {
        bench.at(now).control.tick();
    }
    assert!(bench.control.held().mass.is_some());
    bench.at(131).control.tick();
    assert!(bench.control.held().mass.is_none());
    let down = |v: &&crate::verdict::Verdict| !v.sight.standing.is_up();
    assert_eq!(bench.world().state.verdicts.iter().filter(down).count(), 3);
    assert!(!bench.answer(0).is_empty(), "last-good");
}

#[test]
fn a_reload_in_the_middle_of_a_held_failure_changes_nothing() {
    let mut bench = Bench::new(APP, &["app", "www"]);
    bench.control.install(apart(), 2);
    bench.at(10).observe("down i1/4");
    bench.at(11).observe("down d1/4");
    let before = (bench.answer(0), bench.answer(1));
    bench.at(12).control.install(apart(), 3);
    assert_eq!((bench.answer(0), bench.answer(1)), before);
    assert_eq!(bench.control.held().mass.map(|(_, falls)| falls), Some(1));
    bench.at(20).control.confirm_falls();
    assert_eq!(bench.answer(1), ["n1"]);
}

/// Files over `APP` where an endpoint that comes back takes its clients in ten seconds.
fn ramped() -> Arc<Snapshot> {
    let mut files = compiled(APP, &["app", "www"]);
    let ramp = Ramp { over: Duration::from_secs(10), start: Share::from_fraction(0.1) };
    files.plans.iter_mut().for_each(|plan| plan.ramp = Some(ramp));
    Arc::new(files)
}

#[test]
fn an_endpoint_that_comes_back_ramps_by_the_second_and_over_a_reload() {
    let mut bench = Bench::new(APP, &["app", "www"]);
    bench.control.install(ramped(), 2);
    bench.at(10).observe("down n1/4");
    assert_eq!((bench.answer(1), bench.control.wake()), (vec!["d1".into()], None));
    bench.at(20).observe("up n1/4");
    assert_eq!(bench.answer(1), ["d1", "n1"]);
    let share = |bench: &Bench| {
        let world = bench.world();
        let ramp = world.state.ramp(SlotId::at(2)).unwrap();
        ramp.share(world.snapshot.plan(PlanId(1)), world.state.now)
            .map(|ramp| ramp.share.as_fraction())
    };
    let mut seen = vec![share(&bench).unwrap()];
    for now in 21..30 {
        assert_eq!(bench.control.wake(), Some(secs(now)));
        let before = bench.world().swap;
        bench.at(now).control.tick();
        assert_eq!(bench.world().swap, before + 1, "one publish a second");
        if now == 25 {
            bench.control.install(ramped(), 3);
        }
        seen.push(share(&bench).unwrap());
    }
    for (second, share) in seen.iter().enumerate() {
        let planned = 0.1 + 0.9 * second as f64 / 10.0;
        assert!((share - planned).abs() < 0.001, "{share} of {planned}");
    }
    bench.at(30).control.tick();
    assert_eq!((bench.world().state.ramp(SlotId::at(2)), bench.control.wake()), (None, None));
    let swap = bench.world().swap;
    bench.at(31).control.tick();
    assert_eq!(bench.world().swap, swap, "nothing is published for nothing");
}

/// Files over `APP` where the second member requires `db`.
fn gated() -> Arc<Snapshot> {
    let mut files = compiled(APP, &["app", "www"]);
    files.failovers[0].gates = [vec![], vec!["db".into()]].map(Vec::into_boxed_slice).into();
    Arc::new(files)
}

#[test]
fn a_gate_without_a_result_is_shut_and_its_opening_lets_the_move_through() {
    let mut bench = Bench::new(APP, &["app", "www"]);
    bench.control.install(gated(), 2);
    bench.at(10).observe("down i1/4");
    assert_eq!(bench.answer(0), ["i1"], "the move waits, and last-good means the active member");
    bench.at(11).observe("down db");
    assert_eq!(bench.answer(0), ["i1"]);
    bench.at(12).observe("up db");
    assert_eq!(bench.answer(0), ["d1"]);
    // A gate that shuts behind the clients sends nobody back.
    bench.at(13).observe("down db");
    assert_eq!(bench.answer(0), ["d1"]);
}

/// Control over [`gated`] files with its gate open, and who probes for it.
fn open_gate() -> (Bench, Arc<Fake>) {
    let mut bench = Bench::new(APP, &["app", "www"]);
    let fake = Arc::new(Fake::default());
    bench.control.watch_from(Arc::clone(&fake) as Arc<dyn super::vantage::Vantage>);
    bench.control.install(gated(), 2);
    let open = verdict("db", Standing::Up, secs(1));
    bench.control.observe(vec![TargetVerdict { gate: Some("check:db".into()), ..open }]);
    bench.events();
    (bench, fake)
}

/// The same gate, judged to be down.
fn shut(bench: &mut Bench, now: u64) {
    let down = verdict("db", Standing::Down, secs(now));
    let down = TargetVerdict { gate: Some("check:db".into()), ..down };
    bench.at(now).control.observe(vec![down]);
}

#[test]
fn a_checker_that_is_cut_off_shuts_no_gate_until_it_fails_once_more() {
    let (mut bench, fake) = open_gate();
    shut(&mut bench, 10);
    assert_eq!(fake.0.lock().unwrap().asked, ["i1/4".into()]);
    bench.at(11).control.tick();
    assert_eq!(bench.control.held().cut_off, Some((secs(11), 1)));
    assert!(bench.events().iter().all(|event| !event.contains("check:db")));
    // People may know better than a checker that hears nobody.
    bench.tell(Wish::Failover { target: "record:z/app".into(), to: "dub".into() }).unwrap();
    assert_eq!(bench.answer(0), ["d1"]);
    fake.0.lock().unwrap().answered = Some(secs(12));
    bench.at(12).control.heard();
    assert!(bench.control.is_up("db"));
    fake.0.lock().unwrap().failed.push(("db".into(), secs(13)));
    bench.at(13).control.heard();
    assert!(!bench.control.is_up("db"));
    assert!(bench.events().contains(&"check:db (gate) up → down: down".to_owned()));
}

#[test]
fn a_gate_that_fails_while_others_answer_is_shut_at_once() {
    let (mut bench, fake) = open_gate();
    fake.0.lock().unwrap().answered = Some(secs(11));
    shut(&mut bench, 10);
    assert_eq!(bench.events(), ["check:db (gate) up → down: down", "published: 1 plans"]);
    bench.at(11).observe("down i1/4");
    assert_eq!(bench.answer(0), ["i1"], "the move waits");
}

#[test]
fn a_pin_leaves_gates_as_they_are() {
    let (mut bench, fake) = open_gate();
    fake.0.lock().unwrap().answered = Some(secs(1_000));
    let is_barred = |bench: &Bench| bench.world().state.courses[0].barred.contains(1);
    bench.control.pin_file(Some(PinFile { reason: None, since: None }));
    shut(&mut bench, 10);
    assert!(bench.control.is_up("db") && !is_barred(&bench));
    bench.at(11).control.pin_file(None);
    assert!(!bench.control.is_up("db") && is_barred(&bench));
    bench.control.pin_file(Some(PinFile { reason: None, since: None }));
    bench.at(12).observe("up db");
    assert!(!bench.control.is_up("db") && is_barred(&bench));
}

/// A Control over `APP` on a state folder, its keeper, and a clock of its own.
fn kept(dir: &std::path::Path, clock: &Arc<Hands>) -> (Control, super::store::Keeper) {
    kept_over(Arc::new(compiled(APP, &["app"])), dir, clock)
}

/// The same over `files`.
fn kept_over(
    files: Arc<Snapshot>,
    dir: &std::path::Path,
    clock: &Arc<Hands>,
) -> (Control, super::store::Keeper) {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let (keeper, saved, _) = super::store::Keeper::open(dir, Arc::clone(&clock)).unwrap();
    let mut control = Control::with_saved(clock, saved, keeper.clone());
    control.install(files, 1);
    (control, keeper)
}

/// One region fell, the next is held as one too many; whoever restarts then judges it again, with
/// the first one counted, however long ago that fell.
#[tokio::test]
async fn a_restart_in_the_middle_of_a_held_failure_lets_nothing_through() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Hands::default());
    let (control, keeper) = kept_over(apart(), dir.path(), &clock);
    let mut bench = Bench { control, clock, read: 0 };
    bench.at(1).observe("up i1/4 d1/4 n1/4");
    bench.control.warm();
    bench.at(10).observe("down d1/4");
    bench.at(11).observe("down i1/4");
    for now in 12..100 {
        bench.at(now).control.tick();
    }
    let before = (bench.answer(0), bench.answer(1));
    assert_eq!(before, (vec!["i1".into()], vec!["n1".into()]));
    assert_eq!(bench.control.held().mass.map(|(_, falls)| falls), Some(1));
    drop(bench);
    keeper.close().await.unwrap();
    let clock = Arc::new(Hands::default());
    let (control, keeper) = kept_over(apart(), dir.path(), &clock);
    let mut bench = Bench { control, clock, read: 0 };
    let answer = |bench: &Bench| (bench.answer(0), bench.answer(1));
    assert_eq!(answer(&bench), before);
    bench.at(20).observe("down i1/4");
    assert_eq!(answer(&bench), before);
    assert_eq!(bench.control.held().mass, Some((secs(140), 1)));
    bench.control.confirm_falls();
    assert!(!bench.world().state.standings.of(SlotId(0)).standing.is_up());
    drop(bench);
    keeper.close().await.unwrap();
}

#[tokio::test]
async fn a_failback_that_waits_goes_on_where_it_was_after_a_crash_in_quiet_times() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Hands::default());
    let (mut control, keeper) = kept(dir.path(), &clock);
    let at = |now: u64| clock.now.store(secs(now).0, Ordering::Relaxed);
    let up = ["i1/4", "d1/4"].map(|key| verdict(key, Standing::Up, secs(1)));
    control.observe(up.into());
    control.warm();
    at(10);
    control.observe(vec![verdict("i1/4", Standing::Down, secs(10))]);
    at(100);
    control.observe(vec![verdict("i1/4", Standing::Up, secs(100))]);
    assert_eq!(control.wake(), Some(secs(400)));
    // Nothing happens for nearly five minutes.
    for now in 101..391 {
        at(now);
        control.tick();
    }
    keeper.close().await.unwrap();
    drop(control);
    let clock = Arc::new(Hands::default());
    let (control, keeper) = kept(dir.path(), &clock);
    let left = control.wake().unwrap();
    assert!(left > secs(0) && left <= secs(20), "{left:?}");
    keeper.close().await.unwrap();
}

/// How far the only drain has come.
fn drain(bench: &Bench) -> hand::drain::DrainStage {
    let shown = bench.control.hand().load_full();
    shown.drains.values().next().unwrap().state.clone()
}

#[tokio::test]
async fn a_drain_goes_on_where_it_was_after_a_restart_and_is_drained_again_without_a_word() {
    use hand::drain::DrainStage::{Drained, Draining};
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Hands::default());
    let (control, keeper) = kept(dir.path(), &clock);
    let mut bench = Bench { control, clock, read: 0 };
    bench.at(1).observe("up i1/4 d1/4");
    bench.control.warm();
    bench.at(10);
    bench.tell(Wish::Drain { target: "endpoint:z/i1".into(), over: None }).unwrap();
    let ttl = bench.world().snapshot.plans[0].ttl.max.as_secs();
    let quiet = u64::from(ttl) + 60;
    bench.at(10 + quiet - 15).control.tick();
    assert_eq!((drain(&bench), bench.answer(0)), (Draining, vec!["d1".into()]));
    drop(bench);
    keeper.close().await.unwrap();
    // Fifteen seconds are left, and ten that nobody had written down may be lost.
    let clock = Arc::new(Hands::default());
    let (control, keeper) = kept(dir.path(), &clock);
    let mut bench = Bench { control, clock, read: 0 };
    bench.at(0).control.tick();
    assert_eq!(drain(&bench), Draining);
    bench.at(26).control.tick();
    assert_eq!(drain(&bench), Drained);
    let told = |bench: &mut Bench| bench.events().iter().any(|event| event.contains("drained ("));
    assert!(told(&mut bench));
    drop(bench);
    keeper.close().await.unwrap();
    let clock = Arc::new(Hands::default());
    let (control, keeper) = kept(dir.path(), &clock);
    let mut bench = Bench { control, clock, read: 0 };
    bench.control.tick();
    assert_eq!((drain(&bench), told(&mut bench)), (Drained, false));
    drop(bench);
    keeper.close().await.unwrap();
}

/// A hold-down is told to who judges on after a restart, without the time that has passed.
#[tokio::test]
async fn a_hold_down_is_kept_with_what_is_left_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Hands::default());
    let (control, keeper) = kept(dir.path(), &clock);
    let mut bench = Bench { control, clock, read: 0 };
    bench.observe("up i1/4 d1/4");
    bench.control.warm();
    let fell = Since::starting(secs(100));
    let hold_down = Duration::from_secs(120);
    let damped = Some(Damped { hold_down, fell, rose: None, flapping: true });
    let down = verdict("i1/4", Standing::Down, secs(100));
    bench.at(100).control.observe(vec![TargetVerdict { damped, ..down }]);
    bench.at(150).control.tick();
    drop(bench);
    keeper.close().await.unwrap();
    let clock = Arc::new(Hands::default());
    clock.set(secs(7));
    let (control, keeper) = kept(dir.path(), &clock);
    let stood = control.stood("i1/4").unwrap();
    assert_eq!(stood.standing, Standing::Down);
    assert_eq!(stood.damped.unwrap().until(), secs(7 + 70));
    assert!(stood.damped.unwrap().flapping && control.stood("d1/4").unwrap().damped.is_none());
    drop(control);
    keeper.close().await.unwrap();
}

#[tokio::test]
async fn an_override_of_a_newer_version_costs_no_other_and_stays() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(Hands::default());
    let override_of = |id: u64, action: &str| {
        let value = serde_json::json!({
            "id": id, "target": "pool:iad", "action": { "do": action }, "who": "ana",
            "made_ms": 0, "written_ms": 0, "turn": id, "elapsed_ms": 0, "starts_in_ms": 0,
        });
        super::store::Write::Override { id, value: Some(value) }
    };
    let (_, keeper) = kept(dir.path(), &clock);
    keeper.write(vec![override_of(3, "drain"), override_of(4, "eclipse")]);
    keeper.close().await.unwrap();
    let (mut control, keeper) = kept(dir.path(), &clock);
    let ids = |control: &Control| -> Vec<u64> {
        control.hand().load().hand.overrides().iter().map(|one| one.id).collect()
    };
    assert_eq!(ids(&control), [3]);
    let alarms = |control: &Control| {
        let journal = control.journal();
        let journal = journal.lock();
        journal.since(0).filter(|e| e.kind.is_alarm()).map(|e| e.kind.to_string()).next()
    };
    let alarm = alarms(&control).unwrap();
    assert!(alarm.starts_with("#4 an override: not understood"), "{alarm}");
    // The next change of an operator's writes over nothing.
    let wish = super::hand::Wish::Pin;
    let command = super::hand::Command {
        wish,
        who: "bo".into(),
        reason: None,
        begins: None,
        lasts: None,
        break_glass: false,
        dry_run: false,
        even_if_unknown: false,
    };
    control.command(&command, &super::hand::clients::Clients::default()).unwrap();
    assert_eq!(ids(&control), [3, 5]);
    keeper.close().await.unwrap();
    drop(control);
    let (keeper, saved, _) =
        super::store::Keeper::open(dir.path(), clock as Arc<dyn Clock>).unwrap();
    assert_eq!(saved.overrides.keys().copied().collect::<Vec<_>>(), [3, 4, 5]);
    assert_eq!(saved.overrides[&4]["action"]["do"], "eclipse");
    keeper.close().await.unwrap();
}

#[test]
fn old_answers_are_measured_after_ramps_reloads_and_by_the_pace_before_them() {
    let telemetry = Arc::new(crate::telemetry::Telemetry::default());
    let mut bench = Bench::new(APP, &["app", "www"]);
    bench.control.count_by(Arc::clone(&telemetry));
    bench.control.install(ramped(), 2);
    bench.at(10).observe("down n1/4");
    bench.at(41).control.tick();
    bench.at(70).observe("up n1/4");
    let left = |bench: &Bench| {
        let left = bench.control.moves().left(&telemetry, bench.clock.now());
        left.into_iter().map(|left| (left.what.to_string(), left.computed)).next().unwrap()
    };
    assert_eq!(left(&bench), ("z/n1 is up".into(), 1.0));
    for now in 71..=80 {
        bench.at(now).control.tick();
    }
    // Ten seconds in which a half still got the old answer on average, of a TTL of thirty.
    let (_, now) = left(&bench);
    assert!((now - (1.0 - (10.0 - 4.95) / 30.0)).abs() < 0.02, "{now}");
    bench.at(95).control.tick();
    bench.at(111).control.tick();
    assert_eq!(left(&bench).1, 0.0);
    let told = bench.control.journal();
    let told = told.lock().since(0).filter(|e| e.kind.word() == "old_answers").count();
    assert_eq!(told, 3, "all of the first, half and all of the second");
    // A reload that answers otherwise is a move; one that does not is none.
    let before = bench.control.moves().left(&telemetry, bench.clock.now()).len();
    bench.at(112).control.install(ramped(), 3);
    assert_eq!(bench.control.moves().left(&telemetry, bench.clock.now()).len(), before);
    let moved = APP.replace("www = dub nrt", "www = iad nrt");
    bench.control.install(Arc::new(compiled(&moved, &["app", "www"])), 4);
    assert_eq!(left(&bench), ("revision 4".into(), 1.0));
}

/// What an operator sees of a bench: answers, TTL and the next wake-up, then what was written down
/// (of the hand without the times of day in its sentences).
fn seen(bench: &mut Bench) -> (Vec<String>, u32, Option<Moment>, Vec<String>) {
    let ttl = bench.world().steering.plan(PlanId(0)).selection(Class(0)).ttl.as_secs();
    let (journal, read) = (bench.control.journal(), bench.read);
    let hand = |kind: &EventKind| match kind {
        EventKind::Hand { id, what, became, .. } => format!("#{id} {what}: {became}"),
        _ => String::new(),
    };
    let hands: Vec<String> = journal.lock().since(read).map(|e| hand(&e.kind)).collect();
    let mut events = bench.events();
    for (event, hand) in events.iter_mut().zip(hands).filter(|(_, hand)| !hand.is_empty()) {
        *event = hand;
    }
    (bench.answer(0), ttl, bench.control.wake(), events)
}

/// H-10: whatever the clock on the wall is set to, nothing moves earlier, later or differently.
#[test]
fn a_wall_clock_that_jumps_changes_nothing() {
    const YEARS: i64 = 10 * 365 * 86_400;
    let ramp = Ramp { over: Duration::from_secs(10), start: Share::from_fraction(0.1) };
    let rules = Rules { ramp: Some(ramp), ..Rules::default() };
    let day = Duration::from_secs(1_790_000_000);
    let twin = || {
        let mut bench = Bench::new(APP, &["app", "www"]);
        bench.clock.set_wall(day.as_secs() as i64);
        bench.control.install(Arc::new(snapshot(&Given::new(APP), &["app", "www"], rules)), 2);
        bench.events();
        bench
    };
    let (mut calm, mut jumpy) = (twin(), twin());
    let mut jumps = [3_600, -3_600, -3_600, YEARS, 3_600, -YEARS].into_iter().cycle();
    let lasts = |wish, lasts, begins| hand::Command { lasts, begins, ..command(wish) };
    let drain = |target: &str| Wish::Drain { target: target.into(), over: None };
    // What is done at each second; in between, time passes second by second.
    for now in 10..=700 {
        for bench in [&mut calm, &mut jumpy] {
            bench.at(now);
            let after =
                Some(hand::command::Begins::At(bench.clock.wall() + Duration::from_secs(60)));
            let minute = Some(Duration::from_secs(60));
            let over = Wish::Drain { target: "endpoint:z/i1".into(), over: minute };
            let wish = match now {
                10 => {
                    bench.observe("down i1/4");
                    None
                }
                // Then the failback's five minutes, and its ramp.
                20 => {
                    bench.observe("up i1/4");
                    None
                }
                400 => Some(lasts(drain("endpoint:z/d1"), minute, None)),
                480 => Some(lasts(drain("endpoint:z/i1"), minute, after)),
                600 => Some(lasts(over, None, None)),
                _ => None,
            };
            if let Some(wish) = wish {
                bench.control.command(&wish, &Clients::default()).unwrap();
            }
            bench.control.tick();
        }
        let (a, b) = (seen(&mut calm), seen(&mut jumpy));
        assert_eq!(a, b, "at {now} s");
        if now == 545 {
            assert_eq!(a.0, ["d1"], "the drain that was to begin at a time of day has begun");
        }
        jumpy.clock.set_wall(jumps.next().unwrap());
    }
    assert_eq!(calm.answer(0), ["d1"], "the long drain is over");
}
