//! How a running server is changed: one way in ([`Change`]), one owner of the Publisher
//! ([`publish::Control`]), everything that happened written down ([`event`]).

pub mod change;
pub mod event;
mod grounds;
pub mod journal;
mod latches;
mod locations;
pub mod publish;
pub mod reload;
pub mod revisions;
pub mod run;
mod spelled;
pub mod store;
#[cfg(test)]
mod tests;
mod verdicts;

pub use change::Change;
pub use reload::Report;

use crate::{place::LocationTable, world::Reader};
use arc_swap::ArcSwap;
use journal::SharedJournal;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};

/// What those who watch and steer a running server hold: the way in, and what may be read.
#[derive(Clone, Debug)]
pub struct Handle {
    /// Takes changes; answered in order.
    pub changes: mpsc::UnboundedSender<Change>,
    /// The World in force.
    pub reader: Reader,
    /// What happened.
    pub journal: SharedJournal,
    /// The outcome of the newest load of files.
    pub report: watch::Receiver<Arc<Report>>,
    /// Where clients are.
    pub locations: Arc<ArcSwap<LocationTable>>,
}
