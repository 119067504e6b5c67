//! What happened: every change of a running server, typed.
//!
//! Events are made where the change is, logged once and kept in a ring for `status`, the admin
//! API and tests. Their `Display` is the log line.

use crate::{clock::Moment, failover::breaker::News, verdict::Standing};
use std::{collections::VecDeque, fmt, sync::Arc, time::Duration, time::SystemTime};

/// Events kept in memory: a bad night's worth, at some 200 bytes each.
const RING: usize = 4096;

/// One thing that happened.
#[derive(Clone, Debug)]
pub struct Event {
    /// Counts up from 1 for as long as the process lives.
    pub seq: u64,
    /// Monotonic.
    pub at: Moment,
    /// For people.
    pub wall: SystemTime,
    /// The World that carries it.
    pub swap: u64,
    /// What.
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug)]
pub enum EventKind {
    /// A set of files was accepted.
    Loaded {
        /// Its number.
        revision: u64,
        /// What asked for it.
        cause: Arc<str>,
        /// Zones served.
        zones: usize,
        /// Steered records.
        records: usize,
        /// Zones that kept an older version.
        held: Vec<Arc<str>>,
    },
    /// A set of files was refused whole.
    Refused {
        /// What asked for it.
        cause: Arc<str>,
        /// How many errors.
        errors: usize,
    },
    /// A verdict changed.
    Verdict {
        /// `zone/pool/endpoint`.
        slot: Arc<str>,
        /// The address or name it answers.
        address: Arc<str>,
        /// How it stood.
        from: Standing,
        /// How it stands.
        to: Standing,
        /// Why.
        reason: Arc<str>,
        /// When the probe that decided it ended.
        decided: Moment,
    },
    /// A failover changed its active member.
    Failover {
        /// `zone/record` or `zone/policy`.
        name: Arc<str>,
        /// The member left.
        from: Arc<str>,
        /// The member now active.
        to: Arc<str>,
        /// Why.
        why: &'static str,
    },
    /// Records started or ceased to answer on other grounds than health.
    Basis {
        /// `zone/record` of the first record concerned.
        record: Arc<str>,
        /// How many records share its plan.
        records: usize,
        /// The new grounds.
        basis: &'static str,
    },
    /// The breaker held falls back, or let them through.
    Breaker(News),
    /// A World was published because of what stands before this event.
    Published {
        /// Plans made anew.
        plans: usize,
        /// From the first cause to the swap.
        took: Duration,
    },
    /// A location database or latency table was taken or refused.
    Geoip {
        /// What was said of it.
        what: Arc<str>,
        /// Whether it was taken.
        taken: bool,
    },
    /// An operator changed what the server does, or such a change ended.
    Hand {
        /// Number of the override or proposal; 0 for `state/PIN`.
        id: u64,
        /// The command: `drain region:us-east-1`.
        what: Arc<str>,
        /// What became of it: `made`, `taken away`, `ended`, `proposed`, `settled`, …
        became: Arc<str>,
        /// What it does, who did it and why.
        said: Arc<str>,
        /// Whether someone should look: it went over a safety rule, or freezes everything.
        alarm: bool,
    },
    /// `demo kill` or `demo restore`.
    Demo {
        /// The region.
        region: Arc<str>,
        /// Whether its backend now runs.
        up: bool,
    },
}

impl EventKind {
    /// Its name in JSON and metrics.
    pub const fn word(&self) -> &'static str {
        match self {
            EventKind::Loaded { .. } => "loaded",
            EventKind::Refused { .. } => "refused",
            EventKind::Verdict { .. } => "verdict",
            EventKind::Failover { .. } => "failover",
            EventKind::Basis { .. } => "basis",
            EventKind::Breaker(_) => "breaker",
            EventKind::Published { .. } => "published",
            EventKind::Geoip { .. } => "geoip",
            EventKind::Hand { .. } => "hand",
            EventKind::Demo { .. } => "demo",
        }
    }

    /// Whether someone should look.
    pub fn is_alarm(&self) -> bool {
        match self {
            EventKind::Loaded { held, .. } => !held.is_empty(),
            EventKind::Refused { .. } => true,
            EventKind::Verdict { to, .. } => !to.is_up(),
            EventKind::Basis { basis, .. } => *basis != "healthy",
            EventKind::Breaker(news) => !matches!(news, News::Reconnected | News::Recovered),
            EventKind::Geoip { taken, .. } => !taken,
            EventKind::Hand { alarm, .. } => *alarm,
            EventKind::Failover { .. } | EventKind::Published { .. } | EventKind::Demo { .. } => {
                false
            }
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            EventKind::Loaded { revision, cause, zones, records, held } => {
                write!(
                    f,
                    "{cause}: revision {revision}, {zones} zones, {records} steered records"
                )?;
                if !held.is_empty() {
                    write!(f, "; kept at their last good version: {}", held.join(", "))?;
                }
                Ok(())
            }
            EventKind::Refused { cause, errors } => {
                write!(
                    f,
                    "{cause}: refused with {errors} errors; the last good files stay in force"
                )
            }
            EventKind::Verdict { slot, address, from, to, reason, .. } => {
                write!(f, "{slot} ({address}) {} → {}: {reason}", from.word(), to.word())
            }
            EventKind::Failover { name, from, to, why } => {
                write!(f, "{name}: {from} → {to} ({why})")
            }
            EventKind::Basis { record, records, basis } => {
                write!(f, "{record}")?;
                if *records > 1 {
                    write!(f, " and {} more", records - 1)?;
                }
                write!(f, " now answered on these grounds: {basis}")
            }
            EventKind::Breaker(news) => news.fmt(f),
            EventKind::Published { plans, took } => {
                write!(f, "published: {plans} plans in {:.1} ms", took.as_secs_f64() * 1e3)
            }
            EventKind::Geoip { what, taken: true } => write!(f, "geoip: {what}"),
            EventKind::Geoip { what, .. } => write!(f, "geoip: {what}; the old data stay in force"),
            EventKind::Hand { id, what, became, said, .. } => {
                write!(f, "#{id} {what}: {became}")?;
                if !said.is_empty() {
                    write!(f, " ({said})")?;
                }
                Ok(())
            }
            EventKind::Demo { region, up: true } => write!(f, "demo: {region} restored"),
            EventKind::Demo { region, .. } => write!(f, "demo: {region} killed"),
        }
    }
}

/// The newest events, oldest first.
#[derive(Debug, Default)]
pub struct Journal {
    ring: VecDeque<Event>,
    seq: u64,
}

impl Journal {
    /// Numbers, logs and keeps an event.
    pub fn record(&mut self, at: Moment, wall: SystemTime, swap: u64, kind: EventKind) {
        self.seq += 1;
        if kind.is_alarm() {
            tracing::warn!(event = kind.word(), swap, "{kind}");
        } else {
            tracing::info!(event = kind.word(), swap, "{kind}");
        }
        if self.ring.len() == RING {
            self.ring.pop_front();
        }
        self.ring.push_back(Event { seq: self.seq, at, wall, swap, kind });
    }

    /// The events after number `seq`.
    pub fn since(&self, seq: u64) -> impl Iterator<Item = &Event> {
        self.ring.iter().skip_while(move |event| event.seq <= seq)
    }
}
