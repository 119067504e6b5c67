//! The state machine of a failover: which member is active, and what is waited for.
//!
//! Pure: availability, gates, operator's orders and time come in, effects and the next moment
//! to look again go out. One [`Machine`] for each definition, shared by all records and clients
//! that refer to it. Its states, as people see them, are [`Phase`]s:
//!
//! ```text
//!            active lost               moved                preferred one is back
//!  primary ──────────────► failing-over ──────► standby ──────────────────► failback-pending
//!     ▲                                                                            │ due,
//!     └─────────────── failing-back ◄──────────────────────────────────────────────┘ approved
//!                      (ramp runs)            held: any of them, standing still
//! ```
//!
//! Leaving a member that is down is immediate unless the [`Rules`] say that it is delayed, gated
//! or asked for; going back to a preferred one waits for the failback rule, then for its gates,
//! then takes as long as the ramp. Knows no verdicts, addresses or files: what follows from its
//! state is told to [`crate::policy::select`] as a [`Course`]. Beside it stands the [`breaker`],
//! which sees the targets of all failovers together.

pub mod breaker;
mod effect;
mod machine;
#[cfg(test)]
mod properties;
mod saved;
#[cfg(test)]
mod tests;

pub use crate::policy::{
    Course,
    rules::{Failback, Mode, Ramp, Rules},
};
pub use effect::{Cause, Effect, Phase, Refusal, Wait};
pub use machine::{Command, Machine, Pending, Seen};
pub use saved::Saved;
