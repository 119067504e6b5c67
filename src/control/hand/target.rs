//! What an operator's change is about: `region:eu-*`, `endpoint:gtm.example.com/iad/iad-1`.
//!
//! A target is words, so that it means the same after a reload; what it stands for is looked up
//! in one Snapshot. Names have parts between slashes; a pattern with fewer parts than a name
//! means its end (`pool:iad`), as long as that can only be one thing.

use crate::{
    config::{Pattern, nearest},
    ids::{FailoverId, PlanId, RecordId, SlotId, ZoneId},
    policy::tree::{Kind as Policy, NodeIx},
    snapshot::{Record, Slot, Snapshot},
};
use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    str::FromStr,
};

/// Names suggested for one that matches nothing, and shown of several that match.
const SHOWN: usize = 5;

/// What sort of thing a target is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Every endpoint that stands there.
    Region,
    /// The endpoints of pools.
    Pool,
    /// Endpoints.
    Endpoint,
    /// Steered records.
    Record,
    /// Named policies.
    Policy,
    /// Every endpoint a check judges.
    Check,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] =
        [Kind::Region, Kind::Pool, Kind::Endpoint, Kind::Record, Kind::Policy, Kind::Check];

    /// As typed.
    pub const fn word(self) -> &'static str {
        match self {
            Kind::Region => "region",
            Kind::Pool => "pool",
            Kind::Endpoint => "endpoint",
            Kind::Record => "record",
            Kind::Policy => "policy",
            Kind::Check => "check",
        }
    }
}

/// What a change is about, as it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    kind: Kind,
    pattern: Pattern,
}

/// Why a target is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// It does not say what it is.
    #[error("`{word}` does not say what it is{}", did_you_mean(.meant))]
    Bare {
        /// As typed.
        word: Box<str>,
        /// What it could be, in full.
        meant: Vec<String>,
    },
    /// There is no such kind.
    #[error("there is no kind `{word}`{}", did_you_mean(.meant))]
    UnknownKind {
        /// As typed.
        word: Box<str>,
        /// What it could be.
        meant: Vec<String>,
    },
    /// It cannot be read.
    #[error("{0}")]
    Malformed(String),
    /// It names nothing.
    #[error("`{target}` matches nothing{}", did_you_mean(.meant))]
    NoMatch {
        /// As typed.
        target: Box<str>,
        /// The nearest that there is.
        meant: Vec<String>,
    },
    /// It names several things, and was not meant to.
    #[error("`{target}` could be {}", those.join(" or "))]
    Ambiguous {
        /// As typed.
        target: Box<str>,
        /// What it could be.
        those: Vec<String>,
    },
}

fn did_you_mean(meant: &[String]) -> String {
    match meant {
        [] => String::new(),
        _ => format!("; did you mean {}?", meant.join(" or ")),
    }
}

impl TargetError {
    /// How to get out of it.
    pub fn hint(&self) -> &'static str {
        match self {
            TargetError::Bare { .. }
            | TargetError::UnknownKind { .. }
            | TargetError::Malformed(_) => {
                "write region:NAME, pool:ZONE/POOL, endpoint:ZONE/POOL/ENDPOINT, record:ZONE/RECORD, \
                 policy:ZONE/POLICY or check:NAME; `*` stands for anything but `/`"
            }
            TargetError::NoMatch { .. } => "`tradewind status` lists what there is",
            TargetError::Ambiguous { .. } => "name its zone, or write `*/` if you mean all of them",
        }
    }
}

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Target, TargetError> {
        let Some((kind, name)) = text.split_once(':') else {
            return Err(TargetError::Bare { word: text.into(), meant: Vec::new() });
        };
        let words = Kind::ALL.into_iter().map(Kind::word);
        let Some(known) = Kind::ALL.into_iter().find(|known| known.word() == kind) else {
            let meant = nearest(kind, words).map(|meant| format!("{meant}:{name}"));
            let meant = meant.into_iter().collect();
            return Err(TargetError::UnknownKind { word: kind.into(), meant });
        };
        if name.is_empty() {
            return Err(TargetError::Malformed(format!("`{text}` names no {kind}")));
        }
        let pattern = Pattern::parse(name).map_err(TargetError::Malformed)?;
        Ok(Target { kind: known, pattern })
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.kind.word(), self.pattern)
    }
}

impl Target {
    /// The target typed `text`; a word without kind is told what it could be in `snapshot`.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(text: &str, snapshot: &Snapshot) -> Result<Target, TargetError> {
        text.parse().map_err(|error| match error {
            TargetError::Bare { word, .. } => {
                TargetError::Bare { meant: guesses(&word, snapshot), word }
            }
            other => other,
        })
    }

    /// What sort of thing it is.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Whether it names something, and not by accident several things.
    ///
    /// # Errors
    /// When it does not, with the nearest names there are.
    pub fn check(&self, snapshot: &Snapshot) -> Result<(), TargetError> {
        let found = self.names(snapshot);
        if found.is_empty() {
            return Err(self.no_match(snapshot));
        }
        if self.pattern.is_plain() && found.len() > 1 {
            let those = found.iter().take(SHOWN).map(|name| format!("{}:{name}", self.kind.word()));
            let target = self.to_string().into();
            return Err(TargetError::Ambiguous { target, those: those.collect() });
        }
        Ok(())
    }

    /// That it names nothing in `snapshot`, with the nearest name there is.
    pub fn no_match(&self, snapshot: &Snapshot) -> TargetError {
        let names = names(self.kind, snapshot);
        let meant = self.nearest(&names).map(|name| format!("{}:{name}", self.kind.word()));
        TargetError::NoMatch { target: self.to_string().into(), meant: meant.into_iter().collect() }
    }

    /// The full names it stands for.
    pub fn names(&self, snapshot: &Snapshot) -> Vec<String> {
        let mut names = names(self.kind, snapshot);
        // Records go by their full domain name too.
        match self.kind {
            Kind::Record => {
                let records = snapshot.records.iter().filter(|record| self.is_record(record));
                records.map(|record| record.id.to_string()).collect()
            }
            _ => {
                names.retain(|name| self.means(name));
                names.into_iter().collect()
            }
        }
    }

    /// Whether it can stand for slots.
    pub fn has_slots(&self) -> bool {
        !matches!(self.kind, Kind::Record | Kind::Policy)
    }

    /// The slots it stands for; none for records and policies.
    pub fn slots(&self, snapshot: &Snapshot) -> Vec<SlotId> {
        let is = |slot: &Slot| match self.kind {
            Kind::Region => slot.region.is_some_and(|id| self.means(snapshot.region_name(id))),
            Kind::Pool => self.means(pool_of(slot)),
            Kind::Endpoint => self.means(&slot.name),
            Kind::Check => slot.check.as_ref().is_some_and(|check| self.means(check)),
            Kind::Record | Kind::Policy => false,
        };
        let slots = snapshot.slots.iter().enumerate().filter(|(_, slot)| is(slot));
        slots.map(|(index, _)| SlotId::at(index)).collect()
    }

    /// The failovers it stands for: those of records, or named policies.
    pub fn failovers(&self, snapshot: &Snapshot) -> Vec<FailoverId> {
        if !matches!(self.kind, Kind::Record | Kind::Policy) {
            return Vec::new();
        }
        let records: HashMap<&str, &Record> =
            snapshot.records.iter().map(|record| (&*record.id, record)).collect();
        let is = |name: &str| match (self.kind, records.get(name)) {
            (Kind::Record, Some(record)) => self.is_record(record),
            (Kind::Policy, None) => self.means(&policy_name(name)),
            _ => false,
        };
        let failovers = snapshot.failovers.iter().enumerate();
        let found = failovers.filter(|(_, definition)| is(&definition.name));
        found.map(|(index, _)| FailoverId::at(index)).collect()
    }

    /// The policies it stands for, at every record that has them: a record's own, or named ones.
    pub fn nodes(&self, snapshot: &Snapshot) -> Vec<(RecordId, NodeIx)> {
        let mut named: HashMap<(ZoneId, PlanId), Vec<NodeIx>> = HashMap::new();
        let mut found = Vec::new();
        for (index, record) in snapshot.records.iter().enumerate() {
            let id = RecordId::at(index);
            match self.kind {
                Kind::Record if self.is_record(record) => {
                    found.push((id, snapshot.plan(record.plan).tree.root));
                }
                Kind::Policy => {
                    let nodes = named.entry((record.zone, record.plan)).or_insert_with(|| {
                        let policies = policies(snapshot, record);
                        policies.filter(|(name, _)| self.means(name)).map(|(_, ix)| ix).collect()
                    });
                    found.extend(nodes.iter().map(|&ix| (id, ix)));
                }
                _ => {}
            }
        }
        found
    }

    /// The records that can answer otherwise when what it stands for changes, in order.
    pub fn records(&self, snapshot: &Snapshot) -> Vec<RecordId> {
        let mut plans: BTreeSet<PlanId> = BTreeSet::new();
        for slot in self.slots(snapshot) {
            plans.extend(&snapshot.plans_of_slot[slot.index()]);
        }
        for failover in self.failovers(snapshot) {
            plans.extend(&snapshot.plans_of_failover[failover.index()]);
        }
        let own: BTreeSet<RecordId> = self.nodes(snapshot).into_iter().map(|(id, _)| id).collect();
        let records = snapshot.records.iter().enumerate().map(|(i, r)| (RecordId::at(i), r));
        let touched = records.filter(|(id, r)| plans.contains(&r.plan) || own.contains(id));
        touched.map(|(id, _)| id).collect()
    }

    /// Whether everything `other` names is named by this one as well.
    pub fn covers(&self, other: &Target, snapshot: &Snapshot) -> bool {
        let (own, theirs) = (self.names(snapshot), other.names(snapshot));
        self == other
            || (self.kind == other.kind
                && !theirs.is_empty()
                && theirs.iter().all(|name| own.contains(name)))
    }

    fn is_record(&self, record: &Record) -> bool {
        match self.pattern.parts() {
            1 => self.pattern.matches(&record.owner.to_string()),
            _ => self.pattern.matches(&record.id),
        }
    }

    /// Whether `name`, or its end of as many parts as the pattern has, is what is meant.
    fn means(&self, name: &str) -> bool {
        let parts = self.pattern.parts();
        let start = name.rmatch_indices('/').nth(parts - 1).map_or(0, |(at, _)| at + 1);
        self.pattern.matches(&name[start..])
    }

    /// The name that was probably meant.
    fn nearest<'n>(&self, names: &'n BTreeSet<String>) -> Option<&'n str> {
        let parts = self.pattern.parts();
        let end = |name: &'n str| match name.rmatch_indices('/').nth(parts - 1) {
            Some((at, _)) => &name[at + 1..],
            None => name,
        };
        let ends = names.iter().map(|name| end(name));
        let found = nearest(self.pattern.as_str(), ends)?;
        names.iter().map(String::as_str).find(|name| end(name) == found)
    }
}

/// What `word` could be, with its kind.
fn guesses(word: &str, snapshot: &Snapshot) -> Vec<String> {
    let found = Kind::ALL.into_iter().filter_map(|kind| {
        let target: Target = format!("{}:{word}", kind.word()).parse().ok()?;
        let names = names(kind, snapshot);
        let is_there = !target.names(snapshot).is_empty();
        let name = if is_there { word } else { target.nearest(&names)? };
        Some((is_there, format!("{}:{name}", kind.word())))
    });
    let found: Vec<(bool, String)> = found.collect();
    // A slip is looked for only where nothing is called that.
    let exact = found.iter().any(|(is_there, _)| *is_there);
    found.into_iter().filter(|(is, _)| *is || !exact).map(|(_, name)| name).take(SHOWN).collect()
}

/// The full names of everything of a kind.
pub fn names(kind: Kind, snapshot: &Snapshot) -> BTreeSet<String> {
    let slots = snapshot.slots.iter();
    match kind {
        Kind::Region => snapshot.regions.iter().map(|region| region.name.to_string()).collect(),
        Kind::Pool => slots.map(|slot| pool_of(slot).to_owned()).collect(),
        Kind::Endpoint => slots.map(|slot| slot.name.to_string()).collect(),
        Kind::Check => slots.filter_map(|slot| Some(slot.check.as_ref()?.to_string())).collect(),
        Kind::Record => snapshot.records.iter().map(|record| record.id.to_string()).collect(),
        Kind::Policy => policy_names(snapshot),
    }
}

fn policy_names(snapshot: &Snapshot) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut names = BTreeSet::new();
    for record in &snapshot.records {
        if seen.insert((record.zone, record.plan)) {
            names.extend(policies(snapshot, record).map(|(name, _)| name));
        }
    }
    names
}

/// The named policies in the tree of `record`, by full name.
fn policies<'s>(
    snapshot: &'s Snapshot,
    record: &'s Record,
) -> impl Iterator<Item = (String, NodeIx)> + 's {
    let zone = record.id.split_once('/').map_or("", |(zone, _)| zone);
    let nodes = snapshot.plan(record.plan).tree.nodes.iter().enumerate();
    nodes.filter_map(move |(index, node)| {
        let is_policy = !matches!(node.kind, Policy::Pool(_) | Policy::Empty);
        if !is_policy || node.name.is_empty() {
            return None;
        }
        let is_shared = snapshot.shared_policies.contains(&node.name);
        let name = match is_shared {
            true => node.name.to_string(),
            false => format!("{zone}/{}", node.name),
        };
        Some((name, NodeIx(index as u16)))
    })
}

/// A failover's name as a policy: where a record has the same name compile puts `policy:` before.
fn policy_name(failover: &str) -> String {
    failover.replacen("/policy:", "/", 1)
}

/// `zone/pool` of a slot's `zone/pool/endpoint`.
fn pool_of(slot: &Slot) -> &str {
    slot.name.rsplit_once('/').map_or(&slot.name, |(pool, _)| pool)
}
