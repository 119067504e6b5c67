//! The operator's hand over the control socket: a wish in, what came of it out, and the list of
//! what is in force. Reads requests, weighs clients and writes replies; decides nothing itself.

use super::{
    door::names,
    peer::{Peer, REASON_CHARS, check_text},
    refused::Refused,
    schema::{
        SCHEMA_VERSION,
        forecast::PreviewLine,
        hand::{
            ApprovalLine, DrainState, DrainWord, HandList, HandReply, HandRequest, OverrideLine,
            ProposalLine, ViolationLine,
        },
        time,
    },
};
use crate::{
    clock::{Clock, Moment},
    control::hand::{
        Command, Done, ForceTo, Now, Override, Proposal, Refusal, Stage, Wish,
        apply::{SharedHand, Waiting},
        command::Begins,
        drain::{DrainStage, Progress},
        effect::Effect,
        safety::Violation,
        tell::failover_target,
        words,
    },
    forecast::{Clients, Pair, preview, shares},
    grant::Role,
    place::LazyTable,
    snapshot::Snapshot,
    units::{Share, Weight},
    world::{Viewer, World},
};
use arc_swap::ArcSwap;
use axum::http::HeaderValue;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, SystemTime},
};

/// What is shown of the hand, and what clients are weighed by.
pub(super) struct Hands {
    pub viewer: Viewer,
    pub shown: SharedHand,
    pub locations: Arc<ArcSwap<LazyTable>>,
    pub clock: Arc<dyn Clock>,
    /// As last counted.
    pub clients: Mutex<Arc<Clients>>,
}

impl Hands {
    /// The clients of every map in force. Takes 25 ms for each map not seen before.
    pub(super) fn clients(&self) -> Arc<Clients> {
        let known = self.counted();
        let world = self.viewer.world();
        let table = self.locations.load_full();
        let counted = Arc::new(Clients::of_files(&world.snapshot, &table, &known));
        *self.clients.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&counted);
        counted
    }

    /// Clients as they were last counted.
    pub(super) fn counted(&self) -> Arc<Clients> {
        Arc::clone(&self.clients.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn now(&self) -> Now {
        Now { at: self.clock.now(), wall: self.clock.wall() }
    }

    /// What came of a command.
    pub(super) fn reply(&self, done: &Done, wish: &Wish, clients: &Clients) -> HandReply {
        let now = self.now();
        let planned = &done.planned;
        let snapshot = &done.after.snapshot;
        let drains = Arc::clone(&self.shown.load().drains);
        let made = planned.made.and_then(|id| planned.would.find(id)).map(|one| {
            let begins = one.begins.max(now.at);
            let effect = planned.would.by(begins).effect(snapshot, begins);
            let lines = Lines { now, snapshot, effect: &effect, drains: &drains };
            lines.line(one, words::undo(one, &planned.would))
        });
        let effect = Effect::default();
        let lines = Lines { now, snapshot, effect: &effect, drains: &drains };
        let removed = planned.removed.iter().map(|one| lines.line(one, words::redo(one, now.at)));
        let proposed = planned
            .proposed
            .and_then(|id| planned.hand.proposals().iter().find(|proposal| proposal.id == id));
        let records = Pair::same(&planned.records);
        let is_shown = done.dry_run || proposed.is_some() || matches!(wish, Wish::Approve { .. });
        let preview =
            is_shown.then(|| preview(&done.before, &done.after, &records, clients)).flatten();
        let world = self.viewer.world();
        HandReply {
            schema_version: SCHEMA_VERSION,
            done: !done.dry_run && proposed.is_none(),
            dry_run: done.dry_run,
            made,
            removed: removed.collect(),
            proposed: proposed.map(|one| proposal_line(one, now)),
            said: done.said.clone(),
            ttl_secs: done.ttl.as_secs(),
            broke: done.broke.iter().map(ViolationLine::from).collect(),
            last_resort: shares::newly_down(&done.before, &done.after, &records),
            notes: done.notes.clone(),
            not_kept: done.not_kept.as_deref().map(str::to_owned),
            undo: if done.dry_run { Vec::new() } else { done.undo.clone() },
            preview: preview.as_ref().map(PreviewLine::from),
            swap: world.swap,
            revision: world.revision,
        }
    }

    /// Failovers that wait.
    pub(super) fn approvals(&self, waiting: &[Waiting], clients: &Clients) -> Vec<ApprovalLine> {
        let now = self.now();
        let line = |one: &Waiting| {
            let Waiting { failover, from, to, wait, due, .. } = one;
            let preview = one
                .after
                .as_ref()
                .and_then(|after| preview(&one.before, after, &Pair::same(&one.records), clients));
            ApprovalLine {
                failover: failover.to_string(),
                from: from.to_string(),
                to: to.to_string(),
                wait: wait.what().to_owned(),
                due: due.map(|due| later(due, now)),
                preview: preview.as_ref().map(PreviewLine::from),
                approve: format!(
                    "tradewind approve {}",
                    failover_target(failover, &one.before.snapshot)
                ),
            }
        };
        waiting.iter().map(line).collect()
    }

    /// The same with its tag.
    pub(super) fn tagged(&self) -> (String, HandList) {
        let tag = tag(self.shown.load().hand.version());
        (tag, self.list())
    }

    /// The version that a change is made for, as `If-Match` names it.
    pub(super) fn version_of(&self, asked: Option<&HeaderValue>) -> Result<Option<u64>, Refused> {
        let Some(asked) = asked else { return Ok(None) };
        let version = self.shown.load().hand.version();
        if asked.as_bytes().trim_ascii() == b"*" || names(asked, tag(version).as_bytes()) {
            return Ok(Some(version));
        }
        Err(Refused::from(&Refusal::Stale).beside(self.list()))
    }

    /// Everything that is in force, or will be.
    pub(super) fn list(&self) -> HandList {
        let now = self.now();
        let shown = self.shown.load_full();
        let hand = &shown.hand;
        let world: Arc<World> = self.viewer.world();
        let snapshot = &world.snapshot;
        let effect = hand.effect(snapshot, now.at);
        let line = |one: &Override| {
            let undo = words::undo(one, hand);
            let lines = Lines { now, snapshot, effect: &effect, drains: &shown.drains };
            if one.stage != Stage::Waiting {
                return lines.line(one, undo);
            }
            let later = hand.by(one.begins).effect(snapshot, one.begins);
            Lines { effect: &later, ..lines }.line(one, undo)
        };
        HandList {
            schema_version: SCHEMA_VERSION,
            overrides: hand.overrides().iter().map(line).collect(),
            proposals: hand.proposals().iter().map(|one| proposal_line(one, now)).collect(),
            pin_file: shown.file.as_ref().map(|file| file.reason.clone().unwrap_or_default()),
        }
    }
}

/// The tag of a hand of this version.
fn tag(version: u64) -> String {
    format!("\"{version:016x}\"")
}

/// How overrides are written down.
struct Lines<'a> {
    now: Now,
    snapshot: &'a Snapshot,
    effect: &'a Effect,
    drains: &'a BTreeMap<u64, Progress>,
}

impl Lines<'_> {
    fn line(&self, one: &Override, undo: String) -> OverrideLine {
        let now = self.now.at;
        let target = one.target.as_ref().map(ToString::to_string);
        let what = match &target {
            Some(target) => format!("{} {target}", words::verb(&one.action)),
            None => words::verb(&one.action).to_owned(),
        };
        OverrideLine {
            id: one.id,
            what,
            target,
            does: words::does(one, self.effect, self.snapshot),
            active: one.is_active(now),
            who: one.who.to_string(),
            reason: one.reason.as_deref().map(str::to_owned),
            made: time(one.made),
            starts: one.starts_in(now).map(|delay| time(self.now.wall + delay)),
            until: one.until.map(|until| later(until, self.now)),
            remaining_ms: one.remaining(now).map(|rest| rest.as_millis() as u64),
            hides: self.effect.hidden_by(one.id),
            hidden_by: self.effect.hiding(one.id),
            refused: match &one.stage {
                Stage::Refused(why) => Some(why.to_string()),
                Stage::Waiting | Stage::Begun { .. } => None,
            },
            break_glass: one.break_glass,
            drain: self.drain(one),
            undo,
        }
    }

    fn drain(&self, one: &Override) -> Option<DrainState> {
        let progress = self.drains.get(&one.id).filter(|_| one.is_active(self.now.at))?;
        let (state, kept) = match &progress.state {
            DrainStage::Draining => (DrainWord::Draining, None),
            DrainStage::Answered(kept) => (DrainWord::StillAnswered, Some(kept)),
            DrainStage::Drained => (DrainWord::Drained, None),
        };
        let elapsed = one.ran.elapsed(self.now.at);
        Some(DrainState {
            state,
            answered_share: progress.answered,
            observed_share: progress.observed,
            residual_share: progress.residual,
            since: time(self.now.wall.checked_sub(elapsed).unwrap_or(SystemTime::UNIX_EPOCH)),
            why: kept.map(|kept| kept.why.clone()),
            remedy: kept.map(|kept| kept.remedy.clone()),
        })
    }
}

fn proposal_line(proposal: &Proposal, now: Now) -> ProposalLine {
    let Proposal { id, command, rules, made, expires } = proposal;
    ProposalLine {
        id: *id,
        verb: command.wish.verb().word().to_owned(),
        target: command.wish.target().map(str::to_owned),
        who: command.who.to_string(),
        reason: command.reason.as_deref().map(str::to_owned),
        made: time(*made),
        expires: later(*expires, now),
        rules: rules.iter().map(ToString::to_string).collect(),
        confirm: format!("tradewind confirm {id}"),
    }
}

/// `at` on the wall clock.
fn later(at: Moment, now: Now) -> String {
    time(now.wall + at.since(now.at))
}

impl HandRequest {
    /// The command of `peer` that this is.
    pub(super) fn read(&self, peer: &Peer, now: SystemTime) -> Result<Command, String> {
        if let Some(reason) = &self.reason {
            check_text("--reason", reason, REASON_CHARS)?;
        }
        let begins = match (&self.at, self.starts_in_ms) {
            (Some(_), Some(_)) => return Err("`at` and `starts_in_ms` say the same thing".into()),
            (Some(at), None) => Some(Begins::at(at, now)?),
            (None, Some(ms)) => Some(Begins::After(Duration::from_millis(ms))),
            (None, None) => None,
        };
        Ok(Command {
            wish: self.wish()?,
            who: peer.who(self.who.as_deref())?,
            reason: self.reason.as_deref().map(Arc::from),
            begins,
            lasts: self.for_ms.map(Duration::from_millis),
            break_glass: self.break_glass,
            dry_run: self.dry_run,
            if_version: None,
            even_if_unknown: self.even_if_unknown,
            instead_of: None,
            for_whom: Vec::new(),
        })
    }

    /// What it takes to wish that.
    pub(super) fn role(&self) -> Role {
        match &*self.verb {
            _ if self.break_glass => Role::Admin,
            "pin" | "unpin" => Role::Admin,
            "approve" | "reject" | "confirm" => Role::Approve,
            _ => Role::Operate,
        }
    }

    /// What it wishes.
    ///
    /// # Errors
    /// Says what is wrong with the request.
    pub fn wish(&self) -> Result<Wish, String> {
        let target = || {
            let target = self.target.clone();
            target.ok_or_else(|| format!("{} needs a target", self.verb))
        };
        let weight = |weight: u32| {
            Weight::new(weight).ok_or_else(|| format!("a weight is 0 to {}", Weight::MAX))
        };
        let to = || self.to.as_deref().ok_or_else(|| format!("{} needs `to`", self.verb));
        Ok(match &*self.verb {
            "drain" => {
                Wish::Drain { target: target()?, over: self.over_ms.map(Duration::from_millis) }
            }
            "undrain" => Wish::Undrain { target: target()? },
            "force" => Wish::Force {
                target: target()?,
                to: match to()? {
                    "up" => Some(ForceTo::Up),
                    "down" => Some(ForceTo::Down),
                    "auto" => None,
                    other => return Err(format!("`{other}` is not up, down or auto")),
                },
            },
            "weight" if self.share.is_some() => Wish::Share {
                target: target()?,
                member: self.member.as_deref().ok_or("a share is a member's: name it")?.into(),
                share: self.share.filter(|share| (0.0..=1.0).contains(share)).map_or_else(
                    || Err("a share is 0 to 1".to_owned()),
                    |share| Ok(Share::from_fraction(share)),
                )?,
            },
            "weight" => Wish::Weight {
                target: target()?,
                member: self.member.as_deref().map(Arc::from),
                weight: self.weight.map(weight).transpose()?,
            },
            "failover" => Wish::Failover { target: target()?, to: to()?.into() },
            "failback" => Wish::Failback { target: target()? },
            "approve" => Wish::Approve { target: target()? },
            "reject" => Wish::Reject { target: target()? },
            "hold" => Wish::Hold { target: target()? },
            "unhold" => Wish::Unhold { target: target()? },
            "pin" => Wish::Pin,
            "unpin" => Wish::Unpin { target: self.target.clone() },
            "confirm" if self.falls => Wish::ConfirmFalls,
            "confirm" => Wish::Confirm { id: self.id },
            other => return Err(format!("there is no verb `{other}`")),
        })
    }
}

impl From<&Violation> for ViolationLine {
    fn from(violation: &Violation) -> Self {
        ViolationLine {
            rule: violation.rule.to_string(),
            record: violation.record.to_string(),
            others: violation.others,
            message: violation.message.clone(),
        }
    }
}
