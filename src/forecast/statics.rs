//! What zones say beside steering: whole zones that come and go, and records that every client
//! gets alike.
//!
//! Serial numbers and what signing makes anew every time are no changes of the operator's.

use super::difference::{Detail, Difference, Item, Sign};
use crate::{
    snapshot::{Snapshot, ZoneEntry},
    wire::{Name, types::Rtype},
    zone::{Node, Rrset, Zone, rdata_text},
};
use std::{collections::BTreeMap, sync::Arc};

/// Records of a set that are told.
const DATA_MAX: usize = 4;

/// What signers make.
const BY_SIGNERS: [Rtype; 4] = [Rtype::RRSIG, Rtype::NSEC, Rtype::NSEC3, Rtype::NSEC3PARAM];

/// The zones of two Snapshots, and what stands in them.
pub(super) fn zones(old: &Snapshot, new: &Snapshot, into: &mut Difference) {
    let by_apex = |snapshot: &Snapshot| -> BTreeMap<Name, ZoneEntry> {
        snapshot.zones.iter().map(|zone| (zone.apex.clone(), zone.clone())).collect()
    };
    let (had, has) = (by_apex(old), by_apex(new));
    for (apex, zone) in has.iter().filter(|(apex, _)| !had.contains_key(*apex)) {
        into.tell(whole(Sign::Added, apex, zone));
    }
    for (apex, zone) in had.iter().filter(|(apex, _)| !has.contains_key(*apex)) {
        into.tell(whole(Sign::Removed, apex, zone));
    }
    for (apex, is) in &has {
        let Some(was) = had.get(apex) else { continue };
        match (&was.zone, &is.zone) {
            (Some(was), Some(is)) if !Arc::ptr_eq(was, is) => records(was, is, into),
            (None, Some(_)) => into.tell(Item {
                sign: Sign::Changed,
                kind: "zone",
                name: apex.to_string(),
                others: 0,
                details: vec![Detail::changed("answered with SERVFAIL → compiles".into())],
            }),
            _ => {}
        }
    }
}

fn whole(sign: Sign, apex: &Name, zone: &ZoneEntry) -> Item {
    let names = zone.zone.as_ref().map_or(0, |zone| zone.name_count());
    let text = format!("{names} names, {} steered records", zone.records.len());
    let details = vec![Detail { sign, text }];
    Item { sign, kind: "zone", name: apex.to_string(), others: 0, details }
}

fn records(old: &Zone, new: &Zone, into: &mut Difference) {
    // Names stand in no order: what is found is sorted before it is told.
    let mut found: BTreeMap<(Name, Rtype), Item> = BTreeMap::new();
    for node in new.nodes() {
        let name = node.name();
        let was = old.find(&name);
        for rrset in told(node) {
            let before = was.and_then(|was| was.rrset(rrset.rtype()));
            if let Some(item) = set(&name, before, Some(rrset), old, new) {
                found.insert((name.clone(), rrset.rtype()), item);
            }
        }
    }
    for node in old.nodes() {
        let name = node.name();
        let is = new.find(&name);
        for rrset in told(node) {
            if is.and_then(|is| is.rrset(rrset.rtype())).is_none()
                && let Some(item) = set(&name, Some(rrset), None, old, new)
            {
                found.insert((name.clone(), rrset.rtype()), item);
            }
        }
    }
    found.into_values().for_each(|item| into.tell(item));
}

fn told(node: Node<'_>) -> impl Iterator<Item = &Rrset> {
    node.rrsets().iter().filter(|rrset| !BY_SIGNERS.contains(&rrset.rtype()))
}

fn set(
    name: &Name,
    old: Option<&Rrset>,
    new: Option<&Rrset>,
    old_zone: &Zone,
    new_zone: &Zone,
) -> Option<Item> {
    let [was, is] = [(old, old_zone), (new, new_zone)].map(|(rrset, zone)| {
        let rrset = rrset?;
        let data = rrset.rdatas.iter(Some(zone.apex())).map(|data| without_serial(rrset, data));
        let mut data: Vec<Vec<u8>> = data.collect();
        data.sort_unstable();
        Some((rrset.ttl, data))
    });
    if was == is {
        return None;
    }
    let rtype = old.or(new)?.rtype();
    let (sign, details) = match (was, is) {
        (Some((ttl, data)), None) => {
            (Sign::Removed, lines(Sign::Removed, rtype, ttl.as_secs(), &data))
        }
        (None, Some((ttl, data))) => (Sign::Added, lines(Sign::Added, rtype, ttl.as_secs(), &data)),
        (Some((old_ttl, old_data)), Some((ttl, data))) => {
            let gone: Vec<Vec<u8>> =
                old_data.iter().filter(|one| !data.contains(one)).cloned().collect();
            let come: Vec<Vec<u8>> =
                data.iter().filter(|one| !old_data.contains(one)).cloned().collect();
            let mut details: Vec<Detail> =
                Detail::between("ttl", &old_ttl, &ttl, |ttl| format!("{} s", ttl.as_secs()))
                    .into_iter()
                    .collect();
            details.extend(lines(Sign::Removed, rtype, old_ttl.as_secs(), &gone));
            details.extend(lines(Sign::Added, rtype, ttl.as_secs(), &come));
            (Sign::Changed, details)
        }
        (None, None) => return None,
    };
    let name = format!("{name} {rtype}");
    Some(Item { sign, kind: "static", name, others: 0, details })
}

/// The data of a record; of an SOA without its serial number, which counts by itself.
fn without_serial(rrset: &Rrset, mut data: Vec<u8>) -> Vec<u8> {
    if rrset.rtype() == Rtype::SOA
        && let Some(serial) = data.len().checked_sub(20).and_then(|at| data.get_mut(at..at + 4))
    {
        serial.fill(0);
    }
    data
}

fn lines(sign: Sign, rtype: Rtype, ttl: u32, data: &[Vec<u8>]) -> Vec<Detail> {
    let line = |data: &Vec<u8>| format!("{ttl} {}", rdata_text(rtype, data));
    let mut texts: Vec<String> = data.iter().take(DATA_MAX).map(line).collect();
    if data.len() > DATA_MAX {
        texts.push(format!("and {} more", data.len() - DATA_MAX));
    }
    texts.into_iter().map(|text| Detail { sign, text }).collect()
}
