//! A lookup begun before its turn: what it will read is on its way from memory by then.
//!
//! Each step waits for what the step before it asked for, so that it pays to take one step of many
//! lookups at a time. Nothing is decided here; [`super::lookup`] does all of it anew. Must not know
//! whose lookups they are.

use super::lookup::Zone;
use crate::{prefetch::prefetch, wire::QName};

/// Names from which on it pays: those of fewer mostly are in the cache, half a megabyte of them.
const MANY: usize = 10_000;

/// How far a lookup has come.
#[derive(Clone, Copy, Debug)]
pub enum Begun {
    /// The slot of the name with this hash is on its way.
    Slot(u64),
    /// So is what the table of names has at this index.
    Entry(u32),
    /// There is nothing more to ask for.
    All,
}

impl Zone {
    /// Whether its names are so many that beginning lookups pays.
    #[inline]
    pub fn is_large(&self) -> bool {
        self.names.len() >= MANY
    }

    /// Begins to look up `qname`.
    #[inline]
    pub fn begin(&self, qname: &QName) -> Begun {
        let key = self.relative(qname, 0);
        self.names.prefetch_slot(key);
        Begun::Slot(key.hash())
    }

    /// Takes the next step of a lookup in this zone.
    #[inline]
    pub fn go_on(&self, begun: Begun) -> Begun {
        match begun {
            Begun::Slot(hash) => self.names.prefetch_entry(hash).map_or(Begun::All, Begun::Entry),
            Begun::Entry(index) => {
                let owned = self.names.get(index);
                if let Some(rrset) = owned.and_then(|owned| self.rrsets.get(owned.rrsets as usize))
                {
                    prefetch(rrset);
                }
                Begun::All
            }
            Begun::All => Begun::All,
        }
    }
}
