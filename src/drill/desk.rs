//! What the doors and the daemon hold: which drills there are, the one that runs, those that ran.

pub use super::runner::Running;
use super::{
    admission::{Plan, Refusal},
    archive::Archive,
    ground::{Ground, WHO},
    journal::{Entry, What, Writer},
    report::{Report, Trend, concluded, report},
    runner::{How, Runner},
};
use crate::{
    config::{
        drill::{DrillDef, Mode},
        nearest,
    },
    control::hand::Wish,
};
use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

/// Runs before one that its report compares with.
const TREND: usize = 10;
/// What is due by `schedule` is looked for so often.
const LOOK: Duration = Duration::from_secs(1);
/// Control answers within milliseconds, once it has come up.
const CLEAN_UP: Duration = Duration::from_secs(10);
/// The minute in which a run began, as its name says it.
const MINUTE: &str = "%Y%m%dT%H%M";

/// How somebody wants a drill run.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Which.
    pub name: String,
    /// Who wants it.
    pub who: String,
    /// What was typed to acknowledge it.
    pub ack: Option<String>,
    /// Acknowledged without typing, for scripts.
    pub yes: bool,
    /// Another mode than the file's; only one that does less.
    pub mode: Option<Mode>,
    /// Although something is degraded already.
    pub even_if_degraded: bool,
}

/// A drill there is, and how it went last.
#[derive(Clone, Debug)]
pub struct Listed {
    /// It.
    pub def: Arc<DrillDef>,
    /// Its newest run.
    pub last: Option<Trend>,
}

/// All drills of this server.
pub struct Drills {
    ground: Arc<Ground>,
    archive: Archive,
    current: Mutex<Current>,
    /// The last minute in which each drill began by its schedule.
    begun: Mutex<HashMap<String, u64>>,
}

/// At most one.
#[derive(Default)]
enum Current {
    #[default]
    Nothing,
    /// Somebody is being told whether it may begin; it ends as soon as it does, if somebody wants
    /// that.
    Admitting {
        drill: String,
        abort: Option<String>,
    },
    Running(Arc<Running>),
}

impl Current {
    /// Ends what runs or is about to; which drill that is, and its run if it has begun.
    fn abort(&mut self, why: String) -> Option<(String, Option<Arc<Running>>)> {
        match self {
            Current::Nothing => None,
            Current::Admitting { drill, abort } => {
                abort.get_or_insert(why);
                Some((drill.clone(), None))
            }
            Current::Running(running) => {
                running.abort(why);
                Some((running.drill.clone(), Some(Arc::clone(running))))
            }
        }
    }
}

impl fmt::Debug for Drills {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Drills").field("archive", &self.archive).finish_non_exhaustive()
    }
}

impl Drills {
    /// The drills on `ground`: nothing runs yet.
    pub fn new(ground: Ground) -> Arc<Drills> {
        let archive = Archive::new(&ground.state);
        Arc::new(Drills {
            ground: Arc::new(ground),
            archive,
            current: Mutex::default(),
            begun: Mutex::default(),
        })
    }

    /// Cleans up after a process that is gone, then starts what is due by its schedule, until the
    /// process ends. Once control takes changes.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn mind(self: &Arc<Self>) -> std::io::Result<()> {
        let this = Arc::downgrade(self);
        let thread = thread::Builder::new().name("drills".to_owned());
        thread.spawn(move || {
            if let Some(this) = this.upgrade() {
                this.clean_up();
            }
            // Ends with the last of those who hold it.
            while let Some(this) = this.upgrade() {
                this.start_due();
                drop(this);
                thread::sleep(LOOK);
            }
        })?;
        Ok(())
    }

    /// Every drill there is, by name.
    pub fn list(&self) -> Vec<Listed> {
        let defs = self.ground.drills.load_full();
        let last = |name: &str| self.archive.trend(name, self.archive.runs(name).last()?);
        let listed =
            |def: &Arc<DrillDef>| Listed { def: Arc::clone(def), last: last(def.name.get_ref()) };
        defs.iter().map(listed).collect()
    }

    /// What `name` would do now, and why it would not begin.
    ///
    /// # Errors
    /// When there is none.
    pub fn plan(&self, name: &str) -> Result<Plan, Refusal> {
        Ok(self.ground.plan(&self.find(name)?))
    }

    /// The one that runs.
    pub fn current(&self) -> Option<Arc<Running>> {
        match &*self.lock() {
            Current::Running(running) => Some(Arc::clone(running)),
            _ => None,
        }
    }

    /// Begins a drill. Waits until it has begun, not until it is over.
    ///
    /// # Errors
    /// Says why it does not begin.
    pub fn run(self: &Arc<Self>, order: &Order) -> Result<Arc<Running>, Refusal> {
        let mut def = self.find(&order.name)?;
        if let Some(mode) = order.mode {
            def = with_mode(&def, mode)?;
        }
        let is_acknowledged = order.yes || order.ack.as_deref() == Some(def.name.get_ref());
        if def.needs_ack && def.mode.get_ref().is_real() && !is_acknowledged {
            return Err(Refusal::NotAcknowledged(def.name.get_ref().clone()));
        }
        self.reserve(def.name.get_ref())?;
        let _admitting = Admitting(self);
        self.begin(&def, order)
    }

    fn reserve(&self, name: &str) -> Result<(), Refusal> {
        let mut current = self.lock();
        match &*current {
            Current::Nothing => {}
            Current::Admitting { drill, .. } => return Err(Refusal::Busy(drill.clone())),
            Current::Running(other) => return Err(Refusal::Busy(other.drill.clone())),
        }
        *current = Current::Admitting { drill: name.to_owned(), abort: None };
        // What somebody asked to be ended before is over.
        let _ = std::fs::remove_file(self.archive.abort_file());
        Ok(())
    }

    fn begin(
        self: &Arc<Self>,
        def: &Arc<DrillDef>,
        order: &Order,
    ) -> Result<Arc<Running>, Refusal> {
        let plan = self.ground.plan(def);
        let mut degraded = Vec::new();
        for refusal in &plan.refusals {
            match refusal {
                Refusal::Degraded(why) if order.even_if_degraded => degraded.clone_from(why),
                // What does nothing may be run at any time.
                Refusal::Degraded(why) if !def.mode.get_ref().is_real() => degraded.clone_from(why),
                other => return Err(other.clone()),
            }
        }
        let ack = match (&order.ack, order.yes) {
            (Some(typed), _) => format!("typed `{typed}`"),
            (None, true) => "--yes".to_owned(),
            (None, false) => "not asked for".to_owned(),
        };
        let cannot =
            |error: &dyn fmt::Display| Refusal::Cannot(format!("it cannot begin: {error}"));
        let name = def.name.get_ref().clone();
        let started = self.ground.clock.wall();
        let running = Arc::new(Running {
            run: self.name_of_run(&name, started),
            drill: name,
            mode: *def.mode.get_ref(),
            who: order.who.clone(),
            started,
            until: started + *def.max_duration.get_ref(),
            warnings: plan.warnings.clone(),
            entries: Mutex::default(),
            abort: Mutex::default(),
            stage: Mutex::new(super::machine::Stage::Before),
        });
        degraded.extend(plan.warnings.iter().cloned());
        let how = How { ack, degraded };
        let runner = Runner::new(&self.ground, &self.archive, plan, &running, how);
        let runner = runner.map_err(|error| cannot(&error))?;
        {
            let mut current = self.lock();
            if let Current::Admitting { abort: Some(why), .. } = &*current {
                running.abort(why.clone());
            }
            *current = Current::Running(Arc::clone(&running));
        }
        let seat = Seat { drills: Arc::clone(self), running: Arc::clone(&running) };
        let thread = thread::Builder::new().name("drill".to_owned());
        let spawned = thread.spawn(move || {
            let seat = seat;
            // What was done is taken back as the runner goes, also by a fault of ours.
            let run = std::panic::AssertUnwindSafe(|| runner.run());
            let _ = std::panic::catch_unwind(run);
            drop(seat);
        });
        spawned.map(|_| running).map_err(|error| cannot(&error))
    }

    /// `running` is over, in whatever way.
    fn ended(&self, running: &Running) {
        let entries = running.entries(0);
        if !entries.iter().any(|entry| matches!(entry.what, What::Ended { .. })) {
            let why = "a fault of the server's own ended it; its log has it".to_owned();
            self.bury(&running.drill, &running.run, entries, What::Broke { why }, &[]);
        }
        *self.lock() = Current::Nothing;
    }

    /// A time, so that names sort by it: `20261128T161449Z`.
    fn name_of_run(&self, drill: &str, at: SystemTime) -> String {
        let at = jiff::Timestamp::try_from(at).unwrap_or_default();
        let name = at.strftime(&format!("{MINUTE}%SZ")).to_string();
        let runs = self.archive.runs(drill);
        let mut names = (1..).map(|count| match count {
            1 => name.clone(),
            count => format!("{name}-{count}"),
        });
        names.find(|name| !runs.contains(name)).unwrap_or_else(|| name.clone())
    }

    /// Ends the one that runs, or is about to, without waiting for that; which it was, and its run
    /// if it has begun.
    pub fn abort(&self, who: &str) -> Option<(String, Option<Arc<Running>>)> {
        self.lock().abort(format!("aborted by {who}"))
    }

    /// Ends the one that runs, because the server stops; waits until what it did is taken back, or
    /// a moment has passed. Its end is written down by the next process.
    pub fn stop(&self) {
        const WITHIN: Duration = Duration::from_secs(2);
        let aborted = self.lock().abort("the server was stopped".into());
        let Some((_, Some(running))) = aborted else { return };
        let until = self.ground.clock.now().after(WITHIN);
        while running.taken_back().is_none() && self.ground.clock.now() < until {
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// The runs of a drill, oldest first, as far as they are kept.
    pub fn history(&self, name: &str) -> Vec<Trend> {
        let runs = self.archive.runs(name);
        runs.iter().filter_map(|run| self.archive.trend(name, run)).collect()
    }

    /// The journal of a run, from entry number `from` on; of the newest one, without `run`.
    ///
    /// # Errors
    /// When there is none.
    pub fn journal(
        &self,
        name: &str,
        run: Option<&str>,
        from: usize,
    ) -> Result<Vec<Entry>, String> {
        if let Some(running) = self.current()
            && running.drill == name
            && run.is_none_or(|run| run == running.run)
        {
            return Ok(running.entries(from));
        }
        let entries = self.archive.journal(name, run)?;
        Ok(entries.get(from..).unwrap_or_default().to_vec())
    }

    /// The report of a run, with the runs before it.
    ///
    /// # Errors
    /// When there is none.
    pub fn report(&self, name: &str, run: Option<&str>) -> Result<Report, String> {
        let entries = self.journal(name, run, 0)?;
        let mut report = report(&entries).ok_or("its journal is lost")?;
        let mut before = self.archive.runs(name);
        before.retain(|run| *run < report.head.run);
        let newest = before.split_off(before.len().saturating_sub(TREND));
        let of = |run: &String| self.archive.trend(name, run);
        report.trend = newest.iter().filter_map(of).collect();
        Ok(report)
    }

    fn find(&self, name: &str) -> Result<Arc<DrillDef>, Refusal> {
        let defs = self.ground.drills.load_full();
        let found = defs.iter().find(|def| def.name.get_ref() == name);
        found.cloned().ok_or_else(|| {
            let names = defs.iter().map(|def| def.name.get_ref().as_str());
            let meant = nearest(name, names).map(str::to_owned);
            Refusal::Unknown { name: name.to_owned(), meant }
        })
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes back what a process that is gone left behind, as far as it has not ended by itself.
    fn clean_up(&self) {
        let hand = self.ground.hand.load_full();
        let overrides = hand.hand.overrides().iter().map(|one| ("override", one.id, &one.who));
        let proposals = hand.hand.proposals().iter();
        let proposals = proposals.map(|one| ("proposal", one.id, &one.command.who));
        let left = overrides.chain(proposals).filter(|(.., who)| who.starts_with(WHO));
        let cleaned: Vec<String> = left
            .map(|(what, id, who)| {
                let wish = Wish::Withdraw { who: Arc::clone(who), only: Some(vec![id]) };
                let command = self.ground.command(wish, "drill:clean-up", "its process is gone");
                let became = match self.ground.told(command, CLEAN_UP, &|| false) {
                    Some(Ok(done)) => match done.planned.removed.len() {
                        0 if done.planned.settled.is_none() => "had ended".to_owned(),
                        _ => "was taken away".to_owned(),
                    },
                    Some(Err(refusal)) => format!("stays until it expires: {refusal}"),
                    None => "may be in force until it expires: control does not answer".to_owned(),
                };
                format!("{what} #{id} {became}")
            })
            .collect();
        for (drill, run, entries) in self.archive.unfinished() {
            let mut cleaned = cleaned.clone();
            cleaned.extend(judged_anew(&entries));
            let what = What::Crashed { cleaned: cleaned.clone() };
            self.bury(&drill, &run, entries, what, &cleaned);
        }
    }

    /// Writes the end of a run that did not come to write it itself.
    fn bury(
        &self,
        drill: &str,
        run: &str,
        mut entries: Vec<Entry>,
        what: What,
        cleaned: &[String],
    ) {
        self.ground.checker.pardon(&keys(&entries));
        let ms = entries.last().map_or(0.0, |entry| entry.ms);
        entries.push(Entry { ms, what });
        let Some(report) = concluded(&entries) else { return };
        let (verdict, sentence) = (report.verdict.to_string(), report.sentence.clone());
        entries.push(Entry { ms, what: What::Ended { verdict, sentence: sentence.clone() } });
        let written = Writer::reopen(&self.archive.path(drill, run)).and_then(|mut writer| {
            entries[entries.len() - 2..].iter().try_for_each(|entry| writer.add(entry, &|| false))
        });
        if let Err(error) = written {
            tracing::warn!(%error, "the drill's journal has no end");
        }
        self.archive.sum_up(drill, &Trend::of(&report));
        let what = match cleaned.is_empty() {
            true => format!("ABORTED: {sentence}"),
            false => format!("ABORTED: {sentence} ({})", cleaned.join("; ")),
        };
        self.ground.note("a restart", (drill, run), what, true);
    }

    /// Begins what is due by its schedule.
    fn start_due(self: &Arc<Self>) {
        let wall = self.ground.clock.wall();
        let minute = wall.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs() / 60;
        for def in self.ground.drills.load_full().iter() {
            if !def.schedule.iter().any(|slot| slot.get_ref().is(wall)) {
                continue;
            }
            let name = def.name.get_ref();
            {
                let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
                if begun.insert(name.clone(), minute) == Some(minute) {
                    continue;
                }
            }
            // A server that is started again within the minute, by the drill's own doing perhaps.
            if self.archive.runs(name).last().is_some_and(|run| began_at(run, wall)) {
                continue;
            }
            let order = Order { name: name.clone(), who: "schedule".into(), ..Order::default() };
            if let Err(refusal) = self.run(&order) {
                self.ground.note(
                    "schedule",
                    (name, ""),
                    format!("did not begin by its schedule: {refusal}"),
                    true,
                );
            }
        }
    }
}

/// Ends what is not admitted, however that comes.
struct Admitting<'a>(&'a Drills);

impl Drop for Admitting<'_> {
    fn drop(&mut self) {
        let mut current = self.0.lock();
        if matches!(*current, Current::Admitting { .. }) {
            *current = Current::Nothing;
        }
    }
}

/// The place of the one that runs: however it ends, the next one may begin, and whoever watches
/// sees an end.
struct Seat {
    drills: Arc<Drills>,
    running: Arc<Running>,
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.drills.ended(&self.running);
    }
}

/// Whether `run` began in the minute of `wall`.
fn began_at(run: &str, wall: SystemTime) -> bool {
    let at = jiff::Timestamp::try_from(wall).unwrap_or_default();
    run.starts_with(&at.strftime(MINUTE).to_string())
}

/// The targets whose probes steps let fail.
fn keys(entries: &[Entry]) -> Vec<Arc<str>> {
    let keys = entries.iter().filter_map(|entry| match &entry.what {
        What::Injected { keys, .. } => Some(keys),
        _ => None,
    });
    keys.flatten().map(|key| Arc::from(key.as_str())).collect()
}

fn judged_anew(entries: &[Entry]) -> Option<String> {
    let count = keys(entries).len();
    (count > 0).then(|| format!("{count} targets are judged anew"))
}

/// `def` under another mode: one that does less than what its owner wrote.
fn with_mode(def: &Arc<DrillDef>, mode: Mode) -> Result<Arc<DrillDef>, Refusal> {
    let rank = |mode: Mode| Mode::WORDS.iter().position(|(_, known)| *known == mode);
    if rank(mode) > rank(*def.mode.get_ref()) {
        let (word, written) = (mode.word(), def.mode.get_ref().word());
        let why =
            format!("its file says mode = \"{written}\": --mode {word} would do more than that");
        return Err(Refusal::Cannot(why));
    }
    let mut def = DrillDef::clone(def);
    def.mode = toml::Spanned::new(def.mode.span(), mode);
    Ok(Arc::new(def))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_aborts_while_it_is_looked_at_has_not_said_it_to_nobody() {
        assert!(Current::Nothing.abort("no".into()).is_none());
        let mut current = Current::Admitting { drill: "loss".into(), abort: None };
        assert!(matches!(current.abort("first".into()), Some((drill, None)) if drill == "loss"));
        assert!(matches!(current.abort("second".into()), Some((drill, None)) if drill == "loss"));
        assert!(matches!(current, Current::Admitting { abort: Some(why), .. } if why == "first"));
    }

    #[test]
    fn a_run_of_this_minute_is_known_by_its_name() {
        let wall = |text: &str| SystemTime::from(text.parse::<jiff::Timestamp>().unwrap());
        for (at, is) in [
            ("2026-11-24T10:00:00Z", true),
            ("2026-11-24T10:00:59Z", true),
            ("2026-11-24T10:01:00Z", false),
            ("2026-11-24T09:59:59Z", false),
            ("2026-12-01T10:00:30Z", false),
        ] {
            assert_eq!(began_at("20261124T100003Z-2", wall(at)), is, "{at}");
        }
    }
}
