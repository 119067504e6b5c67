//! Is a target alive? Probes what a [`CheckPlan`](crate::checkplan::CheckPlan) names and tells
//! how each target stands.
//!
//! | file | its part |
//! |---|---|
//! | `judge` | what results mean: one target's state machine; pure |
//! | `damping` | how long a target that fell is held down; pure |
//! | `push`, `pulse` | heartbeats instead of probes; our own pauses |
//! | `probe` | asking once: tcp, http, https; whose fault an error is |
//! | `faults` | what drills inject in place of that |
//! | `lanes` | how many probes are in flight, and that hung ones stand aside |
//! | `latency` | how long answers take |
//! | `ledger` | what is known of each target, for steering and for people |
//! | `witness` | who answered last, and the isolation guards |
//! | `task` | the life of one target that is probed |
//! | `schedule` | what a plan and a reload do to targets: [`Checker`] |
//!
//! Results leave by one callback, as [`HealthReport`]s of targets by *key*: which slots that
//! key decides, which answers that changes and whether a fall may take effect are for the rooms
//! that own them. Must not know zones, policies or the World. Our own faults are never held
//! against a target: such results are void, and [`Checker::impairment`] says so.

mod damping;
mod faults;
mod judge;
mod lanes;
mod latency;
mod ledger;
mod probe;
mod pulse;
mod push;
mod schedule;
mod task;
#[cfg(test)]
mod testkit;
#[cfg(test)]
mod tests;
mod witness;

pub use faults::{Fault, FaultKind};
pub use lanes::Limits;
pub use latency::{Histogram, ProbeDurations};
pub use ledger::{HealthReport, Impairment, LastProbe, SeenError, TargetState};
pub(crate) use probe::client_config;
pub use push::{Beat, HeartbeatError};
pub use schedule::{Checker, Settings};
pub use witness::Heard;
