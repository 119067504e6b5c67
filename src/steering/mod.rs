//! (plan, class) → Selection → Variant: every answer that can be given now, finished.
//!
//! Made by asking [`crate::policy::select`] for each class of each plan, and made again only for
//! the plans that a change touches. Chunked, so that a publish copies the spine and the touched
//! chunks and shares everything else with the World before it. Holds no names, no packets and
//! no counters; knows which classes share a Selection, so that an ECS scope can be found by
//! climbing without ever walking a map here.

mod build;
pub mod draw;
mod ramps;
#[cfg(test)]
mod tests;

pub use build::{Before, Moved};
pub use draw::{Dice64, Draw};
pub use ramps::RampState;

use crate::{
    ids::{Class, PlanId},
    place::ClassMask,
    policy::Basis,
    units::Ttl,
    wire::Rdatas,
};
use std::sync::Arc;

/// Plans a chunk: small enough to copy in microseconds, large enough that the spine of
/// 100,000 plans has fewer than 400 entries.
const CHUNK: usize = 256;

/// All answers of all plans.
#[derive(Clone, Debug, Default)]
pub struct Steering {
    chunks: Box<[Arc<Chunk>]>,
    /// Whether an answer was on other grounds than health at some time since all were made.
    trouble: bool,
}

/// Up to [`CHUNK`] plans, shared between Worlds until one of them changes.
#[derive(Clone, Debug)]
struct Chunk(Box<[Arc<PlanSteering>]>);

/// The answers of one plan.
#[derive(Debug)]
pub struct PlanSteering {
    /// For each class the index of its Selection.
    by_class: Box<[u16]>,
    selections: Box<[Selection]>,
}

/// A distribution over finished answers, for every class in `mask`.
#[derive(Debug)]
pub struct Selection {
    /// How A queries draw.
    pub a: Draw,
    /// How AAAA queries draw.
    pub aaaa: Draw,
    /// How every other type draws, where a CNAME is among the leaves; else NODATA.
    pub other: Draw,
    /// How the types of `Plan::extra` draw, in their order.
    pub extra: Box<[Draw]>,
    /// What the draws point to.
    pub variants: Box<[Variant]>,
    /// The TTL that the record's own settings come to; a Variant's may be shorter.
    pub ttl: Ttl,
    /// On what grounds.
    pub basis: Basis,
    /// The classes which get this very Selection.
    pub mask: ClassMask,
}

/// One finished answer without owner, which is written when it is copied.
#[derive(Debug, PartialEq, Eq)]
pub struct Variant {
    /// The records; `None` is NODATA.
    pub rdatas: Option<Rdatas>,
    /// For how long: no longer than what was looked up was given for.
    pub ttl: Ttl,
    /// Without records: there may be some, but nobody has found them yet.
    pub is_unknown: bool,
    /// Index into `Plan::spots` of its leader's region and pool, for the counters.
    pub spot: u16,
}

impl Steering {
    /// What steers `plan`. A World that is warming has no Steering yet: ask it first.
    #[inline]
    pub fn plan(&self, plan: PlanId) -> &PlanSteering {
        self.at(plan)
    }

    #[inline]
    fn at(&self, plan: PlanId) -> &Arc<PlanSteering> {
        &self.chunks[plan.index() / CHUNK].0[plan.index() % CHUNK]
    }

    /// Whether answers may be given on other grounds than health.
    pub fn may_be_in_trouble(&self) -> bool {
        self.trouble
    }
}

impl PlanSteering {
    /// Whether some class is answered on other grounds than health.
    fn is_in_trouble(&self) -> bool {
        self.selections.iter().any(|selection| selection.basis != Basis::Healthy)
    }

    /// What `class` gets.
    #[inline]
    pub fn selection(&self, class: Class) -> &Selection {
        &self.selections[usize::from(self.by_class[class.index()])]
    }
    /// Where what `class` gets stands among [`selections`](Self::selections).
    pub fn place(&self, class: Class) -> usize {
        usize::from(self.by_class[class.index()])
    }
    /// Every Selection with its classes, for people and metrics.
    pub fn selections(&self) -> &[Selection] {
        &self.selections
    }
}

impl Selection {
    /// All its draws, in an order that depends on the plan alone.
    pub fn draws(&self) -> impl Iterator<Item = &Draw> {
        [&self.a, &self.aaaa, &self.other].into_iter().chain(&self.extra)
    }
}

#[cfg(test)]
impl Steering {
    /// Whether `plan` was not made anew between the two.
    pub(crate) fn shares(&self, other: &Steering, plan: PlanId) -> bool {
        Arc::ptr_eq(self.at(plan), other.at(plan))
    }

    /// Whether the chunk of `plan` was not even copied.
    pub(crate) fn shares_chunk(&self, other: &Steering, plan: PlanId) -> bool {
        let at = plan.index() / CHUNK;
        Arc::ptr_eq(&self.chunks[at], &other.chunks[at])
    }
}
