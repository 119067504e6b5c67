//! What a running server counts, and how Prometheus reads it.
//!
//! [`counters`] is below the engine: per-thread tables that the packet path writes without lock,
//! allocation or atomic read-modify-write, and that are summed when somebody reads. [`metrics`]
//! turns the sums, and whatever else control adds, into text. Must not know what a zone, a
//! verdict or a World is: names arrive as strings.

pub mod counters;
pub mod metrics;
mod tally;

pub use counters::{AnswerName, Telemetry, ThreadCounters, Totals};
pub use metrics::Metrics;
pub use tally::{CloseReason, CookieResult, DropReason, Family, Tally, Via};
