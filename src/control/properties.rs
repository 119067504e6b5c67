//! Random lives of a running server: verdicts, commands, reloads, time and restarts in any order,
//! over random trees, through everything that stands between a probe and an answer.
//!
//! What must hold is written here once more, over the test's own memory of what it did, and looked
//! at after every event: each plan is answered as `select()` says now, whatever was rebuilt;
//! shares sum to one; nothing is empty unless an operator wrote so; nothing moves that its rules
//! keep where it is. Long, because it is one life from its files to its last check.

use super::{
    event::EventKind,
    hand::{ForceTo, Wish, command::Begins},
    publish::{Control, TargetVerdict},
    steered::Steered,
    store::Keeper,
    tests::{Hands, command, secs, verdict},
    vantage::Vantage,
};
use crate::{
    checkplan::CheckPlan,
    clock::{Clock, Dice, Moment},
    failover::{Cause, Machine, breaker::Proof},
    forecast::Clients,
    ids::{Class, FailoverId, PlanId, RegionId, SlotId},
    policy::{
        Basis, RampKind, available,
        model::random_text,
        rules::{Failback, Mode},
        select,
        sticky::Key,
        testing::{Given, children},
        tree::{AllDown, Kind, NodeIx, Tree},
    },
    snapshot::{Plan, Ramp, Region, Rules, Snapshot, Sticky, testing::snapshot},
    steering::Steering,
    units::{Coordinates, Share, Weight},
    verdict::{Standing, Stood},
    world::World,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

/// Lives, and events in each: some seconds of an unoptimised build.
const LIVES: u64 = 40;
const EVENTS: usize = 60;
/// Clients of sticky plans that are followed through ramps.
const CLIENTS: u128 = 24;

/// Those who probe: they have heard of somebody else, or they have not; and what failed.
#[derive(Default)]
struct Witness {
    heard: AtomicBool,
    failures: Mutex<Vec<(Arc<str>, Moment)>>,
}

impl Proof for Witness {
    fn answered_since(&self, _: Moment, _: &str) -> bool {
        self.heard.load(Relaxed)
    }
    fn failures(&self) -> Vec<(Arc<str>, Moment)> {
        std::mem::take(&mut self.failures.lock().unwrap())
    }
}

impl Vantage for Witness {
    fn update(&self, _: &CheckPlan, _: &dyn Fn(&str) -> Option<Stood>) {}
    fn hasten(&self, _: &[Arc<str>]) {}
    fn call_witnesses(&self, _: &[Arc<str>]) {}
    fn listen(&self, _: bool) {}
}

/// The operator's files, as lines that can be put in another order.
struct Files {
    pools: Vec<String>,
    policies: Vec<String>,
    rest: Vec<String>,
    records: Vec<String>,
    rules: Rules,
    slow_start: bool,
    gated: bool,
}

/// What happened, as far as it says what may change.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Probes,
    Time,
    Reload,
    Command,
    Restart,
}

/// A failover's member, as the test remembers it: since when it has been available, or not.
type Known = BTreeMap<(String, String), (bool, Moment)>;

struct Life {
    dice: Dice,
    dir: TempDir,
    runtime: Runtime,
    clock: Arc<Hands>,
    /// What the clocks of earlier runs had come to.
    lived: u64,
    witness: Arc<Witness>,
    control: Control,
    read: u64,
    files: Files,
    snapshot: Arc<Snapshot>,
    before: Arc<World>,
    known: Known,
    /// For each ramp how far it was.
    ramps: BTreeMap<String, Share>,
    /// What sticky clients got since the last event that was not a ramp's next second.
    got: BTreeMap<(u32, usize, u128), Vec<Vec<u8>>>,
    story: Vec<String>,
}

impl Files {
    fn new(seed: u64, dice: &mut Dice) -> Files {
        // Nobody looks names up here: those who would be answered flattened have addresses.
        let text = random_text(seed).replace("@", "");
        let of = |kinds: &[&str]| -> Vec<String> {
            let is = |line: &&str| kinds.contains(&line.split(' ').next().unwrap_or_default());
            text.lines().filter(is).map(str::to_owned).collect()
        };
        let pools = of(&["pool"]);
        let mut policies = of(&["weighted", "failover", "latency", "geo", "multivalue"]);
        if policies.iter().all(|line| !line.starts_with("failover")) {
            let members = (0..pools.len()).map(|n| format!("p{n}")).collect::<Vec<_>>();
            policies.push(format!("failover last = {} trickle=0.02", members.join(" ")));
        }
        let name = |line: &String| line.split(' ').nth(1).unwrap().to_owned();
        let records = policies.iter().map(name).collect();
        let mut rest = of(&["client"]);
        let all_down = ["last-good", "all", "first", "nodata", "pool:p0"];
        rest.push(format!("all_down {}", all_down[dice.roll() as usize % 5]));
        let (slow_start, gated) = (dice.roll().is_multiple_of(2), dice.roll().is_multiple_of(4));
        Files { pools, policies, rest, records, rules: rules(dice), slow_start, gated }
    }

    /// The same in another order; a failover may lose a member.
    fn edited(&mut self, dice: &mut Dice) {
        let at = dice.roll() as usize % self.pools.len();
        self.pools.rotate_left(at);
        for line in self.policies.iter_mut().filter(|line| line.starts_with("failover")) {
            let (head, body) = line.split_once(" = ").unwrap();
            let (options, mut members): (Vec<&str>, Vec<&str>) =
                body.split(' ').partition(|word| word.contains('='));
            let at = dice.roll() as usize % members.len();
            members.rotate_left(at);
            if members.len() > 1 && dice.roll().is_multiple_of(4) {
                members.pop();
            }
            *line = format!("{head} = {}", [members, options].concat().join(" "));
        }
        if dice.roll().is_multiple_of(3) {
            self.rules = rules(dice);
        }
    }

    fn asks_for_many(&self) -> bool {
        self.pools.iter().chain(&self.policies).any(|line| line.contains(" min="))
    }

    fn compiled(&self) -> Arc<Snapshot> {
        let text = [&self.pools[..], &self.policies, &self.rest].concat().join("\n");
        let records: Vec<&str> = self.records.iter().map(String::as_str).collect();
        let mut files = snapshot(&Given::new(&text), &records, self.rules);
        let ramp = Ramp { over: Duration::from_secs(10), start: Share::from_fraction(0.1) };
        for (index, plan) in files.plans.iter_mut().enumerate() {
            plan.ramp = self.slow_start.then_some(ramp);
            plan.sticky = (index % 2 == 0).then_some(Sticky { v4: 24, v6: 48 });
        }
        // Three regions, so that most of them can go at once; an endpoint stays in its own.
        files.regions = ["x", "y", "z"]
            .map(|name| Region { name: name.into(), at: Coordinates { lat: 0.0, lon: 0.0 } })
            .into();
        for slot in &mut files.slots {
            let number = slot.name.bytes().map(usize::from).sum::<usize>();
            slot.region = Some(RegionId::at(number % 3));
        }
        for failover in files.failovers.iter_mut().filter(|_| self.gated) {
            let gates = (0..failover.members.len()).map(|member| match member {
                1 => vec!["gate".into()].into_boxed_slice(),
                _ => Box::default(),
            });
            failover.gates = gates.collect();
        }
        Arc::new(files)
    }
}

fn rules(dice: &mut Dice) -> Rules {
    let mut pick = |n: u64| (dice.roll() % n) as usize;
    let ramp = Ramp { over: Duration::from_secs(20), start: Ramp::START };
    Rules {
        failover: [Mode::Auto, Mode::Auto, Mode::Manual][pick(3)],
        failover_delay: Duration::from_secs([0, 0, 30][pick(3)]),
        failback: [Failback::Auto, Failback::After(Duration::from_secs(60)), Failback::Manual]
            [pick(3)],
        ramp: [None, Some(ramp)][pick(2)],
    }
}

impl Life {
    fn new(seed: u64) -> Life {
        let mut dice = Dice::seeded(seed);
        let files = Files::new(seed, &mut dice);
        let (dir, witness) = (tempfile::tempdir().unwrap(), Arc::new(Witness::default()));
        let runtime = Builder::new_current_thread().build().unwrap();
        let clock = clock_at(secs(1));
        let control = begun(&dir, &clock, &witness).0;
        let snapshot = files.compiled();
        let mut life = Life {
            dice,
            dir,
            runtime,
            clock,
            lived: 0,
            before: control.world(),
            witness,
            control,
            read: 0,
            files,
            snapshot,
            known: Known::new(),
            ramps: BTreeMap::new(),
            got: BTreeMap::new(),
            story: vec![format!("seed {seed}")],
        };
        life.witness.heard.store(true, Relaxed);
        life.reload();
        let all: Vec<_> =
            life.targets().iter().map(|key| life.verdict(key, Standing::Up)).collect();
        life.control.observe(all);
        life.control.warm();
        life.look(What::Reload);
        life
    }

    fn pick(&mut self, n: usize) -> usize {
        (self.dice.roll() % n as u64) as usize
    }

    /// A moment of the whole life, whatever run it lies in.
    fn time(&self) -> Moment {
        Moment(self.lived.wrapping_add(self.clock.now().0))
    }

    fn targets(&self) -> Vec<Arc<str>> {
        let slots = self.snapshot.slots.iter().filter_map(|slot| slot.target.clone());
        slots.chain(["gate".into()]).collect()
    }

    fn verdict(&self, key: &str, standing: Standing) -> TargetVerdict {
        verdict(key, standing, self.clock.now())
    }

    fn event(&mut self) {
        match self.pick(20) {
            0..=6 => self.probe(),
            7 => {
                let heard = self.pick(3) > 0;
                self.story.push(format!("somebody else is heard: {heard}"));
                self.witness.heard.store(heard, Relaxed);
                self.control.heard();
                self.look(What::Probes);
            }
            8..=12 => {
                let ms = [300, 1_000, 2_500, 7_000, 31_000, 61_000, 125_000][self.pick(7)];
                self.pass(Duration::from_millis(ms));
            }
            13 | 14 => {
                self.files.edited(&mut self.dice);
                self.reload();
            }
            15..=18 => self.command(),
            _ => self.restart(),
        }
    }

    /// Some targets are judged anew, each of them once.
    fn probe(&mut self) {
        let targets = self.targets();
        let mut found = BTreeMap::new();
        for _ in 0..=self.pick(3) {
            let key = Arc::clone(&targets[self.pick(targets.len())]);
            let standing = match self.pick(10) {
                0..=4 => Standing::Down,
                5 => Standing::Degraded,
                _ => Standing::Up,
            };
            let answered = self.pick(2) == 0;
            let verdict = TargetVerdict { answered, ..self.verdict(&key, standing) };
            found.insert(key, verdict);
        }
        let words = found.values().map(|v| format!("{} {}", v.sight.standing.word(), v.key));
        self.story.push(words.collect::<Vec<_>>().join(", "));
        let (found, now) = (found.into_values(), self.clock.now());
        let is_down = |v: &&TargetVerdict| v.sight.standing == Standing::Down;
        let found: Vec<TargetVerdict> = found.collect();
        let failures = found.iter().filter(is_down).map(|v| (Arc::clone(&v.key), now));
        self.witness.failures.lock().unwrap().extend(failures);
        self.control.observe(found);
        self.control.heard();
        self.look(What::Probes);
    }

    /// Time passes as the loop lets it: a tick whenever there is something to do.
    fn pass(&mut self, long: Duration) {
        let until = self.clock.now().after(long);
        loop {
            let now = self.clock.now();
            let next = self.control.wake().map_or(until, |wake| wake.min(until));
            assert!(next > now, "it would spin: {next:?} {:#?}", self.story);
            self.clock.set(next);
            self.control.tick();
            self.story.push(format!("at {:.3} s", next.0 as f64 / 1e9));
            self.look(What::Time);
            if next == until {
                return;
            }
        }
    }

    /// Files come into force, their answers made ahead or not: things may have gone on since.
    fn reload(&mut self) {
        let snapshot = self.files.compiled();
        let is_steered = self.pick(3) > 0;
        let steered = is_steered.then(|| Steered::ahead(&self.control.outlook(), &snapshot));
        if is_steered && !self.control.warming {
            self.meanwhile();
        }
        self.snapshot = snapshot;
        self.story.push(format!(
            "{:?}\n{}",
            self.files.rules,
            [&self.files.pools[..], &self.files.policies, &self.files.rest].concat().join("\n")
        ));
        let revision = self.before.revision + 1;
        self.control.install_steered(Arc::clone(&self.snapshot), revision, steered.as_ref());
        self.look(What::Reload);
    }

    /// What may happen while answers are made ahead.
    fn meanwhile(&mut self) {
        match self.pick(4) {
            0 => self.probe(),
            1 => self.pass(Duration::from_millis(2_500)),
            2 => self.command(),
            _ => {}
        }
    }

    fn command(&mut self) {
        let endpoint = {
            let slots = &self.snapshot.slots;
            format!("endpoint:{}", slots[self.dice.roll() as usize % slots.len()].name)
        };
        let region = format!("region:{}", ["x", "y", "z"][self.pick(3)]);
        let which = self.pick(self.files.records.len());
        let record = self.files.records[which].clone();
        let policy = self.files.policies.iter().find(|p| p.split(' ').nth(1) == Some(&record));
        let members = policy.unwrap().split_once(" = ").unwrap().1.split(' ');
        let members = members.filter(|word| !word.contains('='));
        let members: Vec<&str> =
            members.map(|word| word.split(['*', '/', ':']).next().unwrap()).collect();
        let member: Arc<str> = members[self.dice.roll() as usize % members.len()].into();
        let target = format!("record:z/{record}");
        let place = if self.pick(3) == 0 { region } else { endpoint };
        let over = [None, Some(Duration::from_secs(15))][self.pick(2)];
        let wish = match self.pick(14) {
            0..=2 => Wish::Drain { target: place, over },
            3 => Wish::Undrain { target: place },
            4 => Wish::Force { target: place, to: Some(ForceTo::Up) },
            5 => Wish::Force { target: place, to: None },
            6 => {
                let weight = Weight::new(self.pick(10) as u32 + 1);
                Wish::Weight { target, member: Some(member), weight }
            }
            7 | 8 => Wish::Failover { target, to: member },
            9 => Wish::Failback { target },
            10 => Wish::Approve { target },
            11 => Wish::Reject { target },
            12 => Wish::Hold { target },
            _ => Wish::Pin,
        };
        let mut command = command(wish);
        // Nothing is for ever, or all would end pinned, drained and held.
        command.lasts = matches!(
            command.wish,
            Wish::Drain { .. }
                | Wish::Force { to: Some(_), .. }
                | Wish::Failover { .. }
                | Wish::Hold { .. }
                | Wish::Pin
        )
        .then_some(Duration::from_secs(40));
        if command.lasts.is_some() && self.pick(4) == 0 {
            command.begins = Some(Begins::After(Duration::from_secs(10)));
        }
        let done = self.control.command(&command, &Clients::default());
        let came = done.map(|_| "done").map_err(|why| why.to_string());
        self.story.push(format!("{:?}: {came:?}", command.wish));
        self.look(What::Command);
    }

    /// The process dies when everything is durable, and another one goes on.
    fn restart(&mut self) {
        self.story.push("restart".into());
        let stood = self.standing();
        let keeper = self.control.keeper().unwrap();
        self.runtime.block_on(keeper.close()).unwrap();
        let clock = self.clock_of_next_run();
        drop((keeper, std::mem::replace(&mut self.control, Control::new(self.clock.clone()))));
        self.lived = self.time().0.wrapping_sub(clock.now().0);
        self.clock = clock;
        (self.control, self.read) = begun(&self.dir, &self.clock, &self.witness);
        self.control.install(Arc::clone(&self.snapshot), 1);
        self.control.warm();
        assert_eq!(self.standing(), stood, "a restart moved something: {:#?}", self.story);
        self.look(What::Restart);
    }

    /// A clock that begins somewhere else, while the one on the wall goes on.
    fn clock_of_next_run(&mut self) -> Arc<Hands> {
        const SECOND: u64 = 1_000_000_000;
        let clock =
            clock_at(Moment((1 + self.dice.roll() % 100) * SECOND + self.clock.now().0 % SECOND));
        let ahead = self.clock.wall().duration_since(clock.wall());
        let by = ahead.map(|by| by.as_secs() as i64);
        clock.set_wall(by.unwrap_or_else(|by| -(by.duration().as_secs() as i64)));
        assert_eq!(clock.wall(), self.clock.wall());
        clock
    }

    /// Where everything stands: active members, and who is up.
    fn standing(&self) -> BTreeMap<String, String> {
        let world = self.control.world();
        let machines = self.control.latches.of(&world.snapshot);
        let machine = |machine: &Machine| format!("{} {:?}", machine.active(), machine.phase());
        let machines = machines.map(|(d, m)| (d.name.to_string(), machine(m)));
        let slots = world.snapshot.slots.iter().zip(&world.state.standings.0);
        let slots = slots.map(|(slot, sight)| {
            (format!("{} {}", slot.name, slot.address), sight.standing.is_up().to_string())
        });
        machines.chain(slots).collect()
    }

    fn look(&mut self, what: What) {
        let (world, before) = (self.control.world(), Arc::clone(&self.before));
        self.before = Arc::clone(&world);
        if world.warming {
            return;
        }
        let events = self.events();
        self.story.extend(events.iter().map(|event| format!("  {event}")));
        let availability = self.remember(&world);
        self.check_moves(&events, &availability);
        let has_said = events.iter().any(|event| matches!(event, EventKind::Hand { became, .. } if matches!(&**became, "begins" | "ended")));
        self.check_ramps(&world, has_said || matches!(what, What::Command | What::Restart));
        if world.swap != before.swap {
            self.check_answers(&world);
        }
        let is_rebuilt = matches!(what, What::Reload | What::Restart);
        if !is_rebuilt && Arc::ptr_eq(&world.snapshot, &before.snapshot) {
            self.check_shared(&before, &world);
        }
        self.check_sticky(&world, what == What::Time && events.is_empty());
    }

    fn events(&mut self) -> Vec<EventKind> {
        let journal = self.control.journal();
        let journal = journal.lock();
        let new = journal.since(self.read);
        let kinds = new.map(|event| event.kind.clone());
        let kinds = kinds.filter(|kind| !matches!(kind, EventKind::Published { .. })).collect();
        self.read = journal.newest();
        kinds
    }

    /// Notes down who is available since when.
    fn remember(&mut self, world: &World) -> Known {
        let (now, moved) = (self.time(), world.state.moved());
        let mut known = Known::new();
        for (index, definition) in world.snapshot.failovers.iter().enumerate() {
            let plans = &world.snapshot.plans_of_failover[FailoverId::at(index).index()];
            let Some(plan) = plans.first() else { continue };
            let ramps = moved.ramps_of(world.snapshot.plan(*plan));
            let directives = moved.directives(&ramps);
            for (member, &node) in definition.members.iter().zip(definition.member_nodes()) {
                let is = available(&definition.tree, node, moved.standings, &directives);
                let at = (definition.name.to_string(), member.to_string());
                let before = self.known.get(&at).filter(|(was, _)| *was == is);
                let since = before.map_or(now, |(_, since)| *since);
                known.insert(at, (is, since));
            }
        }
        self.known = known.clone();
        known
    }

    /// No move without its conditions.
    fn check_moves(&self, events: &[EventKind], known: &Known) {
        let (rules, now) = (self.files.rules, self.time());
        for event in events {
            let EventKind::Failover { name, from, to, why } = event else { continue };
            let of = |member: &Arc<str>| known.get(&(name.to_string(), member.to_string()));
            let has = |member, is: bool, long: Duration| {
                of(member).is_some_and(|(was, since)| *was == is && now.since(*since) >= long)
            };
            let is = |cause: Cause| *why == cause.why();
            let holds = if is(Cause::Lost) {
                let long = rules.failover_delay;
                rules.failover == Mode::Auto
                    && has(from, false, long)
                    && has(to, true, Duration::ZERO)
            } else if is(Cause::Failback) {
                let long = match rules.failback {
                    Failback::Auto => Some(Duration::ZERO),
                    Failback::After(long) => Some(long),
                    Failback::Manual => None,
                };
                has(from, true, Duration::ZERO) && long.is_some_and(|long| has(to, true, long))
            } else if is(Cause::TargetLost) {
                has(from, false, Duration::ZERO) && has(to, true, Duration::ZERO)
            } else {
                // By word of an operator, or because the files have the active member no more.
                true
            };
            let frozen =
                self.control.pinned && [Cause::Lost, Cause::Failback].map(is).contains(&true);
            assert!(holds && !frozen, "{event}\n{known:?}\n{:#?}", self.story);
        }
    }

    /// Ramps go one way as long as nobody says otherwise.
    fn check_ramps(&mut self, world: &World, anew: bool) {
        if anew {
            self.ramps.clear();
        }
        let (snapshot, state) = (&world.snapshot, &world.state);
        let mut ramps = BTreeMap::new();
        for (definition, course) in snapshot.failovers.iter().zip(&state.courses) {
            if let Some((from, moved)) = course.leaving {
                let member = |index: u8| &definition.members[usize::from(index)];
                let way =
                    format!("{}: {} → {}", definition.name, member(from), member(course.active));
                ramps.insert(way, moved);
            }
        }
        for ramp in &state.ramps {
            let (slot, index) = (&snapshot.slots[ramp.slot.index()], ramp.slot.index());
            for plan in &snapshot.plans_of_slot[index] {
                let Some(found) = ramp.share(snapshot.plan(*plan), state.now) else { continue };
                let (way, share) = match found.kind {
                    RampKind::Rising => ("rises", found.share),
                    RampKind::Leaving => ("leaves", found.share.rest()),
                };
                ramps.insert(format!("{} {} {way} {plan:?}", slot.name, slot.address), share);
            }
        }
        for (ramp, share) in &ramps {
            let before = self.ramps.get(ramp);
            assert!(before.is_none_or(|before| before <= share), "{ramp} {:#?}", self.story);
        }
        self.ramps = ramps;
    }

    /// Every class of every plan is answered as select() says now: shares sum to one, nothing is
    /// empty against the operator's word, no TTL is longer than configured.
    fn check_answers(&self, world: &World) {
        let (snapshot, moved) = (&world.snapshot, world.state.moved());
        let fresh = Steering::build(snapshot, moved);
        for (index, plan) in snapshot.plans.iter().enumerate() {
            let ramps = moved.ramps_of(plan);
            for class in (0..plan.tree.classes.classes()).map(Class::at) {
                let is = world.steering.plan(PlanId::at(index)).selection(class);
                let anew = fresh.plan(PlanId::at(index)).selection(class);
                let draws: Vec<_> = is.draws().collect();
                assert_eq!(draws, anew.draws().collect::<Vec<_>>(), "{:#?}", self.story);
                assert_eq!(is.variants, anew.variants, "{:#?}", self.story);
                assert_eq!((is.ttl, is.basis), (anew.ttl, anew.basis), "{:#?}", self.story);
                assert!(is.ttl <= plan.ttl.max);
                for draw in draws {
                    let sum: f64 = draw.shares().iter().map(|(_, share)| share).sum();
                    assert!((sum - 1.0).abs() < 1e-9, "{sum} {:#?}", self.story);
                }
                let directives = moved.directives(&ramps);
                let decision = select(&plan.tree, class, moved.standings, &directives, ());
                let mut empty = false;
                decision.choice.leaves(&mut |_, leaf| empty |= leaf.is_none());
                let is_all_down = matches!(decision.basis, Basis::AllDown(_));
                let asked = decision.basis == Basis::AllDown(AllDown::Nodata);
                let may_be = asked || tree_says_nothing(&plan.tree);
                assert!(!empty || may_be, "{} {:#?}", self.files.records[index], self.story);
                assert!(!(is_all_down && is_anybody_up(plan, world)), "{:#?}", self.story);
            }
        }
    }

    /// A plan for which nothing changed is the very same one.
    fn check_shared(&self, before: &World, after: &World) {
        let (old, new) = (&before.state, &after.state);
        for (index, plan) in after.snapshot.plans.iter().enumerate() {
            let has_ramp = |slot: &SlotId| old.ramp(*slot).or(new.ramp(*slot)).is_some();
            let turned = |slot: &SlotId| old.standings.of(*slot) != new.standings.of(*slot);
            let moved = |id: &FailoverId| old.courses[id.index()] != new.courses[id.index()];
            let is_touched = plan.slots.iter().any(|slot| has_ramp(slot) || turned(slot))
                || plan.failovers.iter().any(moved);
            let is_shared = after.steering.shares(&before.steering, PlanId::at(index));
            assert!(is_touched || is_shared, "{} {:#?}", self.files.records[index], self.story);
        }
    }

    /// While nothing happens but a ramp's next second, a client that leaves an endpoint does not
    /// come back to it: those who are on one side are nested sets.
    fn check_sticky(&mut self, world: &World, only_time: bool) {
        // A pool that falls below its `min_healthy`, or reaches it, takes its clients with it both
        // ways; the model of `select()` holds what they get then.
        if self.files.asks_for_many() {
            return;
        }
        if !only_time {
            self.got.clear();
        }
        for (index, plan) in world.snapshot.plans.iter().enumerate() {
            if plan.sticky.is_none() {
                continue;
            }
            for class in 0..plan.tree.classes.classes() {
                let selection = world.steering.plan(PlanId::at(index)).selection(Class::at(class));
                for client in 0..CLIENTS {
                    let key = || Key::new((client << 64) | (7 * client), 0);
                    let variant = selection.a.draw(&mut Dice::seeded(0), key);
                    let rdatas = selection.variants[variant].rdatas.as_ref();
                    let leader = rdatas.and_then(|rdatas| rdatas.iter(None).next());
                    let leader = leader.map(|rdata| rdata.to_vec()).unwrap_or_default();
                    let got = self.got.entry((index as u32, class, client)).or_default();
                    if got.last() != Some(&leader) {
                        assert!(
                            !got.contains(&leader),
                            "client {client} of {} was sent to {got:?} and back to {leader:?} {:#?}",
                            self.files.records[index],
                            self.story
                        );
                        got.push(leader);
                    }
                }
            }
        }
    }
}

fn clock_at(now: Moment) -> Arc<Hands> {
    let clock = Hands::default();
    clock.set(now);
    Arc::new(clock)
}

/// A Control that goes on from what lies in `dir`, and the newest event of the run before.
fn begun(dir: &TempDir, clock: &Arc<Hands>, witness: &Arc<Witness>) -> (Control, u64) {
    let clock = Arc::clone(clock) as Arc<dyn Clock>;
    let (keeper, saved, alarm) = Keeper::open(dir.path(), Arc::clone(&clock)).unwrap();
    assert_eq!(alarm, None);
    let read = saved.seq;
    let mut control = Control::with_saved(clock, saved, keeper);
    control.watch_from(Arc::clone(witness) as Arc<dyn Vantage>);
    (control, read)
}

/// The nodes below the root, without the pool that steps in when all is down.
fn below(tree: &Tree) -> BTreeSet<NodeIx> {
    let (mut open, mut found) = (vec![tree.root], BTreeSet::new());
    while let Some(ix) = open.pop() {
        if found.insert(ix) {
            open.extend(children(&tree.node(ix).kind));
        }
    }
    found
}

/// Whether some network is answered with nothing on purpose.
fn tree_says_nothing(tree: &Tree) -> bool {
    below(tree).into_iter().any(|ix| matches!(tree.node(ix).kind, Kind::Empty))
}

/// Whether something is up in a tree in which that is enough for an answer: nothing in it is
/// for some networks alone, and no member takes its own share only.
fn is_anybody_up(plan: &Plan, world: &World) -> bool {
    let nodes: Vec<&Kind> =
        below(&plan.tree).into_iter().map(|ix| &plan.tree.node(ix).kind).collect();
    let is_plain = nodes.iter().all(|kind| match kind {
        Kind::Geo(_) => false,
        Kind::Weighted(weighted) => weighted.members.iter().all(|m| m.absorb),
        _ => true,
    });
    let pools = nodes.iter().filter_map(|kind| match kind {
        Kind::Pool(pool) => Some(pool),
        _ => None,
    });
    let mut slots = pools.flat_map(|pool| &pool.endpoints).flat_map(|e| e.target.slots());
    is_plain && slots.any(|slot| world.state.standings.of(slot).standing.is_up())
}

#[test]
fn whatever_happens_to_a_server_what_must_hold_holds() {
    for seed in 0..LIVES {
        let mut life = Life::new(seed);
        for _ in 0..EVENTS {
            life.event();
        }
        assert!(life.before.swap > 10, "hardly anything happened: {:#?}", life.story);
    }
}
