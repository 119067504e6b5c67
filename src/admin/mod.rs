//! How a running server is watched and asked: status, `explain`, metrics, and the two doors
//! (HTTP on `[server] admin`, the control socket for the command line).
//!
//! | file | its part |
//! |---|---|
//! | `schema` | what `--json` and the control socket promise; inner types end there |
//! | `status` | World and health → what people want to know first |
//! | `explain` | why one client gets one answer, by the packet path's own functions |
//! | `hand`, `peer` | what operators tell the server, and who they are |
//! | `rollout` | how rollouts stand, for those who show them |
//! | `ahead` | what plans and simulations are asked for |
//! | `inventory` | World → what there is, thing by thing, in pages |
//! | `suppose` | the World as it would be if something failed (`--what-if`) |
//! | `events`, `feed` | what happened, in pages, for those who wait, and as it happens |
//! | `in_step`, `peers` | the other servers for the same zones: where they differ, how they are asked |
//! | `metrics` | gauges for Prometheus |
//! | `split` | the shares regions are meant to get, for `metrics` |
//! | `routes`, `context`, `refused` | what may be asked for, of what, and why it was not done |
//! | `door`, `origin`, `limiter`, `seats`, `turns` | who may come in, how often, and how many at once |
//! | `server`, `socket` | where they listen |
//!
//! Changes nothing itself: every wish goes through [`crate::control::Change`], and a heartbeat to
//! the checker as a probe's result would. Knows the daemon only as [`Running`], so that it can be tested without one.

mod ahead;
mod context;
mod door;
mod events;
pub mod explain;
mod feed;
mod hand;
pub mod in_step;
mod inventory;
mod limiter;
pub mod metrics;
mod origin;
pub mod peer;
pub mod peers;
mod refused;
mod rollout;
mod routes;
pub mod schema;
mod seats;
pub mod server;
pub mod socket;
mod split;
pub mod status;
pub mod suppose;
#[cfg(test)]
mod testkit;
mod turned_away;
mod turns;
mod weights;

pub use context::Context;
pub use routes::openapi;
pub use server::{serve_control, serve_public};
pub use socket::ControlSocket;

use crate::{
    control::{plan::Planner, revisions::Manifest},
    drill::Drills,
    health::{Beat, HeartbeatError, Impairment, ProbeDurations, TargetState},
    rollout::Rollouts,
};
use std::sync::Arc;

/// What a running server shows beside what its [`Handle`](crate::control::Handle) does.
pub trait Running: Send + Sync {
    /// How every target stands.
    fn targets(&self) -> Vec<TargetState>;
    /// Whether the checker itself is in trouble.
    fn impairment(&self) -> Option<Impairment>;
    /// How long the answers of all targets of each check took since the start, by its name.
    fn durations(&self) -> Vec<(Arc<str>, ProbeDurations)>;
    /// Whether `token` is that of the heartbeats of `check`.
    fn is_token_of(&self, check: &str, token: &[u8]) -> bool;
    /// Takes a heartbeat for `endpoint` (empty for a gate) under `check`.
    ///
    /// # Errors
    /// When the token is not the check's, or nothing of that name uses it.
    fn heartbeat(
        &self,
        check: &str,
        endpoint: &str,
        token: &[u8],
        beat: Beat,
    ) -> Result<(), HeartbeatError>;
    /// The rollouts, where there are any to run.
    fn rollouts(&self) -> Option<Rollouts> {
        None
    }
    /// How hooks go.
    fn hooks(&self) -> Vec<schema::HookLine>;
    /// Who works out what other files would change.
    fn planner(&self) -> &Planner;
    /// The kept revisions, oldest first.
    fn revisions(&self) -> Vec<Manifest>;
    /// Drills; nothing where none can be run.
    fn drills(&self) -> Option<&Arc<Drills>>;
}
