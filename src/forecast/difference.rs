//! What other files would change, by name: zones, records, policies, pools and their endpoints.
//!
//! A pool or policy that many records use is told once, at its own name; a record is told where
//! it changes itself. Which records' clients may get something else is another question, which
//! takes in all of that and health besides: [`Difference::affected`].

use super::{
    Pair, Standpoint,
    facts::{self, PoolFacts},
    fingerprint::Fingerprints,
    statics,
};
use crate::{
    ids::{PlanId, RecordId},
    policy::tree::{Kind, NodeIx, Tree},
    snapshot::{Plan, Snapshot},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet, btree_map::Entry},
    sync::Arc,
};

/// Things that are told one by one; more are counted.
const ITEMS_MAX: usize = 500;

/// What becomes of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Sign {
    /// It was not there before.
    Added,
    /// It is another.
    Changed,
    /// It is there no more.
    Removed,
}

/// One thing that becomes another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What becomes of it.
    pub sign: Sign,
    /// What it is: `record`, `pool`.
    pub kind: &'static str,
    /// Its name.
    pub name: String,
    /// Of how many more of its kind the same is true.
    pub others: usize,
    /// How it changes.
    pub details: Vec<Detail>,
}

/// One point in which a thing changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Detail {
    /// What becomes of it.
    pub sign: Sign,
    /// In words: `member canary: weight 10 → 20`.
    pub text: String,
}

/// What two sets of files say otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Thing by thing: zones, then what is in them.
    pub items: Vec<Item>,
    /// How many more there are, of which nothing is told.
    pub more: usize,
    /// Things added, changed and removed.
    pub counts: [usize; 3],
    /// Records whose clients may get something else.
    pub affected: Vec<Pair>,
    /// Records that are there no more, with their zones or without: numbers of before.
    pub gone: Vec<RecordId>,
}

impl Detail {
    pub(super) fn added(text: String) -> Detail {
        Detail { sign: Sign::Added, text }
    }
    pub(super) fn changed(text: String) -> Detail {
        Detail { sign: Sign::Changed, text }
    }
    pub(super) fn removed(text: String) -> Detail {
        Detail { sign: Sign::Removed, text }
    }
    /// `what old → new`, if the two differ.
    pub(super) fn between<T: PartialEq>(
        what: &str,
        old: &T,
        new: &T,
        text: impl Fn(&T) -> String,
    ) -> Option<Detail> {
        (old != new).then(|| Detail::changed(format!("{what} {} → {}", text(old), text(new))))
    }
}

impl Difference {
    /// What the files of `after` say otherwise than those of `before`.
    pub fn between(before: &Standpoint, after: &Standpoint) -> Difference {
        let (old, new) = (&*before.snapshot, &*after.snapshot);
        let pairs = Pair::all(old, new);
        let mut fingerprints = Fingerprints::new(before, after);
        let affected: Vec<Pair> =
            pairs.iter().copied().filter(|pair| fingerprints.differ(*pair)).collect();
        let mut difference = Difference { affected, ..Difference::default() };
        facts::shared(old, new, &mut difference);
        statics::zones(old, new, &mut difference);
        difference.records(old, new, &pairs);
        difference
    }

    /// Whether nothing is another.
    pub fn is_none(&self) -> bool {
        self.counts == [0; 3]
    }

    /// Adds `item`, or only counts it.
    pub(super) fn tell(&mut self, item: Item) {
        self.count(item.sign, 1 + item.others);
        match self.items.len() < ITEMS_MAX {
            true => self.items.push(item),
            false => self.more += 1 + item.others,
        }
    }

    fn count(&mut self, sign: Sign, things: usize) {
        let place = match sign {
            Sign::Added => 0,
            Sign::Changed => 1,
            Sign::Removed => 2,
        };
        self.counts[place] += things;
    }

    fn records(&mut self, old: &Snapshot, new: &Snapshot, pairs: &[Pair]) {
        let (mut stay, mut stays) = (BTreeSet::new(), BTreeSet::new());
        for pair in pairs {
            stay.insert(pair.before);
            stays.insert(pair.after);
        }
        let mut found = Found { old, new, policies: BTreeMap::new(), seen: BTreeSet::new() };
        let mut alike = Alike::default();
        let mut known: HashMap<(PlanId, PlanId), Vec<Detail>> = HashMap::new();
        for pair in pairs {
            let plans = (old.record(pair.before).plan, new.record(pair.after).plan);
            let zone = &new.zone(new.record(pair.after).zone).apex;
            let details = known.entry(plans).or_insert_with(|| {
                found.plan(old.plan(plans.0), new.plan(plans.1), &zone.to_string())
            });
            if !details.is_empty() {
                alike.add(Sign::Changed, &new.record(pair.after).id, details.clone());
            }
        }
        // Those of whole zones that come or go are told with their zones.
        let [olds, news] =
            [old, new].map(|all| all.zones.iter().map(|zone| &zone.apex).collect::<HashSet<_>>());
        let in_both = |snapshot: &Snapshot, id: RecordId| {
            let apex = &snapshot.zone(snapshot.record(id).zone).apex;
            olds.contains(apex) && news.contains(apex)
        };
        let ids = |snapshot: &Snapshot| (0..snapshot.records.len()).map(RecordId::at);
        for id in ids(new).filter(|id| !stays.contains(id) && in_both(new, *id)) {
            let plan = new.plan(new.record(id).plan);
            alike.add(Sign::Added, &new.record(id).id, vec![Detail::added(summary(plan))]);
        }
        self.gone = ids(old).filter(|id| !stay.contains(id)).collect();
        for &id in self.gone.iter().filter(|id| in_both(old, **id)) {
            let plan = old.plan(old.record(id).plan);
            alike.add(Sign::Removed, &old.record(id).id, vec![Detail::removed(summary(plan))]);
        }
        for (name, details) in found.policies {
            if !details.is_empty() {
                let others = 0;
                self.tell(Item { sign: Sign::Changed, kind: "policy", name, others, details });
            }
        }
        self.pools(old, new);
        alike.items.into_iter().for_each(|item| self.tell(item));
    }

    fn pools(&mut self, old: &Snapshot, new: &Snapshot) {
        let (had, has) = (facts::pools(old), facts::pools(new));
        let names: BTreeSet<&str> = had.keys().chain(has.keys()).copied().collect();
        for name in names {
            let (sign, details) = match (had.get(name), has.get(name)) {
                (Some(had), Some(has)) if had == has => continue,
                (Some(had), Some(has)) => {
                    let one = |variants: &BTreeSet<PoolFacts>| variants.first().cloned();
                    let details = one(had).zip(one(has)).map(|(had, has)| had.changes(&has));
                    let mut details = details.unwrap_or_default();
                    if details.is_empty() {
                        details.push(Detail::changed("is used otherwise".into()));
                    }
                    (Sign::Changed, details)
                }
                (None, Some(has)) => (Sign::Added, summaries(has, Sign::Added)),
                (Some(had), None) => (Sign::Removed, summaries(had, Sign::Removed)),
                (None, None) => continue,
            };
            self.tell(Item { sign, kind: "pool", name: name.to_owned(), others: 0, details });
        }
    }
}

fn summaries(variants: &BTreeSet<PoolFacts>, sign: Sign) -> Vec<Detail> {
    let endpoints = variants.first().into_iter().flat_map(|pool| &pool.endpoints);
    endpoints.map(|endpoint| Detail { sign, text: format!("endpoint {endpoint}") }).collect()
}

/// What a record is, in a line.
fn summary(plan: &Plan) -> String {
    let node = plan.tree.node(plan.tree.root);
    let pools: Vec<&str> = plan.tree.pools().map(|pool| &*pool.id).take(6).collect();
    format!("{} of {}, ttl {}", node.kind.word(), pools.join(", "), facts::ttl(&plan.ttl))
}

/// Records of which the same is told.
#[derive(Default)]
struct Alike {
    items: Vec<Item>,
    known: HashMap<(Sign, Vec<Detail>), usize>,
}

impl Alike {
    fn add(&mut self, sign: Sign, name: &Arc<str>, details: Vec<Detail>) {
        let next = self.items.len();
        let place = *self.known.entry((sign, details.clone())).or_insert(next);
        match self.items.get_mut(place) {
            Some(item) => item.others += 1,
            None => self.items.push(Item {
                sign,
                kind: "record",
                name: name.to_string(),
                others: 0,
                details,
            }),
        }
    }
}

/// Policies with names as they are found, each told once.
struct Found<'w> {
    old: &'w Snapshot,
    new: &'w Snapshot,
    policies: BTreeMap<String, Vec<Detail>>,
    seen: BTreeSet<String>,
}

/// Nodes of two trees that are the same thing by name.
#[derive(Clone, Copy)]
struct Nodes<'w> {
    trees: [&'w Tree; 2],
    at: [NodeIx; 2],
}

impl<'w> Nodes<'w> {
    fn kinds(&self) -> [&'w Kind; 2] {
        [0, 1].map(|side| &self.trees[side].node(self.at[side]).kind)
    }
    fn name(&self, side: usize, at: NodeIx) -> &'w str {
        let node = self.trees[side].node(at);
        match &node.kind {
            Kind::Empty => "nothing",
            _ => &node.name,
        }
    }
    fn names(&self, side: usize, members: &[NodeIx]) -> Vec<&'w str> {
        members.iter().map(|at| self.name(side, *at)).collect()
    }
}

impl<'w> Found<'w> {
    /// What a record itself says otherwise.
    fn plan(&mut self, old: &'w Plan, new: &'w Plan, zone: &str) -> Vec<Detail> {
        let mut details: Vec<Detail> = Vec::new();
        details.extend(Detail::between("ttl", &old.ttl, &new.ttl, facts::ttl));
        details.extend(Detail::between("sticky", &old.sticky, &new.sticky, |sticky| {
            sticky.map_or("off".into(), |key| format!("/{} and /{}", key.v4, key.v6))
        }));
        details.extend(Detail::between("ramp", &old.ramp, &new.ramp, |ramp| facts::ramp(*ramp)));
        details.extend(Detail::between("ecs", &old.use_ecs, &new.use_ecs, |used| {
            if *used { "used" } else { "ignored" }.into()
        }));
        let all_down = |plan: &Plan| plan.tree.all_down.word();
        details.extend(Detail::between("all_down", &all_down(old), &all_down(new), |word| {
            (*word).to_owned()
        }));
        let nodes = Nodes { trees: [&old.tree, &new.tree], at: [old.tree.root, new.tree.root] };
        // A record may refer to a policy with a name: that is told there.
        match &*new.tree.node(new.tree.root).name {
            "" => details.extend(self.node(nodes, zone)),
            _ => self.below(nodes, zone, &mut details),
        }
        let is_same = Arc::ptr_eq(&old.tree.classes, &new.tree.classes)
            || old.tree.classes == new.tree.classes;
        if !is_same && details.is_empty() {
            let text = "clients are placed otherwise (tie, bias, regions, measured latencies)";
            details.push(Detail::changed(text.into()));
        }
        details
    }

    /// Goes on below a reference to something with a name.
    fn below(&mut self, nodes: Nodes<'w>, zone: &str, details: &mut Vec<Detail>) {
        let [old, new] = [0, 1].map(|side| nodes.name(side, nodes.at[side]));
        if old != new {
            details.push(Detail::changed(format!("{old} → {new}")));
            return;
        }
        match nodes.kinds() {
            [Kind::Pool(_), Kind::Pool(_)] | [Kind::Empty, Kind::Empty] => {}
            _ => {
                let is_shared = self.new.shared_policies.iter().any(|name| **name == *new);
                let name = if is_shared { new.to_owned() } else { format!("{zone}/{new}") };
                if self.seen.insert(name.clone()) {
                    let details = self.node(nodes, zone);
                    match self.policies.entry(name) {
                        Entry::Vacant(free) => drop(free.insert(details)),
                        Entry::Occupied(_) => {}
                    }
                }
            }
        }
    }

    /// How one policy changes; what it refers to is told by itself.
    fn node(&mut self, nodes: Nodes<'w>, zone: &str) -> Vec<Detail> {
        let mut details = Vec::new();
        match nodes.kinds() {
            [Kind::Weighted(old), Kind::Weighted(new)] => {
                let member = |it: &crate::policy::tree::WeightedMember| {
                    (it.node, Some(it.weight.get()), it.absorb)
                };
                let members = [
                    old.members.iter().map(member).collect::<Vec<_>>(),
                    new.members.iter().map(member).collect(),
                ];
                self.members(nodes, &members, zone, &mut details);
                let text = facts::min_healthy;
                let least = (&old.min_healthy, &new.min_healthy);
                details.extend(Detail::between("min_healthy", least.0, least.1, text));
            }
            [Kind::Latency(old), Kind::Latency(new)] => {
                let member = |it: &crate::policy::tree::WeightedMember| {
                    (it.node, Some(it.weight.get()), it.absorb)
                };
                let members = [
                    old.members.iter().map(member).collect::<Vec<_>>(),
                    new.members.iter().map(member).collect(),
                ];
                self.members(nodes, &members, zone, &mut details);
            }
            [Kind::Multivalue(old), Kind::Multivalue(new)] => {
                let members = [&old.members, &new.members]
                    .map(|all| all.iter().map(|at| (*at, None, true)).collect::<Vec<_>>());
                self.members(nodes, &members, zone, &mut details);
                details.extend(Detail::between("answers", &old.answers, &new.answers, |n| {
                    n.to_string()
                }));
                let text = facts::min_healthy;
                let least = (&old.min_healthy, &new.min_healthy);
                details.extend(Detail::between("min_healthy", least.0, least.1, text));
            }
            [Kind::Failover(old), Kind::Failover(new)] => {
                let members = [&old.members, &new.members]
                    .map(|all| all.iter().map(|at| (*at, None, true)).collect::<Vec<_>>());
                self.members(nodes, &members, zone, &mut details);
                let order = [nodes.names(0, &old.members), nodes.names(1, &new.members)];
                if details.is_empty() {
                    let text = |names: &Vec<&str>| names.join(", ");
                    details.extend(Detail::between("order", &order[0], &order[1], text));
                }
                details.extend(Detail::between("trickle", &old.trickle, &new.trickle, |share| {
                    share.to_string()
                }));
                let rules = [
                    &self.old.failovers[old.id.index()].rules,
                    &self.new.failovers[new.id.index()].rules,
                ];
                details.extend(facts::rules(rules));
            }
            [Kind::Geo(old), Kind::Geo(new)] => {
                let rules = [old, new].map(|geo| {
                    let rule = |rule: &'w crate::policy::tree::GeoRule| (&*rule.label, rule);
                    geo.rules.iter().map(rule).collect::<BTreeMap<&str, _>>()
                });
                for (label, was) in &rules[0] {
                    let Some(is) = rules[1].get(label) else {
                        let names = nodes.names(0, &was.members).join(", ");
                        details.push(Detail::removed(format!("rule {label}: {names}")));
                        continue;
                    };
                    let lists = [nodes.names(0, &was.members), nodes.names(1, &is.members)];
                    let text = |names: &Vec<&str>| names.join(", ");
                    let what = format!("rule {label}:");
                    details.extend(Detail::between(&what, &lists[0], &lists[1], text));
                    details.extend(Detail::between(
                        &format!("rule {label}: fence"),
                        &was.fence,
                        &is.fence,
                        bool::to_string,
                    ));
                    self.pair_up(nodes, [&was.members, &is.members], zone);
                }
                for (label, is) in
                    rules[1].iter().filter(|(label, _)| !rules[0].contains_key(*label))
                {
                    let names = nodes.names(1, &is.members).join(", ");
                    details.push(Detail::added(format!("rule {label}: {names}")));
                }
            }
            [Kind::Pool(_), Kind::Pool(_)] | [Kind::Empty, Kind::Empty] => {}
            [old, new] => {
                details.push(Detail::changed(format!("policy {} → {}", old.word(), new.word())));
            }
        }
        details
    }

    /// Looks below members that both have, by name.
    fn pair_up(&mut self, nodes: Nodes<'w>, members: [&[NodeIx]; 2], zone: &str) {
        for &old in members[0] {
            let name = nodes.name(0, old);
            if let Some(&new) = members[1].iter().find(|at| nodes.name(1, **at) == name) {
                self.below(Nodes { at: [old, new], ..nodes }, zone, &mut Vec::new());
            }
        }
    }

    fn members(
        &mut self,
        nodes: Nodes<'w>,
        members: &[Vec<(NodeIx, Option<u32>, bool)>; 2],
        zone: &str,
        details: &mut Vec<Detail>,
    ) {
        let named = |side: usize| {
            let all = members[side].iter();
            all.map(|member| (nodes.name(side, member.0), *member)).collect::<BTreeMap<_, _>>()
        };
        let (old, new) = (named(0), named(1));
        let weighed = |name: &str, weight: Option<u32>| match weight {
            Some(weight) => format!("member {name}, weight {weight}"),
            None => format!("member {name}"),
        };
        for (name, (_, weight, _)) in old.iter().filter(|(name, _)| !new.contains_key(*name)) {
            details.push(Detail::removed(weighed(name, *weight)));
        }
        for (name, (at, weight, absorb)) in &new {
            let Some((was_at, was_weight, was_absorb)) = old.get(name) else {
                details.push(Detail::added(weighed(name, *weight)));
                continue;
            };
            if let (Some(was), Some(is)) = (was_weight, weight) {
                let what = format!("member {name}: weight");
                details.extend(Detail::between(&what, was, is, u32::to_string));
            }
            let what = format!("member {name}: absorb");
            details.extend(Detail::between(&what, was_absorb, absorb, bool::to_string));
            self.below(Nodes { at: [*was_at, *at], ..nodes }, zone, details);
        }
    }
}
