//! The server as a drill sees it: the way in for changes, and what there is to look at.

use crate::{
    clock::Clock,
    config::drill::{DrillDef, SteadyDef},
    control::{
        Change, Report,
        audit::Origin,
        change::DRILL,
        event::EventKind,
        hand::{Command, Done, Refusal, Target, Wish, apply::SharedHand},
        journal::SharedJournal,
        overview::SharedOverview,
        run::SharedDrills,
        store::Keeper,
    },
    dns::Question,
    engine::steer::{Client, draw_for},
    forecast::Clients,
    health::Checker,
    ids::{Class, PlanId, RecordId, SlotId},
    place::LazyTable,
    policy::Basis,
    snapshot::{Plan, Record, Snapshot},
    wire::{Name, Rdatas, types::Rtype},
    world::{Viewer, World},
};
use arc_swap::ArcSwap;
use hickory_proto::rr::{Name as QueryName, RecordType};
use ipnet::IpNet;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::Duration,
};
use tokio::sync::{
    mpsc::UnboundedSender,
    oneshot::{self, error::TryRecvError},
    watch,
};

/// How often an answer that is waited for is looked for.
const LOOK: Duration = Duration::from_millis(1);
/// Overrides of drills are made by this, followed by drill and run.
pub(super) const WHO: &str = "drill:";

/// What a drill needs of the server.
pub struct Ground {
    /// The way in.
    pub changes: UnboundedSender<Change>,
    /// The World in force.
    pub viewer: Viewer,
    /// What happened.
    pub journal: SharedJournal,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Who probes.
    pub checker: Arc<Checker>,
    /// The state database.
    pub keeper: Keeper,
    /// What operators said.
    pub hand: SharedHand,
    /// What is held, and what waits.
    pub overview: SharedOverview,
    /// The outcome of the newest load of files.
    pub report: watch::Receiver<Arc<Report>>,
    /// Where clients are.
    pub locations: Arc<ArcSwap<LazyTable>>,
    /// The drills that can be run.
    pub drills: SharedDrills,
    /// Where questions are answered.
    pub server: SocketAddr,
    /// The operator's folder.
    pub dir: PathBuf,
    /// The state folder.
    pub state: PathBuf,
    /// Clients as they were last counted.
    pub counted: Mutex<Arc<Clients>>,
}

/// What a target stands for.
#[derive(Clone, Debug, Default)]
pub(super) struct Hit {
    pub slots: HashSet<SlotId>,
    /// Targets by key.
    pub keys: HashSet<Arc<str>>,
}

/// One question for one client.
pub(super) struct Asked {
    pub steady: usize,
    pub label: Arc<str>,
    pub question: Question,
    /// So many a second.
    pub rate: f64,
    pub base: HashSet<Vec<String>>,
    /// What steers it: for what would be answered.
    pub record: RecordId,
    /// What that is called: in other files its number may be another's.
    name: Arc<str>,
    rtype: Rtype,
    pub class: Class,
}

impl Asked {
    /// Everything it may be answered in `world`, if it is still steered there.
    pub(super) fn answers_of(&self, world: &World) -> Option<HashSet<Vec<String>>> {
        let record = world.snapshot.records.get(self.record.index())?;
        (record.id == self.name).then(|| base(world, record, self.class, self.rtype))
    }
}

impl Ground {
    /// Clients, for what speaks of shares. Takes 25 ms for each map not seen before.
    pub(super) fn clients(&self) -> Arc<Clients> {
        let known = Arc::clone(&self.counted.lock().unwrap_or_else(PoisonError::into_inner));
        let world = self.viewer.world();
        let counted = Clients::of_files(&world.snapshot, &self.locations.load_full(), &known);
        let counted = Arc::new(counted);
        *self.counted.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&counted);
        counted
    }

    /// Has control do what `command` says.
    pub(super) fn tell(&self, command: Command) -> oneshot::Receiver<Result<Box<Done>, Refusal>> {
        let (reply, done) = oneshot::channel();
        let (command, clients) = (Box::new(command), self.clients());
        let change = Change::Hand { command, from: DRILL.into(), clients, reply };
        // When control is gone the reply says so.
        let _ = self.changes.send(change);
        done
    }

    /// What comes of `command` within a time; nothing if that passes, or `is_enough`.
    pub(super) fn told(
        &self,
        command: Command,
        within: Duration,
        is_enough: &dyn Fn() -> bool,
    ) -> Option<Result<Box<Done>, Refusal>> {
        self.wait(self.tell(command), within, is_enough)
    }

    /// What comes through `reply` within a time. Polled, because an operator's abort must end it.
    pub(super) fn wait<T>(
        &self,
        mut reply: oneshot::Receiver<T>,
        within: Duration,
        is_enough: &dyn Fn() -> bool,
    ) -> Option<T> {
        let until = self.clock.now().after(within);
        loop {
            match reply.try_recv() {
                Ok(value) => return Some(value),
                Err(TryRecvError::Closed) => return None,
                Err(TryRecvError::Empty) => {}
            }
            if is_enough() || self.clock.now() >= until {
                return None;
            }
            thread::sleep(LOOK);
        }
    }

    /// Writes down what a drill does, which `by` wanted, among events and in the audit.
    pub(super) fn note(&self, by: &str, (drill, run): (&str, &str), what: String, alarm: bool) {
        let who = format!("{WHO}{drill}/{run} ({by})").into();
        let [drill, run, what] = [drill, run, &what].map(Arc::from);
        let by = Origin { who, from: DRILL.into(), reason: None };
        let event = EventKind::Drill { drill, run, what, alarm };
        // Fails only while the server stops.
        let _ = self.changes.send(Change::Audited { by, event });
    }

    /// A command of the drill's.
    pub(super) fn command(&self, wish: Wish, who: &str, reason: &str) -> Command {
        Command {
            wish,
            who: who.into(),
            reason: Some(reason.into()),
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

    /// What is not as it should be already.
    pub(super) fn degraded(&self) -> Vec<String> {
        let world = self.viewer.world();
        let mut found = Vec::new();
        if world.warming {
            found.push("the first results of health checks are awaited".to_owned());
            return found;
        }
        for (index, slot) in world.snapshot.slots.iter().enumerate() {
            let sight = world.state.standings.of(SlotId::at(index));
            if !sight.standing.is_up() || sight.failing {
                let state = if sight.standing.is_up() { "failing" } else { sight.standing.word() };
                found.push(format!("{} ({}) is {state}", slot.name, slot.address));
            }
        }
        for record in world.snapshot.records.iter() {
            let selections = world.steering.plan(record.plan).selections();
            if selections.iter().any(|selection| selection.basis != Basis::Healthy) {
                found.push(format!("{} is answered on other grounds than health", record.id));
            }
        }
        let overview = self.overview.load();
        let unsettled =
            overview.failovers.iter().map(|one| format!("failover {} is {}", one.name, one.phase));
        found.extend(unsettled);
        if overview.pinned {
            found.push("all automation is pinned".to_owned());
        }
        if overview.breaker.cut_off.is_some() || overview.breaker.mass.is_some() {
            found.push("the breaker holds falls back".to_owned());
        }
        let report = self.report.borrow().clone();
        found.extend(report.held.iter().map(|zone| format!("zone {zone} is held back")));
        if !report.accepted && report.errors > 0 {
            found.push("the newest files were refused".to_owned());
        }
        if let Some(impaired) = self.checker.impairment() {
            found.push(format!("{} probes prove nothing: {}", impaired.targets, impaired.reason));
        }
        found.extend(self.journal.store_health().alarms());
        let drains = self.hand.load().hand.overrides().len();
        if drains > 0 {
            found.push(format!("{drains} overrides of operators are in force or to come"));
        }
        found
    }

    /// What `target` stands for; under `canary` only what canaries alone use.
    ///
    /// # Errors
    /// When it stands for nothing.
    pub(super) fn hit(
        &self,
        world: &World,
        target: &str,
        canaries: Option<&DrillDef>,
    ) -> Result<Hit, String> {
        let snapshot = &world.snapshot;
        let read = Target::read(target, snapshot).map_err(|error| error.to_string())?;
        let mut hit = Hit { slots: read.slots(snapshot).into_iter().collect(), ..Hit::default() };
        if let Some(def) = canaries {
            let own = own_slots(snapshot, def);
            hit.slots.retain(|slot| own.contains(slot));
        }
        let key = |slot: &SlotId| snapshot.slots[slot.index()].target.clone();
        hit.keys = hit.slots.iter().filter_map(key).collect();
        if canaries.is_some() {
            // One target may judge several endpoints; all of them must be canaries'.
            let shared: HashSet<Arc<str>> = snapshot
                .slots
                .iter()
                .enumerate()
                .filter(|(index, _)| !hit.slots.contains(&SlotId::at(*index)))
                .filter_map(|(_, slot)| slot.target.clone())
                .collect();
            hit.keys.retain(|key| !shared.contains(key));
        } else if let Some(check) = target.strip_prefix("check:") {
            // A gate has no endpoint; it is known by its label.
            let label = format!("check:{check}");
            let gates = self.checker.states().into_iter().filter(|state| *state.label == *label);
            hit.keys.extend(gates.map(|state| state.key));
        }
        if hit.slots.is_empty() && hit.keys.is_empty() {
            return Err(match canaries {
                None => format!("`{target}` matches nothing"),
                Some(_) => format!(
                    "nothing of `{target}` is used by canaries alone: give the canary record \
                     endpoints, with probes, of its own"
                ),
            });
        }
        Ok(hit)
    }

    /// Everything that is asked, one lane for each client.
    pub(super) fn asked(&self, def: &DrillDef, world: &World) -> Result<Vec<Asked>, String> {
        let mut lanes = Vec::new();
        for (place, steady) in def.steady.iter().enumerate() {
            let clients: Vec<Option<IpNet>> = match steady.clients.is_empty() {
                true => vec![None],
                false => steady.clients.iter().copied().map(Some).collect(),
            };
            let rate = f64::from(*steady.rate.get_ref()) / clients.len() as f64;
            for client in clients {
                lanes.push(self.lane(world, (place, steady), client, rate)?);
            }
        }
        Ok(lanes)
    }

    fn lane(
        &self,
        world: &World,
        (place, steady): (usize, &SteadyDef),
        client: Option<IpNet>,
        rate: f64,
    ) -> Result<Asked, String> {
        let qname = steady.qname.get_ref();
        let (id, record) = record_of(&world.snapshot, qname)
            .ok_or_else(|| format!("`{qname}` is no steered name any more"))?;
        let (rtype, wanted, word) = match steady.aaaa {
            true => (RecordType::AAAA, Rtype::AAAA, "AAAA"),
            false => (RecordType::A, Rtype::A, "A"),
        };
        let mut name = QueryName::from_ascii(qname).map_err(|error| error.to_string())?;
        name.set_fqdn(true);
        let question = match client {
            Some(net) => Question::new(name, rtype).for_client(net),
            None => Question::new(name, rtype),
        };
        let label = match client {
            Some(net) => format!("{qname} {word} for {net}"),
            None => format!("{qname} {word}"),
        };
        let class = class_of(world, record, client, self.server.ip());
        let base = base(world, record, class, wanted);
        let label = label.into();
        let name = Arc::clone(&record.id);
        Ok(Asked {
            steady: place,
            label,
            question,
            rate,
            base,
            record: id,
            name,
            rtype: wanted,
            class,
        })
    }
}

/// The regions with an endpoint that is up, `without` some.
pub(super) fn regions_up(world: &World, without: &HashSet<SlotId>) -> usize {
    let slots = world.snapshot.slots.iter().enumerate();
    let up = slots.filter(|(index, _)| {
        let id = SlotId::at(*index);
        world.state.standings.of(id).standing.is_up() && !without.contains(&id)
    });
    up.filter_map(|(_, slot)| slot.region).collect::<BTreeSet<_>>().len()
}

/// The endpoints, by address, that are down.
pub(super) fn endpoints_down(world: &World) -> usize {
    let slots = 0..world.snapshot.slots.len();
    slots.filter(|index| !world.state.standings.of(SlotId::at(*index)).standing.is_up()).count()
}

/// The records answered on other grounds than health.
pub(super) fn fail_open(world: &World) -> usize {
    if world.warming {
        return 0;
    }
    let mut known: HashMap<PlanId, bool> = HashMap::new();
    let is = |record: &&Record| {
        *known.entry(record.plan).or_insert_with(|| {
            let selections = world.steering.plan(record.plan).selections();
            selections.iter().any(|selection| selection.basis != Basis::Healthy)
        })
    };
    let mut is = is;
    world.snapshot.records.iter().filter(|record| is(record)).count()
}

/// The slots that only canaries of `def` use.
fn own_slots(snapshot: &Snapshot, def: &DrillDef) -> HashSet<SlotId> {
    let is_canary =
        |record: &Record| def.canaries.iter().any(|pattern| pattern.get_ref().matches(&record.id));
    let others: HashSet<PlanId> = snapshot
        .records
        .iter()
        .filter(|record| !is_canary(record))
        .map(|record| record.plan)
        .collect();
    let slots = snapshot.plans_of_slot.iter().enumerate();
    let own = slots
        .filter(|(_, plans)| !plans.is_empty() && plans.iter().all(|plan| !others.contains(plan)));
    own.map(|(index, _)| SlotId::at(index)).collect()
}

/// The steered record that answers `qname`.
fn record_of<'s>(snapshot: &'s Snapshot, qname: &str) -> Option<(RecordId, &'s Record)> {
    let wanted = qname.trim_end_matches('.').to_ascii_lowercase();
    let fit = |record: &Record| {
        let owner = record.owner.to_string().to_ascii_lowercase();
        match owner.strip_prefix('*') {
            // The closest wildcard is the one with the longest name.
            Some(under) => wanted.ends_with(under).then_some(owner.len()),
            None => (owner == wanted).then_some(usize::MAX),
        }
    };
    let records = snapshot.records.iter().enumerate();
    let found = records.filter_map(|(index, record)| Some((fit(record)?, index, record)));
    let (_, index, record) = found.max_by_key(|(fit, ..)| *fit)?;
    Some((RecordId::at(index), record))
}

fn class_of(world: &World, record: &Record, client: Option<IpNet>, from: IpAddr) -> Class {
    let plan = world.snapshot.plan(record.plan);
    let client = Client { from, subnet: client.map(|net| (net.addr(), net.prefix_len())) };
    let (ip, len) = client.seen_by(plan);
    match plan.map {
        Some(map) => world.snapshot.maps[map.index()].lookup_net(ip, len).class,
        None => Plan::ONLY_CLASS,
    }
}

/// Everything that may be answered now.
fn base(world: &World, record: &Record, class: Class, rtype: Rtype) -> HashSet<Vec<String>> {
    let plan = world.snapshot.plan(record.plan);
    let selection = world.steering.plan(record.plan).selection(class);
    let shares = draw_for(plan, selection, rtype).shares();
    let variants = shares.into_iter().map(|(variant, _)| &selection.variants[variant]);
    variants.map(|variant| variant.rdatas.as_ref().map(texts).unwrap_or_default()).collect()
}

/// Addresses, or names of CNAMEs.
fn texts(rdatas: &Rdatas) -> Vec<String> {
    let text = |rdata: Vec<u8>| match rdatas.rtype() {
        Rtype::CNAME => {
            Name::from_wire(&rdata).ok().map(|name| name.to_string().to_ascii_lowercase())
        }
        _ => {
            let v4 =
                <[u8; 4]>::try_from(&rdata[..]).map(|octets| Ipv4Addr::from(octets).to_string());
            let v6 = |_| <[u8; 16]>::try_from(&rdata[..]).map(|o| Ipv6Addr::from(o).to_string());
            v4.or_else(v6).ok()
        }
    };
    rdatas.iter(None).filter_map(text).collect()
}

/// The region of everything that may be answered, by address or name.
pub(super) fn regions_of(snapshot: &Snapshot) -> HashMap<String, Arc<str>> {
    let slots = snapshot.slots.iter().map(|slot| {
        let region = slot.region.map_or("(no region)", |region| snapshot.region_name(region));
        (slot.address.to_string().trim_end_matches('.').to_ascii_lowercase(), Arc::from(region))
    });
    slots.collect()
}

/// The addresses of `slots`, as answers show them.
pub(super) fn addresses(snapshot: &Snapshot, slots: &HashSet<SlotId>) -> HashSet<String> {
    let address = |slot: &SlotId| {
        let address = snapshot.slots[slot.index()].address.to_string();
        address.trim_end_matches('.').to_ascii_lowercase()
    };
    slots.iter().map(address).collect()
}
