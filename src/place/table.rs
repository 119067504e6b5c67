//! Location tables: what is known of where addresses are, from one database or from two that say
//! different things.
//!
//! Read when maps are compiled, by `explain` and by `geoip lookup`, never for a query: that is
//! [`super::map`]'s business.

use super::locate::{Identity, Location};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};
use std::{
    borrow::Cow,
    collections::HashMap,
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};

/// Which kinds of rules a database can ever match.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TableKind {
    /// Some location has a country or continent.
    pub has_places: bool,
    /// Some location has a subdivision.
    pub has_subdivisions: bool,
    /// Some location has an AS number.
    pub has_asn: bool,
}

/// Where a database came from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TableInfo {
    /// The database's own name and version.
    pub source: String,
    /// The day it was made, `YYYY-MM-DD`.
    pub date: String,
    /// Its licence, where known.
    pub licence: String,
    /// SHA-256 of the file or files it was made from, in hex; of the embedded one only.
    pub sha256: String,
}

impl fmt::Display for TableInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.source, self.date)
    }
}

/// The id of space no database knows.
pub(super) const NOWHERE: u32 = u32::MAX;

/// The addresses of one family, told apart by their first 32 or 64 bits: an IPv6 interface
/// identifier says nothing of where its owner is.
pub(super) trait Key: Copy + Ord {
    const BITS: u32;
    const MAX: u64 = u64::MAX >> (64 - Self::BITS);
    /// The family in messages.
    const FAMILY: &'static str;
    fn from_u64(key: u64) -> Self;
    fn to_u64(self) -> u64;
    fn runs(spaces: &Spaces) -> &Runs<Self>;
    fn sources(table: &LocationTable) -> Sources;
    /// The bits of the key at the left of 128.
    fn left(self) -> u128 {
        u128::from(self.to_u64()) << (128 - Self::BITS)
    }
}

impl Key for u32 {
    const BITS: u32 = 32;
    const FAMILY: &'static str = "IPv4";
    fn runs(spaces: &Spaces) -> &Runs<u32> {
        &spaces.v4
    }
    fn sources(table: &LocationTable) -> Sources {
        table.v4
    }
    fn from_u64(key: u64) -> Self {
        key as u32
    }
    fn to_u64(self) -> u64 {
        self.into()
    }
}

impl Key for u64 {
    const BITS: u32 = 64;
    const FAMILY: &'static str = "IPv6";
    fn runs(spaces: &Spaces) -> &Runs<u64> {
        &spaces.v6
    }
    fn sources(table: &LocationTable) -> Sources {
        table.v6
    }
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
    /// Bytes held.
    fn bytes(&self) -> usize {
        size_of_val(&self.starts[..]) + size_of_val(&self.places[..])
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
    /// Shows `see` the place of each run that has one.
    pub(super) fn each_place(&self, see: impl FnMut(u32)) {
        self.places.iter().copied().filter(|place| *place != NOWHERE).for_each(see);
    }
    /// Gives the runs other places; what becomes equal is merged.
    pub(super) fn map_places(&mut self, to: impl Fn(u32) -> u32) {
        let (mut kept, mut before) = (0, None);
        for at in 0..self.len() {
            let place = self.places[at];
            let place = if place == NOWHERE { place } else { to(place) };
            (self.starts[kept], self.places[kept]) = (self.starts[at], place);
            // No branch: nobody could foretell it, and while it is not taken back the processor
            // fetches what `to` looks at for the runs to come.
            kept += usize::from(before != Some(place));
            before = Some(place);
        }
        self.starts.truncate(kept);
        self.places.truncate(kept);
        self.shrink();
    }
    fn shrink(&mut self) {
        self.starts.shrink_to_fit();
        self.places.shrink_to_fit();
    }
}

/// Makes [`Runs`] from ascending ranges, filling what lies between with [`NOWHERE`].
pub(super) struct RunsBuilder<K> {
    runs: Runs<K>,
    /// The first key not yet given a place; nothing if all are.
    next: Option<u64>,
}

impl<K: Key> RunsBuilder<K> {
    pub(super) fn new() -> Self {
        Self::with_room(0)
    }
    /// With room for so many runs, so that they need not move while they come.
    pub(super) fn with_room(runs: usize) -> Self {
        let (starts, places) = (Vec::with_capacity(runs), Vec::with_capacity(runs));
        RunsBuilder { runs: Runs { starts, places }, next: Some(0) }
    }
    /// Adds `first..=last`. What earlier ranges took is theirs.
    pub(super) fn add(&mut self, first: u64, last: u64, place: u32) {
        let Some(next) = self.next else { return };
        if first > next {
            self.push(K::from_u64(next), NOWHERE);
        }
        let from = next.max(first);
        if from <= last {
            self.push(K::from_u64(from), place);
            self.next = (last < K::MAX).then(|| last + 1);
        }
    }
    fn push(&mut self, start: K, place: u32) {
        if self.runs.places.last() != Some(&place) {
            self.runs.starts.push(start);
            self.runs.places.push(place);
        }
    }
    pub(super) fn finish(mut self) -> Runs<K> {
        if let Some(next) = self.next {
            self.push(K::from_u64(next), NOWHERE);
        }
        self.runs.shrink();
        self.runs
    }
}

/// The address space of both families, cut by location.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Spaces {
    pub(super) v4: Runs<u32>,
    pub(super) v6: Runs<u64>,
    /// What the runs' places are indices into.
    pub(super) locations: Vec<Location>,
}

impl Spaces {
    pub(super) fn location(&self, place: u32) -> Option<&Location> {
        self.locations.get(place as usize)
    }
}

/// One location database, by address.
#[derive(Clone, Debug, PartialEq)]
pub struct Database {
    pub(super) spaces: Spaces,
    /// Where it came from.
    pub info: TableInfo,
    /// What rules it can match.
    pub kind: TableKind,
}

impl Database {
    pub(super) fn new(spaces: Spaces, info: TableInfo) -> Self {
        let kind = kind_of(&spaces.locations);
        Database { spaces, info, kind }
    }
    /// How many runs of addresses it tells apart, IPv4 and IPv6.
    pub fn run_counts(&self) -> (usize, usize) {
        (self.spaces.v4.len(), self.spaces.v6.len())
    }
    /// Every location it knows.
    pub fn locations(&self) -> &[Location] {
        &self.spaces.locations
    }
    /// Bytes held.
    pub fn bytes(&self) -> usize {
        let Spaces { v4, v6, locations } = &self.spaces;
        v4.bytes() + v6.bytes() + size_of_val(&locations[..])
    }
    /// Which families it says anything of, in words.
    pub fn families(&self) -> &'static str {
        match (self.spaces.v4.knows_nothing(), self.spaces.v6.knows_nothing()) {
            (false, true) => "IPv4 only",
            (true, false) => "IPv6 only",
            _ => "IPv4 and IPv6",
        }
    }
    /// Gives locations that are equal one id.
    pub(super) fn unite_equal_locations(&mut self) {
        let mut ids = HashMap::new();
        let mut kept = Vec::new();
        let Spaces { v4, v6, locations } = &mut self.spaces;
        let to = std::mem::take(locations).into_iter().map(|location| {
            *ids.entry(Identity::of(&location)).or_insert_with(|| {
                kept.push(location);
                kept.len() as u32 - 1
            })
        });
        let to: Vec<u32> = to.collect();
        let unite = |place: u32| to[place as usize];
        v4.map_places(unite);
        v6.map_places(unite);
        *locations = kept;
    }
}

/// Whose word counts for a family: the indices of databases. Both may be the same.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Sources {
    place: Option<usize>,
    asn: Option<usize>,
}

/// Two databases that say the same of the same addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clash {
    /// The index of the one that was there before.
    pub with: usize,
    /// `places` or `AS numbers`.
    pub fact: &'static str,
    /// `IPv4` or `IPv6`.
    pub family: &'static str,
}

/// What is known of where addresses are. The databases stay apart, so that a new version of one
/// needs nothing from the other's file; they are joined where somebody asks for both.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LocationTable {
    databases: Vec<Arc<Database>>,
    v4: Sources,
    v6: Sources,
}

impl LocationTable {
    /// Adds a database that says what no earlier one does.
    ///
    /// # Errors
    /// When an earlier one says the same; nothing is added then.
    pub fn add(&mut self, database: Arc<Database>) -> Result<(), Clash> {
        let index = self.databases.len();
        let v4 = self.v4.with::<u32>(&database, index)?;
        let v6 = self.v6.with::<u64>(&database, index)?;
        (self.v4, self.v6) = (v4, v6);
        self.databases.push(database);
        Ok(())
    }

    /// Adds a database for those families of whose places nobody says anything.
    pub fn fill(&mut self, database: impl FnOnce() -> Arc<Database>) {
        let index = self.databases.len();
        let lacks = [&mut self.v4, &mut self.v6].into_iter().filter(|s| s.place.is_none());
        let filled = lacks.map(|sources| sources.place = Some(index)).count();
        if filled > 0 {
            self.databases.push(database());
        }
    }

    /// What is known of `ip` (folded by the caller), with the widest network that shares it.
    pub fn lookup(&self, ip: IpAddr) -> Option<(IpNet, Location)> {
        match ip {
            IpAddr::V4(v4) => {
                let key = v4.to_bits();
                let (first, last, found) = self.around(key);
                let (start, len) = widest(key.into(), first, last, 32);
                let net = Ipv4Net::new(Ipv4Addr::from_bits(start as u32), len).ok()?;
                Some((net.into(), found?))
            }
            IpAddr::V6(v6) => {
                let key = (v6.to_bits() >> 64) as u64;
                let (first, last, found) = self.around(key);
                let (start, len) = widest(key, first, last, 64);
                let start = Ipv6Addr::from_bits(u128::from(start) << 64);
                Some((Ipv6Net::new(start, len).ok()?.into(), found?))
            }
        }
    }

    /// The first and last key around `key` of which the same is known, and what that is.
    fn around<K: Key>(&self, key: K) -> (u64, u64, Option<Location>) {
        let Sources { place, asn } = K::sources(self);
        let (mut first, mut last) = (0, K::MAX);
        let mut find = |index: Option<usize>| {
            let spaces = &self.databases[index?].spaces;
            let (from, to, place) = K::runs(spaces).around(key);
            (first, last) = (first.max(from), last.min(to));
            spaces.location(place).copied()
        };
        let place_at = find(place);
        let asn_at = if asn == place { None } else { find(asn) };
        let found = match (place_at, asn_at) {
            (Some(place), Some(network)) => Some(joined(place, network)),
            (one, other) => one.or(other),
        };
        (first, last, found)
    }

    /// What rules it can match.
    pub fn kind(&self) -> TableKind {
        let kinds = self.databases.iter().map(|database| database.kind);
        kinds.fold(TableKind::default(), |all, one| TableKind {
            has_places: all.has_places || one.has_places,
            has_subdivisions: all.has_subdivisions || one.has_subdivisions,
            has_asn: all.has_asn || one.has_asn,
        })
    }

    /// The databases it is made from.
    pub fn databases(&self) -> &[Arc<Database>] {
        &self.databases
    }

    /// The names and dates of the databases that say something of addresses like `ip`.
    pub fn sources_of(&self, ip: IpAddr) -> String {
        let Sources { place, asn } = if ip.is_ipv4() { self.v4 } else { self.v6 };
        let both = place.into_iter().chain(asn.filter(|_| asn != place));
        let names: Vec<String> = both.map(|index| self.databases[index].info.to_string()).collect();
        names.join("; ")
    }

    /// The space of a family by place, with what places are.
    pub(super) fn places<K: Key>(&self) -> Option<(&Runs<K>, &[Location])> {
        let spaces = &self.databases[K::sources(self).place?].spaces;
        Some((K::runs(spaces), &spaces.locations))
    }

    /// The same without what only an ASN database knows: for whoever does not ask for it, since
    /// it cuts the space into half as many pieces again.
    pub fn without_asn(&self) -> LocationTable {
        let places = |sources: Sources| Sources {
            asn: sources.asn.filter(|_| sources.asn == sources.place),
            ..sources
        };
        LocationTable { v4: places(self.v4), v6: places(self.v6), ..self.clone() }
    }

    /// All of it in one: as it is held if one database says it all, else joined.
    pub(super) fn spaces(&self) -> Option<Cow<'_, Spaces>> {
        let (v4, v6) = (self.v4, self.v6);
        if v4 == v6 && v4.place == v4.asn.or(v4.place) {
            return v4.place.map(|index| Cow::Borrowed(&self.databases[index].spaces));
        }
        let mut join = Join::over(&self.databases);
        let (v4, v6) = (join.family::<u32>(v4), join.family::<u64>(v6));
        Some(Cow::Owned(Spaces { v4, v6, locations: join.locations }))
    }
}

impl Sources {
    /// These and what `database` says, whose index is `index`.
    fn with<K: Key>(self, database: &Database, index: usize) -> Result<Sources, Clash> {
        if K::runs(&database.spaces).knows_nothing() {
            return Ok(self);
        }
        let add = |before: Option<usize>, has: bool, fact| match (before, has) {
            (Some(with), true) => Err(Clash { with, fact, family: K::FAMILY }),
            (before, has) => Ok(before.or(has.then_some(index))),
        };
        let place = add(self.place, database.kind.has_places, "places")?;
        let asn = add(self.asn, database.kind.has_asn, "AS numbers")?;
        Ok(Sources { place, asn })
    }
}

/// A place with the AS number of whoever announces it.
fn joined(place: Location, network: Location) -> Location {
    Location { asn: network.asn, ..place }
}

/// Databases laid over each other.
struct Join<'d> {
    databases: &'d [Arc<Database>],
    /// Where the locations of each database begin among all.
    bases: Vec<u32>,
    /// Those of the databases, then those of pairs.
    locations: Vec<Location>,
    pairs: HashMap<(u32, u32), u32>,
}

impl<'d> Join<'d> {
    fn over(databases: &'d [Arc<Database>]) -> Self {
        let mut bases = Vec::new();
        let mut locations = Vec::new();
        for database in databases {
            bases.push(locations.len() as u32);
            locations.extend_from_slice(database.locations());
        }
        Join { databases, bases, locations, pairs: HashMap::new() }
    }

    fn family<K: Key>(&mut self, sources: Sources) -> Runs<K> {
        let databases = self.databases;
        let side = |index: usize| (K::runs(&databases[index].spaces), self.bases[index]);
        let moved = |runs: &Runs<K>, base: u32| {
            let mut runs = runs.clone();
            runs.map_places(|place| base + place);
            runs
        };
        match (sources.place.map(side), sources.asn.map(side)) {
            (None, None) => RunsBuilder::new().finish(),
            (Some((runs, base)), None) | (None, Some((runs, base))) => moved(runs, base),
            (Some((runs, base)), Some(_)) if sources.place == sources.asn => moved(runs, base),
            (Some(places), Some(networks)) => self.overlaid(places, networks),
        }
    }

    fn overlaid<K: Key>(
        &mut self,
        (places, place_base): (&Runs<K>, u32),
        (networks, network_base): (&Runs<K>, u32),
    ) -> Runs<K> {
        let mut builder = RunsBuilder::new();
        // Both begin at zero.
        let (mut p, mut n) = (0, 0);
        let mut at = K::from_u64(0);
        loop {
            let place = match (places.places[p], networks.places[n]) {
                (NOWHERE, NOWHERE) => NOWHERE,
                (place, NOWHERE) => place_base + place,
                (NOWHERE, network) => network_base + network,
                (place, network) => self.pair(place_base + place, network_base + network),
            };
            builder.push(at, place);
            let (after_p, after_n) = (places.starts.get(p + 1), networks.starts.get(n + 1));
            let Some(next) = after_p.into_iter().chain(after_n).min() else { break };
            at = *next;
            p += usize::from(after_p == Some(next));
            n += usize::from(after_n == Some(next));
        }
        builder.runs
    }

    fn pair(&mut self, place: u32, network: u32) -> u32 {
        let locations = &mut self.locations;
        *self.pairs.entry((place, network)).or_insert_with(|| {
            locations.push(joined(locations[place as usize], locations[network as usize]));
            locations.len() as u32 - 1
        })
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
fn kind_of(locations: &[Location]) -> TableKind {
    TableKind {
        has_places: locations.iter().any(|l| l.country.is_some() || l.continent.is_some()),
        has_subdivisions: locations.iter().any(|l| l.subdivision.is_some()),
        has_asn: locations.iter().any(|l| l.asn.is_some()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::place::locate::Country;

    /// A table of countries, from networks in ascending order.
    pub(in crate::place) fn table(rows: &[(&str, &str)]) -> LocationTable {
        let mut table = LocationTable::default();
        table.add(Arc::new(database(rows))).unwrap();
        table
    }

    /// A database of countries, from networks in ascending order.
    pub(in crate::place) fn database(rows: &[(&str, &str)]) -> Database {
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
        let spaces = Spaces { v4: v4.finish(), v6: v6.finish(), locations };
        Database::new(spaces, TableInfo::default())
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
