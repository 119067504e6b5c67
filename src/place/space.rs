//! How much of the known address space each class of clients has, and where: the weight of a
//! class where nobody counts its clients.
//!
//! Two maps are walked together, so that shares before and after a change are sums over the very
//! same addresses. Address space is not traffic: a country with few addresses behind large
//! translators weighs less than its people do. It is what is known before a change, without
//! looking at any client.

use super::{
    ClientMap, Country, Location, LocationTable,
    table::{Key, NOWHERE},
};
use crate::ids::Class;
use ipnet::IpNet;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// The addresses of one pair of classes at one home.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SpaceCell {
    /// The class in either map.
    pub classes: [Class; 2],
    /// Where they are: an index into the homes it came with.
    pub home: u32,
    /// How many IPv4 addresses, or IPv6 networks of /64.
    pub size: f64,
}

/// Where clients are, as far as latency depends on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Home {
    /// What a database says.
    pub location: Option<Location>,
    /// The networks asked for that they are in, longest first.
    pub nets: Box<[IpNet]>,
}

impl Home {
    /// The country, where it is known.
    pub fn country(&self) -> Option<Country> {
        self.location?.country
    }
}

/// What was counted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Space {
    /// In order of classes, then of homes.
    pub cells: Vec<SpaceCell>,
    /// What homes are.
    pub homes: Vec<Home>,
}

/// Which addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpaceOf {
    /// IPv4, address by address.
    V4,
    /// IPv6, by networks of /64.
    V6,
}

/// The address space that `table` knows of a family, by the classes of two `maps` (class 0,
/// without one) and by home, which `nets` part further. Walks all of it once: 25 ms with the
/// embedded table.
pub fn space(
    maps: [Option<&ClientMap>; 2],
    of: SpaceOf,
    table: &LocationTable,
    nets: &[IpNet],
) -> Space {
    match of {
        SpaceOf::V4 => walk::<u32>(maps, table, nets),
        SpaceOf::V6 => walk::<u64>(maps, table, nets),
    }
}

fn walk<K: Key>(maps: [Option<&ClientMap>; 2], table: &LocationTable, nets: &[IpNet]) -> Space {
    let Some((runs, locations)) = table.places::<K>() else { return Space::default() };
    let fences = fences::<K>(nets);
    let mut found: HashMap<u64, f64> = HashMap::new();
    let mut homes = Homes::new(nets);
    let mut rows = maps.map(Row::of);
    let is_one = matches!(maps, [Some(one), Some(other)] if std::ptr::eq(one, other));
    let starts = runs.iter_keys().skip(1).map(|(start, _)| start - 1);
    for ((start, place), last) in runs.iter_keys().zip(starts.chain([K::MAX])) {
        let Some(location) = locations.get(place as usize).filter(|_| place != NOWHERE) else {
            continue;
        };
        let mut at = start;
        loop {
            let (before, end) = rows[0].at::<K>(at);
            let (after, end_after) = if is_one { (before, end) } else { rows[1].at::<K>(at) };
            let fence = fences.get(fences.partition_point(|&fence| fence <= at));
            let fence = fence.map_or(K::MAX, |fence| fence - 1);
            // A row holds the address it was asked about, so this always moves on.
            let to = last.min(end).min(end_after).min(fence).max(at);
            let home = homes.of(Some(place), Some(location), address::<K>(at));
            let key = u64::from(before.0) << 48 | u64::from(after.0) << 32 | u64::from(home);
            *found.entry(key).or_default() += (to - at) as f64 + 1.0;
            if to >= last {
                break;
            }
            at = to + 1;
        }
    }
    let mut found: Vec<(u64, f64)> = found.into_iter().collect();
    found.sort_unstable_by_key(|(key, _)| *key);
    let cell = |(key, size)| SpaceCell {
        classes: [Class((key >> 48) as u16), Class((key >> 32) as u16)],
        home: key as u32,
        size,
    };
    Space { cells: found.into_iter().map(cell).collect(), homes: homes.finish() }
}

/// Where a walk is in a map. A row is often far longer than a run of the table, so that most steps
/// are still in the one that was looked up before.
struct Row<'m> {
    map: Option<&'m ClientMap>,
    class: Class,
    /// The last key that is known to have this class, once there is one.
    last: Option<u64>,
}

impl<'m> Row<'m> {
    fn of(map: Option<&'m ClientMap>) -> Row<'m> {
        Row { map, class: Class(0), last: None }
    }

    /// The class of the client at `key`, and the last key of the row that says so. Keys only rise.
    fn at<K: Key>(&mut self, key: u64) -> (Class, u64) {
        let Some(map) = self.map else { return (Class(0), K::MAX) };
        if let Some(last) = self.last.filter(|&last| key <= last) {
            return (self.class, last);
        }
        let hit = map.lookup(address::<K>(key));
        self.class = hit.class;
        self.last = match map.row(&hit) {
            IpNet::V4(net) if K::BITS == 32 => Some(net.broadcast().to_bits().into()),
            IpNet::V6(net) if K::BITS == 64 => Some((net.broadcast().to_bits() >> 64) as u64),
            // IPv4 hidden in IPv6 is counted with what is around it, and says nothing of that.
            _ => None,
        };
        (hit.class, self.last.unwrap_or(K::MAX))
    }
}

fn address<K: Key>(key: u64) -> IpAddr {
    match K::BITS {
        32 => Ipv4Addr::from_bits(key as u32).into(),
        _ => Ipv6Addr::from_bits(u128::from(key) << 64).into(),
    }
}

/// Where `nets` of a family begin, and where what follows them does, in order.
fn fences<K: Key>(nets: &[IpNet]) -> Vec<u64> {
    let ends = nets.iter().filter_map(|net| match net {
        IpNet::V4(net) if K::BITS == 32 => {
            Some((net.network().to_bits().into(), net.broadcast().to_bits().into()))
        }
        IpNet::V6(net) if K::BITS == 64 => {
            let key = |ip: Ipv6Addr| (ip.to_bits() >> 64) as u64;
            Some((key(net.network()), key(net.broadcast())))
        }
        _ => None,
    });
    let fences: BTreeSet<u64> = ends
        .flat_map(|(first, last): (u64, u64)| [Some(first), last.checked_add(1)])
        .flatten()
        .collect();
    fences.into_iter().collect()
}

/// Homes as they are found, each once.
pub struct Homes {
    nets: HashSet<IpNet>,
    /// The lengths among `nets`, longest first.
    lengths: Vec<u8>,
    known: HashMap<(Option<u32>, Box<[IpNet]>), u32>,
    /// Where nothing parts them: their numbers by place.
    whole: Vec<Option<u32>>,
    list: Vec<Home>,
}

impl Homes {
    /// Homes that are parted by `nets`.
    pub fn new(nets: &[IpNet]) -> Homes {
        let lengths: BTreeSet<u8> = nets.iter().map(IpNet::prefix_len).collect();
        Homes {
            nets: nets.iter().copied().collect(),
            lengths: lengths.into_iter().rev().collect(),
            known: HashMap::new(),
            whole: Vec::new(),
            list: Vec::new(),
        }
    }

    /// The number of the home at `ip`, where a database has `location`, which it calls `place`.
    pub fn of(&mut self, place: Option<u32>, location: Option<&Location>, ip: IpAddr) -> u32 {
        if self.lengths.is_empty() {
            return self.whole(place, location);
        }
        let within = self.lengths.iter().filter_map(|&length| {
            let net = IpNet::new(ip, length).ok()?.trunc();
            self.nets.contains(&net).then_some(net)
        });
        let nets: Box<[IpNet]> = within.collect();
        let list = &mut self.list;
        *self.known.entry((place, nets)).or_insert_with_key(|(_, nets)| {
            list.push(Home { location: location.copied(), nets: nets.clone() });
            list.len() as u32 - 1
        })
    }

    fn whole(&mut self, place: Option<u32>, location: Option<&Location>) -> u32 {
        let at = place.map_or(0, |place| place as usize + 1);
        if self.whole.len() <= at {
            self.whole.resize(at + 1, None);
        }
        *self.whole[at].get_or_insert_with(|| {
            self.list.push(Home { location: location.copied(), nets: Box::default() });
            self.list.len() as u32 - 1
        })
    }

    /// What the numbers mean.
    pub fn finish(self) -> Vec<Home> {
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::{Location, embedded};
    use std::{collections::BTreeMap, convert::Infallible};

    fn map(table: &LocationTable, nets: &[IpNet], country: &str) -> ClientMap {
        let ours = Country::parse(country);
        let mut class_of = |location: Option<&Location>, nets: &[u32]| {
            let is_ours = location.is_some_and(|l| l.country == ours);
            Ok::<_, Infallible>(Class(if nets.is_empty() { is_ours.into() } else { 2 }))
        };
        let Ok(map) = ClientMap::build(Some(table), nets, &mut class_of, Class(0));
        map
    }

    fn by_country(space: &Space) -> BTreeMap<Option<Country>, f64> {
        let mut sums: BTreeMap<Option<Country>, f64> = BTreeMap::new();
        for cell in &space.cells {
            *sums.entry(space.homes[cell.home as usize].country()).or_default() += cell.size;
        }
        sums
    }

    #[test]
    fn every_known_address_is_counted_once_whatever_the_maps() {
        let table = embedded::table();
        let jp = Country::parse("JP");
        let nets: [IpNet; 1] = ["133.11.0.0/20".parse().unwrap()];
        let (japan, france) = (map(&table, &nets, "JP"), map(&table, &[], "FR"));
        for of in [SpaceOf::V4, SpaceOf::V6] {
            let plain = space([None, None], of, &table, &[]);
            let split = space([Some(&japan), Some(&france)], of, &table, &nets);
            assert_eq!(by_country(&plain), by_country(&split));
            let all: f64 = plain.cells.iter().map(|cell| cell.size).sum();
            assert!(of == SpaceOf::V6 || (3e9..3.8e9).contains(&all), "{all}");
            // A map is no finer than /24 or /56, the table is: here and there a neighbour is
            // counted along.
            let country = |cell: &SpaceCell| split.homes[cell.home as usize].country();
            let strays = split.cells.iter().filter(|cell| {
                let [in_japan, in_france] = cell.classes;
                (in_japan == Class(0)) == (country(cell) == jp)
                    || (in_france == Class(0)) == (country(cell) == Country::parse("FR"))
            });
            let strays: f64 = strays.map(|cell| cell.size).sum();
            assert!(strays < all / 10_000.0, "{strays}");
        }
        let split = space([Some(&japan), Some(&japan)], SpaceOf::V4, &table, &nets);
        let of_net = split.cells.iter().find(|cell| cell.classes[1] == Class(2)).unwrap();
        assert_eq!((of_net.classes[0], of_net.size), (Class(2), 4096.0));
        let home = &split.homes[of_net.home as usize];
        assert_eq!((home.country(), &*home.nets), (jp, &nets[..]));
        let inside = split.cells.iter().filter(|c| !split.homes[c.home as usize].nets.is_empty());
        assert_eq!(inside.map(|cell| cell.size).sum::<f64>(), 4096.0);
    }
}
