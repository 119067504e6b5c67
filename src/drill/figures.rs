//! Figures of others that stop conditions look at, asked for on a thread of their own: nobody
//! waits for Prometheus, least of all an abort, and no source for another one.

use crate::{
    clock::{Clock, Moment},
    config::{drill::DrillDef, metric::Source, stop::Watched},
    measure::{Asker, Measured},
};
use std::{
    io,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
    time::Duration,
};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

/// How often each is asked for: below that a scrape has nothing new to say. One that takes longer
/// to say it says nothing.
const EVERY: Duration = Duration::from_secs(2);
/// What was said longer ago says nothing of now: one that was asked for twice since.
const FRESH: Duration = Duration::from_secs(4);

/// A figure, and when it was said.
type Known = Option<(f64, Moment)>;

/// What was last said, by the place of the stop condition. One that could not be had is none, and
/// stops nothing: that a Prometheus is away is no reason to end what runs well. One that never
/// could be is told of by the verdict.
pub(super) struct Figures {
    known: Arc<Mutex<Vec<Known>>>,
    stopping: Arc<AtomicBool>,
}

impl Figures {
    /// Starts to ask what the stop conditions of `def` want to know, if any does; token files
    /// stand in `dir`.
    pub(super) fn start(def: &DrillDef, dir: &Path, clock: &Arc<dyn Clock>) -> io::Result<Figures> {
        let source = |stop: &toml::Spanned<crate::config::stop::StopDef>| match &stop.get_ref().what
        {
            Watched::Figure(source) => Some(source.clone()),
            _ => None,
        };
        let sources: Vec<Option<Source>> = def.stops.iter().map(source).collect();
        let known = Arc::new(Mutex::new(vec![None; sources.len()]));
        let figures = Figures { known, stopping: Arc::default() };
        if sources.iter().all(Option::is_none) {
            return Ok(figures);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let mut asking = JoinSet::new();
        for (place, source) in sources.into_iter().enumerate() {
            let Some(source) = source else { continue };
            let (known, stopping) = (Arc::clone(&figures.known), Arc::clone(&figures.stopping));
            let (asker, clock) = (Asker::new(dir), Arc::clone(clock));
            let ask = async move {
                let mut turn = interval(EVERY);
                turn.set_missed_tick_behavior(MissedTickBehavior::Delay);
                while !stopping.load(Relaxed) {
                    turn.tick().await;
                    let value = match timeout(EVERY, asker.ask(&source)).await {
                        Ok(Measured::Value(value)) => written(value).map(|it| (it, clock.now())),
                        Ok(Measured::Nothing(_) | Measured::Error(_)) | Err(_) => None,
                    };
                    known.lock().unwrap_or_else(PoisonError::into_inner)[place] = value;
                }
            };
            asking.spawn_on(ask, runtime.handle());
        }
        thread::Builder::new().name("drill-figures".to_owned()).spawn(move || {
            runtime.block_on(async { while asking.join_next().await.is_some() {} });
        })?;
        Ok(figures)
    }

    /// What was last said of the stop condition at `place`, if that is what is now.
    pub(super) fn of(&self, place: usize, now: Moment) -> Option<f64> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (value, at) = known.get(place).copied().flatten()?;
        (now.since(at) <= FRESH).then_some(value)
    }
}

/// `value` as a journal can have it, whose JSON knows finite numbers only: what is judged is what is
/// read again. No number is no value (a division of nothing by nothing); what is infinite is the
/// largest there is, which is past the same limits.
fn written(value: f64) -> Option<f64> {
    (!value.is_nan()).then(|| value.clamp(f64::MIN, f64::MAX))
}

impl Drop for Figures {
    fn drop(&mut self) {
        self.stopping.store(true, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::journal::{Entry, What};

    #[test]
    fn what_a_journal_has_of_a_figure_is_what_was_judged() {
        for (value, wanted) in [
            (0.25, Some(0.25)),
            (f64::NAN, None),
            (f64::INFINITY, Some(f64::MAX)),
            (f64::NEG_INFINITY, Some(f64::MIN)),
        ] {
            let known = written(value);
            assert_eq!(known, wanted, "{value}");
            let mut whats = vec![What::Stops { values: vec![known] }];
            whats.extend(known.map(|value| What::Fired { when: "> 1".into(), value }));
            for what in whats {
                let entry = Entry { ms: 1.0, what };
                let line = serde_json::to_string(&entry).unwrap();
                assert_eq!(serde_json::from_str::<Entry>(&line).unwrap(), entry, "{line}");
            }
        }
    }
}
