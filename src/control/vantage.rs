//! What control asks of those who probe: facts ([`Proof`]), and probes out of turn.

use crate::{checkplan::CheckPlan, clock::Moment, failover::breaker::Proof, verdict::Stood};
use std::sync::Arc;

/// The checker as control sees it.
pub trait Vantage: Proof + Send + Sync {
    /// Takes a new plan: goes on with what it knows and starts what is new, from how `saved`
    /// says that it stood before a restart.
    fn update(&self, plan: &CheckPlan, saved: &dyn Fn(&str) -> Option<Stood>);
    /// Probes these now: something beside them fell.
    fn hasten(&self, keys: &[Arc<str>]);
    /// Probes these and the guards now: someone is to say that we are not cut off.
    fn call_witnesses(&self, keys: &[Arc<str>]);
    /// Whether answers and failures are to be told at once, through [`super::run::Hooks::heard`].
    fn listen(&self, yes: bool);
}

/// Nobody probes: every fall is believed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Nobody;

impl Proof for Nobody {
    fn answered_since(&self, _: Moment, _: &str) -> bool {
        true
    }
    fn failures(&self) -> Vec<(Arc<str>, Moment)> {
        Vec::new()
    }
}

impl Vantage for Nobody {
    fn update(&self, _: &CheckPlan, _: &dyn Fn(&str) -> Option<Stood>) {}
    fn hasten(&self, _: &[Arc<str>]) {}
    fn call_witnesses(&self, _: &[Arc<str>]) {}
    fn listen(&self, _: bool) {}
}
