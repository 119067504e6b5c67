//! Steering made from verdicts: select() for each class, equal decisions kept once.

use super::{
    CHUNK, Chunk, PlanSteering, Selection, Steering, Variant,
    draw::{Alias, Arm, Cut, Draw, Level, Then},
    ramps::{self, RampState},
};
use crate::{
    clock::Moment,
    ids::{Class, PlanId},
    place::ClassMask,
    policy::{
        Branch, Candidate, Choice, Decision, Directives, Leaf, SlotRamp, Split, Wanted,
        leaf::Answer,
        select,
        sticky::{Drawn, name_hash},
        tree::EndpointTarget,
    },
    snapshot::{Plan, Snapshot, Spot},
    units::Ttl,
    verdict::Standings,
    wire::{Rdatas, types::Rtype},
};
use foldhash::fast::FixedState;
use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

/// What a World's answers follow from, beside its Snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Moved<'a> {
    /// The standing of every slot.
    pub standings: &'a Standings,
    /// Courses of failovers and the order in which slots fell; the ramps stand below.
    pub directives: Directives<'a>,
    /// Slots on their way up or down, ordered by slot.
    pub ramps: &'a [RampState],
    /// When they are looked at.
    pub now: Moment,
}

impl<'a> Moved<'a> {
    /// The ramps that run under `plan`.
    pub fn ramps_of(&self, plan: &Plan) -> Vec<SlotRamp> {
        ramps::of_plan(plan, self.ramps, self.now)
    }

    /// Whether the answers of `plan` that follow from both are the same, as far as that can be
    /// seen without making them.
    fn steers_alike(&self, other: &Moved<'_>, plan: &Plan) -> bool {
        let slots = plan.slots.iter().all(|&slot| {
            let directives = (&self.directives, &other.directives);
            self.standings.of(slot) == other.standings.of(slot)
                && directives.0.fell(slot) == directives.1.fell(slot)
                && directives.0.found(slot) == directives.1.found(slot)
        });
        let course = |moved: &Moved<'_>, id| moved.directives.course(id);
        slots
            && plan.failovers.iter().all(|&id| course(self, id) == course(other, id))
            && self.ramps_of(plan) == other.ramps_of(plan)
    }

    /// What select() is to be told about a plan with these `ramps`.
    pub fn directives<'d>(&self, ramps: &'d [SlotRamp]) -> Directives<'d>
    where
        'a: 'd,
    {
        Directives { ramps, ..self.directives }
    }
}

/// Answers that were made before, of the same files: with other weights, or as things stood then.
#[derive(Clone, Copy, Debug)]
pub struct Before<'a> {
    /// What they answer: the ids of its slots and failovers mean what they mean now.
    pub snapshot: &'a Snapshot,
    /// What they were made of.
    pub moved: Moved<'a>,
    /// The answers.
    pub steering: &'a Steering,
}

impl Steering {
    /// The answers of every plan of `snapshot`.
    pub fn build(snapshot: &Snapshot, moved: Moved<'_>) -> Steering {
        Steering::made(snapshot, |_, plan| Arc::new(PlanSteering::build(plan, moved)))
    }

    /// The same, where those that come out as `before` are shared.
    pub fn build_after(snapshot: &Snapshot, moved: Moved<'_>, before: Before<'_>) -> Steering {
        let plans = &before.snapshot.plans;
        Steering::made(snapshot, |id, plan| {
            let is_same = plans.get(id.index()).is_some_and(|was| was == plan);
            match is_same && moved.steers_alike(&before.moved, plan) {
                true => Arc::clone(before.steering.at(id)),
                false => Arc::new(PlanSteering::build(plan, moved)),
            }
        })
    }

    fn made(snapshot: &Snapshot, make: impl Fn(PlanId, &Plan) -> Arc<PlanSteering>) -> Steering {
        let plans = snapshot.plans.iter().enumerate();
        let plans: Vec<_> = plans.map(|(index, plan)| make(PlanId::at(index), plan)).collect();
        let trouble = plans.iter().any(|plan| plan.is_in_trouble());
        let chunks = plans.chunks(CHUNK).map(|chunk| Arc::new(Chunk(chunk.into())));
        Steering { chunks: chunks.collect(), trouble }
    }

    /// The same with the plans in `touched` made anew; everything else is shared.
    #[must_use]
    pub fn rebuilt(&self, snapshot: &Snapshot, touched: &[PlanId], moved: Moved<'_>) -> Steering {
        let (mut chunks, mut trouble) = (self.chunks.clone(), self.trouble);
        for &plan in touched {
            let chunk = Arc::make_mut(&mut chunks[plan.index() / CHUNK]);
            let made = PlanSteering::build(snapshot.plan(plan), moved);
            trouble |= made.is_in_trouble();
            chunk.0[plan.index() % CHUNK] = Arc::new(made);
        }
        Steering { chunks, trouble }
    }
}

impl PlanSteering {
    pub(super) fn build(plan: &Plan, moved: Moved<'_>) -> PlanSteering {
        let ramps = moved.ramps_of(plan);
        PlanSteering::directed(plan, moved.standings, &moved.directives(&ramps))
    }

    pub(super) fn directed(
        plan: &Plan,
        standings: &Standings,
        directives: &Directives<'_>,
    ) -> PlanSteering {
        let failing = plan.slots.iter().any(|&slot| standings.of(slot).failing);
        let moving = plan.failovers.iter().any(|&id| directives.course(id).leaving.is_some());
        let is_short = failing || moving || !directives.ramps.is_empty();
        let ttl = if is_short { plan.ttl.min } else { plan.ttl.max };
        let mut known: Known<Decision<'_>, u16> = Known::default();
        let mut selections: Vec<Selection> = Vec::new();
        let mut by_class = Vec::with_capacity(plan.tree.classes.classes());
        for class in (0..plan.tree.classes.classes()).map(Class::at) {
            let decision = select(&plan.tree, class, standings, directives, ());
            let index = match known.entry(decision) {
                Entry::Occupied(known) => *known.get(),
                Entry::Vacant(new) => {
                    selections.push(Selection::new(plan, new.key(), ttl));
                    *new.insert((selections.len() - 1) as u16)
                }
            };
            selections[usize::from(index)].mask.insert(class);
            by_class.push(index);
        }
        PlanSteering { by_class: by_class.into(), selections: selections.into() }
    }
}

impl Selection {
    fn new(plan: &Plan, decision: &Decision<'_>, ttl: Ttl) -> Selection {
        let mut variants = Variants { plan, ttl, list: Vec::new(), known: Known::default() };
        let [a, aaaa, other] = [Wanted::A, Wanted::Aaaa, Wanted::Other]
            .map(|wanted| variants.draw(&decision.choice, wanted));
        let extra = plan.extra.iter();
        let extra = extra.map(|&rtype| variants.draw(&decision.choice, Wanted::Extra(rtype)));
        Selection {
            a,
            aaaa,
            other,
            extra: extra.collect(),
            variants: variants.list.into_boxed_slice(),
            ttl,
            basis: decision.basis,
            mask: ClassMask::new(),
        }
    }
}

/// What was met already. Its keys are the operator's own, and hashing them is a good part of a
/// publish: so not by the standard library's hash, which withstands an enemy.
type Known<K, V> = HashMap<K, V, FixedState>;

/// The answers of one Selection as they are found, equal ones once.
struct Variants<'p> {
    plan: &'p Plan,
    /// Of what is not looked up.
    ttl: Ttl,
    list: Vec<Variant>,
    known: Known<Made, u32>,
}

/// What a Variant was made from: its type, `None` for NODATA; whether it is unknown; the leader's spot; and by their
/// places in the tree its endpoints, or the pool whose `extra` it is.
type Made = (Option<Rtype>, bool, u16, Vec<*const ()>);

impl<'p> Variants<'p> {
    fn draw(&mut self, choice: &Choice<'_>, wanted: Wanted) -> Draw {
        if self.plan.sticky.is_some() {
            let mut levels = Vec::new();
            return match self.level(choice, wanted, &mut levels) {
                Then::Variant(variant) => Draw::Fixed(variant),
                Then::Level(_) => Draw::Sticky(levels.into_boxed_slice()),
            };
        }
        let mut shares: Vec<f64> = Vec::new();
        choice.leaves(&mut |share, leaf| {
            let leads = self.leaf(leaf, wanted);
            let sum: u64 = leads.iter().map(|lead| lead.weight).sum();
            shares.resize(self.list.len(), 0.0);
            for lead in leads {
                shares[lead.variant as usize] += share * lead.weight as f64 / sum as f64;
            }
        });
        let shares = shares.into_iter().enumerate().filter(|(_, share)| *share > 0.0);
        let shares: Vec<(u32, f64)> = shares.map(|(i, share)| (i as u32, share)).collect();
        match shares[..] {
            [(only, _)] => Draw::Fixed(only),
            _ => Draw::Chance(Alias::new(&shares)),
        }
    }

    /// Keeps the draws of `choice` as levels; one that has a single outcome needs none.
    fn level(&mut self, choice: &Choice<'_>, wanted: Wanted, levels: &mut Vec<Level>) -> Then {
        let place = levels.len();
        levels.push(Level::Weights(Box::default()));
        let level = match choice {
            Choice::Split(split) => self.thresholds(split, wanted, levels),
            Choice::Draw(branches) => {
                let arms = branches.iter().map(|branch| self.arm(branch, wanted, levels));
                Level::Weights(arms.collect())
            }
            Choice::Leaf(leaf) => Level::Weights(self.leads(Some(leaf), wanted)),
            Choice::Nodata => Level::Weights(self.leads(None, wanted)),
        };
        if let Some(only) = level.only_variant() {
            levels.truncate(place);
            return only;
        }
        levels[place] = level;
        Then::Level(place as u32)
    }

    fn thresholds(&mut self, split: &Split<'_>, wanted: Wanted, levels: &mut Vec<Level>) -> Level {
        let cuts = split.parts().map(|(part, width)| Cut {
            below: part.below.cut(),
            width,
            then: self.level(&part.choice, wanted, levels),
        });
        let cuts = cuts.collect();
        Level::Thresholds { salt: split.salt(), cuts }
    }

    fn leads(&mut self, leaf: Option<&Leaf<'_>>, wanted: Wanted) -> Box<[Arm]> {
        self.leaf(leaf, wanted).into_iter().map(Arm::from).collect()
    }

    fn arm(&mut self, branch: &Branch<'_>, wanted: Wanted, levels: &mut Vec<Level>) -> Arm {
        Arm {
            hash: name_hash(Drawn::Member, branch.salt, &[branch.name]),
            weight: branch.weight,
            then: self.level(&branch.choice, wanted, levels),
        }
    }

    /// One Variant for each endpoint that may lead; never empty (NODATA is a Variant).
    fn leaf(&mut self, leaf: Option<&Leaf<'_>>, wanted: Wanted) -> Vec<Lead> {
        let answers = leaf.map(|leaf| leaf.answers_to(wanted)).unwrap_or_default();
        if answers.is_empty() {
            let spot = self.spot(leaf.map(|leaf| &leaf.candidates[0]));
            let is_unknown =
                leaf.is_some_and(|leaf| leaf.candidates.iter().any(|c| c.is_unknown(wanted)));
            let nodata = Variant { rdatas: None, ttl: self.ttl, is_unknown, spot };
            return vec![Lead { hash: 0, weight: 1, variant: self.intern(Vec::new(), nodata) }];
        }
        let lead = |answer: Answer<'_, '_>| {
            let place = |c: &&Candidate<'_>| std::ptr::from_ref(c.endpoint).cast::<()>();
            let (made, rdatas) = match wanted {
                Wanted::Extra(rtype) => match answer.extra(rtype) {
                    Some(extra) => (vec![std::ptr::from_ref(extra).cast()], Some(extra.clone())),
                    None => (Vec::new(), None),
                },
                _ => {
                    let made = answer.endpoints.iter().map(place).collect();
                    (made, Some(rdatas(&answer.endpoints, wanted)))
                }
            };
            let spot = self.spot(Some(answer.endpoints[0]));
            let found = answer.endpoints.iter().filter_map(|c| Some(c.found.as_ref()?.ttl));
            let ttl = found.fold(self.ttl, Ttl::min);
            let variant = self.intern(made, Variant { rdatas, ttl, is_unknown: false, spot });
            Lead { hash: answer.hash, weight: answer.weight, variant }
        };
        answers.into_iter().map(lead).collect()
    }

    fn spot(&self, leader: Option<&Candidate<'_>>) -> u16 {
        let is_it = |spot: &Spot| {
            leader.is_some_and(|l| spot.region == l.endpoint.region && spot.pool == l.pool.id)
        };
        self.plan.spots.iter().position(is_it).unwrap_or(0) as u16
    }

    fn intern(&mut self, made: Vec<*const ()>, variant: Variant) -> u32 {
        let rtype = variant.rdatas.as_ref().map(Rdatas::rtype);
        *self.known.entry((rtype, variant.is_unknown, variant.spot, made)).or_insert_with(|| {
            self.list.push(variant);
            (self.list.len() - 1) as u32
        })
    }
}

/// An endpoint that may stand first in an answer.
struct Lead {
    hash: u64,
    weight: u64,
    variant: u32,
}

impl From<Lead> for Arm {
    fn from(lead: Lead) -> Arm {
        Arm { hash: lead.hash, weight: lead.weight, then: Then::Variant(lead.variant) }
    }
}

fn rdatas(group: &[&Candidate<'_>], wanted: Wanted) -> Rdatas {
    if let EndpointTarget::Cname { wire, .. } = &group[0].endpoint.target {
        return Rdatas::build(Rtype::CNAME, std::iter::once(&**wire), None)
            .expect("compile has read the target as a name");
    }
    if wanted == Wanted::A {
        let v4 = group.iter().flat_map(|candidate| candidate.v4());
        return Rdatas::addresses_v4(&v4.collect::<Vec<_>>()).expect(FITS);
    }
    let v6 = group.iter().flat_map(|candidate| candidate.v6());
    Rdatas::addresses_v6(&v6.collect::<Vec<_>>()).expect(FITS)
}

/// 256 × 8 AAAA records are 36,864 bytes of 65,535.
const FITS: &str = "a group has at least one address, and POOL_MAX endpoints of FOUND_MAX each fit";
