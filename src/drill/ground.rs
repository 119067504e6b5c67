//! The server as a drill sees it: the way in for changes, and what there is to look at.

use super::{
    answers::{Book, May},
    asker::text,
};
use crate::{
    clock::Clock,
    config::drill::{DrillDef, SteadyDef},
    control::{
        Change, Report,
        audit::Origin,
        change::DRILL,
        event::EventKind,
        hand::{Command, Done, Refusal, Target, Wish, apply::SharedHand, words},
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
    snapshot::{Plan, Record, Slot, SlotAddress, Snapshot},
    verdict::Damped,
    wire::{Name, QName, Rdatas, types::Rtype},
    world::{Viewer, World},
    zone::Lookup,
};
use arc_swap::ArcSwap;
use hickory_proto::rr::{Name as QueryName, RecordType};
use ipnet::IpNet;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
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
/// Targets that a warning names.
const NAMED: usize = 3;
/// Overrides of drills are made by this, followed by drill and run.
pub const WHO: &str = "drill:";

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

/// An address of an endpoint as it is known over loads, each of which numbers slots anew.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Spot {
    pub name: Arc<str>,
    address: SlotAddress,
}

impl Spot {
    fn of(slot: &Slot) -> Spot {
        Spot { name: Arc::clone(&slot.name), address: slot.address.clone() }
    }
}

/// What a target stands for.
#[derive(Clone, Debug, Default)]
pub(super) struct Hit {
    pub spots: HashSet<Spot>,
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
    pub base: May,
    /// What steers it: for what would be answered.
    pub record: RecordId,
    pub class: Class,
    name: Name,
    rtype: Rtype,
    client: Client,
}

impl Asked {
    /// Everything it may be answered in `world`, if it is still steered there.
    pub(super) fn answers_of(&self, world: &World) -> Option<May> {
        let may = may(world, &self.name, self.client, self.rtype);
        (may != May::default()).then_some(may)
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
            let overrides = words::count(drains, "operator's override");
            found.push(format!("{overrides} in force or to come"));
        }
        found
    }

    /// What there is to know of the targets `keys`, which are well and may be let fail: those that
    /// rose a short time ago come back later after another fall.
    pub(super) fn warnings(&self, keys: &HashSet<Arc<str>>) -> Vec<String> {
        let now = self.clock.now();
        let states = self.checker.states().into_iter().filter(|one| keys.contains(&one.key));
        let again =
            states.filter_map(|one| Some((one.damped?, one.damped?.again(now)?, one.label)));
        let again: Vec<_> = again.collect();
        let Some(longest) = again.iter().map(|(_, held, _)| *held).max() else { return Vec::new() };
        let rose = again.iter().filter_map(|(damped, ..)| damped.rose);
        let newest = rose.map(|rose| rose.elapsed(now)).min().unwrap_or_default();
        let mut names: Vec<&str> = again.iter().map(|(.., label)| &**label).collect();
        names.truncate(NAMED);
        let more = again.len() - names.len();
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        vec![format!(
            "{} came back {} ago at the latest and would count as flapping: held down for {} after \
             the next fall, which no recovery is faster than ({}{more}); over in {}",
            words::count(again.len(), "target"),
            words::short(newest),
            words::short(longest),
            names.join(", "),
            words::short(Damped::FORGET.saturating_sub(newest)),
        )]
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
        let mut slots: HashSet<SlotId> = read.slots(snapshot).into_iter().collect();
        if let Some(def) = canaries {
            let own = own_slots(snapshot, def);
            slots.retain(|slot| own.contains(slot));
        }
        let of = |slot: &SlotId| &snapshot.slots[slot.index()];
        let mut hit = Hit {
            spots: slots.iter().map(|slot| Spot::of(of(slot))).collect(),
            keys: slots.iter().filter_map(|slot| of(slot).target.clone()).collect(),
        };
        if canaries.is_some() {
            // One target may judge several endpoints; all of them must be canaries'.
            let shared: HashSet<Arc<str>> = snapshot
                .slots
                .iter()
                .enumerate()
                .filter(|(index, _)| !slots.contains(&SlotId::at(*index)))
                .filter_map(|(_, slot)| slot.target.clone())
                .collect();
            hit.keys.retain(|key| !shared.contains(key));
        } else if let Some(check) = target.strip_prefix("check:") {
            // A gate has no endpoint; it is known by its label.
            let label = format!("check:{check}");
            let gates = self.checker.states().into_iter().filter(|state| *state.label == *label);
            hit.keys.extend(gates.map(|state| state.key));
        }
        if hit.spots.is_empty() && hit.keys.is_empty() {
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
        let owner = Name::parse(qname).map_err(|problem| problem.to_string())?;
        let id = steered_at(&world.snapshot, &owner)
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
        let client = Client {
            from: self.server.ip(),
            subnet: client.map(|net| (net.addr(), net.prefix_len())),
        };
        Ok(Asked {
            steady: place,
            label: label.into(),
            question,
            rate,
            base: may(world, &owner, client, wanted),
            record: id,
            class: class_of(world, world.snapshot.record(id), client),
            name: owner,
            rtype: wanted,
            client,
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

/// The record that steers `name`.
fn steered_at(snapshot: &Snapshot, name: &Name) -> Option<RecordId> {
    let mut qname = QName::default();
    qname.set(name);
    let entry = snapshot.zone(snapshot.apexes.closest(&qname, Rtype::A)?);
    let Lookup::Node { node, .. } = entry.zone.as_ref()?.lookup(&qname) else { return None };
    Some(RecordId::at((entry.records.start + node.steered()?.index) as usize))
}

fn class_of(world: &World, record: &Record, client: Client) -> Class {
    let plan = world.snapshot.plan(record.plan);
    let (ip, len) = client.seen_by(plan);
    match plan.map {
        Some(map) => world.snapshot.maps[map.index()].lookup_net(ip, len).class,
        None => Plan::ONLY_CLASS,
    }
}

/// Everything that may be answered now to who asks for `name`, there and at every steered name
/// of its zone that a CNAME may lead to: what lies in another one is for resolvers to ask.
fn may(world: &World, name: &Name, client: Client, rtype: Rtype) -> May {
    let mut may = May::default();
    let mut to_see = vec![name.clone()];
    let mut zone = None;
    while let Some(name) = to_see.pop() {
        let owner = text(&name);
        let id = steered_at(&world.snapshot, &name).filter(|_| !may.knows(&owner));
        let Some(record) = id.map(|id| world.snapshot.record(id)) else { continue };
        if *zone.get_or_insert(record.zone) != record.zone {
            continue;
        }
        let plan = world.snapshot.plan(record.plan);
        let class = class_of(world, record, client);
        let selection = world.steering.plan(record.plan).selection(class);
        for (variant, _) in draw_for(plan, selection, rtype).shares() {
            let rdatas = selection.variants[variant].rdatas.as_ref();
            may.add(&owner, rdatas.map(texts).unwrap_or_default());
            to_see.extend(rdatas.into_iter().flat_map(targets));
        }
    }
    may
}

/// The name that a CNAME leads to.
fn targets(rdatas: &Rdatas) -> Vec<Name> {
    match rdatas.rtype() {
        Rtype::CNAME => {
            rdatas.iter(None).filter_map(|rdata| Name::from_wire(&rdata).ok()).collect()
        }
        _ => Vec::new(),
    }
}

/// Addresses, or names of CNAMEs.
fn texts(rdatas: &Rdatas) -> Vec<String> {
    let text = |rdata: Vec<u8>| match rdatas.rtype() {
        Rtype::CNAME => Name::from_wire(&rdata).ok().map(|name| text(&name)),
        _ => {
            let v4 =
                <[u8; 4]>::try_from(&rdata[..]).map(|octets| Ipv4Addr::from(octets).to_string());
            let v6 = |_| <[u8; 16]>::try_from(&rdata[..]).map(|o| Ipv6Addr::from(o).to_string());
            v4.or_else(v6).ok()
        }
    };
    rdatas.iter(None).filter_map(text).collect()
}

/// What was found for names that are answered flattened, of which the drill hits `spots`.
pub(super) fn found(world: &World, spots: &HashSet<Spot>) -> Book {
    let mut book = Book::default();
    if world.state.found.is_empty() {
        return book;
    }
    let hit = slots_of(&world.snapshot, spots);
    for (id, found) in &world.state.found {
        let Some(slot) = world.snapshot.slots.get(id.index()) else { continue };
        let v4 = found.v4().iter().map(ToString::to_string);
        let addresses: Vec<String> = v4.chain(found.v6().iter().map(ToString::to_string)).collect();
        if hit.contains(id) {
            book.hit.extend(addresses.iter().cloned());
        }
        let region = region_of(slot, &world.snapshot);
        book.regions.extend(addresses.into_iter().map(|address| (address, Arc::clone(&region))));
    }
    book
}

fn region_of(slot: &Slot, snapshot: &Snapshot) -> Arc<str> {
    Arc::from(slot.region.map_or("(no region)", |region| snapshot.region_name(region)))
}

/// The region of everything that may be answered, by address or name.
pub(super) fn regions_of(snapshot: &Snapshot) -> HashMap<String, Arc<str>> {
    let slots = snapshot.slots.iter().map(|slot| (text(&slot.address), region_of(slot, snapshot)));
    slots.collect()
}

/// The addresses of `spots`, as answers show them.
pub(super) fn addresses(spots: &HashSet<Spot>) -> HashSet<String> {
    spots.iter().map(|spot| text(&spot.address)).collect()
}

/// The slots that `spots` have in `snapshot`; what is gone has none.
pub(super) fn slots_of<'s>(
    snapshot: &Snapshot,
    spots: impl IntoIterator<Item = &'s Spot>,
) -> HashSet<SlotId> {
    let wanted: HashSet<(&str, &SlotAddress)> =
        spots.into_iter().map(|spot| (&*spot.name, &spot.address)).collect();
    let slots = snapshot.slots.iter().enumerate();
    let found = slots.filter(|(_, slot)| wanted.contains(&(&*slot.name, &slot.address)));
    found.map(|(index, _)| SlotId::at(index)).collect()
}
