//! Why: what select() kept and dropped on its way, for `explain`.
//!
//! The packet path's Selections are made with `()`, which writes nothing and costs nothing.

use super::tree::{Endpoint, Pool};
use crate::ids::SlotId;

/// Where select() writes down its reasons. Text is made only when someone listens.
pub trait Trace {
    /// A member that may be answered.
    fn kept(&mut self, depth: u8, name: &str, why: impl FnOnce() -> String);
    /// A member that may not.
    fn dropped(&mut self, depth: u8, name: &str, why: impl FnOnce() -> String);
    /// Anything else worth knowing.
    fn note(&mut self, depth: u8, what: impl FnOnce() -> String);
    /// The endpoints of a pool, and which of their slots count as up here.
    fn endpoints(&mut self, depth: u8, pool: &Pool, up: &dyn Fn(SlotId) -> bool);
}

impl Trace for () {
    fn kept(&mut self, _: u8, _: &str, _: impl FnOnce() -> String) {}
    fn dropped(&mut self, _: u8, _: &str, _: impl FnOnce() -> String) {}
    fn note(&mut self, _: u8, _: impl FnOnce() -> String) {}
    fn endpoints(&mut self, _: u8, _: &Pool, _: &dyn Fn(SlotId) -> bool) {}
}

/// One line of an explanation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// How deep in the tree.
    pub depth: u8,
    /// What became of it.
    pub mark: Mark,
    /// The member or endpoint; empty for notes.
    pub name: String,
    /// Why.
    pub why: String,
}

/// What became of a candidate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mark {
    /// It may be answered.
    Kept,
    /// It may not.
    Dropped,
    /// A remark.
    Note,
}

/// Collects the steps; `verdict` puts words to a slot's standing.
pub struct Steps<'a> {
    /// What was written so far, in order.
    pub steps: Vec<Step>,
    verdict: &'a dyn Fn(SlotId) -> String,
}

impl<'a> Steps<'a> {
    /// An empty account.
    pub fn new(verdict: &'a dyn Fn(SlotId) -> String) -> Self {
        Steps { steps: Vec::new(), verdict }
    }

    fn push(&mut self, depth: u8, mark: Mark, name: &str, why: String) {
        self.steps.push(Step { depth, mark, name: name.to_owned(), why });
    }

    fn endpoint(&mut self, depth: u8, endpoint: &Endpoint, up: &dyn Fn(SlotId) -> bool) {
        let mut reasons: Vec<String> = Vec::new();
        for slot in endpoint.target.slots() {
            let words = (self.verdict)(slot);
            if !reasons.contains(&words) {
                reasons.push(words);
            }
        }
        let mark = if endpoint.target.slots().any(up) { Mark::Kept } else { Mark::Dropped };
        self.push(depth, mark, &endpoint.name, reasons.join("; "));
    }
}

impl Trace for &mut Steps<'_> {
    fn kept(&mut self, depth: u8, name: &str, why: impl FnOnce() -> String) {
        self.push(depth, Mark::Kept, name, why());
    }
    fn dropped(&mut self, depth: u8, name: &str, why: impl FnOnce() -> String) {
        self.push(depth, Mark::Dropped, name, why());
    }
    fn note(&mut self, depth: u8, what: impl FnOnce() -> String) {
        self.push(depth, Mark::Note, "", what());
    }
    fn endpoints(&mut self, depth: u8, pool: &Pool, up: &dyn Fn(SlotId) -> bool) {
        for endpoint in &pool.endpoints {
            self.endpoint(depth, endpoint, up);
        }
    }
}
