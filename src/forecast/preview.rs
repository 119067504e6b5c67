//! Who would move: which share of clients, from where to where, from which countries, and how
//! much further they would have it.
//!
//! What moves is what must: a client whose place still has room for it stays, as sticky draws
//! have it; other draws move the same shares. Every record counts alike: nobody knows before a
//! change which of them will be asked for.

use super::{
    Pair, Standpoint,
    clients::Clients,
    sums::{Alike, Sums},
};
use crate::{ids::PlanId, place::Country};
use std::{collections::BTreeMap, sync::Arc};

/// Countries that are named.
const COUNTRIES: usize = 10;
/// Below this a share is rounding.
pub(super) const HARDLY: f64 = 1e-9;

/// Who would move between two standpoints.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preview {
    /// What clients are weighed by, for people.
    pub by: String,
    /// Records that were looked at.
    pub records: usize,
    /// Crowd by crowd, which are weighed apart; never empty where records were looked at.
    pub crowds: Vec<Moves>,
    /// Record by record, those that move most first; equal ones once. Of the first crowd.
    pub by_record: Vec<RecordMoves>,
}

/// How one crowd moves. Shares are of all its clients, over all records.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moves {
    /// `IPv4`, `IPv6` or `clients`.
    pub crowd: &'static str,
    /// The share that moves.
    pub moved: f64,
    /// From where to where, the largest first.
    pub flows: Vec<Flow>,
    /// What each region gets, the largest first.
    pub regions: Vec<RegionShare>,
    /// The countries most who move are in, the rest of all clients as the last one.
    pub countries: Vec<CountryMoves>,
    /// The mean round trip that is expected.
    pub latency: Option<Latency>,
    /// Who gets no good answer.
    pub ends: Ends,
}

/// Two numbers: before and after.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Change {
    /// Before.
    pub before: f64,
    /// After.
    pub after: f64,
}

/// The share of those who get no good answer.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Ends {
    /// An empty one, whatever they ask for.
    pub empty: Change,
    /// One that is known not to be available.
    pub dead: Change,
    /// An empty one to A queries, of records with IPv4 addresses.
    pub no_v4: Change,
    /// An empty one to AAAA queries, of records with IPv6 addresses.
    pub no_v6: Change,
}

/// What a region gets.
#[derive(Clone, Debug, PartialEq)]
pub struct RegionShare {
    /// Its name; none for endpoints that have no region.
    pub region: Option<Arc<str>>,
    /// The share of clients.
    pub share: Change,
}

/// The mean round trip between clients and the regions they are sent to.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Latency {
    /// In milliseconds.
    pub ms: Change,
    /// The share of clients it is known of.
    pub known: Change,
}

/// Those of one country.
#[derive(Clone, Debug, PartialEq)]
pub struct CountryMoves {
    /// Which; none for what is not known, and of the rest.
    pub country: Option<Country>,
    /// Whether it stands for all other countries.
    pub is_rest: bool,
    /// Their share of all clients.
    pub clients: f64,
    /// The share of all clients that moves here.
    pub moved: f64,
    /// What each region gets of them, the largest first: these sum to one at most.
    pub regions: Vec<RegionShare>,
    /// Their round trips.
    pub latency: Option<Latency>,
}

/// Clients that leave one place for another.
#[derive(Clone, Debug, PartialEq)]
pub struct Flow {
    /// Where they are.
    pub from: Place,
    /// Where they go.
    pub to: Place,
    /// Their share of all clients.
    pub share: f64,
}

/// A place clients are sent to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The region's name, where it has one.
    pub region: Option<Arc<str>>,
    /// The pool's id; empty for an empty answer.
    pub pool: Arc<str>,
}

/// What becomes of one record, and of others steered alike.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordMoves {
    /// `zone/record` of the first.
    pub record: Arc<str>,
    /// How many more there are.
    pub others: usize,
    /// The share of its clients that moves.
    pub moved: f64,
    /// From where to where, the largest first.
    pub flows: Vec<Flow>,
    /// What each region gets, the largest first.
    pub regions: Vec<RegionShare>,
    /// The mean round trip that is expected.
    pub latency: Option<Latency>,
    /// Who gets no good answer.
    pub ends: Ends,
}

impl Preview {
    /// The crowd that counts first; an empty one where nothing was looked at.
    pub fn first(&self) -> Moves {
        self.crowds.first().cloned().unwrap_or_default()
    }
}

impl Change {
    /// What it is on one side: 0 before, 1 after.
    pub(super) fn at(&mut self, side: usize) -> &mut f64 {
        if side == 0 { &mut self.before } else { &mut self.after }
    }

    /// Whether the two are the same, but for rounding.
    pub fn is_none(&self) -> bool {
        (self.after - self.before).abs() < HARDLY
    }
}

impl Ends {
    /// Each of them, with what it is called.
    pub fn each(&self) -> [(&'static str, Change); 4] {
        [
            ("get no answer", self.empty),
            ("get an answer that is known to be down", self.dead),
            ("of A queries get NODATA", self.no_v4),
            ("of AAAA queries get NODATA", self.no_v6),
        ]
    }
}

/// Who would move at `records` between `before` and `after`. Nothing if `clients` were counted for
/// other files.
pub fn preview(
    before: &Standpoint,
    after: &Standpoint,
    records: &[Pair],
    clients: &Clients,
) -> Option<Preview> {
    let mut alike: BTreeMap<(PlanId, PlanId), Vec<Pair>> = BTreeMap::new();
    for &pair in records {
        let plans =
            (before.snapshot.record(pair.before).plan, after.snapshot.record(pair.after).plan);
        alike.entry(plans).or_default().push(pair);
    }
    let alike: Vec<Alike> =
        alike.into_iter().map(|(plans, pairs)| Alike { plans, pairs }).collect();
    let sums = Sums::over([before, after], &alike, clients)?;
    let (mut crowds, mut by_record) = sums.finish(records.len());
    by_record.sort_by(|a, b| b.moved.total_cmp(&a.moved).then(a.record.cmp(&b.record)));
    for crowd in &mut crowds {
        crowd.countries = shortened(std::mem::take(&mut crowd.countries));
    }
    Some(Preview { by: clients.said().to_owned(), records: records.len(), crowds, by_record })
}

/// Those countries of `all` in which most move, and the sum of the others.
fn shortened(mut all: Vec<CountryMoves>) -> Vec<CountryMoves> {
    all.sort_by(|a, b| {
        let by_moved = b.moved.total_cmp(&a.moved);
        by_moved.then(b.clients.total_cmp(&a.clients)).then(a.country.cmp(&b.country))
    });
    let rest = all.split_off(COUNTRIES.min(all.len()));
    all.extend(summed(&rest));
    all
}

/// Several countries in one.
fn summed(countries: &[CountryMoves]) -> Option<CountryMoves> {
    let clients: f64 = countries.iter().map(|country| country.clients).sum();
    if clients < HARDLY {
        return None;
    }
    let mut regions: BTreeMap<Option<Arc<str>>, Change> = BTreeMap::new();
    let (mut ms, mut known) = (Change::default(), Change::default());
    for country in countries {
        let part = country.clients / clients;
        for RegionShare { region, share } in &country.regions {
            let sum = regions.entry(region.clone()).or_default();
            sum.before += part * share.before;
            sum.after += part * share.after;
        }
        let latency = country.latency.unwrap_or_default();
        ms.before += part * latency.known.before * latency.ms.before;
        ms.after += part * latency.known.after * latency.ms.after;
        known.before += part * latency.known.before;
        known.after += part * latency.known.after;
    }
    Some(CountryMoves {
        country: None,
        is_rest: true,
        clients,
        moved: countries.iter().map(|country| country.moved).sum(),
        regions: ordered(regions.into_iter()),
        latency: Latency::of(ms, known),
    })
}

/// Regions in the order of what they get.
pub(super) fn ordered(
    regions: impl Iterator<Item = (Option<Arc<str>>, Change)>,
) -> Vec<RegionShare> {
    let share = |(region, share)| RegionShare { region, share };
    let mut regions: Vec<RegionShare> = regions.map(share).collect();
    regions.retain(|it| it.share.before > HARDLY || it.share.after > HARDLY);
    regions.sort_by(|a, b| {
        let by_share = b.share.after.total_cmp(&a.share.after);
        by_share.then(b.share.before.total_cmp(&a.share.before)).then(a.region.cmp(&b.region))
    });
    regions
}

impl Latency {
    /// The means of sums over those of whom it is known; nothing if that is nobody.
    pub(super) fn of(sum: Change, known: Change) -> Option<Latency> {
        let is_known = known.before > HARDLY && known.after > HARDLY;
        let ms = Change { before: sum.before / known.before, after: sum.after / known.after };
        is_known.then_some(Latency { ms, known })
    }
}
