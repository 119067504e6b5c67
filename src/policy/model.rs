//! A slow, obvious model of [`select`](super::select) beside it, written from DESIGN §5 and not
//! from the code: first who is available, then who gets which share. Random trees must agree.

use super::{
    RampKind, Wanted, select,
    testing::{Given, exact_shares},
    tree::{AllDown, EndpointTarget, Kind, MinHealthy, NodeIx, Tree},
};
use crate::{
    clock::Dice,
    ids::{Class, SlotId},
    verdict::Standing,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// How the world looks, or is taken to look, to the clients of some range of numbers.
#[derive(Clone)]
struct World<'a> {
    tree: &'a Tree,
    class: Class,
    given: &'a Given,
    up: BTreeSet<SlotId>,
    /// What is up in truth, where `up` holds more: exact shares go to these first.
    living: Option<BTreeSet<SlotId>>,
    /// Up, but on their way back and not yet for these clients; below a failover they count.
    rising: BTreeSet<SlotId>,
    min_healthy_counts: bool,
    /// What is looked at is down and kept by a failover.
    kept: bool,
    /// Nobody has any addresses: then it makes no difference who is named.
    unfound_counts: bool,
}

/// An endpoint of an outcome, as it was looked at when it got there.
#[derive(Clone, Debug, PartialEq)]
struct Found {
    pool: NodeIx,
    endpoint: usize,
    /// Its slots that counted as up.
    up: Vec<SlotId>,
    kept: bool,
}

/// Where in the tree something stands.
#[derive(Clone, Copy)]
struct At {
    below_failover: bool,
    /// Below a multivalue policy: the number of the clients that are looked at.
    number: Option<f64>,
}

const ROOT: At = At { below_failover: false, number: None };

/// The endpoints one answer is drawn from; `None` is NODATA.
type Outcome = Option<(Vec<Found>, u16)>;

type Shares = Vec<(f64, Outcome)>;

impl World<'_> {
    fn slot_up(&self, slot: SlotId, below_failover: bool) -> bool {
        self.up.contains(&slot) || (below_failover && self.rising.contains(&slot))
    }
    fn is_up(&self, pool: NodeIx, endpoint: usize, below_failover: bool) -> bool {
        let target = &self.endpoint(pool, endpoint).target;
        let is_found = match *target {
            EndpointTarget::Flattened { slot } => self.unfound_counts || self.found(slot).is_some(),
            _ => true,
        };
        is_found && target.slots().any(|slot| self.slot_up(slot, below_failover))
    }
    fn found(&self, slot: SlotId) -> Option<&super::Found> {
        self.given.found.iter().find(|(known, _)| *known == slot).map(|(_, found)| &**found)
    }
    fn endpoint(&self, pool: NodeIx, endpoint: usize) -> &super::tree::Endpoint {
        match &self.tree.node(pool).kind {
            Kind::Pool(pool) => &pool.endpoints[endpoint],
            _ => unreachable!(),
        }
    }
    fn enough(&self, min: MinHealthy, members: &[(u32, bool)]) -> bool {
        let up: Vec<u32> = members.iter().filter(|m| m.1).map(|m| m.0).collect();
        if up.is_empty() || !self.min_healthy_counts {
            return !up.is_empty();
        }
        let whole: u32 = members.iter().map(|m| m.0).sum();
        match min {
            MinHealthy::Count(count) => up.len() >= count.into(),
            MinHealthy::Share(share) if whole == 0 => {
                up.len() as f64 / members.len() as f64 >= f64::from(share) / 1e6
            }
            MinHealthy::Share(share) => {
                f64::from(up.iter().sum::<u32>()) / f64::from(whole) >= f64::from(share) / 1e6
            }
        }
    }

    fn available(&self, ix: NodeIx, below: bool) -> bool {
        match &self.tree.node(ix).kind {
            Kind::Empty => true,
            Kind::Pool(pool) => {
                let all = pool.endpoints.iter().enumerate();
                let all: Vec<_> =
                    all.map(|(i, e)| (e.weight.get(), self.is_up(ix, i, below))).collect();
                self.enough(pool.min_healthy, &all)
            }
            Kind::Weighted(w) => {
                let absorbing = w.members.iter().filter(|m| m.absorb);
                let absorbing: Vec<_> =
                    absorbing.map(|m| (m.weight.get(), self.available(m.node, below))).collect();
                let mut weighing = w.members.iter().filter(|m| m.weight.get() > 0);
                let all_exact = weighing.all(|m| !m.absorb && self.available(m.node, below))
                    && w.members.iter().any(|m| m.weight.get() > 0);
                all_exact || self.enough(w.min_healthy, &absorbing)
            }
            Kind::Multivalue(m) => {
                let all: Vec<_> =
                    m.members.iter().map(|&m| (1, self.available(m, below))).collect();
                self.enough(m.min_healthy, &all)
            }
            Kind::Failover(failover) => {
                failover.members.iter().any(|&member| self.available(member, true))
            }
            Kind::Latency(latency) => latency.members.iter().any(|m| self.available(m.node, below)),
            Kind::Geo(geo) => {
                let chain = self.tree.classes.chain(self.class, geo.dependent);
                let mut members = chain.iter().flat_map(|&rule| &geo.rules[rule as usize].members);
                members.any(|&m| self.available(m, below))
            }
        }
    }

    /// The distribution of an available node.
    fn outcomes(&self, ix: NodeIx, at: At) -> Shares {
        let available = |ix: NodeIx| self.available(ix, at.below_failover);
        match &self.tree.node(ix).kind {
            Kind::Empty => vec![(1.0, None)],
            Kind::Pool(pool) => {
                let found = |(endpoint, it): (usize, &super::tree::Endpoint)| {
                    let up = it.target.slots().filter(|&s| self.slot_up(s, at.below_failover));
                    Found { pool: ix, endpoint, up: up.collect(), kept: self.kept }
                };
                let all = pool.endpoints.iter().enumerate().map(found).collect();
                vec![(1.0, Some((all, pool.answers)))]
            }
            Kind::Failover(failover) => self.failover(failover, at),
            Kind::Geo(geo) => {
                let chain = self.tree.classes.chain(self.class, geo.dependent);
                let mut members = chain.iter().flat_map(|&rule| &geo.rules[rule as usize].members);
                self.outcomes(*members.find(|&&m| available(m)).unwrap(), at)
            }
            Kind::Weighted(w) => {
                let whole: f64 = w.members.iter().map(|m| f64::from(m.weight.get())).sum();
                let up = || w.members.iter().filter(|m| available(m.node));
                let exact: Vec<_> = up()
                    .filter(|m| !m.absorb)
                    .map(|m| (f64::from(m.weight.get()) / whole, m.node))
                    .collect();
                let left = 1.0 - exact.iter().map(|e| e.0).sum::<f64>();
                let mut rest: Vec<_> = up()
                    .filter(|m| m.absorb && m.weight.get() > 0)
                    .map(|m| (f64::from(m.weight.get()), m.node))
                    .collect();
                if rest.is_empty() {
                    rest = up().filter(|m| m.absorb).map(|m| (1.0, m.node)).collect();
                }
                let living = self
                    .living
                    .clone()
                    .map_or_else(|| self.clone(), |up| World { up, living: None, ..self.clone() });
                let first = |node: NodeIx| match living.available(node, at.below_failover) {
                    true => living.outcomes(node, at),
                    false => self.outcomes(node, at),
                };
                let exact = exact.into_iter().flat_map(|(share, node)| {
                    first(node).into_iter().map(move |(inner, o)| (share * inner, o))
                });
                exact.chain(self.mixed(vec![], rest, left, at)).collect()
            }
            Kind::Latency(latency) => {
                let order = self.tree.classes.order(self.class, latency.dependent);
                let up = |place: usize| {
                    let member = &latency.members[usize::from(order[place].member)];
                    available(member.node).then_some((member.weight.get(), member.node))
                };
                let places = || 0..order.len();
                let best = places()
                    .find(|&place| up(place).is_some_and(|(weight, _)| weight > 0))
                    .or(places().find(|&place| up(place).is_some()))
                    .unwrap();
                let tied = best..=best + usize::from(order[best].followers);
                let tied: Vec<(u32, NodeIx)> = tied.filter_map(up).collect();
                let regular = tied.iter().any(|(weight, _)| *weight > 0);
                let tied = tied.into_iter().filter(|(weight, _)| !regular || *weight > 0);
                self.mixed(
                    Vec::new(),
                    tied.map(|(weight, node)| (f64::from(weight.max(1)), node)).collect(),
                    1.0,
                    at,
                )
            }
            Kind::Multivalue(m) => {
                let members: Vec<NodeIx> =
                    m.members.iter().copied().filter(|&m| available(m)).collect();
                if at.number.is_some() {
                    return vec![(1.0, self.together(&members, m.answers, at))];
                }
                let one = |(from, to): (f64, f64)| {
                    let at = At { number: Some((from + to) / 2.0), ..at };
                    (to - from, self.together(&members, m.answers, at))
                };
                self.intervals().into_iter().map(one).collect()
            }
        }
    }

    /// Between two neighbours of these nobody is parted from anybody by a failover.
    fn intervals(&self) -> Vec<(f64, f64)> {
        let mut bounds = vec![0.0, 1.0];
        for node in &self.tree.nodes {
            if let Kind::Failover(failover) = &node.kind {
                bounds.push(failover.trickle.as_fraction());
                let course = self.given.courses[failover.id.index()];
                bounds.extend(course.leaving.map(|(_, moved)| moved.as_fraction()));
            }
        }
        bounds.sort_by(f64::total_cmp);
        bounds.windows(2).map(|pair| (pair[0], pair[1])).filter(|(a, b)| a < b).collect()
    }

    /// Every endpoint that `members` give to clients with one number, each once.
    fn together(&self, members: &[NodeIx], answers: u16, at: At) -> Outcome {
        let outcomes = members.iter().flat_map(|&member| self.outcomes(member, at));
        let outcomes = outcomes.filter(|(share, _)| *share > 1e-12);
        let mut whole: Vec<Found> =
            outcomes.filter_map(|(_, outcome)| outcome).flat_map(|(all, _)| all).collect();
        // Who is only kept stands beside nobody who works.
        if whole.iter().any(|found| !found.kept) {
            whole.retain(|found| !found.kept);
        }
        let mut all: Vec<Found> = Vec::new();
        for found in whole {
            let is = |known: &Found| (known.pool, known.endpoint) == (found.pool, found.endpoint);
            if !all.iter().any(is) {
                all.push(found);
            }
        }
        (!all.is_empty()).then_some((all, answers))
    }

    fn failover(&self, failover: &super::tree::Failover, at: At) -> Shares {
        let at = At { below_failover: true, ..at };
        let course = self.given.courses[failover.id.index()];
        let up = |i: usize| self.available(failover.members[i], true);
        let whole = |i: usize| self.outcomes(failover.members[i], at);
        let part = |share: f64, below: Shares, above: Shares| -> Shares {
            let share = at.number.map_or(share, |number| if number < share { 1.0 } else { 0.0 });
            let scaled = |shares: Shares, by: f64| {
                shares.into_iter().map(move |(share, outcome)| (share * by, outcome))
            };
            scaled(below, share).chain(scaled(above, 1.0 - share)).collect()
        };
        let with_trickle = |i: usize, choice: Shares| {
            let mut next = i + 1..failover.members.len();
            match next.find(|&next| !course.barred.contains(next) && up(next)) {
                Some(next) => part(failover.trickle.as_fraction(), whole(next), choice),
                None => choice,
            }
        };
        let settled = |i: usize| with_trickle(i, whole(i));
        let active = usize::from(course.active);
        match course.leaving.map(|(from, moved)| (usize::from(from), moved.as_fraction())) {
            Some((from, moved)) if up(from) && up(active) => {
                return part(moved, settled(active), whole(from));
            }
            Some((from, _)) if up(from) => return whole(from),
            _ if up(active) => return settled(active),
            _ => {}
        }
        let mut others = (0..failover.members.len()).filter(|i| !course.barred.contains(*i));
        match others.find(|&i| !course.stays && up(i)) {
            Some(other) => settled(other),
            // Another works and may not be gone to: the active member is kept, as it was.
            None => {
                let member = failover.members[active];
                match self.kept(member) {
                    Some(world) => with_trickle(active, world.outcomes(member, at)),
                    // But for one that has no addresses: then whoever works answers.
                    None => settled((0..failover.members.len()).find(|&i| up(i)).unwrap()),
                }
            }
        }
    }

    /// The world in which `member`, although it is down, has an answer: with as little assumed as
    /// that takes. There is none where nobody knows its addresses.
    fn kept(&self, member: NodeIx) -> Option<World<'_>> {
        let living = Some(self.living.clone().unwrap_or_else(|| self.up.clone()));
        let mut world = World { kept: true, min_healthy_counts: false, living, ..self.clone() };
        let mut falls: Vec<u64> = self.given.fell.clone();
        falls.retain(|&change| change > 0);
        falls.sort_unstable();
        while !world.available(member, true) {
            let slots = (0..self.given.slots.len()).map(SlotId::at);
            let newest = falls.pop().unwrap_or(0);
            world.up.extend(slots.filter(|s| self.given.fell[s.index()] >= newest));
            if newest == 0 && !world.available(member, true) {
                return None;
            }
        }
        Some(world)
    }

    fn mixed(
        &self,
        exact: Vec<(f64, NodeIx)>,
        rest: Vec<(f64, NodeIx)>,
        left: f64,
        at: At,
    ) -> Shares {
        let sum: f64 = rest.iter().map(|r| r.0).sum();
        let rest = rest.into_iter().map(|(weight, node)| (left * weight / sum, node));
        let all = exact.into_iter().chain(rest);
        all.flat_map(|(share, node)| {
            self.outcomes(node, at).into_iter().map(move |(inner, o)| (share * inner, o))
        })
        .collect()
    }

    /// Who leads an answer to `wanted`, with which probability.
    fn leaders(&self, outcomes: Shares, wanted: Wanted) -> BTreeMap<String, f64> {
        let mut leaders: BTreeMap<String, f64> = BTreeMap::new();
        for (share, outcome) in outcomes.into_iter().filter(|(share, _)| *share > 1e-12) {
            let mut drawn: Vec<(f64, String)> = Vec::new();
            for found in outcome.into_iter().flat_map(|(all, _)| all) {
                drawn.extend(self.weigh(&found, wanted));
            }
            // Keep the best kind: living regulars, living reserves, dead regulars, dead ones.
            let kind = |weight: f64| (weight / 1000.0).floor();
            let best = drawn.iter().map(|(weight, _)| kind(*weight)).fold(0.0, f64::max);
            drawn.retain(|(weight, _)| kind(*weight) == best);
            drawn.iter_mut().for_each(|(weight, _)| *weight -= best * 1000.0);
            let sum: f64 = drawn.iter().map(|d| d.0).sum();
            for (weight, name) in &drawn {
                *leaders.entry(name.clone()).or_default() += share * weight / sum;
            }
            if drawn.is_empty() {
                *leaders.entry("nodata".into()).or_default() += share;
            }
        }
        leaders
    }

    /// 1000 × how good a kind it is + its weight, for an endpoint that has what is wanted.
    fn weigh(&self, found: &Found, wanted: Wanted) -> Option<(f64, String)> {
        let endpoint = self.endpoint(found.pool, found.endpoint);
        let slot = match (&endpoint.target, wanted) {
            (EndpointTarget::Cname { slot, .. }, _) => *slot,
            (EndpointTarget::Flattened { slot }, Wanted::A) => {
                (!self.found(*slot)?.v4().is_empty()).then_some(*slot)?
            }
            (EndpointTarget::Flattened { slot }, Wanted::Aaaa) => {
                (!self.found(*slot)?.v6().is_empty()).then_some(*slot)?
            }
            (EndpointTarget::Flattened { .. }, _) => return None,
            (EndpointTarget::Addresses { v4, .. }, Wanted::A) => v4.as_ref()?.1,
            (EndpointTarget::Addresses { v6, .. }, Wanted::Aaaa) => v6.as_ref()?.1,
            (EndpointTarget::Addresses { .. }, Wanted::Other | Wanted::Extra(_)) => return None,
        };
        let living = found.up.contains(&slot);
        let regular = endpoint.weight.get() > 0;
        let up = &found.up;
        let degraded = |s: &SlotId| self.given.standings.of(*s).standing == Standing::Degraded;
        let half = if !up.is_empty() && up.iter().all(degraded) { 0.5 } else { 1.0 };
        let weight = if regular { f64::from(endpoint.weight.get()) * half } else { 1.0 };
        let kind = 2 * i32::from(living) + i32::from(regular);
        Some((f64::from(kind) * 1000.0 + weight, endpoint.name.to_string()))
    }
}

/// The world of the clients from number `from` on.
fn world<'a>(given: &'a Given, tree: &'a Tree, class: Class, from: f64) -> World<'a> {
    let mut world = World {
        tree,
        class,
        given,
        up: BTreeSet::new(),
        living: None,
        rising: BTreeSet::new(),
        min_healthy_counts: true,
        kept: false,
        unfound_counts: false,
    };
    for slot in (0..given.slots.len()).map(SlotId::at) {
        let standing = given.standings.of(slot).standing;
        let ramp = given.ramps.iter().find(|ramp| ramp.slot == slot);
        let is_in = ramp.is_none_or(|ramp| ramp.share.as_fraction() > from);
        let leaves = ramp.is_some_and(|ramp| ramp.kind == RampKind::Leaving);
        match standing.is_up() {
            true if is_in || leaves => drop(world.up.insert(slot)),
            true => drop(world.rising.insert(slot)),
            false if leaves && is_in && standing == Standing::Drained => {
                world.up.insert(slot);
            }
            false => {}
        }
    }
    world
}

/// What DESIGN §5 says the record answers.
fn model(given: &Given, tree: &Tree, class: Class, wanted: Wanted) -> BTreeMap<String, f64> {
    let mut bounds: Vec<f64> = given.ramps.iter().map(|ramp| ramp.share.as_fraction()).collect();
    bounds.extend([0.0, 1.0]);
    bounds.sort_by(f64::total_cmp);
    let mut all: BTreeMap<String, f64> = BTreeMap::new();
    let mut last = None;
    for pair in bounds.windows(2).filter(|pair| pair[0] < pair[1]) {
        let mut world = world(given, tree, class, pair[0]);
        world.min_healthy_counts = world.available(tree.root, false);
        // Who has nothing even so gets what those just below get.
        if world.available(tree.root, false) {
            last = Some(world.leaders(world.outcomes(tree.root, ROOT), wanted));
        }
        for (name, share) in last.iter().flatten() {
            *all.entry(name.clone()).or_default() += share * (pair[1] - pair[0]);
        }
    }
    if last.is_some() { all } else { last_resort(given, tree, class, wanted) }
}

fn last_resort(given: &Given, tree: &Tree, class: Class, wanted: Wanted) -> BTreeMap<String, f64> {
    let slots = (0..given.slots.len()).map(SlotId::at);
    let mut world = world(given, tree, class, 0.0);
    world.min_healthy_counts = false;
    let changes: BTreeSet<u64> = given.fell.iter().copied().filter(|&n| n > 0).collect();
    let living = world.up.clone();
    world.living = Some(living.clone());
    if tree.all_down == AllDown::LastGood {
        for change in changes.into_iter().rev() {
            let fell = slots.clone().filter(|s| given.fell[s.index()] >= change);
            world.up = living.iter().copied().chain(fell).collect();
            if world.available(tree.root, false) {
                return world.leaders(world.outcomes(tree.root, ROOT), wanted);
            }
        }
    }
    let nodata = tree.all_down == AllDown::Nodata;
    if !nodata {
        world.up = slots.collect();
        world.unfound_counts = !world.available(tree.root, false);
        return world.leaders(world.outcomes(tree.root, ROOT), wanted);
    }
    // Members of a weighted root that do not absorb keep their share.
    (world.up, world.living) = (living, None);
    let mut outcomes = Vec::new();
    if let Kind::Weighted(w) = &tree.node(tree.root).kind {
        let whole: f64 = w.members.iter().map(|m| f64::from(m.weight.get())).sum();
        for member in w.members.iter().filter(|m| !m.absorb && world.available(m.node, false)) {
            let share = f64::from(member.weight.get()) / whole;
            let inner = world.outcomes(member.node, ROOT).into_iter();
            outcomes.extend(inner.map(|(s, outcome)| (s * share, outcome)));
        }
    }
    let given: f64 = outcomes.iter().map(|(share, _)| share).sum();
    outcomes.push((1.0 - given, None));
    world.leaders(outcomes, wanted)
}

/// A random tree and how its addresses stand, as the text of [`super::testing`].
pub(crate) fn random_text(seed: u64) -> String {
    let mut dice = Dice::seeded(seed);
    let mut roll = |n: u64| dice.roll() % n;
    let (mut text, mut names, mut endpoints) = (String::new(), Vec::new(), 0);
    for pool in 0..1 + roll(4) {
        let mut line = format!("pool p{pool} =");
        let kind = roll(6);
        for _ in 0..1 + roll(4) {
            let family = match (kind, roll(5)) {
                (0, _) => format!(">e{endpoints}.example"),
                (1, _) => "@".into(),
                (_, 0) => "/4".into(),
                (_, 1) => "/6".into(),
                _ => String::new(),
            };
            let weight = ["", "", "*0", "*3"][roll(4) as usize];
            line += &format!(" e{endpoints}{family}{weight}");
            endpoints += 1;
        }
        line += ["", "", " min=2", " min=0.5"][roll(4) as usize];
        line += ["", "", " answers=2"][roll(3) as usize];
        text += &format!("{line}\n");
        names.push(format!("p{pool}"));
    }
    let mut facts = vec![String::new(); 3];
    for policy in 0..roll(6) {
        let mut members: Vec<String> = Vec::new();
        for _ in 0..1 + roll(4) {
            let name = &names[roll(names.len() as u64) as usize];
            if !members.contains(name) {
                members.push(name.clone());
            }
        }
        let name = format!("n{policy}");
        let min = ["", "", " min=2", " min=0.5"][roll(4) as usize];
        let weights = ["", "*0", "*2", "*7"];
        match roll(5) {
            0 => {
                let trickle = ["", "", " trickle=0.02", " trickle=0.5"][roll(4) as usize];
                text += &format!("failover {name} = {}{trickle}\n", members.join(" "));
                let (count, active) = (members.len() as u64, roll(members.len() as u64));
                text += &format!(
                    "{} {name}={active}\n",
                    ["active", "active", "stays"][roll(3) as usize]
                );
                let from = roll(count);
                if from != active && roll(2) == 0 {
                    let moved = ["0.05", "0.35", "0.99"][roll(3) as usize];
                    text += &format!("leaving {name}={from}>{active}:{moved}\n");
                }
                let shut = roll(count);
                if shut != active && shut != from && roll(3) == 0 {
                    text += &format!("barred {name}={shut}\n");
                }
            }
            1 => text += &format!("multivalue {name} = {}{min} answers=2\n", members.join(" ")),
            2 => {
                let weighted: Vec<String> = members
                    .iter()
                    .enumerate()
                    .map(|(i, member)| match roll(3) {
                        0 if i > 0 => format!("{member}*{}/exact", 1 + roll(9)),
                        _ => format!("{member}{}", weights[roll(4) as usize]),
                    })
                    .collect();
                text += &format!("weighted {name} = {}{min}\n", weighted.join(" "));
            }
            3 => {
                let weighted = members.iter().map(|m| format!("{m}{}", weights[roll(4) as usize]));
                let weighted: Vec<String> = weighted.collect();
                text += &format!("latency {name} = {} tie=10\n", weighted.join(" "));
                for fact in &mut facts {
                    let scores = members.iter().map(|m| format!("{m}:{}", roll(30)));
                    *fact += &format!(" {name}={}", scores.collect::<Vec<_>>().join(","));
                }
            }
            _ => {
                let fence = if roll(2) == 0 { "!" } else { "" };
                let own = if roll(6) == 0 { "" } else { &*members[0] };
                text += &format!("geo {name} = A{fence}:{own} B:{} *:", members.join(","));
                text += &format!("{}\n", members.last().unwrap());
                for fact in &mut facts {
                    *fact += ["", " GEO=A,B", " GEO=B", " GEO=A"][roll(4) as usize]
                        .replace("GEO", &name)
                        .as_str();
                }
            }
        }
        names.push(name);
    }
    for (client, fact) in facts.iter().enumerate() {
        text += &format!("client c{client}{fact}\n");
    }
    text += &format!("all_down {}\n", ["last-good", "all", "nodata"][roll(3) as usize]);
    for endpoint in 0..endpoints {
        if text.contains(&format!("e{endpoint}@")) {
            text += &["", "found E\n", "found E/4\n", "found E/6\n"][roll(4) as usize]
                .replace('E', &format!("e{endpoint}"));
        }
    }
    // From a quiet day to nearly everything dead.
    let mood = roll(4);
    for endpoint in 0..endpoints {
        let family = ["", "/4", "/6"][roll(3) as usize];
        let who = format!("e{endpoint}{family}");
        if !text.contains(&format!("e{endpoint}/"))
            && !text.contains(&format!("e{endpoint}>"))
            && !text.contains(&format!("e{endpoint}@"))
            || family.is_empty()
        {
            let standing = match roll(4) {
                n if n < mood => ["down", "drained"][roll(2) as usize],
                _ => ["up", "degraded", "unknown"][roll(3) as usize],
            };
            text += &format!("{standing} {who}\n");
            text += &format!("fell {who}@{}\n", roll(4));
            let share = ["0.05", "0.3", "0.3", "0.8"][roll(4) as usize];
            match (roll(4), standing) {
                (0, "drained") => text += &format!("draining {who}:{share}\n"),
                (0, _) => text += &format!("rising {who}:{share}\n"),
                _ => {}
            }
        }
    }
    text
}

fn leaders_only(shares: &BTreeMap<String, f64>) -> BTreeMap<String, f64> {
    let mut leaders = BTreeMap::new();
    for (answer, share) in shares {
        let leader = answer.split('+').next().unwrap().to_owned();
        *leaders.entry(leader).or_default() += share;
    }
    leaders
}

fn agree(seed: u64) -> Result<(), TestCaseError> {
    let text = random_text(seed);
    let given = Given::new(&text);
    let tree = given.tree();
    for class in 0..tree.classes.classes() {
        for wanted in [Wanted::A, Wanted::Aaaa, Wanted::Other] {
            let class = Class::at(class);
            let decision = select(&tree, class, &given.standings, &given.directives(), ());
            let may_be_empty = text.contains("all_down nodata") || text.contains(": B");
            decision
                .choice
                .leaves(&mut |_, leaf| assert!(leaf.is_some() || may_be_empty, "{text}"));
            let ours = leaders_only(&exact_shares(&decision, wanted));
            let theirs = model(&given, &tree, class, wanted);
            let sum: f64 = ours.values().sum();
            prop_assert!((sum - 1.0).abs() < 1e-9, "shares sum to {sum}: {text}");
            let names: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
            for name in names {
                let share = |of: &BTreeMap<String, f64>| of.get(name).copied().unwrap_or(0.0);
                let (a, b) = (share(&ours), share(&theirs));
                prop_assert!(
                    (a - b).abs() < 1e-9,
                    "{name} {a} {b} of {wanted:?} for {class:?}: {ours:?} {theirs:?}\n{text}"
                );
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn select_agrees_with_the_slow_obvious_model(seed in any::<u64>()) {
        agree(seed)?;
    }
}
