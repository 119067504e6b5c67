//! `tradewind status`: how a running server stands. The sentence first, then what it is made of.

use super::{
    Exit,
    folder::FolderArgs,
    nodes,
    output::{Out, Paint},
    server::{Server, ServerError},
    table,
    watch::{WatchArgs, watch},
};
use crate::admin::{
    schema::{
        EndpointStatus, FailoverStatus, LeavingLine, Status, ZoneState, hand::WeightLine,
        rollout::RolloutLine,
    },
    status::clock_time,
};
use clap::Args;

const EXAMPLES: &str = "\
Examples:
  tradewind status
      One sentence; zones, pools and endpoints below it, with verdict, reason and last probe.
  tradewind status --watch
      The same, redrawn every second; in a pipe a line of JSON for each change.
  tradewind status --json
      All of it for machines; `schema_version` says in which form.

With [server] peers the other servers for these zones are asked as well, and where they differ is
said: files, overrides, failovers, verdicts.

Exit codes: 0 all is well · 1 something is down, held back, answered by its last resort, or a peer
is not in step · 5 no server answers";

/// Zones shown one by one; a server of thousands would hide the endpoints behind them.
const ZONES_SHOWN: usize = 20;

/// How a running server stands.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct StatusArgs {
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Whether to go on.
    #[command(flatten)]
    pub watch: WatchArgs,
}

/// Prints the status of the server.
pub fn run(args: &StatusArgs, out: &mut Out) -> Exit {
    let server = Server::of(args.folder.path(), out);
    let look = || -> Result<Status, ServerError> {
        let mut status: Status = server.get("/v1/status")?;
        nodes::compare(&args.folder, &mut status);
        Ok(status)
    };
    if args.watch.watch {
        return watch(look, print, out);
    }
    match look() {
        Ok(status) => {
            print(&status, out);
            exit_of(&status)
        }
        Err(error) => error.tell(out),
    }
}

fn exit_of(status: &Status) -> Exit {
    let all_up = status.endpoints.iter().all(|endpoint| !is_down(endpoint));
    let usual = status.elsewhere.is_empty() && status.last_resort.is_empty();
    let ready = status.not_ready.is_empty()
        && status.alarms.is_empty()
        && status.checker_impaired.is_none();
    let waits = status.failovers.iter().any(|failover| failover.waits.is_some());
    let stuck = |rollout: &RolloutLine| rollout.halted.is_some() && rollout.state != "paused";
    let stuck = status.rollouts.iter().any(stuck);
    let free = status.held.is_empty() && !status.pinned && !waits && !stuck;
    let in_step = status.peers.iter().all(|peer| peer.in_step);
    if all_up && usual && ready && free && in_step { Exit::Well } else { Exit::Failed }
}

fn is_down(endpoint: &EndpointStatus) -> bool {
    matches!(&*endpoint.verdict, "down" | "drained")
}

fn print(status: &Status, out: &mut Out) {
    if out.wants_json() {
        return out.schema(status);
    }
    let paint = match exit_of(status) {
        Exit::Well => Paint::Good,
        _ => Paint::Bad,
    };
    let sentence = out.paint(paint, format_args!("{}.", status.sentence));
    out.line(sentence);
    for reason in &status.not_ready {
        out.line(format_args!("not ready: {reason}"));
    }
    for alarm in &status.alarms {
        out.line(format_args!("alarm: {alarm}"));
    }
    for peer in &status.peers {
        let name = &peer.peer;
        match (&peer.error, &peer.differs[..]) {
            (Some(error), _) => out.line(format_args!("peer {name}: {error}")),
            (None, []) => out.line(format_args!("peer {name}: in step")),
            (None, differs) => {
                differs.iter().for_each(|one| out.line(format_args!("peer {name}: {one}")));
            }
        }
    }
    for record in &status.last_resort {
        out.line(format_args!("last resort: {} ({})", record.record, record.basis));
    }
    for held in &status.held {
        out.line(format_args!("held: {}", held.words()));
    }
    for failover in &status.failovers {
        let FailoverStatus { failover: name, active, preferred, .. } = failover;
        match &failover.leaving {
            _ if failover.waits.is_some() => {
                out.line(format_args!("failover: {}", failover.words()));
            }
            Some(LeavingLine { from, moved }) => out.line(format_args!(
                "failover: {name} goes from {from} to {active}: {:.1} % have moved",
                moved * 100.0
            )),
            None if active != preferred => {
                out.line(format_args!("failover: {name} stands at {active}, not {preferred}"));
            }
            None => {}
        }
    }
    for rollout in &status.rollouts {
        let RolloutLine { name, state, member, record, .. } = rollout;
        let why = rollout.halted.as_ref().map_or_else(String::new, |why| format!(": {why}"));
        out.line(format_args!("rollout: {name} ({member} of {record}) {state}{why}"));
    }
    status.weights.iter().for_each(|weight| unfiled(weight, out));
    for left in status.old_answers.iter().filter(|left| left.computed > 0.0) {
        out.line(format_args!("old answers: {}", left.words()));
    }
    for problem in &status.problems {
        let line = problem.line.map_or_else(String::new, |line| format!(":{line}"));
        let (severity, file, message) = (&problem.severity, &problem.file, &problem.message);
        out.line(format_args!("{severity}: {file}{line}: {message}"));
    }
    zones(status, out);
    pools(status, out);
    endpoints(status, out);
}

/// A weight that is served and that the files do not say.
pub(super) fn unfiled(weight: &WeightLine, out: &mut Out) {
    let words = weight.words();
    match &weight.rollout {
        Some(_) => out.line(format_args!("weight: {words}; what to write: {}", weight.next)),
        None => out.line(format_args!("weight: {words}; undo: {}", weight.next)),
    }
}

fn zones(status: &Status, out: &mut Out) {
    let held = |state| state != ZoneState::Current;
    let mut shown: Vec<_> = status.zones.iter().collect();
    shown.sort_by_key(|zone| !held(zone.state));
    let hidden = shown.len().saturating_sub(ZONES_SHOWN);
    shown.truncate(ZONES_SHOWN);
    let rows: Vec<Vec<String>> = shown
        .iter()
        .map(|zone| {
            let state = match zone.state {
                ZoneState::Current => "current",
                ZoneState::Held => "held back at its last good version",
                ZoneState::NeverCompiled => "never compiled: SERVFAIL",
            };
            vec![zone.zone.clone(), zone.records.to_string(), state.to_owned()]
        })
        .collect();
    let bad = |row: usize| shown.get(row).filter(|zone| held(zone.state)).map(|_| Paint::Bad);
    section(&["zone", "steered", "files"], &rows, bad, out);
    if hidden > 0 {
        out.line(format_args!("and {hidden} more zones"));
    }
}

fn pools(status: &Status, out: &mut Out) {
    let rows = status.pools.iter().map(|pool| {
        let state = if pool.available { "available" } else { "not available" };
        vec![pool.pool.clone(), format!("{} of {}", pool.up, pool.endpoints), state.to_owned()]
    });
    let rows: Vec<Vec<String>> = rows.collect();
    let bad = |row: usize| status.pools.get(row).filter(|p| !p.available).map(|_| Paint::Bad);
    section(&["pool", "up", ""], &rows, bad, out);
}

fn endpoints(status: &Status, out: &mut Out) {
    let row = |endpoint: &EndpointStatus| {
        let probe = endpoint.last_probe.as_ref();
        let probe =
            probe.map(|probe| format!("{}, {}", probe.outcome, ago(&probe.at, &status.now)));
        let verdict = match endpoint.failing && !is_down(endpoint) {
            true => format!("{}, failing", endpoint.verdict),
            false => endpoint.verdict.clone(),
        };
        vec![
            endpoint.endpoint.clone(),
            endpoint.address.clone(),
            endpoint.region.clone().unwrap_or_default(),
            verdict,
            clock_time(&endpoint.since, &status.now),
            format!("{}{}", endpoint.reason, endpoint.target.words()),
            probe.unwrap_or_default(),
        ]
    };
    let rows: Vec<Vec<String>> = status.endpoints.iter().map(row).collect();
    let bad = |row: usize| status.endpoints.get(row).filter(|e| is_down(e)).map(|_| Paint::Bad);
    let heads = ["endpoint", "answers", "region", "verdict", "since", "reason", "last probe"];
    section(&heads, &rows, bad, out);
}

fn section(
    heads: &[&str],
    rows: &[Vec<String>],
    bad: impl Fn(usize) -> Option<Paint>,
    out: &mut Out,
) {
    if !rows.is_empty() {
        out.line("");
        table::print(heads, rows, bad, out);
    }
}

/// How long before `now` `at` was, both RFC 3339.
pub(super) fn ago(at: &str, now: &str) -> String {
    let (Ok(at), Ok(now)) = (at.parse::<jiff::Timestamp>(), now.parse::<jiff::Timestamp>()) else {
        return at.to_owned();
    };
    let seconds = now.duration_since(at).as_secs_f64().max(0.0);
    match seconds {
        ..10.0 => format!("{seconds:.1} s ago"),
        ..120.0 => format!("{seconds:.0} s ago"),
        _ => format!("{:.0} min ago", seconds / 60.0),
    }
}
