//! Who counts as the same client: from the client-dependent nodes of a tree to a map from
//! prefixes to classes, and what each class means to each node.
//!
//! A node's *list* for a client is all it has to know of them: for geo the chain of matching
//! rules, for latency the order of members and who ties with whom. A class is one combination
//! of lists over all nodes of a tree, so a tree needs one map and one lookup whatever its
//! nesting. Trees with equal rules share a map ([`MapCache`]).

use super::{server::Server, zones::Served};
use crate::{
    config::policy::Matcher,
    ids::{Class, RegionId},
    place::{
        ClientMap, Continent, Country, LazyTable, Location, LocationTable, Subdivision,
        latency::{Client, expected},
    },
    policy::tree::{ClassTable, Dependent, Rank},
    units::TenthMs,
};
use ipnet::IpNet;
use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

/// What a client-dependent node depends on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum DependentKey {
    /// The folded matchers of each rule, and whether it is a fence.
    Geo(Vec<(Vec<Matcher>, bool)>),
    /// The members, and how close is as good.
    Latency { members: Vec<LatencyMember>, tie: TenthMs },
}

/// A member of a latency policy, as far as scores go.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LatencyMember {
    pub name: String,
    /// Its score is the best of these.
    pub regions: Vec<RegionId>,
    pub bias: TenthMs,
}

/// A map with the meaning of its classes.
#[derive(Debug)]
pub(super) struct CompiledMap {
    pub map: Arc<ClientMap>,
    pub classes: Arc<ClassTable>,
}

/// More classes than a map can hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct TooManyClasses;

/// A map that is made by whoever wants it first, while others wait for it alone.
type Cell = Arc<OnceLock<Result<Arc<CompiledMap>, TooManyClasses>>>;

/// Maps by what they are made from; zones that are drafted at once share it.
#[derive(Debug, Default)]
pub(super) struct MapCache(Mutex<HashMap<Vec<DependentKey>, Cell>>);

impl MapCache {
    /// The map for a tree with these nodes.
    pub fn get(
        &self,
        server: &Server,
        locations: Option<&LazyTable>,
        nodes: Vec<DependentKey>,
    ) -> Result<Arc<CompiledMap>, TooManyClasses> {
        let cell = self.lock().entry(nodes.clone()).or_default().clone();
        let make = || {
            let table = locations.map(|locations| &**locations.table());
            compile(server, table, &nodes).map(Arc::new)
        };
        cell.get_or_init(make).clone()
    }

    /// Drops the maps that no draft uses any more.
    pub fn forget_unused(&self, served: &[Served]) {
        let drafts = served.iter().filter_map(|served| served.draft.as_ref());
        let used: HashSet<*const CompiledMap> = drafts
            .flat_map(|draft| &draft.plans)
            .filter_map(|plan| plan.map.as_ref().map(Arc::as_ptr))
            .collect();
        self.lock().retain(|_, cell| match cell.get() {
            Some(Ok(map)) => used.contains(&Arc::as_ptr(map)),
            _ => false,
        });
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Vec<DependentKey>, Cell>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn compile(
    server: &Server,
    locations: Option<&LocationTable>,
    keys: &[DependentKey],
) -> Result<CompiledMap, TooManyClasses> {
    let nets = nets(server, keys);
    let places = locations.filter(|_| !asks_for_asn(server, keys)).map(LocationTable::without_asn);
    let locations = places.as_ref().or(locations);
    let nodes: Vec<NodeRules<'_>> = keys.iter().map(|key| NodeRules::new(server, key)).collect();
    let mut classes = Classes::new(nodes);
    // Class 0 is for those nobody can place.
    let default = classes.class(None, &[])?;
    let mut class_of = |location: Option<&Location>, inside: &[u32]| {
        let inside: Vec<IpNet> = inside.iter().map(|&net| nets[net as usize]).collect();
        classes.class(location, &inside)
    };
    let map = ClientMap::build(locations, &nets, &mut class_of, default)?;
    Ok(CompiledMap { map: Arc::new(map), classes: Arc::new(classes.finish()) })
}

/// Whether some rule or measurement speaks of AS numbers.
fn asks_for_asn(server: &Server, keys: &[DependentKey]) -> bool {
    let is_asn = |matcher: &Matcher| matches!(matcher, Matcher::Asn(_));
    let mut measured = server.latency.iter().flat_map(|(_, table)| table.rows());
    let measures_asn = measured.any(|row| matches!(row.client, Client::AsnIn(..)));
    keys.iter().any(|key| match key {
        DependentKey::Geo(rules) => rules.iter().flat_map(|(matchers, _)| matchers).any(is_asn),
        DependentKey::Latency { .. } => measures_asn,
    })
}

/// The networks that some rule or measurement names, each once.
fn nets(server: &Server, keys: &[DependentKey]) -> Vec<IpNet> {
    let mut nets: Vec<IpNet> = Vec::new();
    for key in keys {
        match key {
            DependentKey::Geo(rules) => {
                nets.extend(rules.iter().flat_map(|(matchers, _)| matchers).filter_map(
                    |matcher| match matcher {
                        Matcher::Subnet(net) => Some(*net),
                        _ => None,
                    },
                ));
            }
            DependentKey::Latency { .. } => {
                nets.extend(server.latency.iter().flat_map(|(_, table)| table.nets()));
            }
        }
    }
    nets.sort_unstable();
    nets.dedup();
    nets
}

/// A node's rules, ready to be asked about a client.
enum NodeRules<'a> {
    Geo(Box<GeoRules>),
    Latency(LatencyRules<'a>),
}

impl<'a> NodeRules<'a> {
    fn new(server: &'a Server, key: &'a DependentKey) -> Self {
        match key {
            DependentKey::Geo(rules) => NodeRules::Geo(Box::new(GeoRules::new(rules))),
            DependentKey::Latency { members, tie } => {
                NodeRules::Latency(LatencyRules { server, members, tie: *tie })
            }
        }
    }
}

/// Rule numbers by what they match.
#[derive(Default)]
struct GeoRules {
    nets: HashMap<IpNet, u8>,
    asns: HashMap<u32, u8>,
    subdivisions: HashMap<(Country, Subdivision), u8>,
    countries: HashMap<Country, u8>,
    continents: HashMap<Continent, u8>,
    any: Option<u8>,
    fences: Vec<bool>,
}

impl GeoRules {
    fn new(rules: &[(Vec<Matcher>, bool)]) -> Self {
        let mut geo = GeoRules::default();
        for (number, (matchers, fence)) in rules.iter().enumerate() {
            geo.fences.push(*fence);
            for matcher in matchers {
                geo.insert(matcher, number as u8);
            }
        }
        geo
    }

    fn insert(&mut self, matcher: &Matcher, rule: u8) {
        match matcher {
            Matcher::Subnet(net) => drop(self.nets.insert(*net, rule)),
            Matcher::Asn(asn) => drop(self.asns.insert(*asn, rule)),
            Matcher::Subdivision(code) => {
                if let Some(part) = Subdivision::parse_full(code) {
                    self.subdivisions.insert(part, rule);
                }
            }
            Matcher::Country(code) => {
                if let Some(country) = Country::parse(code) {
                    self.countries.insert(country, rule);
                }
            }
            Matcher::Continent(code) => {
                if let Some(continent) = Continent::parse(code) {
                    self.continents.insert(continent, rule);
                }
            }
            Matcher::Any => self.any = Some(rule),
        }
    }

    /// The matching rules, most specific first: longest subnet > asn > subdivision > country >
    /// continent > `*`; each once, ended by the first fence (DESIGN §5, Geo).
    fn chain(&self, location: Option<&Location>, nets: &[IpNet]) -> Box<[u8]> {
        let by_net = nets.iter().filter_map(|net| self.nets.get(net));
        let country = location.and_then(|at| at.country);
        let part = country.zip(location.and_then(|at| at.subdivision));
        let by_place = [
            location.and_then(|at| self.asns.get(&at.asn?)),
            part.and_then(|part| self.subdivisions.get(&part)),
            country.and_then(|country| self.countries.get(&country)),
            location.and_then(|at| self.continents.get(&at.continent?)),
            self.any.as_ref(),
        ];
        let mut chain = Vec::new();
        for &rule in by_net.chain(by_place.into_iter().flatten()) {
            if !chain.contains(&rule) {
                chain.push(rule);
            }
            if self.fences[usize::from(rule)] {
                break;
            }
        }
        chain.into()
    }
}

/// What scores are made from.
struct LatencyRules<'a> {
    server: &'a Server,
    members: &'a [LatencyMember],
    tie: TenthMs,
}

impl LatencyRules<'_> {
    /// Members by rising score, equal ones by name (DESIGN §5, Latency).
    fn order(&self, location: Option<&Location>, nets: &[IpNet]) -> Box<[Rank]> {
        let scored = self.members.iter().enumerate();
        let mut scored: Vec<(TenthMs, &str, u8)> = scored
            .map(|(number, member)| {
                (self.score(member, location, nets), member.name.as_str(), number as u8)
            })
            .collect();
        scored.sort_unstable();
        let ranks = scored.iter().enumerate().map(|(place, (score, _, member))| {
            let reach = score.0.saturating_add(self.tie.0);
            let tied = scored[place + 1..].iter().take_while(|(other, ..)| other.0 <= reach);
            Rank { member: *member, followers: tied.count() as u8 }
        });
        ranks.collect()
    }

    /// The best of the member's regions; the same for all when nobody knows where the client is,
    /// so that they share such clients by weight.
    fn score(
        &self,
        member: &LatencyMember,
        location: Option<&Location>,
        nets: &[IpNet],
    ) -> TenthMs {
        let to_region = |region: &RegionId| {
            let region = &self.server.regions[region.index()];
            let tables = self.server.latency.iter().map(|(_, table)| &**table);
            let found = expected(tables, (location, nets), (&region.name, region.at));
            found.unwrap_or(TenthMs(0))
        };
        let best = member.regions.iter().map(to_region).min();
        TenthMs(best.unwrap_or(TenthMs(0)).0.saturating_add(member.bias.0))
    }
}

/// Classes as they are found.
struct Classes<'a> {
    nodes: Vec<NodeRules<'a>>,
    chains: Vec<Interned<Box<[u8]>>>,
    orders: Vec<Interned<Box<[Rank]>>>,
    rows: Interned<Box<[u16]>>,
}

impl<'a> Classes<'a> {
    fn new(nodes: Vec<NodeRules<'a>>) -> Self {
        Classes {
            chains: nodes.iter().map(|_| Interned::default()).collect(),
            orders: nodes.iter().map(|_| Interned::default()).collect(),
            rows: Interned::default(),
            nodes,
        }
    }

    /// The class of a client at `location` inside `nets`, longest first.
    fn class(
        &mut self,
        location: Option<&Location>,
        nets: &[IpNet],
    ) -> Result<Class, TooManyClasses> {
        let mut row = Vec::with_capacity(self.nodes.len());
        for (number, node) in self.nodes.iter().enumerate() {
            let list = match node {
                NodeRules::Geo(geo) => self.chains[number].number(geo.chain(location, nets)),
                NodeRules::Latency(latency) => {
                    self.orders[number].number(latency.order(location, nets))
                }
            };
            // There are no more lists than classes, which are counted below.
            row.push(u16::try_from(list).map_err(|_| TooManyClasses)?);
        }
        let class = self.rows.number(row.into());
        if class >= ClientMap::CLASSES_MAX {
            return Err(TooManyClasses);
        }
        Ok(Class::at(class))
    }

    fn finish(self) -> ClassTable {
        let lists = self.chains.into_iter().zip(self.orders);
        let dependents = self.nodes.iter().zip(lists).map(|(node, (chains, orders))| match node {
            NodeRules::Geo(_) => Dependent::Geo(chains.list.into()),
            NodeRules::Latency(_) => Dependent::Latency(orders.list.into()),
        });
        ClassTable {
            dependents: dependents.collect(),
            lists: self.rows.list.iter().flat_map(|row| row.iter().copied()).collect(),
        }
    }
}

/// Values numbered in the order they first came.
struct Interned<T> {
    list: Vec<T>,
    known: HashMap<T, usize>,
}

impl<T> Default for Interned<T> {
    fn default() -> Self {
        Interned { list: Vec::new(), known: HashMap::new() }
    }
}

impl<T: Clone + Eq + Hash> Interned<T> {
    fn number(&mut self, value: T) -> usize {
        match self.known.entry(value) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(free) => {
                self.list.push(free.key().clone());
                *free.insert(self.list.len() - 1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_classes_than_ids_are_refused() {
        // Three policies of 41 rules: 68,921 combinations.
        const RULES: u32 = 41;
        let net = |node: u32, rule: u32| -> IpNet {
            let first = std::net::Ipv4Addr::from_bits(10 << 24 | node << 16 | rule << 8);
            IpNet::new(first.into(), 24).unwrap()
        };
        let node = |node: u32| {
            let rules = (0..RULES).map(|rule| (vec![Matcher::Subnet(net(node, rule))], false));
            let rules: Vec<(Vec<Matcher>, bool)> = rules.collect();
            NodeRules::Geo(Box::new(GeoRules::new(&rules)))
        };
        let mut classes = Classes::new(vec![node(0), node(1), node(2)]);
        let combinations = (0..RULES.pow(3))
            .map(|n| [net(0, n % RULES), net(1, n / RULES % RULES), net(2, n / RULES / RULES)]);
        let given: Vec<usize> = combinations
            .map_while(|nets| classes.class(None, &nets).ok())
            .map(Class::index)
            .collect();
        assert_eq!(given.len(), ClientMap::CLASSES_MAX);
        assert!(given.iter().copied().eq(0..ClientMap::CLASSES_MAX));
    }
}
