//! What a change would do to clients, before it is made: which share of them goes where, who
//! would move, how much further they would have it, what the files say otherwise.
//!
//! | file | its part |
//! |---|---|
//! | `clients` | how many clients each pair of classes stands for |
//! | `shares` | what one class of clients gets, by the packet path's own `select()` |
//! | `preview`, `sums` | who would move between two standpoints, and by how much |
//! | `distance` | the latency that clients have to a region |
//! | `capacity` | what pools get against what they can take |
//! | `difference`, `facts`, `statics` | what two sets of files say otherwise, by name |
//! | `fingerprint` | whether clients of a record may get something else |
//!
//! Answers are distributions, so shares are exact: sums over address space, nothing is drawn. The
//! two standpoints may be of other files; records are found again by name ([`Pair`]). Pure: must
//! not know who asks, what time it is, or how a standpoint comes about ([`crate::control`]).

pub mod capacity;
pub mod clients;
pub mod difference;
mod distance;
mod facts;
mod fingerprint;
pub mod preview;
pub mod shares;
mod statics;
mod sums;

pub use clients::{Asked, Clients, Look, Sample, Seen, TooFew, Weights};
pub use preview::{Preview, preview};
pub use shares::Standpoint;

use crate::{ids::RecordId, snapshot::Snapshot};
use std::collections::HashMap;

/// A record before a change, and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pair {
    /// In the Snapshot before.
    pub before: RecordId,
    /// In the one after.
    pub after: RecordId,
}

impl Pair {
    /// `records` of files that stay as they are.
    pub fn same(records: &[RecordId]) -> Vec<Pair> {
        records.iter().map(|&id| Pair { before: id, after: id }).collect()
    }

    /// Every record that both `before` and `after` have, by name.
    pub fn all(before: &Snapshot, after: &Snapshot) -> Vec<Pair> {
        let known = before.records.iter().enumerate();
        let known: HashMap<&str, RecordId> =
            known.map(|(index, record)| (&*record.id, RecordId::at(index))).collect();
        let records = after.records.iter().enumerate();
        let pairs = records.filter_map(|(index, record)| {
            let before = *known.get(&*record.id)?;
            Some(Pair { before, after: RecordId::at(index) })
        });
        pairs.collect()
    }
}
