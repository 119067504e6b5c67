//! What is shown of a change before it is made: who would move, as `--json` and the API promise.

use crate::forecast::preview::{
    Change, CountryMoves, Ends, Flow, Latency, Moves, Place, Preview, RecordMoves, RegionShare,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Records that are told one by one.
const RECORDS_SHOWN: usize = 20;
/// Flows that are told one by one.
const FLOWS_SHOWN: usize = 50;

/// Who would move. Every record counts alike. Shares are 0..=1 of all clients, which are weighed
/// as `by` says; unless that is `observed`, it is not traffic.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct PreviewLine {
    /// What clients are weighed by: `known address space`.
    pub by: String,
    /// Records that were looked at.
    pub records: usize,
    /// Crowds of clients that are weighed apart; the first one counts first.
    pub crowds: Vec<CrowdLine>,
    /// Record by record, those that move most first; of the first crowd.
    pub by_record: Vec<RecordMovesLine>,
    /// How many more there would be.
    pub more_records: usize,
}

/// How one crowd of clients moves.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CrowdLine {
    /// `IPv4`, `IPv6`, or `clients` where both are weighed together.
    pub crowd: String,
    /// The share that moves.
    pub moved: f64,
    /// From where to where, the largest first, at most fifty.
    pub flows: Vec<FlowLine>,
    /// What each region gets, the largest first.
    pub regions: Vec<RegionLine>,
    /// The countries most who move are in; the rest of all clients comes last.
    pub countries: Vec<CountryLine>,
    /// The mean round trip that is expected; absent where nobody can say.
    pub latency: Option<LatencyLine>,
    /// Who gets no good answer.
    pub ends: EndsLine,
}

/// Two numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ChangeLine {
    /// Before.
    pub before: f64,
    /// After.
    pub after: f64,
}

/// What a region gets.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RegionLine {
    /// Its name; absent for endpoints without region.
    pub region: Option<String>,
    /// The share of clients.
    pub share: ChangeLine,
}

/// The mean round trip between clients and where they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LatencyLine {
    /// In milliseconds.
    pub ms: ChangeLine,
    /// The share of clients of whom it is known.
    pub known: ChangeLine,
}

/// Who gets no good answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndsLine {
    /// An empty answer, whatever is asked for.
    pub empty: ChangeLine,
    /// Answers known to be down: `all_down`, or a failover that waits.
    pub dead: ChangeLine,
    /// Empty answers to A queries, of records with IPv4 addresses.
    pub no_v4: ChangeLine,
    /// Empty answers to AAAA queries, of records with IPv6 addresses.
    pub no_v6: ChangeLine,
}

/// Clients that leave one place for another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FlowLine {
    /// The region they are sent to now.
    pub from_region: Option<String>,
    /// The pool they are sent to now; empty for an empty answer.
    pub from_pool: String,
    /// The region they go to.
    pub to_region: Option<String>,
    /// The pool they go to; empty for an empty answer.
    pub to_pool: String,
    /// Their share.
    pub share: f64,
}

/// Those of one country.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CountryLine {
    /// ISO 3166-1; absent where it is not known, and for the rest.
    pub country: Option<String>,
    /// Whether it stands for all countries that are not named.
    pub rest: bool,
    /// Their share of all clients.
    pub clients: f64,
    /// The share of all clients that moves here.
    pub moved: f64,
    /// What each region gets of them.
    pub regions: Vec<RegionLine>,
    /// Their round trips.
    pub latency: Option<LatencyLine>,
}

/// What becomes of one record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecordMovesLine {
    /// `zone/record`.
    pub record: String,
    /// How many more are steered alike.
    pub others: usize,
    /// The share of its clients that moves.
    pub moved: f64,
    /// From where to where, the largest first.
    pub flows: Vec<FlowLine>,
    /// What each region gets.
    pub regions: Vec<RegionLine>,
    /// The mean round trip that is expected.
    pub latency: Option<LatencyLine>,
    /// Who gets no good answer.
    pub ends: EndsLine,
}

impl From<&Preview> for PreviewLine {
    fn from(preview: &Preview) -> Self {
        let records = preview.by_record.iter().take(RECORDS_SHOWN);
        PreviewLine {
            by: preview.by.clone(),
            records: preview.records,
            crowds: preview.crowds.iter().map(CrowdLine::from).collect(),
            by_record: records.map(RecordMovesLine::from).collect(),
            more_records: preview.by_record.len().saturating_sub(RECORDS_SHOWN),
        }
    }
}

impl From<&Moves> for CrowdLine {
    fn from(moves: &Moves) -> Self {
        CrowdLine {
            crowd: moves.crowd.to_owned(),
            moved: moves.moved,
            flows: flows(&moves.flows),
            regions: regions(&moves.regions),
            countries: moves.countries.iter().map(CountryLine::from).collect(),
            latency: moves.latency.map(LatencyLine::from),
            ends: EndsLine::from(moves.ends),
        }
    }
}

impl From<&CountryMoves> for CountryLine {
    fn from(country: &CountryMoves) -> Self {
        CountryLine {
            country: country.country.map(|country| country.to_string()),
            rest: country.is_rest,
            clients: country.clients,
            moved: country.moved,
            regions: regions(&country.regions),
            latency: country.latency.map(LatencyLine::from),
        }
    }
}

impl From<&RecordMoves> for RecordMovesLine {
    fn from(record: &RecordMoves) -> Self {
        RecordMovesLine {
            record: record.record.to_string(),
            others: record.others,
            moved: record.moved,
            flows: flows(&record.flows),
            regions: regions(&record.regions),
            latency: record.latency.map(LatencyLine::from),
            ends: EndsLine::from(record.ends),
        }
    }
}

impl From<Change> for ChangeLine {
    fn from(change: Change) -> Self {
        ChangeLine { before: change.before, after: change.after }
    }
}

impl From<Latency> for LatencyLine {
    fn from(latency: Latency) -> Self {
        LatencyLine { ms: latency.ms.into(), known: latency.known.into() }
    }
}

impl From<Ends> for EndsLine {
    fn from(ends: Ends) -> Self {
        EndsLine {
            empty: ends.empty.into(),
            dead: ends.dead.into(),
            no_v4: ends.no_v4.into(),
            no_v6: ends.no_v6.into(),
        }
    }
}

fn regions(regions: &[RegionShare]) -> Vec<RegionLine> {
    let line = |RegionShare { region, share }: &RegionShare| RegionLine {
        region: region.as_deref().map(str::to_owned),
        share: (*share).into(),
    };
    regions.iter().map(line).collect()
}

fn flows(flows: &[Flow]) -> Vec<FlowLine> {
    let region = |place: &Place| place.region.as_deref().map(str::to_owned);
    let line = |flow: &Flow| FlowLine {
        from_region: region(&flow.from),
        from_pool: flow.from.pool.to_string(),
        to_region: region(&flow.to),
        to_pool: flow.to.pool.to_string(),
        share: flow.share,
    };
    flows.iter().take(FLOWS_SHOWN).map(line).collect()
}
