//! Rollouts as they are shown: machines, the World and health → [`RolloutLine`].

use super::{
    Running,
    peer::{Peer, REASON_CHARS, check_text},
    schema::{
        SCHEMA_VERSION,
        rollout::{
            AnalysisLine, ObservedSplit, PatchLine, RolloutEndpoint, RolloutLine, RolloutRequest,
            RolloutStep,
        },
        time,
    },
};
use crate::{
    clock::Clock,
    config::rollouts::{AnalysisDef, Pause, RolloutDef, StepDef},
    control::hand::words::short,
    measure::{Measured, wilson},
    rollout::{
        Observed, Run, Shown,
        analysis::{Tally, figure},
        degraded,
        model::{Seen, Served},
        others,
        patch::Patch,
        settle, slots_of_member,
    },
    units::Share,
    world::World,
};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// What rollouts are shown by.
pub(super) struct Sight<'a> {
    pub world: &'a World,
    pub pinned: bool,
    pub running: &'a dyn Running,
    pub clock: &'a dyn Clock,
}

impl Sight<'_> {
    /// All of them: those that files define, and those that were begun, by name.
    pub fn lines(&self, shown: &Shown) -> Vec<RolloutLine> {
        let defs = shown.defs.iter().map(|def| (def, shown.run(def.name.get_ref())));
        let gone =
            shown.runs.iter().filter(|run| shown.def(run.machine.def().name.get_ref()).is_none());
        let mut lines: Vec<RolloutLine> =
            defs.filter_map(|(def, run)| self.line(Some(def), run)).collect();
        lines.extend(gone.filter_map(|run| self.line(None, Some(run))));
        lines.sort_by(|a, b| a.name.cmp(&b.name));
        lines
    }

    /// The one called `name`.
    pub fn named(&self, shown: &Shown, name: &str) -> Option<RolloutLine> {
        self.line(shown.def(name).map(|def| &**def), shown.run(name))
    }

    fn line(&self, filed: Option<&RolloutDef>, run: Option<&Run>) -> Option<RolloutLine> {
        // One that was begun goes on by what it was begun with.
        let def = run.map(|run| &**run.machine.def()).or(filed)?;
        let machine = run.map(|run| &run.machine);
        let seen = run.and_then(|run| run.seen.as_ref());
        let times = machine.zip(seen).map(|(machine, seen)| machine.times(seen));
        let is_under_way = machine.is_some_and(|machine| !machine.is_done());
        let against = match machine {
            Some(machine) if machine.is_closed() => Vec::new(),
            _ => degraded(def, self.world, self.pinned),
        };
        let tallies = machine.map(|machine| machine.tallies()).unwrap_or_default();
        let analysis = def.analysis.iter().enumerate();
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Some(RolloutLine {
            schema_version: SCHEMA_VERSION,
            name: def.name.get_ref().clone(),
            file: filed.map(|def| def.file.display().to_string()),
            record: def.record.get_ref().clone(),
            member: def.member.get_ref().clone(),
            state: machine.map_or("ready", |machine| machine.word()).to_owned(),
            outcome: machine.and_then(|m| m.outcome()).map(|outcome| outcome.word().to_owned()),
            closed: machine.is_none_or(|machine| machine.is_closed()),
            others: others(def, &self.world.snapshot),
            halted: machine.and_then(|m| m.halt()).map(|halt| halt.why.to_string()),
            said: run.map(|run| run.said.to_string()).unwrap_or_default(),
            step: machine.map(|machine| machine.at() + 1),
            steps: def.steps.iter().map(step).collect(),
            takes_ms: ms(takes(def, settle(def, &self.world.snapshot))),
            intended_share: machine.and_then(|m| m.intended()).map(Share::as_fraction),
            served_share: seen.and_then(served),
            file_share: seen.and_then(|seen| seen.filed).map(Share::as_fraction),
            observed: run.and_then(|run| run.observed).and_then(observed),
            elapsed_ms: machine.map(|machine| ms(machine.elapsed(self.clock.now()))),
            judged_after_ms: times.filter(|_| is_under_way).map(|times| ms(times.0)),
            through_after_ms: times.filter(|_| is_under_way).map(|times| ms(times.1)),
            analysis: analysis.map(|(i, one)| self::analysis(one, tallies.get(i))).collect(),
            endpoints: self.endpoints(def),
            degraded: against,
            proposed: machine.and_then(|machine| machine.proposed()),
            then: def.then.iter().map(|next| next.get_ref().clone()).collect(),
            who: run.map(|run| run.who.to_string()),
            reason: run.and_then(|run| run.reason.as_deref()).map(str::to_owned),
            began: run.map(|run| time(run.began)),
            ended: run.and_then(|run| run.ended).map(time),
        })
    }

    /// The member's endpoints by their own names: a target that several share has that of one of them.
    /// Of two addresses the one that is worse off.
    fn endpoints(&self, def: &RolloutDef) -> Vec<RolloutEndpoint> {
        let targets = self.running.targets();
        let snapshot = &self.world.snapshot;
        let mut lines: BTreeMap<&str, (bool, RolloutEndpoint)> = BTreeMap::new();
        for slot in slots_of_member(def, snapshot) {
            let standing = self.world.state.moved().standings.of(slot).standing;
            let slot = &snapshot.slots[slot.index()];
            let target = targets.iter().find(|target| slot.target.as_ref() == Some(&target.key));
            let line = RolloutEndpoint {
                name: slot.name.to_string(),
                verdict: standing.word().to_owned(),
                p95_ms: target.and_then(|target| target.latency.quantile(0.95)).map(millis),
            };
            let known = lines.get(&*slot.name).is_some_and(|(is_up, _)| !is_up || standing.is_up());
            if !known {
                lines.insert(&slot.name, (standing.is_up(), line));
            }
        }
        lines.into_values().map(|(_, line)| line).collect()
    }
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

fn served(seen: &Seen) -> Option<f64> {
    match &seen.served {
        Served::Share(share) => Some(share.as_fraction()),
        Served::Nothing => seen.filed.map(Share::as_fraction),
        Served::Hidden(_) => None,
    }
}

/// How long all steps of `def` take at least, of which each is served for `settle`; whoever
/// promotes takes their own time.
fn takes(def: &RolloutDef, settle: Duration) -> Duration {
    let each = def.steps.iter().map(|step| {
        let pause = match step.pause {
            Pause::For(time) => time,
            Pause::None | Pause::Promote => Duration::ZERO,
        };
        step.bake.max(settle) + pause
    });
    each.sum()
}

fn step(step: &StepDef) -> RolloutStep {
    RolloutStep {
        share: step.weight.get_ref().as_fraction(),
        bake_ms: u64::try_from(step.bake.as_millis()).unwrap_or(u64::MAX),
        pause: match step.pause {
            Pause::None => None,
            Pause::For(time) => Some(short(time)),
            Pause::Promote => Some("promote".to_owned()),
        },
    }
}

fn observed(observed: Observed) -> Option<ObservedSplit> {
    let Observed { member, all } = observed;
    (all > 0).then(|| {
        let (low, high) = wilson(member, all);
        ObservedSplit { answers: member, of: all, share: member as f64 / all as f64, low, high }
    })
}

fn analysis(def: &AnalysisDef, tally: Option<&Tally>) -> AnalysisLine {
    let last = tally.and_then(|tally| tally.last.as_ref());
    let words = |measured: &Measured| match measured {
        Measured::Value(value) => figure(*value),
        Measured::Nothing(why) | Measured::Error(why) => why.to_string(),
    };
    let count = |of: fn(&Tally) -> u32| tally.map_or(0, of);
    AnalysisLine {
        name: def.name.get_ref().clone(),
        source: def.source.word().to_owned(),
        wanted: def.success.to_string(),
        last: last.map(|(measured, _)| words(measured)),
        result: last.map(|(_, verdict)| verdict.word().to_owned()),
        verdict: tally.and_then(|t| t.verdict(def)).map(|verdict| verdict.word().to_owned()),
        successful: count(|tally| tally.successful),
        failed: count(|tally| tally.failed),
        inconclusive: count(|tally| tally.inconclusive),
        errors: count(|tally| tally.errors),
        count: def.count,
    }
}

impl RolloutRequest {
    /// Who asks, and why.
    pub(super) fn read(&self, peer: &Peer) -> Result<(Arc<str>, Option<Arc<str>>), String> {
        if let Some(reason) = &self.reason {
            check_text("--reason", reason, REASON_CHARS)?;
        }
        if self.break_glass && self.reason.as_ref().is_none_or(|why| why.trim().is_empty()) {
            return Err("--break-glass needs a --reason: it goes over safety rules".into());
        }
        Ok((peer.who(self.who.as_deref())?, self.reason.as_deref().map(Arc::from)))
    }
}

impl From<Patch> for PatchLine {
    fn from(patch: Patch) -> PatchLine {
        let Patch { file, line, before, after } = patch;
        PatchLine { file, line, before, after }
    }
}
