//! How a running server is changed: one way in ([`Change`]), one owner of the Publisher
//! ([`publish::Control`]), everything that happened written down ([`event`]).

pub mod audit;
pub mod change;
pub mod event;
pub mod found;
mod grounds;
pub mod hand;
pub mod journal;
mod kept;
mod latches;
mod locations;
pub mod overview;
pub mod plan;
#[cfg(test)]
mod properties;
pub mod publish;
pub mod reload;
pub mod residual;
pub mod revisions;
pub mod run;
pub mod secrets;
pub mod simulate;
mod spelled;
pub mod steered;
pub mod store;
#[cfg(test)]
mod tests;
pub mod vantage;
mod verdicts;

pub use change::{Change, Stood};
pub use reload::Report;

use crate::{compile::Entry, place::LazyTable, world::Reader};
use arc_swap::ArcSwap;
use hand::apply::SharedHand;
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
    /// What operators told the server.
    pub hand: SharedHand,
    /// Where clients are.
    pub locations: Arc<ArcSwap<LazyTable>>,
    /// Who may use the admin API from another machine.
    pub entry: Arc<ArcSwap<Entry>>,
    /// Changes whose old answers may still be kept somewhere.
    pub moves: residual::Moves,
    /// What is held and what waits.
    pub overview: overview::SharedOverview,
}
