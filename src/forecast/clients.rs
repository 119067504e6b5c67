//! How many clients each pair of classes stands for: before a change, and after it.
//!
//! By default clients are weighed by the address space that is known ([`crate::place::space()`]),
//! IPv4 and IPv6 apart; or by a list of networks with weights. Counted on demand, away from the
//! loop that publishes, once for each pair of maps (25 ms with the embedded table); kept for the
//! next question by whoever asks.

use super::Pair;
use crate::{
    ids::{Class, MapId},
    place::{
        ClientMap, Home, Homes, LazyTable, LocationTable, SpaceOf, fold, latency::LatencyTable,
        space,
    },
    snapshot::Snapshot,
    spread,
};
use ipnet::IpNet;
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

/// What clients are weighed by.
#[derive(Clone, Debug, Default)]
pub enum Weights {
    /// The address space that is known.
    #[default]
    Space,
    /// Networks of clients.
    Sample(Arc<Sample>),
}

/// Networks of clients, with how much each of them counts.
#[derive(Debug)]
pub struct Sample {
    /// What it is, for people: `4,211 sampled queries of the last 2 h`.
    pub said: String,
    /// The networks, as resolvers would send them; weights are above zero.
    pub networks: Vec<(IpNet, f64)>,
}

impl Weights {
    /// What it is, for people.
    pub fn said(&self) -> &str {
        match self {
            Weights::Space => "known address space",
            Weights::Sample(sample) => &sample.said,
        }
    }
}

/// Clients who are counted together; their shares sum to one.
#[derive(Clone, Debug)]
pub struct Crowd {
    /// `IPv4`, `IPv6`, or `clients` where networks of both are weighed.
    pub name: &'static str,
    /// In order of classes, then of homes.
    pub cells: Box<[Cell]>,
    /// What homes are.
    pub homes: Box<[Home]>,
}

/// Clients of one pair of classes at one home.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cell {
    /// Their class before, and after.
    pub classes: [Class; 2],
    /// Where they are.
    pub home: u32,
    /// Their share of the crowd.
    pub share: f64,
}

/// A map, or none.
type Map = Option<Arc<ClientMap>>;

/// The clients of every pair of maps that was asked for.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    /// The identity of the location data they were counted in.
    data: Box<str>,
    measured: Box<[Arc<LatencyTable>]>,
    weights: Weights,
    /// By the addresses of the maps, which live as long as they stand here.
    counted: HashMap<[usize; 2], Counted>,
}

/// The clients of two maps.
type Counted = ([Map; 2], Arc<[Crowd]>);

impl Clients {
    /// Counts for every map of `snapshot`, which stays the same over the change; what `known` has
    /// need not be counted again.
    pub fn of_files(snapshot: &Snapshot, locations: &LazyTable, known: &Clients) -> Clients {
        let maps = snapshot.maps.iter().map(|map| Some(Arc::clone(map))).chain([None]);
        let pairs = maps.map(|map| [map.clone(), map]);
        Self::count(pairs, &snapshot.measured, locations, &Weights::Space, known)
    }

    /// Counts for the maps that `records` have `before` and `after`.
    pub fn between(
        (before, after): (&Snapshot, &Snapshot),
        records: &[Pair],
        locations: &LazyTable,
        weights: &Weights,
        known: &Clients,
    ) -> Clients {
        let pairs = records.iter().map(|pair| {
            let (old, new) = (before.record(pair.before).plan, after.record(pair.after).plan);
            [map(before, before.plan(old).map), map(after, after.plan(new).map)]
        });
        let measured: Vec<Arc<LatencyTable>> =
            before.measured.iter().chain(&after.measured).map(Arc::clone).collect();
        Self::count(pairs, &measured, locations, weights, known)
    }

    fn count(
        pairs: impl Iterator<Item = [Map; 2]>,
        measured: &[Arc<LatencyTable>],
        locations: &LazyTable,
        weights: &Weights,
        known: &Clients,
    ) -> Clients {
        let mut clients = Clients {
            data: locations.identity().into(),
            measured: measured.into(),
            weights: weights.clone(),
            counted: HashMap::new(),
        };
        let is_known = clients.is_like(known);
        let mut missing: HashMap<[usize; 2], [Map; 2]> = HashMap::new();
        for maps in pairs {
            let key = key([maps[0].as_ref(), maps[1].as_ref()]);
            match known.counted.get(&key).filter(|_| is_known) {
                Some(found) => drop(clients.counted.insert(key, found.clone())),
                None => drop(missing.insert(key, maps)),
            }
        }
        if missing.is_empty() {
            return clients;
        }
        let nets: BTreeSet<IpNet> = measured.iter().flat_map(|table| table.nets()).collect();
        let nets: Vec<IpNet> = nets.into_iter().collect();
        let table: &LocationTable = locations.table();
        let missing: Vec<([usize; 2], [Map; 2])> = missing.into_iter().collect();
        let crowds = spread::map(&missing, |(_, maps)| {
            let maps = [maps[0].as_deref(), maps[1].as_deref()];
            match weights {
                Weights::Space => by_space(maps, table, &nets),
                Weights::Sample(sample) => by_sample(sample, maps, table, &nets),
            }
        });
        for ((key, maps), crowds) in missing.into_iter().zip(crowds) {
            clients.counted.insert(key, (maps, crowds.into()));
        }
        clients
    }

    /// Whether what `known` counted would be counted alike.
    fn is_like(&self, known: &Clients) -> bool {
        let same = |(one, other): (&Arc<LatencyTable>, &Arc<LatencyTable>)| Arc::ptr_eq(one, other);
        let weights = match (&self.weights, &known.weights) {
            (Weights::Space, Weights::Space) => true,
            (Weights::Sample(one), Weights::Sample(other)) => Arc::ptr_eq(one, other),
            _ => false,
        };
        weights
            && self.data == known.data
            && self.measured.len() == known.measured.len()
            && self.measured.iter().zip(&known.measured).all(same)
    }

    /// The clients of two maps, the first by `before`, the second by `after`; nothing if that pair
    /// was not counted.
    pub fn of(
        &self,
        (before, old): (&Snapshot, Option<MapId>),
        (after, new): (&Snapshot, Option<MapId>),
    ) -> Option<Arc<[Crowd]>> {
        let key =
            key([old.map(|id| &before.maps[id.index()]), new.map(|id| &after.maps[id.index()])]);
        self.counted.get(&key).map(|(_, crowds)| Arc::clone(crowds))
    }

    /// What they are weighed by, for people.
    pub fn said(&self) -> &str {
        self.weights.said()
    }
}

fn map(snapshot: &Snapshot, id: Option<MapId>) -> Map {
    id.map(|id| Arc::clone(&snapshot.maps[id.index()]))
}

fn key(maps: [Option<&Arc<ClientMap>>; 2]) -> [usize; 2] {
    maps.map(|map| map.map_or(0, |map| Arc::as_ptr(map) as usize))
}

fn by_space(maps: [Option<&ClientMap>; 2], table: &LocationTable, nets: &[IpNet]) -> Vec<Crowd> {
    let crowd = |name, of| {
        let counted = space(maps, of, table, nets);
        let all: f64 = counted.cells.iter().map(|cell| cell.size).sum();
        let cells = counted.cells.iter().map(|cell| Cell {
            classes: cell.classes,
            home: cell.home,
            share: cell.size / all,
        });
        Crowd { name, cells: cells.collect(), homes: counted.homes.into() }
    };
    let crowds = [crowd("IPv4", SpaceOf::V4), crowd("IPv6", SpaceOf::V6)];
    crowds.into_iter().filter(|crowd| !crowd.cells.is_empty()).collect()
}

fn by_sample(
    sample: &Sample,
    maps: [Option<&ClientMap>; 2],
    table: &LocationTable,
    nets: &[IpNet],
) -> Vec<Crowd> {
    let mut homes = Homes::new(nets);
    let mut found: HashMap<([Class; 2], u32), f64> = HashMap::new();
    let mut places: HashMap<IpNet, u32> = HashMap::new();
    let all: f64 = sample.networks.iter().map(|(_, weight)| weight).sum();
    for (net, weight) in &sample.networks {
        let class = |map: Option<&ClientMap>| {
            map.map_or(Class(0), |map| map.lookup_net(net.addr(), net.prefix_len()).class)
        };
        let ip = fold(net.addr());
        let known = table.lookup(ip);
        // Wide networks of one location stand for the place.
        let next = places.len() as u32;
        let place = known.as_ref().map(|(wide, _)| *places.entry(*wide).or_insert(next));
        let home = homes.of(place, known.as_ref().map(|(_, location)| location), ip);
        *found.entry((maps.map(class), home)).or_default() += weight / all;
    }
    let cell = |((classes, home), share)| Cell { classes, home, share };
    let mut cells: Vec<Cell> = found.into_iter().map(cell).collect();
    cells.sort_unstable_by_key(|cell| (cell.classes, cell.home));
    vec![Crowd { name: "clients", cells: cells.into(), homes: homes.finish().into() }]
}
