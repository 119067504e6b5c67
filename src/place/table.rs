//! Location tables: what every database becomes, ours or a vendor's.
//!
//! Read when maps are compiled and by `geoip lookup`, never for a query: that is
//! [`super::map`]'s business.

use super::locate::{Identity, Location};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// Which kinds of rules a database can ever match; country and continent it always can.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableKind {
    /// Some location has a subdivision.
    pub has_subdivisions: bool,
    /// Some location has coordinates of its own.
    pub has_coordinates: bool,
    /// Some location has an AS number.
    pub has_asn: bool,
}

/// Where a table came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableInfo {
    /// The database's own name and version.
    pub source: String,
    /// The day it was made, `YYYY-MM-DD`.
    pub date: String,
    /// Its licence, where known.
    pub licence: String,
    /// SHA-256 of the file or files it was read from, in hex.
    pub sha256: String,
    /// What it holds.
    pub kind: TableKind,
}

/// The id of space no database knows.
pub(super) const NOWHERE: u32 = u32::MAX;

/// The addresses of one family, told apart by their first 32 or 64 bits: an IPv6 interface
/// identifier says nothing of where its owner is.
pub(super) trait Key: Copy + Ord {
    const BITS: u32;
    const MAX: u64 = u64::MAX >> (64 - Self::BITS);
    fn from_u64(key: u64) -> Self;
    fn to_u64(self) -> u64;
    /// The bits of the key at the left of 128.
    fn left(self) -> u128 {
        u128::from(self.to_u64()) << (128 - Self::BITS)
    }
}

impl Key for u32 {
    const BITS: u32 = 32;
    fn from_u64(key: u64) -> Self {
        key as u32
    }
    fn to_u64(self) -> u64 {
        self.into()
    }
}

impl Key for u64 {
    const BITS: u32 = 64;
    fn from_u64(key: u64) -> Self {
        key
    }
    fn to_u64(self) -> u64 {
        self
    }
}

/// The whole space of a family cut into runs of equal location: sorted starts, the first of
/// them zero, and for each the location's id or [`NOWHERE`]. Half the size of a list of
/// prefixes, which need several rows for one run and a length in each.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Runs<K> {
    starts: Vec<K>,
    places: Vec<u32>,
}

impl<K: Key> Runs<K> {
    pub(super) fn len(&self) -> usize {
        self.starts.len()
    }
    /// Whether nothing at all is known of this family.
    pub(super) fn knows_nothing(&self) -> bool {
        self.places.iter().all(|&place| place == NOWHERE)
    }
    /// Starts with their places.
    pub(super) fn iter_keys(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        let starts = self.starts.iter().map(|start| start.to_u64());
        starts.zip(self.places.iter().copied())
    }
    /// The same, starts as the leftmost of 128 bits.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u128, u32)> + '_ {
        let starts = self.starts.iter().map(|start| start.left());
        starts.zip(self.places.iter().copied())
    }
    /// First key, last key and place of the run that holds `key`.
    fn around(&self, key: K) -> (u64, u64, u32) {
        let next = self.starts.partition_point(|&start| start <= key);
        let last = match self.starts.get(next) {
            Some(start) => start.to_u64() - 1,
            None => K::MAX,
        };
        (self.starts[next - 1].to_u64(), last, self.places[next - 1])
    }
    /// The same runs with other places; what became equal is merged.
    pub(super) fn mapped(&self, to: impl Fn(u32) -> u32) -> Self {
        let mut builder = RunsBuilder::new();
        for (&start, &place) in self.starts.iter().zip(&self.places) {
            builder.push(start, if place == NOWHERE { place } else { to(place) });
        }
        builder.runs
    }
}

/// Makes [`Runs`] from ascending ranges, filling what lies between with [`NOWHERE`].
pub(super) struct RunsBuilder<K> {
    runs: Runs<K>,
    next: u128,
}

impl<K: Key> RunsBuilder<K> {
    pub(super) fn new() -> Self {
        RunsBuilder { runs: Runs { starts: Vec::new(), places: Vec::new() }, next: 0 }
    }
    /// Adds `first..=last`. What earlier ranges took is theirs.
    pub(super) fn add(&mut self, first: u64, last: u64, place: u32) {
        if u128::from(first) > self.next {
            self.push(K::from_u64(self.next as u64), NOWHERE);
        }
        let from = self.next.max(u128::from(first));
        if from <= u128::from(last) {
            self.push(K::from_u64(from as u64), place);
            self.next = u128::from(last) + 1;
        }
    }
    fn push(&mut self, start: K, place: u32) {
        if self.runs.places.last() != Some(&place) {
            self.runs.starts.push(start);
            self.runs.places.push(place);
        }
    }
    pub(super) fn finish(mut self) -> Runs<K> {
        if self.next <= u128::from(K::MAX) {
            self.push(K::from_u64(self.next as u64), NOWHERE);
        }
        self.runs.starts.shrink_to_fit();
        self.runs.places.shrink_to_fit();
        self.runs
    }
}

/// A whole location database, by address.
#[derive(Clone, Debug, PartialEq)]
pub struct LocationTable {
    pub(super) v4: Runs<u32>,
    pub(super) v6: Runs<u64>,
    pub(super) locations: Vec<Location>,
    /// Where it came from.
    pub info: TableInfo,
}

impl LocationTable {
    /// What is known of `ip` (folded by the caller), with the widest network that shares it.
    pub fn lookup(&self, ip: IpAddr) -> Option<(IpNet, &Location)> {
        let (net, place) = match ip {
            IpAddr::V4(v4) => {
                let key = v4.to_bits();
                let (first, last, place) = self.v4.around(key);
                let (start, len) = widest(key.into(), first, last, 32);
                let net = Ipv4Net::new(Ipv4Addr::from_bits(start as u32), len).ok()?;
                (net.into(), place)
            }
            IpAddr::V6(v6) => {
                let key = (v6.to_bits() >> 64) as u64;
                let (first, last, place) = self.v6.around(key);
                let (start, len) = widest(key, first, last, 64);
                let start = Ipv6Addr::from_bits(u128::from(start) << 64);
                (Ipv6Net::new(start, len).ok()?.into(), place)
            }
        };
        Some((net, self.location(place)?))
    }
    /// What rules it can match.
    pub fn kind(&self) -> TableKind {
        self.info.kind
    }
    /// How many runs of addresses it tells apart, IPv4 and IPv6.
    pub fn run_counts(&self) -> (usize, usize) {
        (self.v4.len(), self.v6.len())
    }
    /// Every location it knows.
    pub fn locations(&self) -> &[Location] {
        &self.locations
    }
    /// Gives locations that are equal one id.
    pub(super) fn unite_equal_locations(&mut self) {
        let mut ids = HashMap::new();
        let mut kept = Vec::new();
        let all = std::mem::take(&mut self.locations);
        let to = all.into_iter().map(|location| {
            *ids.entry(Identity::of(&location)).or_insert_with(|| {
                kept.push(location);
                kept.len() as u32 - 1
            })
        });
        let to: Vec<u32> = to.collect();
        let unite = |place: u32| to[place as usize];
        self.v4 = self.v4.mapped(unite);
        self.v6 = self.v6.mapped(unite);
        self.locations = kept;
    }
    pub(super) fn location(&self, place: u32) -> Option<&Location> {
        self.locations.get(place as usize)
    }
}

/// The widest aligned network around `key` that lies within `first..=last`.
fn widest(key: u64, first: u64, last: u64, bits: u8) -> (u64, u8) {
    let mut best = (key, bits);
    for free in 1..=bits {
        let mask = u64::MAX >> (64 - u32::from(free));
        let (start, end) = (key & !mask, key | mask);
        if start < first || end > last {
            break;
        }
        best = (start, bits - free);
    }
    best
}

/// What `locations` can match.
pub(super) fn kind_of(locations: &[Location]) -> TableKind {
    TableKind {
        has_subdivisions: locations.iter().any(|l| l.subdivision.is_some()),
        has_coordinates: locations.iter().any(|l| l.at.is_some()),
        has_asn: locations.iter().any(|l| l.asn.is_some()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::place::locate::Country;

    /// A table of countries, from networks in ascending order.
    pub(in crate::place) fn table(rows: &[(&str, &str)]) -> LocationTable {
        let mut locations: Vec<Location> = Vec::new();
        let (mut v4, mut v6) = (RunsBuilder::new(), RunsBuilder::new());
        for (net, country) in rows {
            let found = Location::of_country(Country::parse(country).unwrap(), None);
            let place = locations.iter().position(|l| *l == found);
            let place = place.unwrap_or_else(|| {
                locations.push(found);
                locations.len() - 1
            }) as u32;
            match net.parse().unwrap() {
                IpNet::V4(n) => {
                    v4.add(n.network().to_bits().into(), n.broadcast().to_bits().into(), place)
                }
                IpNet::V6(n) => v6.add(
                    (n.network().to_bits() >> 64) as u64,
                    (n.broadcast().to_bits() >> 64) as u64,
                    place,
                ),
            }
        }
        LocationTable { v4: v4.finish(), v6: v6.finish(), locations, info: TableInfo::default() }
    }

    #[test]
    fn lookup_gives_the_widest_network_of_one_location() {
        let table = table(&[
            ("192.0.0.0/24", "DE"),
            ("192.0.1.0/24", "DE"),
            ("192.0.2.0/25", "FR"),
            ("255.0.0.0/8", "JP"),
            ("2001:db8::/32", "US"),
        ]);
        let find = |ip: &str| {
            let found = table.lookup(ip.parse().unwrap());
            found.map(|(net, at)| format!("{net} {at}"))
        };
        assert_eq!(find("192.0.1.9").as_deref(), Some("192.0.0.0/23 DE"));
        assert_eq!(find("192.0.2.127").as_deref(), Some("192.0.2.0/25 FR"));
        assert_eq!(find("192.0.2.128"), None);
        assert_eq!(find("255.255.255.255").as_deref(), Some("255.0.0.0/8 JP"));
        assert_eq!(find("2001:db8:7::1").as_deref(), Some("2001:db8::/32 US"));
        assert_eq!(find("::"), None);
    }
}
