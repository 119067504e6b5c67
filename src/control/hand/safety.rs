//! `[[safety]]`: what a change would break.
//!
//! A rule refuses a change that makes worse what the rule is about: a record that has too few
//! regions already, for reasons of its own, does not keep anybody from draining elsewhere. Whatever
//! only takes back what an operator changed is not judged at all: an undo has to work.

use super::{Hand, Now, command::Planned, words};
use crate::{
    forecast::{Clients, Look, Pair, Standpoint, shares},
    ids::{PlanId, RecordId},
    snapshot::{Snapshot, safety::SafetyRule},
};
use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

/// Below this a share is rounding.
const HARDLY: f64 = 1e-9;

/// A rule that a change would break, at one record or several that are steered alike.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule's name.
    pub rule: Arc<str>,
    /// `zone/record` of the first record.
    pub record: Arc<str>,
    /// How many more are in the same case.
    pub others: usize,
    /// What would be, in numbers.
    pub message: String,
    /// In how long it is none any more, where nothing but time is missing.
    pub left: Option<Duration>,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.rule, self.record)?;
        if self.others > 0 {
            write!(f, " and {} more", self.others)?;
        }
        write!(f, " {}", self.message)
    }
}

/// What the change from `before` to `after` would break at `records`. Where files change too, the
/// rules of both count: whoever takes a rule away does not get around it by that.
///
/// # Errors
/// When a rule speaks of shares and `clients` were counted for other files.
pub fn violations(
    before: &Standpoint,
    after: &Standpoint,
    records: &[Pair],
    clients: &Clients,
) -> Result<Vec<Violation>, Uncounted> {
    let mut judge = Judge { before, after, clients, regions: HashMap::new() };
    let mut found = Vec::new();
    let kept = |rule: &SafetyRule| after.snapshot.safety.iter().any(|new| new.name == rule.name);
    let gone = before.snapshot.safety.iter().filter(|rule| !kept(rule));
    let rules = after.snapshot.safety.iter().map(|rule| (rule, Side::After));
    for (rule, side) in rules.chain(gone.map(|rule| (rule, Side::Before))) {
        for (plans, alike) in alike(rule, side, records, before, after) {
            let broken = judge.broken(rule, side, plans)?;
            let record = Arc::clone(&after.snapshot.record(alike[0].after).id);
            found.extend(broken.into_iter().map(|message| Violation {
                rule: Arc::clone(&rule.name),
                record: Arc::clone(&record),
                others: alike.len() - 1,
                message,
                left: None,
            }));
        }
    }
    Ok(found)
}

/// Whose records a rule names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Before,
    After,
}

/// Clients were counted for other files than those in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("files were loaded meanwhile")]
pub struct Uncounted;

/// The `records` that a rule is about, together where they are steered alike before and after.
fn alike(
    rule: &SafetyRule,
    side: Side,
    records: &[Pair],
    before: &Standpoint,
    after: &Standpoint,
) -> BTreeMap<(PlanId, PlanId), Vec<Pair>> {
    let mut alike: BTreeMap<(PlanId, PlanId), Vec<Pair>> = BTreeMap::new();
    for &pair in records {
        let id = if side == Side::Before { pair.before } else { pair.after };
        if rule.records.binary_search(&id).is_err() {
            continue;
        }
        let plans =
            (before.snapshot.record(pair.before).plan, after.snapshot.record(pair.after).plan);
        alike.entry(plans).or_default().push(pair);
    }
    alike
}

struct Judge<'w> {
    before: &'w Standpoint,
    after: &'w Standpoint,
    clients: &'w Clients,
    /// The regions that answer, names in order, by plan and whether it is after.
    regions: HashMap<(PlanId, bool), BTreeSet<String>>,
}

impl<'w> Judge<'w> {
    fn broken(
        &mut self,
        rule: &SafetyRule,
        side: Side,
        (before, after): (PlanId, PlanId),
    ) -> Result<Vec<String>, Uncounted> {
        let mut broken = Vec::new();
        if let Some(min) = rule.min_active_regions {
            let had = self.regions(before, false).len();
            let left = self.regions(after, true);
            if left.len() < min as usize && left.len() < had {
                let names: Vec<&str> = left.iter().map(String::as_str).collect();
                let names = match names.is_empty() {
                    true => String::new(),
                    false => format!(" ({})", names.join(", ")),
                };
                let left = words::count(left.len(), "region");
                broken
                    .push(format!("would answer from {left}{names}; at least {min} are asked for"));
            }
        }
        if rule.respect_capacity {
            broken.extend(self.over_capacity(side, before, after)?);
        }
        Ok(broken)
    }

    fn regions(&mut self, plan: PlanId, is_after: bool) -> &BTreeSet<String> {
        let world = if is_after { self.after } else { self.before };
        self.regions.entry((plan, is_after)).or_insert_with(|| {
            let plan = world.snapshot.plan(plan);
            let regions = shares::active_regions(plan, world).into_iter();
            let name = |region: Option<&str>| region.unwrap_or("no region").to_owned();
            regions.map(name).collect()
        })
    }

    fn over_capacity(
        &self,
        side: Side,
        before: PlanId,
        after: PlanId,
    ) -> Result<Vec<String>, Uncounted> {
        let (old, new) = (&self.before.snapshot, &self.after.snapshot);
        let (old_plan, new_plan) = (old.plan(before), new.plan(after));
        let looks = ((&**old, Look::of(old_plan)), (&**new, Look::of(new_plan)));
        let crowds = self.clients.of(looks.0, looks.1).ok_or(Uncounted)?;
        // Caps are of all clients; IPv6, which is weighed apart, follows the same policies.
        let Some(crowd) = crowds.first() else { return Ok(Vec::new()) };
        let had = shares::of_pools(old_plan, self.before, crowd, 0);
        let gets = shares::of_pools(new_plan, self.after, crowd, 1);
        let snapshot = if side == Side::Before { old } else { new };
        let over = snapshot.capacities.iter().filter_map(|capacity| {
            let limit = f64::from(capacity.millionths) / 1e6;
            let share = *gets.get(&*capacity.pool)?;
            let before = had.get(&*capacity.pool).copied().unwrap_or(0.0);
            (share > limit + HARDLY && share > before + HARDLY).then(|| {
                let (pool, share, limit) = (&capacity.pool, share * 100.0, limit * 100.0);
                format!("would send {share:.1} % of its clients to pool {pool}, whose capacity is {limit:.1} %")
            })
        });
        Ok(over.collect())
    }
}

/// The rules that ask for regions of those of `records` that are to be there no more, which is none.
pub fn gone(before: &Snapshot, records: &[RecordId]) -> Vec<Violation> {
    let broken = before.safety.iter().filter_map(|rule| {
        let min = rule.min_active_regions?;
        let mut ids = records.iter().filter(|id| rule.records.binary_search(id).is_ok());
        let first = ids.next()?;
        Some(Violation {
            rule: Arc::clone(&rule.name),
            record: Arc::clone(&before.record(*first).id),
            others: ids.count(),
            message: format!("would be there no more; at least {min} regions are asked for"),
            left: None,
        })
    });
    broken.collect()
}

/// The rules that `planned` goes over by itself where they want two persons.
pub fn alone(planned: &Planned, snapshot: &Snapshot) -> Vec<Violation> {
    let violation = |rule: &Arc<str>| {
        let record = planned.records.first().map(|id| Arc::clone(&snapshot.record(*id).id));
        Violation {
            rule: Arc::clone(rule),
            record: record.unwrap_or_else(|| "every record".into()),
            others: planned.records.len().saturating_sub(1),
            message: "was changed by one person; two are asked for".into(),
            left: None,
        }
    };
    planned.alone.iter().map(violation).collect()
}

/// The rules that want more time between `planned` and the change before it.
pub fn waits(hand: &Hand, planned: &Planned, snapshot: &Snapshot, now: Now) -> Vec<Violation> {
    let mut found = Vec::new();
    for rule in &snapshot.safety {
        let Some(wait) = rule.wait else { continue };
        let ids = planned.records.iter().filter(|id| rule.records.binary_search(id).is_ok());
        let mut recent = ids.filter_map(|id| {
            let record = &snapshot.record(*id).id;
            Some((record, hand.changed_ago(record, now)?))
        });
        let mut recent = recent.by_ref().filter(|(_, ago)| *ago < wait);
        if let Some((record, ago)) = recent.next() {
            let left = Some(wait.saturating_sub(ago));
            let (ago, wait) = (whole_seconds(ago), words::short(wait));
            found.push(Violation {
                rule: Arc::clone(&rule.name),
                record: Arc::clone(record),
                others: recent.count(),
                message: format!("was changed {ago} ago; {wait} are to pass between two changes"),
                left,
            });
        }
    }
    found
}

fn whole_seconds(duration: Duration) -> String {
    words::short(Duration::from_secs(duration.as_secs()))
}

impl Hand {
    /// How long ago an operator changed `record`, as far as a rule asked to remember.
    fn changed_ago(&self, record: &str, now: Now) -> Option<Duration> {
        let touched =
            self.touched.iter().filter(|touch| touch.records.iter().any(|r| **r == *record));
        touched.map(|touch| now.at.since(touch.at)).min()
    }
}
