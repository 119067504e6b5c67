//! What is known of where an address is: locations, and the table that finds them.
//!
//! A [`LocationTable`] is what every database becomes, ours or a vendor's. It is read when maps
//! are compiled and by `geoip lookup`, never for a query: that is [`super::map`]'s business.

use crate::units::Coordinates;
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// An ISO 3166-1 alpha-2 code: two capital letters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country([u8; 2]);

impl Country {
    /// The country written `code`, in either case, if it has the form of one.
    pub fn parse(code: &str) -> Option<Self> {
        let bytes: [u8; 2] = code.as_bytes().try_into().ok()?;
        let letters = bytes.iter().all(u8::is_ascii_alphabetic);
        letters.then(|| Country(bytes.map(|b| b.to_ascii_uppercase())))
    }
    /// The two letters.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("parse lets only ASCII letters in")
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A part of a country: the ISO 3166-2 code after its hyphen, one to three letters or digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subdivision {
    bytes: [u8; 3],
    len: u8,
}

impl Subdivision {
    /// The subdivision whose suffix is `code` (`CA` of `US-CA`), if it has the form of one.
    pub fn parse(code: &str) -> Option<Self> {
        let fits = (1..=3).contains(&code.len());
        if !fits || !code.bytes().all(|b| b.is_ascii_alphanumeric()) {
            return None;
        }
        let mut bytes = [0; 3];
        for (to, from) in bytes.iter_mut().zip(code.bytes()) {
            *to = from.to_ascii_uppercase();
        }
        let len = code.len() as u8;
        Some(Subdivision { bytes, len })
    }
    /// `US-CA` as its two parts.
    pub fn parse_full(code: &str) -> Option<(Country, Self)> {
        let (country, suffix) = code.split_once('-')?;
        Some((Country::parse(country)?, Subdivision::parse(suffix)?))
    }
    /// The suffix.
    pub fn as_str(&self) -> &str {
        let used = &self.bytes[..usize::from(self.len)];
        std::str::from_utf8(used).expect("parse lets only ASCII in")
    }
}

impl fmt::Display for Subdivision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Subdivision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A continent as location databases count them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Continent {
    /// `AF`
    Africa,
    /// `AN`
    Antarctica,
    /// `AS`
    Asia,
    /// `EU`
    Europe,
    /// `NA`
    NorthAmerica,
    /// `OC`
    Oceania,
    /// `SA`
    SouthAmerica,
}

impl Continent {
    /// Every continent, in order of its code.
    pub const ALL: [Continent; 7] = [
        Continent::Africa,
        Continent::Antarctica,
        Continent::Asia,
        Continent::Europe,
        Continent::NorthAmerica,
        Continent::Oceania,
        Continent::SouthAmerica,
    ];
    /// The continent with this two-letter code, in either case.
    pub fn parse(code: &str) -> Option<Self> {
        let all = Self::ALL.into_iter();
        all.clone().find(|c| c.code().eq_ignore_ascii_case(code))
    }
    /// The code databases and rules use.
    pub const fn code(self) -> &'static str {
        match self {
            Continent::Africa => "AF",
            Continent::Antarctica => "AN",
            Continent::Asia => "AS",
            Continent::Europe => "EU",
            Continent::NorthAmerica => "NA",
            Continent::Oceania => "OC",
            Continent::SouthAmerica => "SA",
        }
    }
}

impl fmt::Display for Continent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// How finely a location is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Accuracy {
    /// The country at most.
    Country,
    /// A state or province.
    Subdivision,
    /// Coordinates of its own.
    City,
}

impl Accuracy {
    /// What these two fields of a location make of it.
    pub(super) fn of(at: Option<Coordinates>, part: Option<Subdivision>) -> Self {
        match (at, part) {
            (Some(_), _) => Accuracy::City,
            (None, Some(_)) => Accuracy::Subdivision,
            (None, None) => Accuracy::Country,
        }
    }
}

/// All a database says of one place, as far as steering cares.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Location {
    /// The country, or where the address is registered if nothing better is known.
    pub country: Option<Country>,
    /// The continent, from the database or its country.
    pub continent: Option<Continent>,
    /// The state or province within `country`.
    pub subdivision: Option<Subdivision>,
    /// Coordinates that belong to the place itself, never a country's default point.
    pub at: Option<Coordinates>,
    /// How finely all this is known.
    pub accuracy: Accuracy,
    /// The network that announces the address.
    pub asn: Option<u32>,
}

impl Location {
    /// A client of `country` of whom no more is known.
    pub fn of_country(country: Country, continent: Option<Continent>) -> Self {
        Location {
            country: Some(country),
            continent,
            subdivision: None,
            at: None,
            accuracy: Accuracy::Country,
            asn: None,
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.country, self.subdivision, self.continent) {
            (Some(country), Some(part), _) => write!(f, "{country}-{part}")?,
            (Some(country), None, _) => write!(f, "{country}")?,
            (None, _, Some(continent)) => write!(f, "{continent}")?,
            (None, _, None) => f.write_str("nowhere known")?,
        }
        if let Some(at) = self.at {
            write!(f, " ({:.2}, {:.2})", at.lat, at.lon)?;
        }
        match self.asn {
            Some(asn) => write!(f, " AS{asn}"),
            None => Ok(()),
        }
    }
}

/// A location in a form that can be a key; accuracy follows from the rest.
#[derive(PartialEq, Eq, Hash)]
pub(super) struct Identity {
    country: Option<Country>,
    continent: Option<Continent>,
    subdivision: Option<Subdivision>,
    at: Option<(u32, u32)>,
    asn: Option<u32>,
}

impl Identity {
    pub(super) fn of(location: &Location) -> Self {
        Identity {
            country: location.country,
            continent: location.continent,
            subdivision: location.subdivision,
            at: location.at.map(|at| (at.lat.to_bits(), at.lon.to_bits())),
            asn: location.asn,
        }
    }
}

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
        RunsBuilder {
            runs: Runs {
                starts: Vec::new(),
                places: Vec::new(),
            },
            next: 0,
        }
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
                IpNet::V4(n) => v4.add(
                    n.network().to_bits().into(),
                    n.broadcast().to_bits().into(),
                    place,
                ),
                IpNet::V6(n) => v6.add(
                    (n.network().to_bits() >> 64) as u64,
                    (n.broadcast().to_bits() >> 64) as u64,
                    place,
                ),
            }
        }
        LocationTable {
            v4: v4.finish(),
            v6: v6.finish(),
            locations,
            info: TableInfo::default(),
        }
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

    #[test]
    fn codes_have_a_form() {
        assert_eq!(Country::parse("de").unwrap().as_str(), "DE");
        assert!(Country::parse("D1").is_none() && Country::parse("DEU").is_none());
        let (country, part) = Subdivision::parse_full("US-CA").unwrap();
        assert_eq!((country.as_str(), part.as_str()), ("US", "CA"));
        assert!(Subdivision::parse("").is_none() && Subdivision::parse("é").is_none());
        assert_eq!(Continent::parse("eu"), Some(Continent::Europe));
    }
}
