//! How many clients each pair of classes stands for: before a change, and after it.
//!
//! By default clients are weighed by the address space that is known ([`crate::place::space()`]),
//! IPv4 and IPv6 apart; by a list of networks with weights; or by who asked lately for the records
//! in question. Counted on demand, away from the loop that publishes, once for each pair of maps
//! (25 ms with the embedded table); kept for the next question by whoever asks.

use super::Pair;
use crate::{
    clock::Moment,
    ids::{Class, MapId},
    place::{
        ClientMap, Home, Homes, LazyTable, LocationTable, SpaceOf, fold, latency::LatencyTable,
        space,
    },
    snapshot::{Plan, Snapshot},
    spread,
};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

/// With fewer clients seen, a share of one half is not known to three percent.
const OBSERVED_MIN: usize = 1_000;

/// What clients are weighed by.
#[derive(Clone, Debug, Default)]
pub enum Weights {
    /// The address space that is known.
    #[default]
    Space,
    /// Clients of any record.
    Sample(Arc<Sample>),
    /// Who asked lately, oldest first: of those, who asked for the records in question.
    Observed(Arc<[Asked]>),
}

/// Clients, with how much each of them counts.
#[derive(Debug)]
pub struct Sample {
    /// What it is, for people: `4211 sampled queries of 20 min for what changes`.
    pub said: String,
    /// They; weights are above zero.
    pub clients: Vec<(Seen, f64)>,
}

/// A client as an answer saw it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Seen {
    /// Who asked; or a network of clients, which stands for itself.
    pub from: IpNet,
    /// The network it spoke for.
    pub subnet: Option<IpNet>,
}

impl Seen {
    /// Where the client is.
    fn place(&self) -> IpNet {
        self.subnet.unwrap_or(self.from)
    }

    /// What a plan looks at that uses client subnets, or does not.
    fn looked_at(&self, use_ecs: bool) -> IpNet {
        if use_ecs { self.place() } else { self.from }
    }
}

/// A client that asked for a record.
#[derive(Clone, Debug)]
pub struct Asked {
    /// When.
    pub at: Moment,
    /// Whose name: the record's owner.
    pub owner: Arc<str>,
    /// Who.
    pub seen: Seen,
}

/// Too few clients asked for what changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "only {0} of the queries that were sampled so far ask for what changes; {OBSERVED_MIN} are \
     needed (a share is not known from less), or weigh clients by --weights space or a file"
)]
pub struct TooFew(pub usize);

impl Weights {
    /// What it is, for people.
    fn said(&self) -> &str {
        match self {
            Weights::Space => "known address space",
            Weights::Sample(sample) => &sample.said,
            Weights::Observed(_) => "sampled queries",
        }
    }

    /// The same, of those who asked for records whose owners are `wanted`.
    fn of(&self, wanted: &BTreeSet<String>) -> Result<Weights, TooFew> {
        let Weights::Observed(asked) = self else { return Ok(self.clone()) };
        if wanted.is_empty() {
            return Ok(self.clone());
        }
        let asked: Vec<&Asked> = asked.iter().filter(|one| wanted.contains(&*one.owner)).collect();
        let ends = asked.first().zip(asked.last()).filter(|_| asked.len() >= OBSERVED_MIN);
        let (first, last) = ends.ok_or(TooFew(asked.len()))?;
        let over = match last.at.since(first.at).as_secs() {
            seconds @ 0..=119 => format!("{seconds} s"),
            seconds => format!("{} min", seconds / 60),
        };
        let mut counted: BTreeMap<Seen, f64> = BTreeMap::new();
        for one in &asked {
            *counted.entry(one.seen).or_default() += 1.0;
        }
        let said = format!("{} sampled queries of {over} for what changes", asked.len());
        Ok(Weights::Sample(Arc::new(Sample { said, clients: counted.into_iter().collect() })))
    }
}

/// What decides in which class of a plan a client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Look {
    /// Where it looks clients up.
    pub map: Option<MapId>,
    /// Whether by the network a resolver speaks for; else by the resolver.
    pub use_ecs: bool,
}

impl Look {
    /// How `plan` looks at clients.
    pub fn of(plan: &Plan) -> Look {
        Look { map: plan.map, use_ecs: plan.use_ecs }
    }

    /// The same for those that are weighed by their own addresses.
    pub fn by(map: Option<MapId>) -> Look {
        Look { map, use_ecs: true }
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

/// A map, or none; and whether client subnets are looked up there.
type Map = (Option<Arc<ClientMap>>, bool);

/// By what two maps are known.
type Key = [(usize, bool); 2];

/// The clients of every pair of maps that was asked for.
#[derive(Clone, Debug, Default)]
pub struct Clients {
    /// The identity of the location data they were counted in.
    data: Box<str>,
    measured: Box<[Arc<LatencyTable>]>,
    weights: Weights,
    /// By the addresses of the maps, which live as long as they stand here.
    counted: HashMap<Key, Counted>,
}

/// The clients of two maps.
type Counted = ([Map; 2], Arc<[Crowd]>);

impl Clients {
    /// Counts for every map of `snapshot`, which stays the same over the change; what `known` has
    /// need not be counted again.
    pub fn of_files(snapshot: &Snapshot, locations: &LazyTable, known: &Clients) -> Clients {
        let maps = snapshot.maps.iter().map(|map| Some(Arc::clone(map))).chain([None]);
        let pairs = maps.map(|map| [(map.clone(), true), (map, true)]);
        Self::count(pairs, &snapshot.measured, locations, &Weights::Space, known)
    }

    /// Counts for the maps that `records` have `before` and `after`.
    ///
    /// # Errors
    /// When they are to be weighed by who asked for these, and too few did.
    pub fn between(
        (before, after): (&Snapshot, &Snapshot),
        records: &[Pair],
        locations: &LazyTable,
        weights: &Weights,
        known: &Clients,
    ) -> Result<Clients, TooFew> {
        let owner = |pair: &Pair| before.record(pair.before).owner.to_string();
        let weights = weights.of(&records.iter().map(owner).collect())?;
        let pairs = records.iter().map(|pair| {
            let (old, new) = (before.record(pair.before).plan, after.record(pair.after).plan);
            [map(before, Look::of(before.plan(old))), map(after, Look::of(after.plan(new)))]
        });
        let measured: Vec<Arc<LatencyTable>> =
            before.measured.iter().chain(&after.measured).map(Arc::clone).collect();
        Ok(Self::count(pairs, &measured, locations, &weights, known))
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
        let mut missing: HashMap<Key, [Map; 2]> = HashMap::new();
        for maps in pairs {
            let key = clients.key([&maps[0], &maps[1]]);
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
        let missing: Vec<(Key, [Map; 2])> = missing.into_iter().collect();
        let crowds = spread::map(&missing, |(_, maps)| match weights {
            Weights::Sample(sample) => by_sample(sample, maps, table, &nets),
            // Those who asked were made a sample of, unless nothing is in question.
            Weights::Space | Weights::Observed(_) => {
                by_space([maps[0].0.as_deref(), maps[1].0.as_deref()], table, &nets)
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
        (before, old): (&Snapshot, Look),
        (after, new): (&Snapshot, Look),
    ) -> Option<Arc<[Crowd]>> {
        let key = self.key([&map(before, old), &map(after, new)]);
        self.counted.get(&key).map(|(_, crowds)| Arc::clone(crowds))
    }

    /// By what `maps` are known. Where clients are weighed by address space each has one address,
    /// whatever is looked at.
    fn key(&self, maps: [&Map; 2]) -> Key {
        let is_apart = matches!(self.weights, Weights::Sample(_));
        maps.map(|(map, use_ecs)| {
            (map.as_ref().map_or(0, |map| Arc::as_ptr(map) as usize), *use_ecs || !is_apart)
        })
    }

    /// What they are weighed by, for people.
    pub fn said(&self) -> &str {
        self.weights.said()
    }
}

fn map(snapshot: &Snapshot, look: Look) -> Map {
    (look.map.map(|id| Arc::clone(&snapshot.maps[id.index()])), look.use_ecs)
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
    maps: &[Map; 2],
    table: &LocationTable,
    nets: &[IpNet],
) -> Vec<Crowd> {
    let mut homes = Homes::new(nets);
    let mut found: HashMap<([Class; 2], u32), f64> = HashMap::new();
    let mut places: HashMap<IpNet, u32> = HashMap::new();
    let all: f64 = sample.clients.iter().map(|(_, weight)| weight).sum();
    for (seen, weight) in &sample.clients {
        let class = |(map, use_ecs): &Map| {
            let net = seen.looked_at(*use_ecs);
            map.as_ref().map_or(Class(0), |map| map.lookup_net(net.addr(), net.prefix_len()).class)
        };
        let ip = fold(seen.place().addr());
        let known = table.lookup(ip);
        // Wide networks of one location stand for the place.
        let next = places.len() as u32;
        let place = known.as_ref().map(|(wide, _)| *places.entry(*wide).or_insert(next));
        let home = homes.of(place, known.as_ref().map(|(_, location)| location), ip);
        *found.entry((maps.each_ref().map(class), home)).or_default() += weight / all;
    }
    let cell = |((classes, home), share)| Cell { classes, home, share };
    let mut cells: Vec<Cell> = found.into_iter().map(cell).collect();
    cells.sort_unstable_by_key(|cell| (cell.classes, cell.home));
    vec![Crowd { name: "clients", cells: cells.into(), homes: homes.finish().into() }]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn who_asked_is_weighed_by_what_changes_alone() {
        let www: Arc<str> = "www.z".into();
        let api: Arc<str> = "api.z".into();
        let asked = |n: u64| Asked {
            at: Moment(n * 1_000_000_000),
            owner: Arc::clone(if n.is_multiple_of(2) { &www } else { &api }),
            seen: Seen {
                from: net("192.0.2.1/32"),
                subnet: n.is_multiple_of(4).then(|| net("203.0.113.0/24")),
            },
        };
        let weights = Weights::Observed((0..2_400).map(asked).collect());
        let of = |owners: &[&str]| weights.of(&owners.iter().map(|o| o.to_string()).collect());
        let Ok(Weights::Sample(sample)) = of(&["www.z"]) else { panic!() };
        assert_eq!(sample.said, "1200 sampled queries of 39 min for what changes");
        let counts: Vec<f64> = sample.clients.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [600.0, 600.0]);
        let [alone, told] = &sample.clients[..] else { panic!() };
        let looked_at = |use_ecs| [alone, told].map(|(seen, _)| seen.looked_at(use_ecs));
        assert_eq!(looked_at(false), [net("192.0.2.1/32"); 2], "`ecs = \"ignore\"`");
        assert_eq!(looked_at(true), [net("192.0.2.1/32"), net("203.0.113.0/24")]);
        assert_eq!(of(&["old.z"]).unwrap_err(), TooFew(0));
        assert!(of(&[]).is_ok(), "nothing changes, nobody has to be weighed");
        let few = Weights::Observed((0..1_800).map(asked).collect());
        let few = few.of(&["www.z".to_owned()].into()).unwrap_err();
        assert!(few.to_string().contains("only 900 of the queries"), "{few}");
    }
}
