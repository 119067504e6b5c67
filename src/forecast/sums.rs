//! Moves being summed up, plan by plan and class by class.
//!
//! Each plan says what each pair of classes gets; how many clients those are, and where, is the
//! same for all plans with the same maps. So plans are summed up by classes first, and countries
//! are looked at once for each pair of maps, however many records there are.

use super::{
    Pair, Standpoint,
    clients::Look,
    clients::{Clients, Crowd},
    distance::Distances,
    preview::{
        Change, CountryMoves, Ends, Flow, HARDLY, Latency, Moves, Place, RecordMoves, RegionShare,
        ordered,
    },
    shares::{Given, Spot, given},
};
use crate::{
    ids::{Class, PlanId},
    place::Country,
    spread,
};
use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    rc::Rc,
    sync::Arc,
};

/// Plans that one thread sums up before it looks for more.
const CHUNK: usize = 32;

/// Records with the same plans, before and after.
pub(super) struct Alike {
    pub plans: (PlanId, PlanId),
    pub pairs: Vec<Pair>,
}

/// A region; none for endpoints without one.
type Region<'w> = Option<&'w str>;
/// How two plans look at clients.
type Maps = [Look; 2];

/// A sum of round trips, and the share of clients it is known of.
#[derive(Clone, Copy, Debug, Default)]
struct Trips {
    sum: Change,
    known: Change,
}

/// The clients of one pair of maps.
struct Ground<'w> {
    crowds: Arc<[Crowd]>,
    /// Crowd by crowd: round trips before and after.
    distances: Vec<[Distances<'w>; 2]>,
    /// Crowd by crowd what is known of each pair of classes.
    classes: Vec<BTreeMap<[Class; 2], Mean>>,
}

/// What is known of one pair of classes.
struct Mean {
    share: f64,
    /// For each side and region: round trips times shares, and the shares.
    trips: [Vec<(f64, f64)>; 2],
}

/// What several plans come to for one pair of classes, each counted as often as it has records.
#[derive(Default)]
struct ClassSum<'w> {
    regions: BTreeMap<Region<'w>, Change>,
    moved: f64,
    ends: Ends,
}

/// The sums of some plans.
#[derive(Default)]
struct Partial<'w> {
    classes: HashMap<Maps, BTreeMap<[Class; 2], ClassSum<'w>>>,
    /// Crowd by crowd.
    flows: Vec<HashMap<(Spot<'w>, Spot<'w>), f64>>,
    records: Vec<RecordMoves>,
}

/// The sums of all plans.
pub(super) struct Sums<'w> {
    grounds: HashMap<Maps, Ground<'w>>,
    all: Partial<'w>,
}

impl<'w> Sums<'w> {
    /// Over all of `alike`; nothing if `clients` were counted for other maps.
    pub fn over(at: [&'w Standpoint; 2], alike: &[Alike], clients: &Clients) -> Option<Sums<'w>> {
        let mut grounds: HashMap<Maps, Ground<'w>> = HashMap::new();
        for Alike { plans, .. } in alike {
            let plans = [at[0].snapshot.plan(plans.0), at[1].snapshot.plan(plans.1)];
            let maps = plans.map(Look::of);
            if let Entry::Vacant(free) = grounds.entry(maps) {
                let sides = ((&*at[0].snapshot, maps[0]), (&*at[1].snapshot, maps[1]));
                free.insert(Ground::of(clients.of(sides.0, sides.1)?, at));
            }
        }
        let chunks: Vec<&[Alike]> = alike.chunks(CHUNK).collect();
        let partials = spread::map(&chunks, |chunk| {
            let mut partial = Partial::default();
            for alike in *chunk {
                let plans =
                    [at[0].snapshot.plan(alike.plans.0), at[1].snapshot.plan(alike.plans.1)];
                let maps = plans.map(Look::of);
                partial.add(at, alike, maps, &grounds[&maps]);
            }
            partial
        });
        let mut all = Partial::default();
        partials.into_iter().for_each(|partial| all.take(partial));
        Some(Sums { grounds, all })
    }

    /// How each crowd moves over `records` records, and each record that has something to tell.
    pub fn finish(self, records: usize) -> (Vec<Moves>, Vec<RecordMoves>) {
        let Sums { grounds, all } = self;
        let records = records as f64;
        let mut crowds: Vec<(&'static str, CrowdSum<'w>)> = Vec::new();
        for (maps, classes) in &all.classes {
            let ground = &grounds[maps];
            for (number, crowd) in ground.crowds.iter().enumerate() {
                if crowds.len() <= number {
                    crowds.push((crowd.name, CrowdSum::default()));
                }
                crowds[number].1.add(crowd, &ground.distances[number], classes);
            }
        }
        let mut flows = all.flows.into_iter();
        let moves = crowds.into_iter().map(|(name, sum)| {
            let flows = flows.next().unwrap_or_default().into_iter();
            sum.moves(name, self::flows(flows.map(|(way, share)| (way, share / records))), records)
        });
        (moves.collect(), all.records)
    }
}

impl<'w> Ground<'w> {
    fn of(crowds: Arc<[Crowd]>, at: [&'w Standpoint; 2]) -> Ground<'w> {
        let distances: Vec<[Distances<'w>; 2]> =
            crowds.iter().map(|crowd| at.map(|at| Distances::of(crowd, &at.snapshot))).collect();
        let classes = crowds.iter().zip(&distances).map(|(crowd, distances)| {
            let mut means: BTreeMap<[Class; 2], Mean> = BTreeMap::new();
            for cell in &crowd.cells {
                let mean = means.entry(cell.classes).or_insert_with(|| Mean {
                    share: 0.0,
                    trips: [0, 1].map(|side: usize| vec![(0.0, 0.0); distances[side].len()]),
                });
                mean.share += cell.share;
                for (trips, distances) in mean.trips.iter_mut().zip(distances) {
                    for (region, (sum, known)) in trips.iter_mut().enumerate() {
                        if let Some(ms) = distances.ms(cell.home, region) {
                            *sum += cell.share * ms;
                            *known += cell.share;
                        }
                    }
                }
            }
            means
        });
        let classes = classes.collect();
        Ground { classes, crowds, distances }
    }
}

/// A share of one class that moves.
#[derive(Clone, Copy)]
struct Moving<'w> {
    from: Spot<'w>,
    to: Spot<'w>,
    share: f64,
}

/// What one pair of classes gets of one pair of plans.
struct Outcome<'w> {
    sides: [Rc<Given<'w>>; 2],
    moving: Vec<Moving<'w>>,
}

impl Outcome<'_> {
    fn ends(&self) -> Ends {
        let change = |of: fn(&Given<'_>) -> f64| Change {
            before: of(&self.sides[0]),
            after: of(&self.sides[1]),
        };
        Ends {
            empty: change(|given| given.empty()),
            dead: change(|given| given.dead),
            no_v4: change(|given| given.no_v4),
            no_v6: change(|given| given.no_v6),
        }
    }
}

impl<'w> Partial<'w> {
    /// Adds the records of one pair of plans.
    fn add(&mut self, at: [&'w Standpoint; 2], alike: &Alike, maps: Maps, ground: &Ground<'w>) {
        let part = alike.pairs.len() as f64;
        let plans = [alike.plans.0, alike.plans.1];
        let mut known: [HashMap<Class, Rc<Given<'w>>>; 2] = Default::default();
        let mut gets = |side: usize, class: Class| {
            let plan = at[side].snapshot.plan(plans[side]);
            let made = || Rc::new(given(plan, class, at[side]));
            Rc::clone(known[side].entry(class).or_insert_with(made))
        };
        let mut outcomes: BTreeMap<[Class; 2], Outcome<'w>> = BTreeMap::new();
        let mut record = RecordSum::default();
        if self.flows.len() < ground.classes.len() {
            self.flows.resize_with(ground.classes.len(), HashMap::new);
        }
        for (number, classes) in ground.classes.iter().enumerate() {
            for (classes, mean) in classes {
                let outcome = outcomes.entry(*classes).or_insert_with(|| {
                    let sides = [gets(0, classes[0]), gets(1, classes[1])];
                    let moving = between(&sides[0].spots, &sides[1].spots);
                    Outcome { sides, moving }
                });
                for moving in &outcome.moving {
                    let flow = self.flows[number].entry((moving.from, moving.to)).or_default();
                    *flow += part * mean.share * moving.share;
                }
                if number == 0 {
                    record.add(outcome, mean, &ground.distances[0]);
                }
            }
        }
        let sums = self.classes.entry(maps).or_default();
        for (classes, outcome) in &outcomes {
            sums.entry(*classes).or_default().add(outcome, part);
        }
        let name = &at[1].snapshot.record(alike.pairs[0].after).id;
        self.records.extend(record.finish(name, alike.pairs.len() - 1));
    }

    fn take(&mut self, other: Partial<'w>) {
        for (maps, classes) in other.classes {
            let sums = self.classes.entry(maps).or_default();
            for (pair, sum) in classes {
                sums.entry(pair).or_default().take(sum);
            }
        }
        if self.flows.len() < other.flows.len() {
            self.flows.resize_with(other.flows.len(), HashMap::new);
        }
        for (flows, others) in self.flows.iter_mut().zip(other.flows) {
            for (way, share) in others {
                *flows.entry(way).or_default() += share;
            }
        }
        self.records.extend(other.records);
    }
}

impl<'w> ClassSum<'w> {
    fn add(&mut self, outcome: &Outcome<'w>, part: f64) {
        for (side, given) in outcome.sides.iter().enumerate() {
            for (spot, share) in answered(given) {
                *self.regions.entry(spot.region).or_default().at(side) += part * share;
            }
        }
        self.moved += part * outcome.moving.iter().map(|moving| moving.share).sum::<f64>();
        self.ends.add(&outcome.ends(), part);
    }

    fn take(&mut self, other: ClassSum<'w>) {
        for (region, share) in other.regions {
            self.regions.entry(region).or_default().add(share, 1.0);
        }
        self.moved += other.moved;
        self.ends.add(&other.ends, 1.0);
    }
}

/// What one record comes to for one crowd.
#[derive(Default)]
struct RecordSum<'w> {
    moved: f64,
    flows: BTreeMap<(Spot<'w>, Spot<'w>), f64>,
    regions: BTreeMap<Region<'w>, Change>,
    trips: Trips,
    ends: Ends,
}

impl<'w> RecordSum<'w> {
    fn add(&mut self, outcome: &Outcome<'w>, mean: &Mean, distances: &[Distances<'w>; 2]) {
        for moving in &outcome.moving {
            self.moved += mean.share * moving.share;
            *self.flows.entry((moving.from, moving.to)).or_default() += mean.share * moving.share;
        }
        for (side, given) in outcome.sides.iter().enumerate() {
            for (spot, share) in answered(given) {
                *self.regions.entry(spot.region).or_default().at(side) += mean.share * share;
                let region = spot.region.and_then(|region| distances[side].region(region));
                if let Some(&(sum, known)) = region.and_then(|at| mean.trips[side].get(at)) {
                    *self.trips.sum.at(side) += share * sum;
                    *self.trips.known.at(side) += share * known;
                }
            }
        }
        self.ends.add(&outcome.ends(), mean.share);
    }

    /// The record, if anything becomes of it.
    fn finish(self, record: &Arc<str>, others: usize) -> Option<RecordMoves> {
        let ends = self.ends.each().iter().any(|(_, change)| !change.is_none());
        (self.moved > HARDLY || ends).then(|| RecordMoves {
            record: Arc::clone(record),
            others,
            moved: self.moved,
            flows: flows(self.flows.into_iter()),
            regions: regions(self.regions, 1.0),
            latency: Latency::of(self.trips.sum, self.trips.known),
            ends: self.ends,
        })
    }
}

/// What one crowd comes to.
#[derive(Default)]
struct CrowdSum<'w> {
    countries: BTreeMap<Option<Country>, CountrySum<'w>>,
    ends: Ends,
}

#[derive(Default)]
struct CountrySum<'w> {
    clients: f64,
    moved: f64,
    regions: BTreeMap<Region<'w>, Change>,
    trips: Trips,
}

impl<'w> CrowdSum<'w> {
    fn add(
        &mut self,
        crowd: &Crowd,
        distances: &[Distances<'w>; 2],
        classes: &BTreeMap<[Class; 2], ClassSum<'w>>,
    ) {
        for cell in &crowd.cells {
            let Some(sum) = classes.get(&cell.classes) else { continue };
            let country = crowd.homes[cell.home as usize].country();
            let into = self.countries.entry(country).or_default();
            // Every record of these maps has all of the crowd's clients: shares sum to how many
            // records there are.
            let records =
                sum.regions.values().map(|share| share.before).sum::<f64>() + sum.ends.empty.before;
            into.clients += cell.share * records;
            into.moved += cell.share * sum.moved;
            for (region, share) in &sum.regions {
                into.regions.entry(*region).or_default().add(*share, cell.share);
                for (side, distances) in distances.iter().enumerate() {
                    let at = region.and_then(|region| distances.region(region));
                    let Some(ms) = at.and_then(|at| distances.ms(cell.home, at)) else { continue };
                    let mut share = *share;
                    let share = cell.share * *share.at(side);
                    *into.trips.sum.at(side) += share * ms;
                    *into.trips.known.at(side) += share;
                }
            }
            self.ends.add(&sum.ends, cell.share);
        }
    }

    fn moves(self, crowd: &'static str, flows: Vec<Flow>, records: f64) -> Moves {
        let mut whole = CountrySum::default();
        let mut countries = Vec::with_capacity(self.countries.len());
        for (country, sum) in self.countries {
            whole.moved += sum.moved;
            whole.trips.sum.add(sum.trips.sum, 1.0);
            whole.trips.known.add(sum.trips.known, 1.0);
            for (region, share) in &sum.regions {
                whole.regions.entry(*region).or_default().add(*share, 1.0);
            }
            let mut known = Change::default();
            known.add(sum.trips.known, 1.0 / sum.clients);
            let mut trips = Change::default();
            trips.add(sum.trips.sum, 1.0 / sum.clients);
            countries.push(CountryMoves {
                country,
                is_rest: false,
                clients: sum.clients / records,
                moved: sum.moved / records,
                regions: regions(sum.regions, 1.0 / sum.clients),
                latency: Latency::of(trips, known),
            });
        }
        let mut known = Change::default();
        known.add(whole.trips.known, 1.0 / records);
        let mut trips = Change::default();
        trips.add(whole.trips.sum, 1.0 / records);
        let mut ends = Ends::default();
        ends.add(&self.ends, 1.0 / records);
        Moves {
            crowd,
            moved: whole.moved / records,
            flows,
            regions: regions(whole.regions, 1.0 / records),
            countries,
            latency: Latency::of(trips, known),
            ends,
        }
    }
}

impl Change {
    fn add(&mut self, other: Change, part: f64) {
        self.before += part * other.before;
        self.after += part * other.after;
    }
}

impl Ends {
    fn add(&mut self, other: &Ends, part: f64) {
        self.empty.add(other.empty, part);
        self.dead.add(other.dead, part);
        self.no_v4.add(other.no_v4, part);
        self.no_v6.add(other.no_v6, part);
    }
}

/// The places that are answered.
fn answered<'g, 'w>(given: &'g Given<'w>) -> impl Iterator<Item = (Spot<'w>, f64)> + 'g {
    let spots = given.spots.iter().map(|(spot, share)| (*spot, *share));
    spots.filter(|(spot, _)| !spot.pool.is_empty())
}

/// The least that moves from one distribution to another: what places lose goes to those that
/// gain, by how much they do.
fn between<'w>(old: &BTreeMap<Spot<'w>, f64>, new: &BTreeMap<Spot<'w>, f64>) -> Vec<Moving<'w>> {
    let change = |spot: &Spot<'w>| {
        new.get(spot).copied().unwrap_or(0.0) - old.get(spot).copied().unwrap_or(0.0)
    };
    let losses = old.keys().map(|spot| (*spot, -change(spot))).filter(|(_, loss)| *loss > HARDLY);
    let gains: Vec<_> =
        new.keys().map(|spot| (*spot, change(spot))).filter(|(_, gain)| *gain > HARDLY).collect();
    let gained: f64 = gains.iter().map(|(_, gain)| gain).sum();
    let flows = losses.flat_map(|(from, loss)| {
        gains.iter().map(move |&(to, gain)| Moving { from, to, share: loss * gain / gained })
    });
    flows.collect()
}

fn flows<'w>(ways: impl Iterator<Item = ((Spot<'w>, Spot<'w>), f64)>) -> Vec<Flow> {
    let place =
        |spot: Spot<'_>| Place { region: spot.region.map(Arc::from), pool: spot.pool.into() };
    let flow = |((from, to), share)| Flow { from: place(from), to: place(to), share };
    let mut flows: Vec<Flow> = ways.filter(|(_, share)| *share > HARDLY).map(flow).collect();
    flows.sort_by(|a, b| {
        b.share.total_cmp(&a.share).then_with(|| (&a.from, &a.to).cmp(&(&b.from, &b.to)))
    });
    flows
}

fn regions(regions: BTreeMap<Region<'_>, Change>, part: f64) -> Vec<RegionShare> {
    ordered(regions.into_iter().map(|(region, share)| {
        let mut scaled = Change::default();
        scaled.add(share, part);
        (region.map(Arc::from), scaled)
    }))
}
