//! How many entries a resolver that forwards client subnets must cache for one name.
//!
//! The widest sound scope is what keeps that small (DESIGN §2, 7): these are the marks of §6.

#[path = "support/regions.rs"]
mod regions;

use regions::{Regions, THREE, TWELVE};
use std::net::Ipv4Addr;
use tradewind::place::embedded;

/// Scopes that cover all IPv4 space the map knows.
fn entries(regions: &Regions) -> usize {
    let masks: Vec<_> = (0..regions.classes())
        .map(|class| regions.same_answer(tradewind::ids::Class::at(class)))
        .collect();
    let (mut entries, mut at) = (0, 0u64);
    while at <= u64::from(u32::MAX) {
        let hit = regions.map.lookup(Ipv4Addr::from_bits(at as u32).into());
        let len = if hit.known {
            entries += 1;
            regions.map.scope(&hit, &masks[hit.class.index()])
        } else {
            regions.map.row(&hit).prefix_len()
        };
        let size = 1u64 << (32 - len);
        at = (at & !(size - 1)) + size;
    }
    entries
}

#[test]
fn three_regions_need_at_most_128_k_entries() {
    let regions = Regions::over(&embedded::table(), &THREE);
    let entries = entries(&regions);
    println!(
        "3 regions: {entries} entries, {} classes, {} bytes",
        regions.classes(),
        regions.map.bytes()
    );
    assert!(entries <= 128_000, "{entries}");
}

#[test]
fn twelve_regions_need_at_most_220_k_entries() {
    let regions = Regions::over(&embedded::table(), &TWELVE);
    let entries = entries(&regions);
    println!(
        "12 regions: {entries} entries, {} classes, {} bytes",
        regions.classes(),
        regions.map.bytes()
    );
    assert!(entries <= 220_000, "{entries}");
}
