//! What an override does, in a sentence, and the command line that undoes it.

use super::{Action, Effect, Hand, Override, target::Kind};
use crate::{clock::Moment, ids::SlotId, snapshot::Snapshot, units::Share};
use std::{collections::BTreeSet, time::Duration};

/// The command line that takes `made` away again, and nothing else of `hand`.
pub fn undo(made: &Override, hand: &Hand) -> String {
    let is_alike = |other: &&Override| {
        other.target == made.target && is_taken_with(&made.action, &other.action)
    };
    let is_alone = hand.overrides().iter().filter(is_alike).count() == 1;
    let target = match &made.target {
        Some(target) if is_alone => quoted(&target.to_string()),
        _ => format!("id:{}", made.id),
    };
    match &made.action {
        Action::Drain { .. } => format!("tradewind undrain {target}"),
        Action::Force(_) => format!("tradewind force {target} auto"),
        Action::Weight { member: Some(member), .. } | Action::Share { member, .. } if is_alone => {
            format!("tradewind weight {target} {}", quoted(&format!("{member}=reset")))
        }
        Action::Weight { .. } | Action::Share { .. } => format!("tradewind weight {target} reset"),
        Action::Failover { .. } => format!("tradewind failback {target}"),
        Action::Hold => format!("tradewind unhold {target}"),
        Action::Pin if is_alone => "tradewind unpin".into(),
        Action::Pin => format!("tradewind unpin {target}"),
    }
}

/// Whether what takes `one` away by its target takes `other` away as well.
fn is_taken_with(one: &Action, other: &Action) -> bool {
    match (one, other) {
        (
            Action::Weight { .. } | Action::Share { .. },
            Action::Weight { .. } | Action::Share { .. },
        ) => one.member() == other.member(),
        _ => std::mem::discriminant(one) == std::mem::discriminant(other),
    }
}

/// The command that makes `one`, without its times.
pub fn line(one: &Override) -> String {
    let mut line = verb(&one.action).to_owned();
    let mut add = |text: &str| line.extend([" ", text]);
    if let Some(target) = &one.target {
        add(&quoted(&target.to_string()));
    }
    match &one.action {
        Action::Drain { over: Some(over) } => add(&format!("--over {}", short(*over))),
        Action::Force(to) => add(to.word()),
        Action::Weight { member: Some(member), weight } => {
            add(&quoted(&format!("{member}={}", weight.get())));
        }
        Action::Share { member, share } => add(&quoted(&format!("{member}={}", percent(*share)))),
        Action::Weight { member: None, weight } => add(&weight.get().to_string()),
        Action::Failover { to } => add(&format!("--to={}", quoted(to))),
        Action::Drain { over: None } | Action::Hold | Action::Pin => {}
    }
    line
}

/// The command line that makes `taken` again, for what is left of its time.
pub fn redo(taken: &Override, now: Moment) -> String {
    let mut line = format!("tradewind {}", self::line(taken));
    let mut add = |text: &str| line.extend([" ", text]);
    let delay = taken.starts_in(now);
    if let Some(delay) = delay {
        add(&format!("--at +{}", short(delay)));
    }
    if let Some(rest) = taken.remaining(now) {
        add(&format!("--for {}", short(rest.saturating_sub(delay.unwrap_or_default()))));
    }
    if let Some(reason) = &taken.reason {
        add(&format!("--reason={}", quoted(reason)));
    }
    line
}

/// What is typed for it.
pub fn verb(action: &Action) -> &'static str {
    match action {
        Action::Drain { .. } => "drain",
        Action::Force(_) => "force",
        Action::Weight { .. } | Action::Share { .. } => "weight",
        Action::Failover { .. } => "failover",
        Action::Hold => "hold",
        Action::Pin => "pin",
    }
}

/// What `one` does in `snapshot`, where `effect` is that of the whole hand.
pub fn does(one: &Override, effect: &Effect, snapshot: &Snapshot) -> String {
    let Some(target) = &one.target else {
        return "freezes verdicts, failovers and ramps as they are".into();
    };
    let records = target.records(snapshot).len();
    let nothing = || "does nothing now: what it is about is not there".to_owned();
    let what = match &one.action {
        Action::Drain { .. } | Action::Force(_) => {
            let verb = match &one.action {
                Action::Force(to) => format!("holds {}", to.word()),
                _ => "drains".into(),
            };
            let own = effect.slots.iter().filter(|(_, hand)| hand.by == one.id);
            let own: Vec<SlotId> = own.map(|(slot, _)| *slot).collect();
            let all = endpoints(&target.slots(snapshot), snapshot);
            if all.is_empty() {
                return nothing();
            }
            let decided = endpoints(&own, snapshot);
            let pools: BTreeSet<&str> = all.iter().map(|name| pool(name)).collect();
            let part = match decided.len() == all.len() {
                true => count(all.len(), "endpoint"),
                false => format!("{} of {}", decided.len(), count(all.len(), "endpoint")),
            };
            match target.kind() {
                Kind::Endpoint => format!("{verb} {part}"),
                _ => format!("{verb} {part} of {}", count(pools.len(), "pool")),
            }
        }
        Action::Weight { member, weight } => {
            if !effect.weights.iter().any(|change| change.by == one.id) {
                return nothing();
            }
            let weight = weight.get();
            match member {
                Some(member) => format!("gives `{member}` the weight {weight}"),
                None => {
                    let all = endpoints(&target.slots(snapshot), snapshot);
                    format!("gives {} the weight {weight}", count(all.len(), "endpoint"))
                }
            }
        }
        Action::Share { member, share } => {
            if !effect.weights.iter().any(|change| change.by == one.id) {
                return nothing();
            }
            format!("gives `{member}` {share} of the clients")
        }
        Action::Failover { to } => {
            let own = effect
                .failovers
                .values()
                .filter(|hand| hand.prefer.is_some_and(|(_, by)| by == one.id));
            match own.count() {
                0 => return nothing(),
                n => format!("moves {} to `{to}`", count(n, "failover")),
            }
        }
        Action::Hold => {
            let own = effect.failovers.values().filter(|hand| hand.held == Some(one.id));
            match own.count() {
                0 => return nothing(),
                n => format!("keeps {} where it stands", count(n, "failover")),
            }
        }
        Action::Pin => return nothing(),
    };
    format!("{what}; {}", count(records, "record"))
}

/// A share as it is typed: `2.5%`.
pub fn percent(share: Share) -> String {
    share.to_string().replace(' ', "")
}

/// The distinct endpoints of `slots`, by name.
fn endpoints<'s>(slots: &[SlotId], snapshot: &'s Snapshot) -> BTreeSet<&'s str> {
    slots.iter().map(|slot| &*snapshot.slots[slot.index()].name).collect()
}

fn pool(endpoint: &str) -> &str {
    endpoint.rsplit_once('/').map_or(endpoint, |(pool, _)| pool)
}

/// `1 pool`, `2 pools`.
pub fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// A duration as it is typed: `1h30m`, `500ms`; rounded up to milliseconds.
pub fn short(duration: Duration) -> String {
    let mut rest = duration.as_nanos().div_ceil(1_000_000);
    let mut text = String::new();
    for (unit, ms) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)]
    {
        if rest >= ms {
            text += &format!("{}{unit}", rest / ms);
            rest %= ms;
        }
    }
    if text.is_empty() { "0s".into() } else { text }
}

/// Who did something, and why if they said so.
pub fn by(who: &str, reason: Option<&str>) -> String {
    match reason {
        Some(reason) => format!("{who}: {reason}"),
        None => who.to_owned(),
    }
}

/// `text` as one word of a POSIX shell.
pub fn quoted(text: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./:@=+,-".contains(c);
    match !text.is_empty() && text.chars().all(is_plain) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', r"'\''")),
    }
}
