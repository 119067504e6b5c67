//! How much of the routed IPv4 address space each class of clients has, and in which countries:
//! the weight of a class where nobody counts its clients.
//!
//! Address space is not traffic: a country with few addresses behind large translators weighs
//! less than its people do. It is what is known before a change, without looking at any client.

use super::{ClientMap, Country, LocationTable};
use crate::ids::Class;
use ipnet::IpNet;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr},
};

/// The addresses of one class in one country.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SpaceCell {
    /// The class.
    pub class: Class,
    /// The country, where the table knows it.
    pub country: Option<Country>,
    /// How many IPv4 addresses.
    pub addresses: u64,
}

/// The address space that `table` knows, by the classes of `map` (one class, 0, without it) and
/// country. Walks both once: 25 ms with the embedded table.
pub fn space(map: Option<&ClientMap>, table: &LocationTable) -> Vec<SpaceCell> {
    let mut found: HashMap<(Class, Option<Country>), u64> = HashMap::new();
    let mut add = |class, country, addresses| {
        *found.entry((class, country)).or_default() += addresses;
    };
    let Some((runs, locations)) = table.places_v4() else { return Vec::new() };
    let starts = runs.iter_keys().skip(1).map(|(start, _)| start);
    let ends = starts.chain([1 << 32]);
    for ((start, place), end) in runs.iter_keys().zip(ends) {
        let Some(location) = locations.get(place as usize) else { continue };
        let Some(map) = map else {
            add(Class(0), location.country, end - start);
            continue;
        };
        let mut at = start;
        while at < end {
            let hit = map.lookup(IpAddr::V4(Ipv4Addr::from_bits(at as u32)));
            let next = match map.row(&hit) {
                IpNet::V4(net) => u64::from(net.broadcast().to_bits()) + 1,
                IpNet::V6(_) => end,
            };
            // A row holds the address it was asked about, so this always moves on.
            let next = next.clamp(at + 1, end);
            add(hit.class, location.country, next - at);
            at = next;
        }
    }
    let cell = |((class, country), addresses)| SpaceCell { class, country, addresses };
    let mut cells: Vec<SpaceCell> = found.into_iter().map(cell).collect();
    cells.sort_unstable_by_key(|cell| (cell.class, cell.country));
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::{Location, embedded};
    use std::{collections::BTreeMap, convert::Infallible};

    #[test]
    fn every_known_address_is_counted_once_whatever_the_map() {
        let table = embedded::table();
        let jp = Country::parse("JP").unwrap();
        let mut class_of = |location: Option<&Location>, nets: &[u32]| {
            let is_jp = location.is_some_and(|l| l.country == Some(jp));
            Ok::<_, Infallible>(Class(if nets.is_empty() { is_jp.into() } else { 2 }))
        };
        let nets = ["133.11.0.0/20".parse().unwrap()];
        let Ok(map) = ClientMap::build(Some(&table), &nets, &mut class_of, Class(0));
        let (plain, split) = (space(None, &table), space(Some(&map), &table));
        let by_country = |cells: &[SpaceCell]| {
            let mut sums: BTreeMap<Option<Country>, u64> = BTreeMap::new();
            for cell in cells {
                *sums.entry(cell.country).or_default() += cell.addresses;
            }
            sums
        };
        assert_eq!(by_country(&plain), by_country(&split));
        let all: u64 = plain.iter().map(|cell| cell.addresses).sum();
        assert!((3_000_000_000..3_800_000_000).contains(&all), "{all}");
        // A map is no finer than /24, the table is: here and there a neighbour is counted along.
        let strays =
            split.iter().filter(|cell| (cell.class == Class(0)) == (cell.country == Some(jp)));
        let strays: u64 = strays.map(|cell| cell.addresses).sum();
        assert!(strays < all / 10_000, "{strays}");
        let of_net = split.iter().find(|cell| cell.class == Class(2)).unwrap();
        assert_eq!(of_net.addresses, 1 << 12);
    }
}
