//! Is a target alive? Probes what a [`CheckPlan`](crate::checkplan::CheckPlan) names and tells
//! how each target stands.
//!
//! | file | its part |
//! |---|---|
//! | `judge` | what results mean: one target's state machine; pure |
//! | `probe` | asking once: tcp, http, https; whose fault an error is |
//! | `lanes` | how many probes are in flight, and that hung ones stand aside |
//! | `ledger` | what is known of each target, for steering and for people |
//! | `schedule` | a task a target, and what a reload does to them: [`Checker`] |
//!
//! Results leave by one callback, as [`HealthReport`]s of targets by *key*: which slots that
//! key decides, which answers that changes and whether a fall may take effect are for the rooms
//! that own them. Must not know zones, policies or the World. Our own faults are never held
//! against a target: such results are void, and [`Checker::impairment`] says so.

mod judge;
mod lanes;
mod ledger;
mod probe;
mod schedule;
#[cfg(test)]
mod testkit;
#[cfg(test)]
mod tests;

pub use lanes::Limits;
pub use ledger::{HealthReport, Impairment, LastProbe, TargetState};
pub use schedule::{Checker, Settings};
