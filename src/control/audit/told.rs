//! What is written of each change.

use super::{Entry, Origin, Outcome, Side};
use crate::{
    control::{
        Stood,
        event::EventKind,
        hand::{Command, Done, Now, Override, Refusal, Wish, command::Begins, words},
        reload::Report,
    },
    ids::FailoverId,
    world::World,
};
use std::sync::Arc;

/// How things stood when a change was taken.
#[derive(Clone, Copy, Debug)]
pub struct Before {
    /// Both clocks.
    pub now: Now,
    /// The revision of the files in force.
    pub revision: u64,
    /// The World.
    pub swap: u64,
}

impl Before {
    /// A change of `world` at `now`.
    pub fn of(world: &World, now: Now) -> Before {
        Before { now, revision: world.revision, swap: world.swap }
    }

    fn side(&self, state: Vec<Arc<str>>) -> Side {
        Side { revision: self.revision, swap: self.swap, state }
    }

    fn entry(&self, by: &Origin, what: &str, after: &World) -> Entry {
        Entry {
            at: self.now.wall,
            who: Arc::clone(&by.who),
            from: Arc::clone(&by.from),
            what: what.into(),
            target: None,
            reason: by.reason.clone(),
            outcome: Outcome::Done,
            said: "".into(),
            rules: Vec::new(),
            before: self.side(Vec::new()),
            after: Side { revision: after.revision, swap: after.swap, state: Vec::new() },
        }
    }

    /// What came of `command`; nothing of a dry run.
    pub fn command(
        &self,
        command: &Command,
        from: &Arc<str>,
        outcome: &Result<Done, Refusal>,
        after: &World,
    ) -> Option<Entry> {
        if command.dry_run {
            return None;
        }
        let by = Origin {
            who: Arc::clone(&command.who),
            from: Arc::clone(from),
            reason: command.reason.clone(),
        };
        let mut entry = self.entry(&by, &typed(command), after);
        entry.target = command.wish.target().map(Arc::from);
        match outcome {
            Err(refusal) => {
                entry.outcome = Outcome::Refused;
                entry.said = refusal.to_string().into();
                if let Refusal::Unsafe(broke) = refusal {
                    entry.rules = rules(broke.iter().map(|broken| &broken.rule));
                }
            }
            Ok(done) => {
                let planned = &done.planned;
                entry.said = done.said.as_str().into();
                entry.rules = rules(done.broke.iter().map(|broken| &broken.rule));
                let removed = planned.removed.iter().map(|one| self.stood(one));
                entry.before.state = removed.chain(active(done, &done.before)).collect();
                let made = planned.made.and_then(|id| planned.hand.find(id));
                entry.after.state = made
                    .iter()
                    .map(|one| self.stood(one))
                    .chain(active(done, &done.after))
                    .collect();
                let proposals = planned.hand.proposals().iter();
                if let Some(one) = proposals.rev().find(|one| Some(one.id) == planned.proposed) {
                    entry.outcome = Outcome::Proposed;
                    entry.rules = one.rules.clone();
                    entry.after.state =
                        vec![format!("#{} waits: {}", one.id, typed(&one.command)).into()];
                }
            }
        }
        Some(entry)
    }

    /// What came of a load of files; nothing of one that nobody asked for and that changed nothing.
    pub fn load(&self, by: &Origin, what: &str, report: &Report, after: &World) -> Option<Entry> {
        if report.accepted && report.unchanged && !by.is_asked() {
            return None;
        }
        let mut entry = self.entry(by, what, after);
        entry.said = match report.accepted {
            false => {
                let first = report.problems.iter().find(|problem| problem.severity == "error");
                let first = report.moved.as_ref().or(first.map(|problem| &problem.message));
                let first = first.map_or("see the log", |why| why);
                match report.errors.saturating_sub(1) {
                    0 => first.to_owned(),
                    more => format!("{first}; and {}", words::count(more, "more error")),
                }
            }
            true if report.unchanged => "nothing changed".to_owned(),
            true => {
                let (zones, records) = (report.zones, report.records);
                format!(
                    "{}, {}",
                    words::count(zones, "zone"),
                    words::count(records, "steered record")
                )
            }
        }
        .into();
        if !report.accepted {
            entry.outcome = Outcome::Refused;
        }
        entry.after.state =
            report.held.iter().map(|zone| format!("{zone} held back").into()).collect();
        Some(entry)
    }

    /// A wish that is no change of control's; what became of it is the asker's to say.
    pub fn wished(&self, by: &Origin, what: &str, stood: Option<Stood>, world: &World) -> Entry {
        let mut entry = self.entry(by, what, world);
        if let Some(Stood { before, after }) = stood {
            (entry.before.state, entry.after.state) = (vec![before], vec![after]);
        }
        entry
    }

    /// What time alone did to overrides, or what `by` did beside the commands.
    pub fn event(&self, by: &Origin, event: &EventKind, after: &World) -> Option<Entry> {
        let mut entry = match event {
            EventKind::Hand { id, what, became, said, .. } => {
                let number = if *id > 0 { format!("#{id} ") } else { String::new() };
                let mut entry = self.entry(by, &format!("{number}{what}: {became}"), after);
                entry.said = Arc::clone(said);
                entry
            }
            EventKind::Demo { region, up } => {
                let verb = if *up { "restore" } else { "kill" };
                let mut entry = self.entry(by, &format!("demo {verb} {region}"), after);
                entry.target = Some(format!("region:{region}").into());
                entry
            }
            EventKind::Drill { drill, run, what, .. } => {
                let mut entry = self.entry(by, &format!("drill {drill}"), after);
                entry.target = (!run.is_empty()).then(|| format!("run {run}").into());
                entry.said = Arc::clone(what);
                entry
            }
            EventKind::Rollout { name, record, what, said, .. } => {
                let mut entry = self.entry(by, &format!("rollout {name}: {what}"), after);
                entry.target = Some(format!("record:{record}").into());
                entry.said = Arc::clone(said);
                entry
            }
            _ => return None,
        };
        if matches!(event, EventKind::Hand { became, .. } if &**became == "refused") {
            entry.outcome = Outcome::Refused;
        }
        Some(entry)
    }

    /// An override by number, as it could be typed, and whose it is.
    fn stood(&self, one: &Override) -> Arc<str> {
        let line = words::redo(one, self.now.at);
        let line = line.strip_prefix("tradewind ").unwrap_or(&line);
        format!("#{} {line} (by {})", one.id, one.who).into()
    }
}

/// Where the failovers that `done` ordered about stood, or stand.
fn active<'d>(
    done: &'d Done,
    at: &'d crate::forecast::Standpoint,
) -> impl Iterator<Item = Arc<str>> + 'd {
    let active = |id: FailoverId| {
        let definition = at.snapshot.failovers.get(id.index())?;
        let active = at.state.courses.get(id.index()).map_or(0, |course| course.active);
        let member = definition.members.get(usize::from(active))?;
        Some(format!("{} at {member}", definition.name).into())
    };
    done.planned.orders.iter().filter_map(move |(id, _)| active(*id))
}

/// Each once.
fn rules<'r>(all: impl Iterator<Item = &'r Arc<str>>) -> Vec<Arc<str>> {
    let mut rules: Vec<Arc<str>> = all.cloned().collect();
    rules.sort_unstable();
    rules.dedup();
    rules
}

/// `command` as it was typed, but for who and why, which stand beside it.
fn typed(command: &Command) -> String {
    let mut line = command.wish.verb().word().to_owned();
    let mut add = |text: &str| line.extend([" ", text]);
    if let Some(target) = command.wish.target() {
        add(&words::quoted(target));
    }
    match &command.wish {
        Wish::Drain { over: Some(over), .. } => add(&format!("--over {}", words::short(*over))),
        Wish::Force { to, .. } => add(to.map_or("auto", |to| to.word())),
        Wish::Weight { member, weight, .. } => {
            let weight = weight.map_or_else(|| "reset".to_owned(), |w| w.get().to_string());
            match member {
                Some(member) => add(&words::quoted(&format!("{member}={weight}"))),
                None => add(&weight),
            }
        }
        Wish::Share { member, share, .. } => {
            add(&words::quoted(&format!("{member}={}", words::percent(*share))));
        }
        Wish::Failover { to, .. } => add(&format!("--to={}", words::quoted(to))),
        Wish::Confirm { id: Some(id) } => add(&id.to_string()),
        Wish::ConfirmFalls => add("--falls"),
        Wish::Drain { over: None, .. }
        | Wish::Undrain { .. }
        | Wish::Failback { .. }
        | Wish::Approve { .. }
        | Wish::Reject { .. }
        | Wish::Hold { .. }
        | Wish::Unhold { .. }
        | Wish::Pin
        | Wish::Unpin { .. }
        | Wish::Confirm { id: None }
        | Wish::Withdraw { .. } => {}
    }
    match command.begins {
        Some(Begins::After(delay)) => add(&format!("--at +{}", words::short(delay))),
        Some(Begins::At(at)) => {
            let at = jiff::Timestamp::try_from(at).unwrap_or_default();
            add(&format!("--at {at}"));
        }
        None => {}
    }
    if let Some(lasts) = command.lasts {
        add(&format!("--for {}", words::short(lasts)));
    }
    if command.break_glass {
        add("--break-glass");
    }
    line
}
