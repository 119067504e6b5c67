//! What machines want done: weights asked of control as an operator would, and figures of whoever
//! has them. Each takes its time elsewhere and comes back as an outcome.

use super::{Driver, Gift, KEPT_WITHIN, Outcome};
use crate::{
    config::metric::Source,
    control::{
        Change,
        hand::{Command, Refusal, Wish as HandWish},
    },
    forecast::Clients,
    measure::of_health,
    place::LazyTable,
    rollout::{
        around::{maker, of_member, own, target},
        model::Given,
    },
    units::{Share, Weight},
    world::Viewer,
};
use arc_swap::ArcSwap;
use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};
use tokio::{sync::oneshot, time::timeout};

impl Driver {
    /// Asks control for the member to have `share`; for the override to go, without.
    pub(super) fn give(&self, name: &str, gift: Option<Gift>, urgent: bool, why: String) {
        let Some(entry) = self.runs.get(name) else { return };
        let def = entry.run.machine.def();
        let shown = self.handle.hand.load();
        let own = own(def, &shown.hand).map(|own| own.id);
        let member = || Arc::from(def.member.get_ref().as_str());
        let wish = match (&gift, own) {
            (Some(Gift { plain: true, .. }), _) => HandWish::Weight {
                target: target(def),
                member: Some(member()),
                weight: Weight::new(0),
            },
            (Some(Gift { share, .. }), _) => {
                HandWish::Share { target: target(def), member: member(), share: *share }
            }
            (None, Some(id)) => {
                HandWish::Weight { target: format!("id:{id}"), member: None, weight: None }
            }
            // It is gone already, which a look shows.
            (None, None) => {
                // Fails only while the server stops.
                let _ = self.results.send(Outcome::Given { name: name.into(), given: Given::Done });
                return;
            }
        };
        // What gives clients does not go over what anybody said just now; what takes them back does.
        let rises = gift.as_ref().is_some_and(|gift| gift.share > Share::NONE);
        let command = Command {
            wish,
            who: maker(name).into(),
            reason: (!why.is_empty()).then(|| why.into()),
            begins: None,
            lasts: None,
            break_glass: urgent,
            dry_run: false,
            if_version: rises.then(|| shown.hand.version()),
            even_if_unknown: false,
            instead_of: own.filter(|_| gift.is_some()),
            for_whom: entry.run.people.iter().map(Arc::clone).collect(),
        };
        let (name, kept) = (name.to_owned(), self.keeper.flush());
        let (viewer, locations) = (self.viewer.clone(), Arc::clone(&self.handle.locations));
        let (changes, clients) = (self.handle.changes.clone(), Arc::clone(&self.clients));
        let results = self.results.clone();
        tokio::spawn(async move {
            let _ = timeout(KEPT_WITHIN, kept).await;
            let counted =
                tokio::task::spawn_blocking(move || count(&viewer, &locations, &clients)).await;
            let (reply, done) = oneshot::channel();
            let clients = counted.unwrap_or_default();
            let given = match changes.send(Change::Hand {
                command: command.into(),
                from: "rollout".into(),
                clients,
                reply,
            }) {
                Ok(()) => done.await.ok().map(|done| match done {
                    Ok(done) => match done.planned.proposed {
                        Some(id) => Given::Proposed(id),
                        None => Given::Done,
                    },
                    // Files were loaded meanwhile, or somebody else was faster: look again.
                    Err(Refusal::Conflict(_) | Refusal::Stale) => Given::Done,
                    Err(refusal) => refused(&refusal),
                }),
                Err(_) => None,
            };
            if let Some(given) = given {
                // Fails only while the server stops.
                let _ = results.send(Outcome::Given { name, given });
            }
        });
    }

    /// Nobody may confirm any more what a rollout does not ask for any more.
    pub(super) fn withdraw(&self, name: &str, id: u64) {
        // One that has ended already is as good; the answer says nothing new.
        let (reply, _) = oneshot::channel();
        let command = Command {
            wish: HandWish::Reject { target: format!("id:{id}") },
            who: maker(name).into(),
            reason: None,
            begins: None,
            lasts: None,
            break_glass: false,
            dry_run: false,
            if_version: None,
            even_if_unknown: false,
            instead_of: None,
            for_whom: Vec::new(),
        };
        // Fails only while the server stops.
        let _ = self.handle.changes.send(Change::Hand {
            command: command.into(),
            from: "rollout".into(),
            clients: Arc::default(),
            reply,
        });
    }

    pub(super) fn measure(&self, name: &str, analysis: usize, epoch: u64) {
        let Some(entry) = self.runs.get(name) else { return };
        let def = entry.run.machine.def();
        let Some(source) = def.analysis.get(analysis).map(|one| one.source.clone()) else { return };
        let (name, results) = (name.to_owned(), self.results.clone());
        // Fails only while the server stops.
        let tell = move |measured| {
            let _ = results.send(Outcome::Measured { name, epoch, analysis, measured });
        };
        if let Source::Health(figure) = source {
            let (targets, world) = ((self.targets)(), self.viewer.world());
            let own = of_member(def, &world.snapshot, &targets);
            return tell(of_health(figure, own.into_iter(), &entry.probed, entry.served));
        }
        let asker = self.asker.clone();
        tokio::spawn(async move { tell(asker.ask(&source).await) });
    }
}

/// The clients of every map in force: what safety rules that speak of shares need.
fn count(
    viewer: &Viewer,
    locations: &ArcSwap<LazyTable>,
    clients: &Mutex<Arc<Clients>>,
) -> Arc<Clients> {
    let known = Arc::clone(&clients.lock().unwrap_or_else(PoisonError::into_inner));
    let counted =
        Arc::new(Clients::of_files(&viewer.world().snapshot, &locations.load_full(), &known));
    *clients.lock().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&counted);
    counted
}

/// What a refusal comes to for who asks again.
fn refused(refusal: &Refusal) -> Given {
    let why: Arc<str> = said(refusal).into();
    match refusal {
        Refusal::Weight(_) => Given::NoShare(why),
        Refusal::Unsafe(violations) => {
            let left: Option<Vec<Duration>> = violations.iter().map(|one| one.left).collect();
            match left.and_then(|left| left.into_iter().max()) {
                Some(left) => Given::NotYet { why, left },
                None => Given::Refused(why),
            }
        }
        _ => Given::Refused(why),
    }
}

/// A refusal with what it would have broken.
fn said(refusal: &Refusal) -> String {
    match refusal {
        Refusal::Unsafe(violations) => {
            let words: Vec<String> = violations.iter().map(ToString::to_string).collect();
            format!("{refusal}: {}", words.join("; "))
        }
        _ => refusal.to_string(),
    }
}
