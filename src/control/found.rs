//! The addresses found for names that are answered flattened, and how they become answers.
//!
//! What is found stays until something else is: a lookup that fails takes nothing away, and a
//! restart goes on with what is kept (DESIGN §2, decision 13).

use super::{
    event::EventKind,
    publish::{Control, Outcome},
    store::{Saved, Write},
};
use crate::{ids::SlotId, policy::Found, snapshot::Snapshot, units::Ttl, wire::Name};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    net::{Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

/// Most addresses of one family that a flattened name is answered with (DESIGN §5, CNAME
/// members): the lowest, so that resolvers which rotate them move nobody.
pub const FOUND_MAX: usize = 8;

/// The note of the store.
const FOUND: &str = "found";

/// What one lookup came to; a family that could not be asked for stays as it was.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// IPv4, rising.
    pub v4: Option<Box<[Ipv4Addr]>>,
    /// IPv6, rising.
    pub v6: Option<Box<[Ipv6Addr]>>,
    /// For how long they were given.
    pub ttl: Ttl,
}

/// What is known of all names, whatever the Snapshot.
pub(super) type AllFound = BTreeMap<Name, Arc<Found>>;

/// A name's addresses as they are kept.
#[derive(Debug, Serialize, Deserialize)]
struct KeptFound {
    name: Arc<str>,
    v4: Box<[Ipv4Addr]>,
    v6: Box<[Ipv6Addr]>,
    ttl_s: u32,
}

impl Control {
    /// Takes what was found for `name`. What was found before outlives a lookup in vain; a name for
    /// which there is nothing is no use from then on.
    pub fn take_found(&mut self, name: &Name, looked: Option<&Looked>) {
        let old = self.publisher.world();
        let Some(alias) = old.snapshot.aliases.iter().find(|alias| alias.name == *name) else {
            // It may have been taken out of the files meanwhile.
            return;
        };
        let before = self.found.get(name).cloned();
        if before.is_some() && looked.is_none() {
            return;
        }
        let known = before.as_deref().cloned().unwrap_or_default();
        let found = Found {
            v4: looked.and_then(|looked| looked.v4.clone()).unwrap_or(known.v4),
            v6: looked.and_then(|looked| looked.v6.clone()).unwrap_or(known.v6),
            ttl: looked.map_or(known.ttl, |looked| looked.ttl),
        };
        let is_same = before.is_some_and(|b| (&b.v4, &b.v6) == (&found.v4, &found.v6));
        let (shown, ttl) = (found.to_string(), found.ttl.min(known.ttl));
        self.found.insert(name.clone(), Arc::new(found));
        let mut outcome = Outcome::new(&old, self.clock.now());
        for id in alias.slots.iter().flat_map(|slot| &old.snapshot.plans_of_slot[slot.index()]) {
            let plan = old.snapshot.plan(*id);
            // A TTL that the record's own is below anyway changes nothing.
            if !is_same || plan.ttl.max > ttl {
                outcome.touched.insert(*id);
            }
        }
        if !is_same && looked.is_some() {
            let (name, what) = (name.to_string().into(), shown.into());
            outcome.events.push(EventKind::Lookup { name, what, well: true });
            self.keep_found();
        }
        if self.warming {
            // `warm` takes all at once.
            self.write(old.swap, outcome.events);
            return;
        }
        if !outcome.touched.is_empty() {
            outcome.state.found = self.found_of(&old.snapshot);
            self.settle(&old, outcome);
        }
    }

    /// What is known for the slots of `snapshot`, by slot.
    pub(super) fn found_of(&self, snapshot: &Snapshot) -> Vec<(SlotId, Arc<Found>)> {
        let aliases = snapshot.aliases.iter().filter_map(|alias| {
            let found = self.found.get(&alias.name)?;
            Some(alias.slots.iter().map(move |slot| (*slot, Arc::clone(found))))
        });
        let mut found: Vec<_> = aliases.flatten().collect();
        found.sort_unstable_by_key(|(slot, _)| *slot);
        found
    }

    /// Forgets what no name of `snapshot` needs.
    pub(super) fn forget_found(&mut self, snapshot: &Snapshot) {
        let known = self.found.len();
        self.found.retain(|name, _| snapshot.aliases.iter().any(|alias| alias.name == *name));
        if self.found.len() != known {
            self.keep_found();
        }
    }

    fn keep_found(&self) {
        let Some(keeper) = self.keeper() else { return };
        let kept = self.found.iter().filter(|(_, found)| !found.is_empty());
        let kept = kept.map(|(name, found)| KeptFound {
            name: name.to_string().into(),
            v4: found.v4.clone(),
            v6: found.v6.clone(),
            ttl_s: found.ttl.as_secs(),
        });
        let value = serde_json::to_value(kept.collect::<Vec<_>>()).ok();
        keeper.write(vec![Write::Note { name: FOUND.into(), value }]);
    }
}

/// What the run before had found.
pub(super) fn restored(saved: &Saved) -> AllFound {
    let note = saved.notes.get(FOUND).cloned().and_then(|v| serde_json::from_value(v).ok());
    let kept: Vec<KeptFound> = note.unwrap_or_default();
    let restored = kept.into_iter().filter_map(|kept| {
        let KeptFound { name, v4, v6, ttl_s } = kept;
        Some((Name::parse(&name).ok()?, Arc::new(Found { v4, v6, ttl: Ttl::from_secs(ttl_s) })))
    });
    restored.collect()
}
