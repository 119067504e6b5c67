//! Health and control, joined: what the checker finds goes to control, and what control wants of
//! the checker comes back. Neither knows the other.

use crate::{
    checkplan::CheckPlan,
    clock::{Clock, Moment},
    control::{Change, event::EventKind, publish::TargetVerdict, vantage::Vantage},
    failover::breaker::Proof,
    health::{self, Checker, HealthReport, Impairment},
    verdict::Stood,
};
use anyhow::Context as _;
use std::{collections::hash_map::RandomState, hash::BuildHasher, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, mpsc},
    time::sleep,
};

/// Whether the checker is in trouble is looked at so often: longer than one void probe lasts
/// that was followed by a good one.
const IMPAIRMENT_EVERY: Duration = Duration::from_secs(1);

/// Starts the checker, whose verdicts are sent as `changes`; `heard` is woken when a witness answers or fails.
pub(super) fn start(
    clock: Arc<dyn Clock>,
    changes: mpsc::UnboundedSender<Change>,
    heard: Arc<Notify>,
) -> anyhow::Result<Checker> {
    let seed = RandomState::new().hash_one("health");
    let limits = health::Limits::default();
    let heard: health::Heard = Box::new(move |_, _| heard.notify_one());
    let settings = health::Settings { clock, seed, extra_roots: Vec::new(), limits, heard };
    let tell = move |report: HealthReport| {
        if report.is_told_by_itself() {
            // Fails only while the server stops.
            let _ = changes.send(Change::Record(EventKind::Target {
                target: Arc::clone(&report.label),
                observed: true,
                from: report.was,
                to: report.sight.standing,
                reason: Arc::clone(&report.reason),
            }));
        }
        let (sight, reason) = report.effect();
        let gate = report.gate.then_some(report.label);
        let HealthReport { key, at, first_failure, answered, observe: observed, damped, .. } =
            report;
        let found = TargetVerdict {
            sight,
            reason,
            gate,
            key,
            at,
            first_failure,
            answered,
            observed,
            damped,
        };
        // Fails only while the server stops.
        let _ = changes.send(Change::Verdicts(vec![found]));
    };
    Checker::start(settings, tell).context("cannot start health checks")
}

/// Writes down when probes prove nothing any more, for reasons of our own, and when they do again.
pub(super) async fn tell_of_impairment(
    checker: Arc<Checker>,
    changes: mpsc::UnboundedSender<Change>,
) {
    let mut was_well = true;
    loop {
        sleep(IMPAIRMENT_EVERY).await;
        let impaired = checker.impairment();
        let well = impaired.is_none();
        if std::mem::replace(&mut was_well, well) == well {
            continue;
        }
        let what = match impaired {
            Some(Impairment { targets, reason }) => {
                format!("probes of {targets} targets prove nothing: {reason}")
            }
            None => "all probes prove something again".to_owned(),
        };
        // Fails only while the server stops.
        let _ = changes.send(Change::Record(EventKind::Checker { what: what.into(), well }));
    }
}

/// The checker as control sees it.
pub(super) struct Probing(pub(super) Arc<Checker>);

impl Proof for Probing {
    fn answered_since(&self, since: Moment, except: &str) -> bool {
        self.0.answered_since(since, except)
    }
    fn failures(&self) -> Vec<(Arc<str>, Moment)> {
        self.0.failures()
    }
}

impl Vantage for Probing {
    fn update(&self, plan: &CheckPlan, saved: &dyn Fn(&str) -> Option<Stood>) {
        self.0.update(plan, saved);
    }
    fn hasten(&self, keys: &[Arc<str>]) {
        self.0.hasten(keys);
    }
    fn call_witnesses(&self, keys: &[Arc<str>]) {
        self.0.call_witnesses(keys);
    }
    fn listen(&self, yes: bool) {
        self.0.arm_witness(yes);
    }
}
