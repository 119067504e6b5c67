//! What happened: every change of a running server, typed.
//!
//! Events are made where the change is; [`super::journal`] numbers, logs and keeps them. Their
//! `Display` is the log line. [`EventKind`] is written to the state database as JSON, so its
//! variants and fields are promises: add to them freely, rename none. A new variant also goes
//! into [`EVENT_WORDS`](crate::config::hooks::EVENT_WORDS). Must not know who reads.

use super::spelled;
use crate::{
    clock::Moment,
    failover::{Phase, breaker::News},
    verdict::Standing,
};
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, collections::BTreeMap, fmt, sync::Arc, time::Duration, time::SystemTime};

/// Names that the summary of an incident spells out.
const NAMED: usize = 20;

/// One thing that happened.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Counts up from 1, over restarts too; leaves some numbers out after a crash.
    pub seq: u64,
    /// Which run of the server: counts up with each start.
    pub boot: u64,
    /// Monotonic, since the start of that run.
    pub at: Moment,
    /// For people.
    pub wall: SystemTime,
    /// The World that carries it.
    pub swap: u64,
    /// The first event of those that were written down together.
    pub incident: u64,
    /// The operator behind it, if there was one.
    pub who: Option<Arc<str>>,
    /// What.
    pub kind: EventKind,
}

/// When and by whom: what events that are written down together share.
#[derive(Clone, Debug)]
pub struct Stamp {
    /// Monotonic.
    pub at: Moment,
    /// For people.
    pub wall: SystemTime,
    /// The World that carries them.
    pub swap: u64,
    /// The operator behind them, if there was one.
    pub who: Option<Arc<str>>,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
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
        #[serde(with = "spelled::standing")]
        from: Standing,
        /// How it stands.
        #[serde(with = "spelled::standing")]
        to: Standing,
        /// Why.
        reason: Arc<str>,
        /// When the probe that decided it ended.
        #[serde(with = "spelled::moment")]
        decided: Moment,
    },
    /// A target that answers nothing stands otherwise: a gate, or one that is only observed.
    Target {
        /// `check:NAME`, or `zone/pool/endpoint`.
        target: Arc<str>,
        /// Whether it is only observed; else it is a gate.
        observed: bool,
        /// How it stood.
        #[serde(with = "spelled::standing")]
        from: Standing,
        /// How it stands.
        #[serde(with = "spelled::standing")]
        to: Standing,
        /// Why.
        reason: Arc<str>,
    },
    /// Probes prove nothing, for reasons of our own (`checker_impaired`), or do again.
    Checker {
        /// What is wrong, or that it is over.
        what: Arc<str>,
        /// Whether they do.
        well: bool,
    },
    /// Addresses of a name that is answered flattened were found, or could not be.
    Lookup {
        /// The name.
        name: Arc<str>,
        /// What was found, or what went wrong.
        what: Arc<str>,
        /// Whether it goes well.
        well: bool,
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
        why: Cow<'static, str>,
    },
    /// A failover waits for something, or moves clients little by little.
    Phase {
        /// `zone/record` or `zone/policy`.
        name: Arc<str>,
        /// Where it stands now.
        phase: Cow<'static, str>,
        /// The active member.
        active: Arc<str>,
        /// The member that something is said of.
        other: Arc<str>,
        /// What: completes a sentence that begins with the member.
        why: Cow<'static, str>,
    },
    /// Records started or ceased to answer on other grounds than health.
    Basis {
        /// `zone/record` of the first record concerned.
        record: Arc<str>,
        /// How many records share its plan.
        records: usize,
        /// The new grounds.
        basis: Cow<'static, str>,
    },
    /// The breaker held falls back, or let them through.
    Breaker {
        /// What it did.
        news: News,
    },
    /// A World was published because of what stands before this event.
    Published {
        /// Plans made anew.
        plans: usize,
        /// From the result of the probe that decided it, or whatever else was its first cause, to
        /// the swap: from then on every thread answers anew.
        #[serde(rename = "took_us", with = "spelled::micros")]
        took: Duration,
        /// What stands before it, counted.
        #[serde(flatten)]
        summary: Summary,
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
        /// Number of the override or proposal; 0 for `state/PIN` and what leaves none behind.
        id: u64,
        /// The command: `drain region:us-east-1`.
        what: Arc<str>,
        /// What became of it: `made`, `begins`, `refused`, `taken away`, `ended`, `done`,
        /// `proposed`, `settled`, `drained`, …
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
    /// The state database failed, was lost, or works again.
    Store {
        /// What was said of it.
        what: Arc<str>,
        /// Whether what happens is kept.
        well: bool,
    },
    /// A hook could not be told, or can be again.
    Hook {
        /// Its name.
        hook: Arc<str>,
        /// What went wrong, or that it goes well.
        what: Arc<str>,
        /// Whether it is told.
        well: bool,
    },
    /// Half, or all, of the old answers to a change have run out.
    OldAnswers {
        /// The change.
        change: Arc<str>,
        /// The World that carried it.
        of_swap: u64,
        /// The share of its clients that may still be on the old answer, by TTL and time.
        computed: f64,
        /// The same by the queries that came since, where enough did.
        observed: Option<f64>,
    },
    /// A drill began, went on, or ended.
    Drill {
        /// Its name.
        drill: Arc<str>,
        /// Which run of it.
        run: Arc<str>,
        /// What happened.
        what: Arc<str>,
        /// Whether someone should look: it failed, was aborted, or had crashed.
        alarm: bool,
    },
    /// A rollout went on, stood still or ended.
    Rollout {
        /// Its name.
        name: Arc<str>,
        /// `zone/record`.
        record: Arc<str>,
        /// What happened: `started`, `step`, `paused`, `reversing`, `succeeded`, …
        what: Arc<str>,
        /// In words.
        said: Arc<str>,
        /// Whether someone should look.
        alarm: bool,
    },
    /// Written by a newer version, that of which this one can show.
    #[serde(skip)]
    Foreign {
        /// Its name.
        word: Arc<str>,
        /// Whether someone should look.
        alarm: bool,
        /// Its log line.
        text: Arc<str>,
    },
}

/// What an incident came to: its events counted by kind, and the first names among them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Summary {
    /// How many of each: `verdict down`, `verdict up`, `failover`, `basis`, …
    pub counts: BTreeMap<Cow<'static, str>, usize>,
    /// What the first of them are about.
    pub names: Vec<Arc<str>>,
}

impl Summary {
    /// The summary of `events`.
    pub fn of(events: &[EventKind]) -> Summary {
        let mut summary = Summary::default();
        for event in events {
            *summary.counts.entry(event.counted_as()).or_default() += 1;
            let subject = event.facts().subject.filter(|_| summary.names.len() < NAMED);
            if let Some(name) = subject.filter(|name| !summary.names.iter().any(|n| **n == **name))
            {
                summary.names.push(name.into());
            }
        }
        summary
    }
}

/// What is known of any event, whatever its kind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Facts<'a> {
    /// What it is about: an endpoint, failover, record, region or hook.
    pub subject: Option<&'a str>,
    /// What that was before.
    pub before: Option<&'a str>,
    /// What it is now.
    pub after: Option<&'a str>,
    /// Why.
    pub cause: Option<&'a str>,
}

impl EventKind {
    /// Its name in JSON, metrics and hooks.
    pub fn word(&self) -> &str {
        match self {
            EventKind::Loaded { .. } => "loaded",
            EventKind::Refused { .. } => "refused",
            EventKind::Verdict { .. } => "verdict",
            EventKind::Target { .. } => "target",
            EventKind::Checker { .. } => "checker",
            EventKind::Lookup { .. } => "lookup",
            EventKind::Failover { .. } => "failover",
            EventKind::Phase { .. } => "phase",
            EventKind::Basis { .. } => "basis",
            EventKind::Breaker { .. } => "breaker",
            EventKind::Published { .. } => "published",
            EventKind::Geoip { .. } => "geoip",
            EventKind::Hand { .. } => "hand",
            EventKind::Demo { .. } => "demo",
            EventKind::Store { .. } => "store",
            EventKind::Hook { .. } => "hook",
            EventKind::OldAnswers { .. } => "old_answers",
            EventKind::Drill { .. } => "drill",
            EventKind::Rollout { .. } => "rollout",
            EventKind::Foreign { word, .. } => word,
        }
    }

    /// Whether someone should look.
    pub fn is_alarm(&self) -> bool {
        match self {
            EventKind::Loaded { held, .. } => !held.is_empty(),
            EventKind::Refused { .. } => true,
            EventKind::Verdict { to, .. } => !to.is_up(),
            EventKind::Target { to, observed, .. } => !to.is_up() && !observed,
            EventKind::Basis { basis, .. } => basis != "healthy",
            EventKind::Breaker { news } => !matches!(news, News::Reconnected | News::Recovered),
            EventKind::Geoip { taken, .. } => !taken,
            EventKind::Hand { alarm, .. }
            | EventKind::Drill { alarm, .. }
            | EventKind::Rollout { alarm, .. } => *alarm,
            EventKind::Phase { phase, .. } => phase == Phase::FailingOver.word(),
            EventKind::Store { well, .. }
            | EventKind::Hook { well, .. }
            | EventKind::Checker { well, .. }
            | EventKind::Lookup { well, .. } => !well,
            EventKind::Foreign { alarm, .. } => *alarm,
            EventKind::Failover { .. }
            | EventKind::Published { .. }
            | EventKind::Demo { .. }
            | EventKind::OldAnswers { .. } => false,
        }
    }

    /// What it is about, before, after and why, as far as it has these.
    pub fn facts(&self) -> Facts<'_> {
        match self {
            EventKind::Loaded { cause, .. }
            | EventKind::Refused { cause, .. }
            | EventKind::Checker { what: cause, .. }
            | EventKind::Store { what: cause, .. } => {
                Facts { cause: Some(cause), ..Facts::default() }
            }
            EventKind::Verdict { slot: subject, from, to, reason, .. }
            | EventKind::Target { target: subject, from, to, reason, .. } => Facts {
                subject: Some(subject),
                before: Some(from.word()),
                after: Some(to.word()),
                cause: Some(reason),
            },
            EventKind::Lookup { name, what, .. } => {
                Facts { subject: Some(name), cause: Some(what), ..Facts::default() }
            }
            EventKind::Failover { name, from, to, why } => {
                Facts { subject: Some(name), before: Some(from), after: Some(to), cause: Some(why) }
            }
            EventKind::Phase { name, phase, why, .. } => Facts {
                subject: Some(name),
                after: Some(phase),
                cause: Some(why),
                ..Facts::default()
            },
            EventKind::Basis { record, basis, .. } => {
                Facts { subject: Some(record), after: Some(basis), ..Facts::default() }
            }
            EventKind::Demo { region, up } => {
                let after = if *up { "up" } else { "down" };
                Facts { subject: Some(region), after: Some(after), ..Facts::default() }
            }
            EventKind::Hand { what, became, said, .. } => Facts {
                subject: Some(what),
                after: Some(became),
                cause: Some(said),
                ..Facts::default()
            },
            EventKind::Hook { hook, what, .. } => {
                Facts { subject: Some(hook), cause: Some(what), ..Facts::default() }
            }
            EventKind::Rollout { name, what, said, .. } => Facts {
                subject: Some(name),
                after: Some(what),
                cause: Some(said),
                ..Facts::default()
            },
            EventKind::OldAnswers { change, .. } => {
                Facts { subject: Some(change), ..Facts::default() }
            }
            EventKind::Drill { drill, what, .. } => {
                Facts { subject: Some(drill), cause: Some(what), ..Facts::default() }
            }
            EventKind::Breaker { .. }
            | EventKind::Published { .. }
            | EventKind::Geoip { .. }
            | EventKind::Foreign { .. } => Facts::default(),
        }
    }

    /// Under which name a summary counts it.
    fn counted_as(&self) -> Cow<'static, str> {
        match self {
            EventKind::Verdict { to, .. } => format!("verdict {}", to.word()).into(),
            kind => kind.word().to_owned().into(),
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
            EventKind::Target { target, observed, from, to, reason } => {
                let what = if *observed { "only observed" } else { "gate" };
                write!(f, "{target} ({what}) {} → {}: {reason}", from.word(), to.word())
            }
            EventKind::Rollout { name, record, what, said, .. } => {
                write!(f, "rollout {name} ({record}): {what}: {said}")
            }
            EventKind::Checker { what, .. } => f.write_str(what),
            EventKind::Lookup { name, what, .. } => write!(f, "flattened {name}: {what}"),
            EventKind::Failover { name, from, to, why } => {
                write!(f, "{name}: {from} → {to} ({why})")
            }
            EventKind::Phase { name, phase, active, other, why } => {
                write!(f, "{name}: {phase}: {active} is active; {other} {why}")
            }
            EventKind::Basis { record, records, basis } => {
                write!(f, "{record}")?;
                if *records > 1 {
                    write!(f, " and {} more", records - 1)?;
                }
                write!(f, " now answered on these grounds: {basis}")
            }
            EventKind::Breaker { news } => news.fmt(f),
            EventKind::Published { plans, took, summary } => {
                write!(f, "published: {plans} plans in {:.1} ms", took.as_secs_f64() * 1e3)?;
                for (index, (word, count)) in summary.counts.iter().enumerate() {
                    write!(f, "{} {count} {word}", if index == 0 { ":" } else { "," })?;
                }
                Ok(())
            }
            EventKind::Geoip { what, taken: true } => write!(f, "geoip: {what}"),
            EventKind::Geoip { what, .. } => write!(f, "geoip: {what}; the old data stay in force"),
            EventKind::Hand { id, what, became, said, .. } => {
                if *id > 0 {
                    write!(f, "#{id} ")?;
                }
                write!(f, "{what}: {became}")?;
                if !said.is_empty() {
                    write!(f, " ({said})")?;
                }
                Ok(())
            }
            EventKind::Demo { region, up: true } => write!(f, "demo: {region} restored"),
            EventKind::Demo { region, .. } => write!(f, "demo: {region} killed"),
            EventKind::Store { what, .. } => write!(f, "state database: {what}"),
            EventKind::Hook { hook, what, .. } => write!(f, "hook {hook}: {what}"),
            EventKind::OldAnswers { change, computed, observed, .. } => {
                let percent = (computed * 100.0).ceil();
                write!(f, "after {change}: {percent} % of clients may be on the old answer")?;
                match observed {
                    Some(seen) => write!(f, "; {:.1} % by the queries that came", seen * 100.0),
                    None => Ok(()),
                }
            }
            EventKind::Drill { drill, what, .. } => write!(f, "DRILL {drill}: {what}"),
            EventKind::Foreign { text, .. } => f.write_str(text),
        }
    }
}

#[cfg(test)]
pub(in crate::control) mod tests {
    use super::*;
    use crate::config::hooks::EVENT_WORDS;

    pub(in crate::control) fn fell(name: &str) -> EventKind {
        EventKind::Verdict {
            slot: name.into(),
            address: "192.0.2.1".into(),
            from: Standing::Up,
            to: Standing::Down,
            reason: "refused 3/3".into(),
            decided: Moment(7),
        }
    }

    fn moved(name: &str) -> EventKind {
        let [name, from, to] = [name, "iad", "dub"].map(Arc::from);
        EventKind::Failover { name, from, to, why: "lost".into() }
    }

    #[test]
    fn every_kind_of_event_can_be_asked_for() {
        let wrong = serde_json::from_str::<EventKind>(r#"{"event":"none"}"#).unwrap_err();
        let wrong = wrong.to_string();
        let (_, known) = wrong.split_once("expected one of ").unwrap();
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        assert_eq!(known, EVENT_WORDS);
    }

    #[test]
    fn events_are_read_as_they_were_written() {
        let took = Duration::from_micros(1_500);
        let summary = Summary::of(&[fell("z/a/1"), fell("z/a/2"), moved("z/app")]);
        let published = EventKind::Published { plans: 2, took, summary };
        for (kind, json) in [
            (
                fell("z/a/1"),
                r#"{"event":"verdict","slot":"z/a/1","address":"192.0.2.1","from":"up","to":"down","reason":"refused 3/3","decided":7}"#,
            ),
            (
                published,
                r#"{"event":"published","plans":2,"took_us":1500,"counts":{"failover":1,"verdict down":2},"names":["z/a/1","z/a/2","z/app"]}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&kind).unwrap(), json);
            assert_eq!(serde_json::from_str::<EventKind>(json).unwrap(), kind);
            assert!(json.contains(&format!("\"event\":\"{}\"", kind.word())));
        }
    }

    #[test]
    fn a_summary_counts_all_and_names_the_first_twenty_once() {
        let mut events: Vec<_> = (0..30).map(|n| fell(&format!("z/a/{n}"))).collect();
        events.insert(1, fell("z/a/0"));
        let summary = Summary::of(&events);
        assert_eq!(summary.counts["verdict down"], 31);
        assert_eq!((summary.names.len(), &*summary.names[19]), (20, "z/a/19"));
    }
}
