//! What a machine sees: read off the files in force, the World, and the operator's hand.

use super::model::{Seen, Served, Word};
use crate::{
    clock::Moment,
    config::{Pattern, rollouts::RolloutDef},
    control::hand::{
        Action, CONFIRMED, Effect, Hand, Override,
        weights::{WeightPlace, share_of},
        words,
    },
    forecast::shares::pools_below,
    health::TargetState,
    ids::{CounterSlot, RecordId, SlotId},
    policy::{
        available,
        tree::{Kind, NodeIx, Tree, Weighted},
    },
    snapshot::Snapshot,
    units::Share,
    world::World,
};
use std::{collections::HashSet, sync::Arc, time::Duration};

/// Endpoints that are named of those that are down.
const NAMED: usize = 5;

/// What there is to look at.
pub(super) struct Around<'a> {
    /// The files in force, with their own weights.
    pub files: &'a Snapshot,
    pub world: &'a World,
    pub hand: &'a Hand,
    pub frozen: bool,
    pub now: Moment,
}

/// What the names begin with under which overrides of rollouts are made.
pub const MAKER: &str = "rollout ";

/// The name under which a rollout's overrides are made.
pub(super) fn maker(name: &str) -> String {
    format!("{MAKER}{name}")
}

/// The rollout whose override is `who`'s: that made it, or had it confirmed.
pub fn of_override(who: &str) -> Option<&str> {
    let name = who.strip_prefix(MAKER)?;
    Some(name.split_once(CONFIRMED).map_or(name, |(name, _)| name))
}

/// The target of its overrides, as typed: that record and, where it is a wildcard, no other.
pub(super) fn target(def: &RolloutDef) -> String {
    format!("record:{}", Pattern::literal(def.record.get_ref()))
}

/// The override that `def` has made, or somebody confirmed.
pub(super) fn own<'h>(def: &RolloutDef, hand: &'h Hand) -> Option<&'h Override> {
    let target = target(def);
    let is_own = |one: &&Override| {
        of_override(&one.who) == Some(&**def.name.get_ref())
            && one.target.as_ref().is_some_and(|own| own.to_string() == target)
            && one.action.member().is_some_and(|member| **member == **def.member.get_ref())
    };
    hand.overrides().iter().rev().find(is_own)
}

/// How long a step is served before it is judged, or through: caches turn over within the TTL, and
/// as long again passes before most of what is asked was answered by it. Nothing of a record that
/// is gone.
pub fn settle(def: &RolloutDef, snapshot: &Snapshot) -> Duration {
    place(def, snapshot).map_or(Duration::ZERO, |(.., record)| {
        let plan = snapshot.plan(snapshot.record(record).plan);
        Duration::from_secs(plan.ttl.max.as_secs().into()) * 2
    })
}

impl Around<'_> {
    pub(super) fn seen(&self, def: &RolloutDef) -> Seen {
        let filed = place(def, self.files).and_then(|(tree, ..)| {
            share_of(tree, tree.root, def.member.get_ref()).map(Share::from_fraction)
        });
        let answered = place(def, &self.world.snapshot);
        let (member_up, others_up) = match answered {
            Some((tree, member, _)) => self.up(tree, member),
            None => (false, false),
        };
        let effect = self.hand.effect(self.files, self.now);
        Seen {
            now: self.now,
            settle: settle(def, &self.world.snapshot),
            frozen: self.frozen,
            served: self.served(def, &effect),
            word: self.word(def, &effect),
            turn: self.hand.newest_turn(),
            filed,
            member_up,
            others_up,
        }
    }

    fn up(&self, tree: &Tree, member: NodeIx) -> (bool, bool) {
        let moved = self.world.state.moved();
        let is_up = |node| available(tree, node, moved.standings, &moved.directives);
        let Kind::Weighted(weighted) = &tree.node(tree.root).kind else { return (false, false) };
        (is_up(member), beside(weighted, member).any(is_up))
    }

    fn served(&self, def: &RolloutDef, effect: &Effect) -> Served {
        let own = own(def, self.hand).filter(|own| own.is_active(self.now));
        let (id, share) = match own {
            Some(Override { id, action: Action::Share { share, .. }, .. }) => (id, *share),
            // Where no share could be given any more it has taken the member's weight.
            Some(Override { id, action: Action::Weight { weight, .. }, .. })
                if weight.is_reserve() =>
            {
                (id, Share::NONE)
            }
            _ => return Served::Nothing,
        };
        match effect.hiding(*id).first().and_then(|by| self.hand.find(*by)) {
            Some(by) => Served::Hidden(self.said(by, effect)),
            None => Served::Share(share),
        }
    }

    /// What anybody but the rollout said last of weights where it gives its share.
    fn word(&self, def: &RolloutDef, effect: &Effect) -> Option<Word> {
        let (tree, _, record) = place(def, self.files)?;
        let own = own(def, self.hand).map(|own| own.id);
        let is_there = |place: &WeightPlace| match place {
            WeightPlace::Member { at, .. } => at.contains(&(record, tree.root)),
            WeightPlace::Endpoints(_) => false,
        };
        let there = effect.weights.iter().filter(|change| is_there(&change.place));
        let others = there.filter(|change| Some(change.by) != own);
        let others = others.filter_map(|change| self.hand.find(change.by));
        let others = others.filter_map(|one| Some((one.turn(self.now)?, one)));
        let (turn, last) = others.max_by_key(|(turn, _)| *turn)?;
        Some(Word { turn, said: self.said(last, effect) })
    }

    fn said(&self, one: &Override, effect: &Effect) -> Arc<str> {
        let does = words::does(one, effect, self.files);
        format!("#{} of {} {does}", one.id, one.who).into()
    }
}

/// Where the record of `def` and its member are in `snapshot`.
pub(super) fn place<'s>(
    def: &RolloutDef,
    snapshot: &'s Snapshot,
) -> Option<(&'s Arc<Tree>, NodeIx, RecordId)> {
    let wanted = def.record.get_ref().as_str();
    let index = snapshot.records.iter().position(|record| *record.id == *wanted)?;
    let tree = &snapshot.plan(snapshot.records[index].plan).tree;
    let Kind::Weighted(weighted) = &tree.node(tree.root).kind else { return None };
    let is_it = |node: NodeIx| *tree.node(node).name == **def.member.get_ref();
    let member = weighted.members.iter().map(|one| one.node).find(|node| is_it(*node))?;
    Some((tree, member, RecordId::at(index)))
}

/// The endpoints of the member: each of their addresses.
pub fn slots_of_member(def: &RolloutDef, snapshot: &Snapshot) -> Vec<SlotId> {
    let Some((tree, member, _)) = place(def, snapshot) else { return Vec::new() };
    let endpoints = pools_below(tree, member).into_iter().flat_map(|pool| &pool.endpoints);
    endpoints.flat_map(|endpoint| endpoint.target.slots()).collect()
}

/// Those of `targets` that probe the endpoints of the member.
pub(super) fn of_member<'t>(
    def: &RolloutDef,
    snapshot: &Snapshot,
    targets: &'t [TargetState],
) -> Vec<&'t TargetState> {
    let slots = slots_of_member(def, snapshot);
    let slots = slots.iter().map(|slot| &snapshot.slots[slot.index()]);
    let keys: HashSet<&Arc<str>> = slots.filter_map(|slot| slot.target.as_ref()).collect();
    targets.iter().filter(|target| keys.contains(&target.key)).collect()
}

/// The names of the members beside the one of `def`.
pub fn others(def: &RolloutDef, snapshot: &Snapshot) -> Vec<String> {
    let Some((tree, member, _)) = place(def, snapshot) else { return Vec::new() };
    let Kind::Weighted(weighted) = &tree.node(tree.root).kind else { return Vec::new() };
    beside(weighted, member).map(|node| tree.node(node).name.to_string()).collect()
}

/// The members of `weighted` that are not `member`.
fn beside(weighted: &Weighted, member: NodeIx) -> impl Iterator<Item = NodeIx> {
    weighted.members.iter().map(|one| one.node).filter(move |node| *node != member)
}

/// The counters of answers that give the member, and those of all answers of the record; nothing
/// where a pool belongs to other members too.
pub(super) fn counters(
    def: &RolloutDef,
    snapshot: &Snapshot,
) -> Option<(Vec<CounterSlot>, Vec<CounterSlot>)> {
    let (tree, member, record) = place(def, snapshot)?;
    let Kind::Weighted(weighted) = &tree.node(tree.root).kind else { return None };
    let pools = |node| pools_below(tree, node).into_iter().map(|pool| &*pool.id);
    let own: HashSet<&str> = pools(member).collect();
    if beside(weighted, member).flat_map(pools).any(|pool| own.contains(pool)) {
        return None;
    }
    let record = snapshot.record(record);
    let spots = snapshot.plan(record.plan).spots.iter().zip(&record.counters);
    let of_member = spots.filter(|(spot, _)| own.contains(&*spot.pool));
    Some((of_member.map(|(_, counter)| *counter).collect(), record.counters.to_vec()))
}

/// What speaks against moving clients of the record of `def` now, in words.
pub fn degraded(def: &RolloutDef, world: &World, pinned: bool) -> Vec<String> {
    let snapshot = &world.snapshot;
    let mut found = Vec::new();
    if pinned {
        found.push("all automation is pinned".to_owned());
    }
    let Some((_, _, record)) = place(def, snapshot) else {
        found.push(format!("{} is not answered by weight", def.record));
        return found;
    };
    if world.warming {
        found.push("the first results of health checks are awaited".to_owned());
        return found;
    }
    let plan = snapshot.plan(snapshot.record(record).plan);
    let standings = world.state.moved().standings;
    let down = plan.slots.iter().filter(|slot| !standings.of(**slot).standing.is_up());
    let down = down.map(|slot| {
        let (slot, standing) = (&snapshot.slots[slot.index()], standings.of(*slot).standing);
        format!("{} ({}) is {}", slot.name, slot.address, standing.word())
    });
    let down: Vec<String> = down.collect();
    let more = down.len().saturating_sub(NAMED);
    found.extend(down.into_iter().take(NAMED));
    if more > 0 {
        found.push(format!("and {more} more"));
    }
    found
}
