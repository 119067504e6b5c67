//! What the operator wrote, with spans: files in memory, the types they are read into, and the
//! problems found on the way.
//!
//! This room knows how things are *written* (TOML, durations, addresses, which key may stand
//! where) and must not know what they *mean*: a name that nobody defined, a loop or a bound is
//! [`crate::compile`]'s to find. Nothing here stops at the first mistake: a reader drops what it
//! cannot read, says why, and goes on, so that an operator mends a file in one go.
//!
//! [`sources`] holds the files (their texts as [`Content`]), [`server`], [`checks`], [`zone`] (with [`policy`] and
//! [`pool`]) and [`rollouts`] (with [`metric`]) read them through [`reader`] and [`scalar`], and [`problem`] and [`render`] say
//! what is wrong with them. [`drill`] (with [`stop`] and [`window`]) reads game days.

pub mod checks;
mod content;
mod discover;
pub mod drill;
pub mod guard;
pub mod hooks;
pub mod metric;
pub mod metrics;
mod nearest;
mod pattern;
pub mod peers;
pub mod policy;
pub mod pool;
pub mod problem;
mod progress;
pub mod querylog;
mod reader;
pub mod render;
pub mod rollouts;
pub mod safety;
mod scalar;
pub mod server;
pub mod settings;
pub mod sources;
pub mod stop;
#[cfg(test)]
mod tests;
pub mod window;
pub mod zone;

pub use content::Content;
pub use nearest::nearest;
pub use pattern::Pattern;
pub use problem::{Problem, Problems, Severity};
pub use progress::{Progress, Reached};
pub use scalar::parse_duration;
pub use sources::{ContentHash, Files, SourceFile, Sources, SourcesError, ZoneSources};
pub use toml::Spanned;
