//! What is shown of targets, and what a heartbeat says: the part of the promise that health
//! fills in.

use super::{ProbeLine, ms, time_of};
use crate::{
    clock::Moment,
    health::{Beat, Histogram, TargetState},
};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime};
use utoipa::ToSchema;

/// One target of `/v1/targets`: what is probed, or sends heartbeats, once for all who use it.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct TargetLine {
    /// `zone/pool/endpoint` of its first user; `check:NAME` for a gate.
    pub target: String,
    /// Where the probe connects to; `push:CHECK/ENDPOINT` where heartbeats come to us.
    pub address: String,
    /// How it stands by its own results: `up`, `degraded`, `down`, `unknown`. What is answered
    /// may differ (`observed`, the breaker, operators).
    pub state: String,
    /// Whether its last probe failed, fallen or not.
    pub failing: bool,
    /// Why it stands so.
    pub reason: String,
    /// Probes or heartbeats so far.
    pub probes: u64,
    /// Failed ones among them.
    pub failures: u64,
    /// Ones that proved nothing, for reasons of our own.
    pub voids: u64,
    /// The rest of what is known.
    #[serde(flatten)]
    pub facts: TargetFacts,
    /// The last probe.
    pub last_probe: Option<ProbeLine>,
}

/// What is known of a target beside how it stands.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TargetFacts {
    /// It fell within ten minutes after a rise, and was not up for ten minutes since.
    #[serde(default)]
    pub flapping: bool,
    /// For how long flap damping will keep it from rising, if it does.
    #[serde(default)]
    pub held_down_s: Option<f64>,
    /// Of a check with `mode = "observe"`: what its verdict would be.
    #[serde(default)]
    pub observed: Option<String>,
    /// How long its answers took of late; absent before the first.
    #[serde(default)]
    pub latency_ms: Option<LatencyLine>,
    /// Its last five different errors, the newest last.
    #[serde(default)]
    pub errors: Vec<ErrorLine>,
}

/// Within how many milliseconds which share of the answers came.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LatencyLine {
    /// Half of them.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
}

/// An error that a target had.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorLine {
    /// `refused`, `status 503`.
    pub what: String,
    /// For how long it has not been seen.
    pub ago_s: f64,
    /// How often it was, since it is among the last five.
    pub count: u64,
}

/// The body of a heartbeat.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Heartbeat {
    /// How its sender stands.
    pub status: HeartbeatStatus,
}

/// How the sender of a heartbeat stands.
#[derive(Clone, Copy, Debug, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum HeartbeatStatus {
    /// All is well; what an empty body says too.
    Up,
    /// It works, but badly.
    Degraded,
    /// It is to be left at once.
    Down,
}

impl TargetLine {
    /// The line of `target`, seen at `now`, which is `wall`.
    pub fn new(target: &TargetState, now: Moment, wall: SystemTime) -> Self {
        TargetLine {
            target: target.label.to_string(),
            address: target.address().to_owned(),
            state: target.sight.standing.word().to_owned(),
            failing: target.sight.failing,
            reason: target.reason.to_string(),
            probes: target.probes_total,
            failures: target.failures_total,
            voids: target.voids_total,
            facts: TargetFacts::new(target, now),
            last_probe: probe(target, now, wall),
        }
    }
}

impl TargetFacts {
    /// What is known of `target` at `now`.
    pub fn new(target: &TargetState, now: Moment) -> Self {
        let held = target.held_until.map(|until| until.since(now)).filter(|left| !left.is_zero());
        let errors = target.errors.iter().map(|error| ErrorLine {
            what: error.what.to_string(),
            ago_s: now.since(error.at).as_secs_f64(),
            count: error.count,
        });
        TargetFacts {
            flapping: target.flapping,
            held_down_s: held.as_ref().map(Duration::as_secs_f64),
            observed: target.observe.then(|| target.sight.standing.word().to_owned()),
            latency_ms: LatencyLine::of(&target.latency),
            errors: errors.collect(),
        }
    }

    /// What people must know of it beside the reason: `; flapping, held down for 42 s more`.
    pub fn words(&self) -> String {
        let held = self.held_down_s.map(|left| format!("held down for {left:.0} s more"));
        let flapping = self.flapping.then(|| "flapping".to_owned());
        let words: Vec<String> = flapping.into_iter().chain(held).collect();
        match words.is_empty() {
            true => String::new(),
            false => format!("; {}", words.join(", ")),
        }
    }
}

impl LatencyLine {
    fn of(latency: &Histogram) -> Option<Self> {
        let at = |share| latency.quantile(share).map(ms);
        Some(LatencyLine { p50: at(0.5)?, p90: at(0.9)?, p99: at(0.99)? })
    }
}

/// The line of the last probe of `target`.
pub fn probe(target: &TargetState, now: Moment, wall: SystemTime) -> Option<ProbeLine> {
    target.last_probe.as_ref().map(|probe| ProbeLine {
        at: time_of(probe.at, now, wall),
        took_ms: ms(probe.took),
        outcome: probe.outcome.to_string(),
    })
}

impl From<HeartbeatStatus> for Beat {
    fn from(status: HeartbeatStatus) -> Beat {
        match status {
            HeartbeatStatus::Up => Beat::Up,
            HeartbeatStatus::Degraded => Beat::Degraded,
            HeartbeatStatus::Down => Beat::Down,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_told_of_damping_only_while_there_is_some() {
        let facts =
            |flapping, held_down_s| TargetFacts { flapping, held_down_s, ..Default::default() };
        for (flapping, held, words) in [
            (false, None, ""),
            (false, Some(12.3), "; held down for 12 s more"),
            (true, None, "; flapping"),
            (true, Some(41.6), "; flapping, held down for 42 s more"),
        ] {
            assert_eq!(facts(flapping, held).words(), words);
        }
    }
}
