//! What happened: a line of `events`, and of the feeds that programs follow.

use super::{ms, time};
use crate::{
    clock::Moment,
    control::event::{Event, EventKind},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};
use utoipa::ToSchema;

/// One thing that happened.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct EventLine {
    /// Counts up from 1, over restarts too; leaves some numbers out after a crash.
    pub seq: u64,
    /// Which run of the server: counts up with each start.
    pub boot: u64,
    /// When, since the start of that run.
    pub offset_ms: f64,
    /// When, for people.
    pub at: String,
    /// The World that carries it.
    pub swap: u64,
    /// Events written down together share the number of their first.
    pub incident: u64,
    /// Its kind: `loaded`, `refused`, `verdict`, `failover`, `basis`, `published`, `geoip`,
    /// `demo`, `store`, `hook`, …
    pub event: String,
    /// Whether someone should look.
    pub alarm: bool,
    /// The log line.
    pub text: String,
    /// The operator behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<String>,
    /// What it is about: the endpoint, failover, record, region or hook.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What it was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What it is now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// For a verdict: when the probe that decided it ended, on the same clock as `offset_ms`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_ms: Option<f64>,
    /// For a publication: how long it took from its first cause.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<f64>,
    /// For a publication: what was published together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<IncidentSummary>,
}

/// What an incident came to.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct IncidentSummary {
    /// How many of each: `verdict down`, `failover`, …
    pub counts: BTreeMap<String, usize>,
    /// What the first 20 of them are about.
    pub names: Vec<String>,
}

/// Milliseconds since the server's start.
fn offset_ms(at: Moment) -> f64 {
    ms(Duration::from_nanos(at.0))
}

impl From<&Event> for EventLine {
    fn from(event: &Event) -> Self {
        let facts = event.kind.facts();
        let text = |text: Option<&str>| text.map(str::to_owned);
        let (mut decided_ms, mut took_ms) = (None, None);
        match &event.kind {
            EventKind::Verdict { decided, .. } => decided_ms = Some(offset_ms(*decided)),
            EventKind::Published { took, .. } => took_ms = Some(ms(*took)),
            _ => {}
        }
        EventLine {
            seq: event.seq,
            boot: event.boot,
            offset_ms: offset_ms(event.at),
            at: time(event.wall),
            swap: event.swap,
            incident: event.incident,
            event: event.kind.word().to_owned(),
            alarm: event.kind.is_alarm(),
            text: event.kind.to_string(),
            who: text(event.who.as_deref()),
            cause: text(facts.cause),
            subject: text(facts.subject),
            from: text(facts.before),
            to: text(facts.after),
            decided_ms,
            took_ms,
            summary: match &event.kind {
                EventKind::Published { summary, .. } => Some(IncidentSummary {
                    counts: summary.counts.iter().map(|(k, n)| (k.to_string(), *n)).collect(),
                    names: summary.names.iter().map(|name| name.to_string()).collect(),
                }),
                _ => None,
            },
        }
    }
}
