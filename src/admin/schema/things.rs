//! What there is, thing by thing, in pages: zones, records, pools, endpoints, regions, checks.

use super::ZoneState;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

/// A page of things, in the order of their names.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Page<T: ToSchema> {
    /// [`super::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The revision of the files in force.
    pub revision: u64,
    /// What is on it.
    pub items: Vec<T>,
    /// Ask for what comes `after` this, if there is more.
    pub next: Option<String>,
}

/// Which page.
#[derive(Clone, Debug, Default, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct PageQuery {
    /// Only those whose name is like this: `gtm.example.com/*`.
    #[serde(rename = "match", default, skip_serializing_if = "Option::is_none")]
    pub like: Option<String>,
    /// Only what comes after this name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// At most so many: 1 to 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1000)]
    pub limit: Option<u32>,
}

/// A zone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ZoneLine {
    /// The apex.
    pub zone: String,
    /// Which of its files it is answered from.
    pub state: ZoneState,
    /// The serial of its SOA; absent of one that never compiled.
    pub serial: Option<u32>,
    /// Its names.
    pub names: usize,
    /// Those among them that are steered.
    pub records: usize,
}

/// A steered record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RecordLine {
    /// `zone/record`.
    pub record: String,
    /// Its zone.
    pub zone: String,
    /// The name that is asked for.
    pub owner: String,
    /// `weighted`, `failover`, `geo`, `latency`, `multivalue`, or `pool`.
    pub policy: String,
    /// The members of that policy, as written.
    pub members: Vec<MemberLine>,
    /// Whether a client network gets the same answer every time.
    pub sticky: bool,
    /// Whether it depends on where a client is.
    pub by_client: bool,
    /// Seconds that answers may be kept in quiet times.
    pub ttl_s: u32,
    /// Seconds while something fails or moves.
    pub ttl_min_s: u32,
    /// The grounds furthest from health on which some client is answered: `healthy` where there are
    /// no others.
    pub basis: String,
    /// Which share of its clients is sent where now, weighed by known address space.
    pub shares: Vec<ShareLine>,
}

/// A member of a policy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct MemberLine {
    /// Its name.
    pub member: String,
    /// `pool`, or the policy it is.
    pub kind: String,
    /// Its weight, where members have one.
    pub weight: Option<u32>,
    /// Whether it is available.
    pub available: bool,
}

/// A share of a record's clients.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ShareLine {
    /// Whose: `IPv4`, `IPv6`.
    pub clients: String,
    /// Where they are sent; empty for an empty answer.
    pub pool: String,
    /// How many of them: 0..=1.
    pub share: f64,
}

/// A region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RegionLine {
    /// Its name.
    pub region: String,
    /// Degrees north.
    pub latitude: f32,
    /// Degrees east.
    pub longitude: f32,
    /// Addresses and names in it that may be answered.
    pub endpoints: usize,
    /// Those among them that are up.
    pub up: usize,
}

/// A health check.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CheckLine {
    /// Its name.
    pub check: String,
    /// Addresses and names that it judges.
    pub endpoints: usize,
    /// Those among them that are up.
    pub up: usize,
    /// How it stands itself, where it is a gate.
    pub gate: Option<String>,
}

/// What is known of an address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct GeoLine {
    /// [`super::SCHEMA_VERSION`].
    pub schema_version: u32,
    /// The address.
    pub address: String,
    /// The network that the database says it of; absent if it says nothing.
    pub network: Option<String>,
    /// `EU`.
    pub continent: Option<String>,
    /// `DE`.
    pub country: Option<String>,
    /// `US-CA`.
    pub subdivision: Option<String>,
    /// The number of its network.
    pub asn: Option<u32>,
    /// Who says so.
    pub database: String,
}
