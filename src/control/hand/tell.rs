//! What commands come to, in words: for whoever typed them, and for the journal.

use super::{Action, Command, Done, Effect, Override, command::Planned, safety::Violation, words};
use crate::{
    control::event::EventKind, failover, forecast::Standpoint, ids::FailoverId, snapshot::Snapshot,
};

/// What a plan comes to, in words.
pub(super) fn sentence(planned: &Planned, effect: &Effect, snapshot: &Snapshot) -> String {
    if let Some(made) = planned.subject() {
        return words::does(made, effect, snapshot);
    }
    let records = words::count(planned.records.len(), "record");
    match &planned.removed[..] {
        [] if planned.confirm_falls => "lets the falls through that were held".into(),
        [] => records,
        [one] => format!("takes #{} away; {records}", one.id),
        several => {
            let ids: Vec<String> = several.iter().map(|one| format!("#{}", one.id)).collect();
            format!("takes {} away; {records}", ids.join(", "))
        }
    }
}

/// What happened by `done`, for the journal.
pub(super) fn events(done: &Done, command: &Command) -> Vec<EventKind> {
    let planned = &done.planned;
    let mut events = Vec::new();
    let by = words::by(&command.who, command.reason.as_deref());
    let said = format!("{}, by {by}", done.said);
    if let Some(made) = planned.made.and_then(|id| planned.hand.find(id)) {
        events.push(event(made, "made", &said));
    }
    events.extend(planned.removed.iter().map(|one| event(one, "taken away", &said)));
    let verb = command.wish.verb().word();
    let what = match command.wish.target() {
        Some(target) => format!("{verb} {target}"),
        None => verb.to_owned(),
    };
    let plain = |id: u64, became: &str| EventKind::Hand {
        id,
        what: what.as_str().into(),
        became: became.into(),
        said: said.as_str().into(),
        alarm: false,
    };
    // What leaves no override behind has nothing else to stand in.
    let is_order = planned.confirm_falls || !planned.orders.is_empty();
    if is_order && planned.removed.is_empty() {
        events.push(plain(0, "done"));
    }
    events.extend(planned.proposed.map(|id| plain(id, "proposed")));
    let withdrawn = planned.settled.as_ref().filter(|_| planned.made.is_none());
    events.extend(withdrawn.map(|proposal| plain(proposal.id, "settled")));
    let id = planned.made.unwrap_or_default();
    events.extend(done.broke.iter().map(|violation| over(id, &what, violation, &by)));
    events
}

/// That `what` somebody did goes over a safety rule: an alarm.
pub(in crate::control) fn over(id: u64, what: &str, violation: &Violation, by: &str) -> EventKind {
    EventKind::Hand {
        id,
        what: what.into(),
        became: "over a safety rule".into(),
        said: format!("{violation}; by {by}").into(),
        alarm: true,
    }
}

/// What became of `one`.
pub(super) fn event(one: &Override, became: &str, said: &str) -> EventKind {
    EventKind::Hand {
        id: one.id,
        what: what(one).into(),
        became: became.into(),
        said: said.into(),
        alarm: (one.break_glass && became == "made") || became == REFUSED,
    }
}

/// What becomes of an override that a safety rule forbids when its time comes.
pub(super) const REFUSED: &str = "refused";

/// An override that this version cannot read.
pub(super) fn unread(id: u64) -> EventKind {
    EventKind::Hand {
        id,
        what: "an override".into(),
        became: "not understood".into(),
        said: "a newer version wrote it; it is kept as it is, and not in effect".into(),
        alarm: true,
    }
}

/// The command of `one`, as typed.
pub(super) fn what(one: &Override) -> String {
    match (&one.action, &one.target) {
        (Action::Pin, _) | (_, None) => "pin".to_owned(),
        (action, Some(target)) => format!("{} {target}", words::verb(action)),
    }
}

/// Whether `one` moves clients little by little.
pub(super) fn takes_time(one: &Override) -> bool {
    matches!(one.action, Action::Drain { over: Some(_) })
}

/// The failover called `name` as a target, for a shell.
pub fn failover_target(name: &str, snapshot: &Snapshot) -> String {
    let is_record = snapshot.records.iter().any(|record| *record.id == *name);
    // Where a record has the same name compile puts `policy:` before that of the policy.
    words::quoted(&match is_record {
        true => format!("record:{name}"),
        false => format!("policy:{}", name.replacen("/policy:", "/", 1)),
    })
}

/// What leads back from where orders moved failovers to.
pub(super) fn way_back(planned: &Planned, before: &Standpoint, after: &Standpoint) -> Vec<String> {
    let orders = planned.orders.iter().filter(|_| planned.removed.is_empty());
    let active = |at: &Standpoint, id: FailoverId| {
        at.state.courses.get(id.index()).map_or(0, |course| course.active)
    };
    let moved = orders.filter(|(id, _)| active(before, *id) != active(after, *id));
    let line = |&(id, _): &(FailoverId, failover::Command)| {
        let definition = &before.snapshot.failovers[id.index()];
        let from = definition.members.get(usize::from(active(before, id)))?;
        let target = failover_target(&definition.name, &before.snapshot);
        Some(format!("tradewind failover {target} --to={}", words::quoted(from)))
    };
    moved.filter_map(line).collect()
}

/// What of `planned` no command takes back, and what to do instead.
pub(super) fn lasting(planned: &Planned) -> Option<String> {
    let rejects = planned.orders.iter().any(|(_, order)| *order == failover::Command::Reject);
    let said = match (planned.confirm_falls, rejects) {
        (true, _) => {
            "nothing takes this back: what falls comes back when its probes pass, or with \
             `tradewind force TARGET up`"
        }
        (_, true) => {
            "nothing takes this back: it asks again when something changes, and \
             `tradewind failover TARGET --to MEMBER` moves it all the same"
        }
        _ => return None,
    };
    Some(said.to_owned())
}
