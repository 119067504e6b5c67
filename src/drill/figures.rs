//! Figures of others that stop conditions look at, asked for on a thread of their own: nobody
//! waits for Prometheus, least of all an abort.

use crate::{
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

/// How often each is asked for: below that a scrape has nothing new to say.
const EVERY: Duration = Duration::from_secs(2);

/// What was last said, by the place of the stop condition. One that could not be had is none, and
/// stops nothing: that a Prometheus is away is no reason to end what runs well.
#[derive(Debug, Default)]
pub(super) struct Figures {
    known: Arc<Mutex<Vec<Option<f64>>>>,
    stopping: Arc<AtomicBool>,
}

impl Figures {
    /// Starts to ask what the stop conditions of `def` want to know, if any does; token files
    /// stand in `dir`.
    pub(super) fn start(def: &DrillDef, dir: &Path) -> io::Result<Figures> {
        let source = |stop: &toml::Spanned<crate::config::stop::StopDef>| match &stop.get_ref().what
        {
            Watched::Figure(source) => Some(source.clone()),
            _ => None,
        };
        let sources: Vec<Option<Source>> = def.stops.iter().map(source).collect();
        let figures = Figures::default();
        *figures.known.lock().unwrap_or_else(PoisonError::into_inner) = vec![None; sources.len()];
        if sources.iter().all(Option::is_none) {
            return Ok(figures);
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (known, stopping) = (Arc::clone(&figures.known), Arc::clone(&figures.stopping));
        let asker = Asker::new(dir);
        thread::Builder::new().name("drill-figures".to_owned()).spawn(move || {
            while !stopping.load(Relaxed) {
                for (place, source) in sources.iter().enumerate() {
                    let Some(source) = source else { continue };
                    let value = match runtime.block_on(asker.ask(source)) {
                        Measured::Value(value) => Some(value),
                        Measured::Nothing(_) | Measured::Error(_) => None,
                    };
                    known.lock().unwrap_or_else(PoisonError::into_inner)[place] = value;
                }
                thread::sleep(EVERY);
            }
        })?;
        Ok(figures)
    }

    /// What was last said of the stop condition at `place`.
    pub(super) fn of(&self, place: usize) -> Option<f64> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(place).copied().flatten()
    }
}

impl Drop for Figures {
    fn drop(&mut self) {
        self.stopping.store(true, Relaxed);
    }
}
