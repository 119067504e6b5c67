//! How a running server is changed: one way in ([`Change`]), one owner of the Publisher
//! ([`publish::Control`]), everything that happened written down ([`event`]).
//!
//! What lives from World to World has a file each: `verdicts` (which turn), `latches` (which
//! step); `grounds` says which records are answered on others than health.

pub mod change;
pub mod event;
mod grounds;
mod latches;
pub mod publish;
pub mod reload;
pub mod revisions;
#[cfg(test)]
mod tests;
mod verdicts;

pub use change::Change;
pub use reload::Report;

use crate::world::Reader;
use publish::SharedJournal;
use tokio::sync::mpsc;

/// What those who watch and steer a running server hold: the way in, and what may be read.
#[derive(Clone, Debug)]
pub struct Handle {
    /// Takes changes; answered in order.
    pub changes: mpsc::UnboundedSender<Change>,
    /// The World in force.
    pub reader: Reader,
    /// What happened.
    pub journal: SharedJournal,
}
