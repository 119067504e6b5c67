//! What a run looks at between two ticks: the server's events, the first failed probe, answers
//! second by second, stop conditions, and whether all is as before.

use super::{Runner, Sights};
use crate::{
    clock::Moment,
    config::{
        drill::{ActionDef, FaultDef, Mode},
        stop::{StopDef, Watched},
    },
    control::event::{Event, EventKind},
    drill::{
        answers::ms,
        ground::{self, Spot},
        journal::{EVENTS_MAX, Seen, What},
        report::time,
    },
    failover::{Cause, breaker::News},
    forecast::shares::given,
    world::World,
};
use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

/// How often the file is looked for that ends a drill when nobody can be reached.
const ABORT_FILE: Duration = Duration::from_millis(100);
/// All must be answered as before for so long to count as back: every lane was asked by then.
const BACK_FOR: Duration = Duration::from_secs(1);

impl Sights {
    pub(super) fn of(world: &World, hit: &HashSet<Spot>) -> Sights {
        let mut slots = ground::slots_of(&world.snapshot, hit).into_iter();
        Sights {
            is_hit_up: slots.all(|slot| world.state.standings.of(slot).standing.is_up()),
            swap: world.swap,
            regions_up: ground::regions_up(world, &HashSet::new()) as f64,
            endpoints_down: ground::endpoints_down(world) as f64,
            fail_open: ground::fail_open(world) as f64,
        }
    }
}

/// Whether a failover moved by an operator's word: at once, or approved before it could.
fn is_operators(who: Option<&str>, why: &str) -> bool {
    who.map_or(why == Cause::Approved.why(), |who| !who.starts_with(ground::WHO))
}

impl Runner {
    /// Works out what a new World means: it is another one seldom, and this is asked all the time.
    pub(super) fn look_at_world(&mut self) {
        let world = self.ground.viewer.world();
        if world.swap == self.sights.swap {
            return;
        }
        self.sights = Sights::of(&world, &self.spots);
        self.answers.found(ground::found(&world, &self.spots));
        let since = self.ground.clock.now();
        for (lane, asked) in self.asked.iter().enumerate() {
            if let Some(now) = asked.answers_of(&world) {
                self.answers.may(lane, now, since);
            }
        }
    }

    pub(super) fn watch_events(&mut self) {
        let events: Vec<Event> = {
            let journal = self.ground.journal.lock();
            match journal.newest() == self.seq {
                true => return,
                false => journal.since(self.seq).cloned().collect(),
            }
        };
        for event in events {
            self.seq = event.seq;
            if let EventKind::Failover { name, why, .. } = &event.kind
                && is_operators(event.who.as_deref(), why)
            {
                self.effects.moved_by_operator(name);
            }
            if event.kind.word() == "drill" {
                continue;
            }
            let seen = self.seen(&event);
            // What proves that a step had an effect is not lost among others.
            if self.events < EVENTS_MAX || seen.released.is_some() {
                self.events += 1;
                self.add_at(event.at, What::Event(seen));
            }
        }
    }

    pub(super) fn seen(&self, event: &Event) -> Seen {
        let (down, took) = match &event.kind {
            EventKind::Verdict { address, to, .. } => {
                let address = address.trim_end_matches('.').to_ascii_lowercase();
                (self.hit.contains(&address).then_some(!to.is_up()), None)
            }
            EventKind::Published { took, .. } => (None, Some(took.as_secs_f64() * 1e3)),
            _ => (None, None),
        };
        let released = match &event.kind {
            EventKind::Breaker { news: News::Released { falls, confirmed: true } } => Some(*falls),
            _ => None,
        };
        Seen {
            seq: event.seq,
            kind: event.kind.word().to_owned(),
            text: event.kind.to_string(),
            alarm: event.kind.is_alarm(),
            down,
            took_ms: took,
            released,
            who: event.who.as_deref().map(str::to_owned),
        }
    }

    pub(super) fn watch_probes(&mut self) {
        let found: Vec<(usize, Moment)> = self
            .awaited
            .iter()
            .filter_map(|step| Some((*step, self.effects.first_met(*step)?)))
            .collect();
        for (step, at) in found {
            self.awaited.retain(|other| *other != step);
            let def = &self.plan.def.steps[step];
            let step = def.id.get_ref().clone();
            let what = match def.action.get_ref() {
                ActionDef::Fault(FaultDef::Slow(_)) => What::FirstSlowedProbe { step },
                _ => What::FirstFailedProbe { step },
            };
            self.add_at(at, what);
        }
    }

    pub(super) fn tell_seconds(&mut self, now: Moment, is_end: bool) {
        let would_be = self.would_be();
        for mut row in self.answers.rows(now, is_end) {
            row.would_be.clone_from(&would_be);
            self.add(What::Second(row));
        }
        let second = now.since(self.began).as_secs() as u32;
        if second >= self.second && !self.plan.def.stops.is_empty() {
            self.second = second + 1;
            let stops = self.plan.def.stops.iter().enumerate();
            let values = stops.map(|(place, stop)| self.value(place, stop.get_ref())).collect();
            self.add(What::Stops { values });
        }
    }

    /// Under `mode = "shadow"`: what would be answered while these steps are on, by region.
    pub(super) fn would_be(&self) -> BTreeMap<String, f64> {
        let mut shares: BTreeMap<String, f64> = BTreeMap::new();
        if *self.plan.def.mode.get_ref() != Mode::Shadow {
            return shares;
        }
        let step = self.on.last().and_then(|on| self.plan.steps.iter().find(|s| s.index == *on));
        let Some(done) = step.and_then(|step| step.done.as_ref()) else { return shares };
        let all: f64 = self.asked.iter().map(|asked| asked.rate).sum();
        for asked in &self.asked {
            let snapshot = &done.after.snapshot;
            let Some(record) = snapshot.records.get(asked.record.index()) else { continue };
            let given = given(snapshot.plan(record.plan), asked.class, &done.after);
            for (spot, share) in given.spots {
                let region = spot.region.unwrap_or("(no region)");
                *shares.entry(region.to_owned()).or_default() += share * asked.rate / all;
            }
        }
        shares
    }

    /// What the stop condition at `place` sees; nothing if nobody can say.
    pub(super) fn value(&self, place: usize, stop: &StopDef) -> Option<f64> {
        let counts = self.answers.counts();
        let counted = |count: u64| (!self.asked.is_empty()).then_some(count as f64);
        match stop.what {
            Watched::Empty => counted(counts.empty),
            Watched::Wrong => counted(counts.wrong),
            Watched::Lost => counted(counts.lost),
            Watched::RegionsUp => Some(self.sights.regions_up),
            Watched::EndpointsDown => Some(self.sights.endpoints_down),
            Watched::FailOpen => Some(self.sights.fail_open),
            Watched::Figure(_) => self.figures.of(place, self.ground.clock.now()),
        }
    }

    /// Why everything has to end, if it does: somebody says so, or a stop condition holds.
    pub(super) fn why_abort(&mut self, now: Moment) -> Option<String> {
        if self.aborted_at.is_some() {
            return None;
        }
        if now.since(self.looked_for_file) >= ABORT_FILE {
            self.looked_for_file = now;
            if self.archive.abort_file().exists() {
                // Whoever made it wants this run ended, not the next one.
                let _ = std::fs::remove_file(self.archive.abort_file());
                self.shared.abort("aborted by the file state/drills/ABORT".into());
            }
        }
        if let Some(why) = self.shared.aborted() {
            return Some(why);
        }
        for (place, stop) in self.def().stops.iter().enumerate() {
            let stop = stop.get_ref();
            let value = self.value(place, stop).filter(|value| stop.is_past(*value));
            let since = self.holding[place].unwrap_or(now);
            self.holding[place] = value.map(|_| since);
            if let Some(value) = value.filter(|_| now.since(since) >= stop.lasts) {
                self.late.push((now, What::Fired { when: stop.text.clone(), value }));
                let at = time(ms(now, self.began));
                return Some(format!("stopped by `{stop}` after {at} (it was {value})"));
            }
        }
        None
    }

    /// Whether all is answered as before: long enough, with nothing hit still down.
    pub(super) fn is_back(&self, now: Moment) -> bool {
        if *self.plan.def.mode.get_ref() == Mode::Simulate {
            return true;
        }
        if !self.is_rolled_back || !self.answers.is_back() {
            return false;
        }
        let since = self.answers.last_off().map_or(Duration::MAX, |off| now.since(off));
        since >= BACK_FOR && self.sights.is_hit_up
    }
}
