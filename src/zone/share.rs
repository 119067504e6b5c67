//! What many names own alike stands once: the last step of building a zone.
//!
//! A node's RRsets are a range of one table, and nothing keeps two nodes from having the same
//! range. So a hundred thousand names with one address, or a delegation for each customer to the
//! same servers, cost a node each and nothing else; nor does sharing cost a lookup anything.

use foldhash::fast::FixedState;
use std::hash::BuildHasher;

use super::lookup::Zone;
use super::slots::Slots;
use crate::pages;

/// Lets nodes that own the same share it. The RRsets of nodes stand in the order of the nodes,
/// as [`super::build`] leaves them.
pub(super) fn share(zone: &mut Zone) {
    let mut rrsets = std::mem::take(&mut zone.rrsets).into_vec();
    let soa = zone.soa as usize;
    let mut known = Slots::with_capacity(zone.names.len());
    let hasher = FixedState::default();
    let mut kept = 0;
    for node in 0..zone.names.len() as u32 {
        let owned = zone.names.value_mut(node);
        let (from, count) = (owned.rrsets as usize, usize::from(owned.rrset_count));
        if count == 0 {
            continue;
        }
        let list = |start: usize| &rrsets[start..start + count];
        let hash = hasher.hash_one(list(from));
        // Behind the last kept one stands what was not looked at, or looked at and dropped.
        let is_same = |start: u32| {
            let start = start as usize;
            start + count <= kept && list(start) == list(from)
        };
        if let Some(start) = known.find(hash, is_same) {
            owned.rrsets = start;
            continue;
        }
        for index in 0..count {
            rrsets.swap(kept + index, from + index);
        }
        if (from..from + count).contains(&soa) {
            zone.soa = (kept + soa - from) as u32;
        }
        owned.rrsets = kept as u32;
        known.occupy(hash, kept as u32);
        kept += count;
    }
    rrsets.truncate(kept);
    pages::settle(&mut rrsets);
    zone.rrsets = rrsets.into();
}

#[cfg(test)]
mod tests {
    use super::super::testing::zone;
    use crate::wire::{Name, types::Rtype};

    fn rrsets(text: &str) -> usize {
        zone(text).rrsets.len()
    }

    #[test]
    fn what_names_own_alike_stands_once() {
        // The apex has two sets of its own.
        let bare = rrsets("");
        let one = "a 60 A 192.0.2.1\na 60 TXT x\n";
        assert_eq!(rrsets(one), bare + 2);
        assert_eq!(rrsets(&format!("{one}b 60 A 192.0.2.1\nb 60 TXT x\n")), bare + 2);
        // Another TTL, another order of records, another set of types.
        assert_eq!(rrsets(&format!("{one}b 61 A 192.0.2.1\nb 60 TXT x\n")), bare + 4);
        assert_eq!(rrsets(&format!("{one}b 60 A 192.0.2.1\n")), bare + 3);
        assert_eq!(
            rrsets("a 9 A 192.0.2.1\na 9 A 192.0.2.2\nb 9 A 192.0.2.2\nb 9 A 192.0.2.1"),
            bare + 2
        );
    }

    #[test]
    fn delegations_to_the_same_servers_share_them_with_their_addresses() {
        let cuts = "a 60 NS ns.p\nb 60 NS ns.p\nc 60 NS ns.p\nns.p 60 A 192.0.2.1";
        let zone = zone(cuts);
        // SOA and NS of the apex, one NS, one A.
        assert_eq!((zone.rrsets.len(), zone.companions.len()), (4, 1));
        for cut in ["a", "b", "c"] {
            let node = zone.find(&Name::parse(&format!("{cut}.example")).unwrap()).unwrap();
            let (_, glue) = zone.additional(node.rrset(Rtype::NS).unwrap());
            let glue: Vec<String> = glue.map(|node| node.name().to_string()).collect();
            assert_eq!(glue, ["ns.p.example"], "{cut}");
        }
        assert_eq!(zone.soa().rtype(), Rtype::SOA);
    }
}
