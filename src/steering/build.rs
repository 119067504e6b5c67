//! Steering made from verdicts: select() for each class, equal decisions kept once.

use super::{
    CHUNK, Chunk, PlanSteering, Selection, Steering, Variant,
    draw::{Alias, Arm, Draw, Level, Then},
};
use crate::{
    ids::{Class, PlanId, RegionId},
    place::ClassMask,
    policy::{
        Branch, Candidate, Choice, Decision, Directives, Leaf, select,
        sticky::{Drawn, name_hash},
        tree::EndpointTarget,
    },
    snapshot::{Plan, Snapshot},
    verdict::Standings,
    wire::{Rdatas, types::Rtype},
};
use std::{collections::HashMap, sync::Arc};

/// What a World's answers follow from, beside its Snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Moved<'a> {
    /// The standing of every slot.
    pub standings: &'a Standings,
    /// Active members and the order in which slots fell.
    pub directives: Directives<'a>,
}

impl Steering {
    /// The answers of every plan of `snapshot`.
    pub fn build(snapshot: &Snapshot, moved: Moved<'_>) -> Steering {
        let chunks = snapshot.plans.chunks(CHUNK).map(|plans| {
            Arc::new(Chunk(plans.iter().map(|p| Arc::new(PlanSteering::build(p, moved))).collect()))
        });
        Steering { chunks: chunks.collect() }
    }

    /// The same with the plans in `touched` made anew; everything else is shared.
    #[must_use]
    pub fn rebuilt(&self, snapshot: &Snapshot, touched: &[PlanId], moved: Moved<'_>) -> Steering {
        let mut chunks = self.chunks.clone();
        for &plan in touched {
            let chunk = Arc::make_mut(&mut chunks[plan.index() / CHUNK]);
            chunk.0[plan.index() % CHUNK] =
                Arc::new(PlanSteering::build(snapshot.plan(plan), moved));
        }
        Steering { chunks }
    }
}

impl PlanSteering {
    fn build(plan: &Plan, moved: Moved<'_>) -> PlanSteering {
        let tree = &*plan.tree;
        let mut known: HashMap<Decision<'_>, u16> = HashMap::new();
        let mut masks: Vec<ClassMask> = Vec::new();
        let by_class = (0..tree.classes.classes())
            .map(|class| {
                let class = Class::at(class);
                let decision = select(tree, class, moved.standings, &moved.directives, ());
                let next = known.len() as u16;
                let index = *known.entry(decision).or_insert(next);
                if index == next {
                    masks.push(ClassMask::default());
                }
                masks[usize::from(index)].insert(class);
                index
            })
            .collect();
        let failing = plan.slots.iter().any(|&slot| moved.standings.of(slot).failing);
        let ttl = if failing { plan.ttl.min } else { plan.ttl.max };
        let mut decisions: Vec<(Decision<'_>, u16)> = known.into_iter().collect();
        decisions.sort_unstable_by_key(|(_, index)| *index);
        let selections = decisions.into_iter().zip(masks).map(|((decision, _), mask)| {
            let mut variants = Variants { plan, list: Vec::new() };
            let [a, aaaa, other] = [Wanted::A, Wanted::Aaaa, Wanted::Other]
                .map(|wanted| variants.draw(&decision.choice, wanted));
            let variants = variants.list.into_boxed_slice();
            Selection { a, aaaa, other, variants, ttl, basis: decision.basis, mask }
        });
        PlanSteering { by_class, selections: selections.collect() }
    }
}

/// Which query type a draw is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    A,
    Aaaa,
    Other,
}

/// The answers of one Selection as they are found, equal ones once.
struct Variants<'p> {
    plan: &'p Plan,
    list: Vec<Variant>,
}

impl Variants<'_> {
    fn draw(&mut self, choice: &Choice<'_>, wanted: Wanted) -> Draw {
        if self.plan.sticky.is_some() {
            let mut levels = Vec::new();
            return match self.level(choice, wanted, &mut levels) {
                Then::Variant(variant) => Draw::Fixed(variant),
                Then::Level(_) => Draw::Sticky(levels.into_boxed_slice()),
            };
        }
        let mut shares: Vec<(u16, f64)> = Vec::new();
        choice.leaves(&mut |share, leaf| {
            let arms = self.leaf(leaf, wanted);
            let sum: u64 = arms.iter().map(|arm| arm.weight).sum();
            for (variant, weight) in arms.iter().map(|arm| (arm.variant, arm.weight)) {
                let share = share * weight as f64 / sum as f64;
                match shares.iter_mut().find(|(known, _)| *known == variant) {
                    Some((_, sum)) => *sum += share,
                    None => shares.push((variant, share)),
                }
            }
        });
        match shares[..] {
            [(only, _)] => Draw::Fixed(only),
            _ => Draw::Chance(Alias::new(&shares)),
        }
    }

    /// Keeps the draws of `choice` as levels; one that has a single outcome needs none.
    fn level(&mut self, choice: &Choice<'_>, wanted: Wanted, levels: &mut Vec<Level>) -> Then {
        let place = levels.len();
        levels.push(Level(Box::default()));
        let arms: Vec<Arm> = match choice {
            Choice::Draw(branches) => {
                branches.iter().map(|branch| self.arm(branch, wanted, levels)).collect()
            }
            Choice::Leaf(leaf) => {
                let leads = self.leaf(Some(leaf), wanted).into_iter();
                leads.map(|lead| lead.into_arm()).collect()
            }
            Choice::Nodata => {
                let leads = self.leaf(None, wanted).into_iter();
                leads.map(|lead| lead.into_arm()).collect()
            }
        };
        let first = arms[0].then;
        if matches!(first, Then::Variant(_)) && arms.iter().all(|arm| arm.then == first) {
            levels.truncate(place);
            return first;
        }
        levels[place] = Level(arms.into_boxed_slice());
        Then::Level(place as u16)
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
        let Some(leaf) = leaf else { return vec![self.nodata(None)] };
        let ring = ring(leaf, wanted);
        if ring.is_empty() {
            return vec![self.nodata(leaf.candidates.first())];
        }
        let answers = usize::from(leaf.answers).clamp(1, ring.len());
        (0..ring.len())
            .map(|lead| {
                let group: Vec<&Candidate<'_>> =
                    (0..answers).map(|i| ring[(lead + i) % ring.len()].1).collect();
                let rdatas = rdatas(&group, wanted);
                let region = self.region(Some(group[0]));
                let variant = self.intern(Variant { rdatas: Some(rdatas), region });
                Lead { hash: ring[lead].0, weight: group[0].weight, variant }
            })
            .collect()
    }

    fn nodata(&mut self, candidate: Option<&Candidate<'_>>) -> Lead {
        let region = self.region(candidate);
        Lead { hash: 0, weight: 1, variant: self.intern(Variant { rdatas: None, region }) }
    }

    fn region(&self, candidate: Option<&Candidate<'_>>) -> u16 {
        let region: Option<RegionId> = candidate.and_then(|c| c.endpoint.region);
        self.plan.regions.iter().position(|r| *r == region).unwrap_or(0) as u16
    }

    fn intern(&mut self, variant: Variant) -> u16 {
        if let Some(known) = self.list.iter().position(|v| *v == variant) {
            return known as u16;
        }
        self.list.push(variant);
        (self.list.len() - 1) as u16
    }
}

/// An endpoint that may stand first in an answer.
struct Lead {
    hash: u64,
    weight: u64,
    variant: u16,
}

impl Lead {
    fn into_arm(self) -> Arm {
        Arm { hash: self.hash, weight: self.weight, then: Then::Variant(self.variant) }
    }
}

/// The candidates that have what is wanted, up ones if there are any, ordered by hash of name.
fn ring<'l, 't>(leaf: &'l Leaf<'t>, wanted: Wanted) -> Vec<(u64, &'l Candidate<'t>)> {
    let having = |need_up: bool| {
        leaf.candidates
            .iter()
            .filter(move |c| match (&c.endpoint.target, wanted) {
                (EndpointTarget::Cname { .. }, _) => true,
                (EndpointTarget::Addresses { v4, .. }, Wanted::A) => {
                    v4.is_some() && (c.up_v4 || !need_up)
                }
                (EndpointTarget::Addresses { v6, .. }, Wanted::Aaaa) => {
                    v6.is_some() && (c.up_v6 || !need_up)
                }
                (EndpointTarget::Addresses { .. }, Wanted::Other) => false,
            })
            .map(|c| {
                let parts = [c.pool, &*c.endpoint.name];
                // Endpoint names are unique in a pool, not over merged ones.
                (name_hash(Drawn::Endpoint, 0, if c.merged { &parts } else { &parts[1..] }), c)
            })
    };
    let mut ring: Vec<(u64, &Candidate<'_>)> = having(true).collect();
    if ring.is_empty() {
        ring = having(false).collect();
    }
    ring.sort_unstable_by(|a, b| {
        (a.0, &a.1.endpoint.name, a.1.pool).cmp(&(b.0, &b.1.endpoint.name, b.1.pool))
    });
    ring
}

fn rdatas(group: &[&Candidate<'_>], wanted: Wanted) -> Rdatas {
    if let EndpointTarget::Cname { wire, .. } = &group[0].endpoint.target {
        return Rdatas::build(Rtype::CNAME, std::iter::once(&**wire), None)
            .expect("compile has read the target as a name");
    }
    if wanted == Wanted::A {
        let v4 = group.iter().filter_map(|c| match c.endpoint.target {
            EndpointTarget::Addresses { v4, .. } => v4.map(|(address, _)| address),
            EndpointTarget::Cname { .. } => None,
        });
        return Rdatas::addresses_v4(&v4.collect::<Vec<_>>()).expect(FITS);
    }
    let v6 = group.iter().filter_map(|c| match c.endpoint.target {
        EndpointTarget::Addresses { v6, .. } => v6.map(|(address, _)| address),
        EndpointTarget::Cname { .. } => None,
    });
    Rdatas::addresses_v6(&v6.collect::<Vec<_>>()).expect(FITS)
}

const FITS: &str = "a group has at least one endpoint and at most POOL_MAX of them";
