//! `tradewind get`: what a running server has, thing by thing.

use super::{
    Exit,
    folder::FolderArgs,
    output::{Out, Paint},
    server::{Server, ServerError, encoded},
    table,
};
use crate::admin::schema::{
    EndpointStatus, FailoverStatus, PoolStatus, SCHEMA_VERSION, ZoneState,
    things::{CheckLine, Page, RecordLine, RegionLine, ZoneLine},
};
use clap::{Args, ValueEnum};
use serde::{Serialize, de::DeserializeOwned};
use utoipa::ToSchema;

const EXAMPLES: &str = "\
Examples:
  tradewind get records
      Every steered record: its policy, and which share of its clients is sent where now.
  tradewind get endpoints 'gtm.example.com/*'
      Those whose name is like this, with their verdicts.
  tradewind get pools --json | jq '.items[] | select(.available | not)'

Exit codes: 0 well · 1 there is none of that name · 5 no server answers";

/// What a running server has: zones, records, pools, endpoints, regions, checks, failovers.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct GetArgs {
    /// Of which kind
    kind: Kind,
    /// Only those whose name is like this; `*` stands for anything
    #[arg(value_name = "NAME")]
    like: Option<String>,
    /// The folder.
    #[command(flatten)]
    folder: FolderArgs,
}

/// Kinds of things.
#[derive(ValueEnum, Clone, Copy, Debug)]
enum Kind {
    Zones,
    Records,
    Pools,
    Endpoints,
    Regions,
    Checks,
    Failovers,
}

/// A row for people, and whether all is well with it.
type Row = (Vec<String>, bool);

/// All pages as one.
#[derive(Serialize)]
struct All<T> {
    schema_version: u32,
    items: Vec<T>,
}

/// Lists what `args` ask for.
pub fn run(args: &GetArgs, out: &mut Out) -> Exit {
    match args.kind {
        Kind::Zones => {
            list(args, "zones", &["zone", "state", "serial", "names", "records"], zone, out)
        }
        Kind::Records => {
            list(args, "records", &["record", "policy", "ttl", "basis", "clients"], record, out)
        }
        Kind::Pools => list(args, "pools", &["pool", "available", "up", "of"], pool, out),
        Kind::Endpoints => {
            let heads = ["endpoint", "address", "region", "verdict", "since", "reason"];
            list(args, "endpoints", &heads, endpoint, out)
        }
        Kind::Regions => list(args, "regions", &["region", "at", "up", "of"], region, out),
        Kind::Checks => list(args, "checks", &["check", "up", "of", "gate"], check, out),
        Kind::Failovers => {
            list(args, "failovers", &["failover", "active", "preferred", "phase"], failover, out)
        }
    }
}

fn list<T: Serialize + DeserializeOwned + ToSchema>(
    args: &GetArgs,
    kind: &str,
    heads: &[&str],
    row: fn(&T) -> Row,
    out: &mut Out,
) -> Exit {
    let server = Server::of(args.folder.path(), out);
    let items: Vec<T> = match all(&server, kind, args.like.as_deref()) {
        Ok(items) => items,
        Err(error) => return error.tell(out),
    };
    let exit = match (&args.like, items.is_empty()) {
        (Some(like), true) => {
            out.error(format_args!("no {kind} are like `{like}`"), Some("`*` stands for anything"));
            Exit::Failed
        }
        _ => Exit::Well,
    };
    if out.wants_json() {
        out.schema(&All { schema_version: SCHEMA_VERSION, items });
    } else if !items.is_empty() {
        let rows: Vec<Row> = items.iter().map(row).collect();
        let cells: Vec<Vec<String>> = rows.iter().map(|(cells, _)| cells.clone()).collect();
        let bad = |at: usize| rows.get(at).filter(|row| !row.1).map(|_| Paint::Bad);
        table::print(heads, &cells, bad, out);
    }
    exit
}

/// Every page of `kind`.
fn all<T: DeserializeOwned + ToSchema>(
    server: &Server,
    kind: &str,
    like: Option<&str>,
) -> Result<Vec<T>, ServerError> {
    let like = like.map_or_else(String::new, |like| format!("&match={}", encoded(like)));
    let (mut items, mut after) = (Vec::new(), String::new());
    loop {
        let page: Page<T> = server.get(&format!("/v1/{kind}?limit=1000{like}{after}"))?;
        items.extend(page.items);
        match page.next {
            Some(next) => after = format!("&after={}", encoded(&next)),
            None => return Ok(items),
        }
    }
}

fn zone(zone: &ZoneLine) -> Row {
    let (state, well) = match zone.state {
        ZoneState::Current => ("current", true),
        ZoneState::Held => ("held", false),
        ZoneState::NeverCompiled => ("never compiled", false),
    };
    let serial = zone.serial.map_or_else(|| "-".to_owned(), |serial| serial.to_string());
    let counts = [zone.names.to_string(), zone.records.to_string()];
    let cells = [zone.zone.clone(), state.to_owned(), serial].into_iter().chain(counts);
    (cells.collect(), well)
}

fn record(record: &RecordLine) -> Row {
    let ttl = match record.ttl_s == record.ttl_min_s {
        true => format!("{}s", record.ttl_s),
        false => format!("{}-{}s", record.ttl_min_s, record.ttl_s),
    };
    // One crowd says it: the first, IPv4 where there is any.
    let crowd = record.shares.first().map(|share| share.clients.as_str());
    let shares = record.shares.iter().filter(|share| Some(share.clients.as_str()) == crowd);
    let shares = shares.map(|share| {
        let pool = share.pool.rsplit('/').next().filter(|pool| !pool.is_empty());
        format!("{} {:.1} %", pool.unwrap_or("(empty)"), share.share * 100.0)
    });
    let shares = shares.collect::<Vec<_>>().join(", ");
    let cells =
        vec![record.record.clone(), record.policy.clone(), ttl, record.basis.clone(), shares];
    (cells, record.basis == "healthy" || record.basis.is_empty())
}

fn pool(pool: &PoolStatus) -> Row {
    let available = if pool.available { "yes" } else { "no" };
    let counts = [pool.up.to_string(), pool.endpoints.to_string()];
    let cells = [pool.pool.clone(), available.to_owned()].into_iter().chain(counts);
    (cells.collect(), pool.available)
}

fn endpoint(one: &EndpointStatus) -> Row {
    let region = one.region.clone().unwrap_or_else(|| "-".to_owned());
    let cells = vec![
        one.endpoint.clone(),
        one.address.clone(),
        region,
        one.verdict.clone(),
        one.since.clone(),
        one.reason.clone(),
    ];
    (cells, one.verdict != "down")
}

fn region(region: &RegionLine) -> Row {
    let at = format!("{:.2}, {:.2}", region.latitude, region.longitude);
    let cells =
        vec![region.region.clone(), at, region.up.to_string(), region.endpoints.to_string()];
    (cells, region.up > 0 || region.endpoints == 0)
}

fn check(check: &CheckLine) -> Row {
    let gate = check.gate.clone().unwrap_or_else(|| "-".to_owned());
    let cells = vec![check.check.clone(), check.up.to_string(), check.endpoints.to_string(), gate];
    (cells, check.up == check.endpoints && check.gate.as_deref() != Some("down"))
}

fn failover(failover: &FailoverStatus) -> Row {
    let cells = vec![
        failover.failover.clone(),
        failover.active.clone(),
        failover.preferred.clone(),
        failover.phase.clone(),
    ];
    (cells, failover.active == failover.preferred)
}
