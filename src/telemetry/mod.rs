//! What a running server counts, and how Prometheus reads it.
//!
//! [`counters`] is below the engine: per-thread tables that the packet path writes without lock,
//! allocation or atomic read-modify-write, and that are summed when somebody reads. [`metrics`]
//! turns the sums, and whatever else control adds, into text; [`figures`] are what control measures,
//! [`detail`] says which records are shown by themselves. [`sample`] hands one answer in so
//! many to control, whole, and [`observed`] keeps the clients seen in them. Must not know what a
//! zone, a verdict or a World is: names arrive as strings.

pub mod counters;
pub mod detail;
pub mod figures;
mod measured;
pub mod metrics;
pub mod observed;
pub mod sample;
mod tally;

pub use counters::{AnswerName, Telemetry, ThreadCounters, Totals};
pub use metrics::Metrics;
pub use observed::Observed;
pub use sample::{Sample, Sampler, Sampling};
pub use tally::{CloseReason, CookieResult, Counted, DropReason, Family, Lost, Reason, Tally, Via};
