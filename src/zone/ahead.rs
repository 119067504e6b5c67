//! A lookup begun before its turn: what it will read is on its way from memory by then.
//!
//! Each step waits for what the step before it asked for, so that it pays to take one step of many
//! lookups at a time. Nothing is decided here; [`super::lookup`] does all of it anew. Must not know
//! whose lookups they are.

use super::lookup::Zone;
use crate::{prefetch::prefetch, wire::QName};

/// Names from which on it pays: those of fewer, with what they own a megabyte, mostly stay in the
/// cache.
const MANY: usize = 10_000;

/// How far a lookup has come.
#[derive(Clone, Copy, Debug, Default)]
pub struct Begun(Step);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Step {
    /// The slot of the name with this hash is on its way.
    Slot(u64),
    /// So is what the table of names has at this index.
    Entry(u32),
    /// There is nothing more to ask for.
    #[default]
    All,
}

impl Zone {
    /// Whether its names are so many that beginning lookups pays.
    #[inline]
    pub fn is_large(&self) -> bool {
        self.names.len() >= MANY
    }

    /// Begins to look up `qname`, unless no name of the zone has so many labels.
    #[inline]
    pub fn begin(&self, qname: &QName) -> Begun {
        if qname.label_count() > self.apex_labels + self.depth {
            return Begun::default();
        }
        let hash = self.relative(qname, 0).hash();
        self.names.prefetch_slot(hash);
        Begun(Step::Slot(hash))
    }

    /// Takes the next step of a lookup in this zone.
    #[inline]
    pub fn go_on(&self, begun: &mut Begun) {
        begun.0 = match begun.0 {
            Step::Slot(hash) => self.names.prefetch_entry(hash).map_or(Step::All, Step::Entry),
            Step::Entry(index) => {
                let owned = self.names.get(index);
                if let Some(rrset) = owned.and_then(|owned| self.rrsets.get(owned.rrsets as usize))
                {
                    prefetch(rrset);
                }
                Step::All
            }
            Step::All => Step::All,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{wire::testing::name, zone::testing::zone};

    #[test]
    fn what_is_begun_leads_to_the_node_that_a_lookup_finds() {
        let zone = zone(
            "$TTL 60\n$GENERATE 1-9999 host$ A 192.0.2.1\na-rather-long-label.below A 192.0.2.1",
        );
        assert!(zone.is_large());
        let mut qname = QName::default();
        for node in zone.nodes() {
            qname.set(&node.name());
            let mut begun = zone.begin(&qname);
            assert!(matches!(begun.0, Step::Slot(_)));
            zone.go_on(&mut begun);
            assert_eq!(begun.0, Step::Entry(node.index), "{node:?}");
            zone.go_on(&mut begun);
            assert_eq!(begun.0, Step::All);
        }
        qname.set(&name("too.deep.for.this.example"));
        assert_eq!(zone.begin(&qname).0, Step::All);
        for missing in ["host0.example", "a.host1.example", "elsewhere", "."] {
            qname.set(&name(missing));
            let mut begun = zone.begin(&qname);
            zone.go_on(&mut begun);
            zone.go_on(&mut begun);
            assert_eq!(begun.0, Step::All, "{missing}");
        }
    }

    #[test]
    fn of_few_names_none_is_begun_early() {
        assert!(!zone("www 60 A 192.0.2.1").is_large());
    }
}
