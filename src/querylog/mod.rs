//! Who is shown answers: the query log, dnstap, and the memory of which clients ask for what.
//!
//! A thread of its own takes in what the answering threads sampled ([`crate::telemetry::sample`]),
//! cuts addresses as the operator wants ([`cut`]), and hands each answer to a file of JSON lines
//! ([`line`], [`file`]), to a dnstap reader ([`dnstap`], by the protocol of [`frames`]), and to
//! [`Telemetry::observed`]. [`opt`] finds the options of a message. *No answer ever waits for this*: a disk or
//! a reader that hangs holds up this thread and costs samples, which are counted. Must not know
//! zones: records are names.

mod cut;
mod dnstap;
mod file;
mod frames;
mod line;
mod opt;

use crate::{
    clock::{Clock, Moment},
    config::querylog::{Cut, QueryLogDef},
    telemetry::{
        AnswerName, Lost, Sample, Sampling, Tally, Telemetry, ThreadCounters,
        observed::ObservedClient,
    },
};
use dnstap::Tap;
use file::LogFile;
use std::{
    io,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread::{Builder, JoinHandle},
    time::{Duration, SystemTime},
};

/// How soon it is looked for samples again while they come: in this time 512 that wait are filled
/// by 51,200 a second.
const SOON: Duration = Duration::from_millis(10);
/// How soon while none come: four wake-ups a second cost nothing.
const LATER: Duration = Duration::from_millis(250);
/// Samples taken in before it is looked whether the operator wants something else.
const PASS: usize = 512;

/// A sampled answer as it may be shown.
struct Shown {
    sample: Sample,
    /// When the query came in.
    at: SystemTime,
    /// The record that was answered and the region it was answered with.
    answer: Option<Arc<AnswerName>>,
    /// Whether the messages may be shown as bytes: an address is in none, or was cut.
    bytes: bool,
}

/// The thread that shows answers.
#[derive(Debug)]
pub struct QueryLog(Mutex<Option<Running>>);

#[derive(Debug)]
struct Running {
    wishes: mpsc::Sender<QueryLogDef>,
    /// Loses its other end when the thread ends.
    ended: Receiver<()>,
    thread: JoinHandle<()>,
}

/// What it works with.
#[derive(Debug)]
pub struct Parts {
    /// What paths are relative to.
    pub dir: PathBuf,
    /// What the reader of dnstap is told of who we are.
    pub identity: String,
    /// How often threads sample.
    pub sampling: Sampling,
    /// What they sampled.
    pub samples: Receiver<Sample>,
    /// Whose slots are counted, where losses are, and where the clients seen are noted.
    pub telemetry: Arc<Telemetry>,
}

impl QueryLog {
    /// Starts the thread, which shows nothing yet.
    ///
    /// # Errors
    /// When the system refuses a thread.
    pub fn start(parts: Parts, clock: Arc<dyn Clock>) -> io::Result<QueryLog> {
        let (wishes, wished) = mpsc::channel();
        let (alive, ended) = mpsc::channel();
        let counters = parts.telemetry.thread();
        let mut work = Work { parts, clock, counters, cut: None, file: None, tap: None };
        let thread = Builder::new().name("query-log".to_owned()).spawn(move || {
            let _alive: mpsc::Sender<()> = alive;
            work.run(&wished);
        })?;
        Ok(QueryLog(Mutex::new(Some(Running { wishes, ended, thread }))))
    }

    /// Shows answers as `def` says from now on. Its file is opened anew, so that one that was
    /// moved away is let go.
    pub fn show(&self, def: &QueryLogDef) {
        if let Some(running) = &*self.running() {
            // Fails only if the thread panicked, of which the log tells.
            let _ = running.wishes.send(def.clone());
        }
    }

    /// Shows what was sampled until now, and ends; whether it did within `limit`. A disk or a
    /// named pipe that hangs keeps its thread, and nobody else.
    pub fn stop(&self, limit: Duration) -> bool {
        let Some(Running { wishes, ended, thread }) = self.running().take() else { return true };
        drop(wishes);
        if ended.recv_timeout(limit) == Err(RecvTimeoutError::Timeout) {
            return false;
        }
        // A panic of the thread has been told by its hook.
        let _ = thread.join();
        true
    }

    /// Whoever panics while holding it has changed nothing.
    fn running(&self) -> MutexGuard<'_, Option<Running>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the thread owns.
struct Work {
    parts: Parts,
    clock: Arc<dyn Clock>,
    counters: Arc<ThreadCounters>,
    cut: Option<Cut>,
    file: Option<LogFile>,
    tap: Option<Tap>,
}

impl Work {
    fn run(&mut self, wished: &Receiver<QueryLogDef>) {
        let mut pause = LATER;
        loop {
            match wished.recv_timeout(pause) {
                Ok(def) => self.show(def),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => {
                    self.take_in();
                    return;
                }
            }
            pause = if self.take_in() { SOON } else { LATER };
        }
    }

    fn show(&mut self, def: QueryLogDef) {
        if self.cut != def.anonymize {
            // What was noted keeps other bits than the operator wants kept from now on.
            self.parts.telemetry.observed().forget();
        }
        self.cut = def.anonymize;
        self.file = def.file.map(|path| LogFile::open(self.under(&path), def.file_bytes));
        let socket = def.dnstap.map(|path| self.under(&path));
        if self.tap.as_ref().map(Tap::socket) != socket.as_deref() {
            self.tap = socket.and_then(|socket| {
                let counters = self.parts.telemetry.thread();
                let (identity, clock) = (self.parts.identity.clone(), Arc::clone(&self.clock));
                Tap::start(socket, identity, counters, clock)
                    .inspect_err(|error| tracing::error!(%error, "cannot start dnstap"))
                    .ok()
            });
        }
        self.parts.sampling.set(def.one_in);
    }

    fn under(&self, path: &Path) -> PathBuf {
        self.parts.dir.join(path)
    }

    /// Shows what was sampled since; whether there was anything.
    fn take_in(&mut self) -> bool {
        let (now, wall) = (self.clock.now(), self.clock.wall());
        let mut any = false;
        for _ in 0..PASS {
            let Ok(sample) = self.parts.samples.try_recv() else { break };
            any = true;
            let at = wall.checked_sub(now.since(sample.at)).unwrap_or(wall);
            let shown = self.prepare(sample, at);
            self.hand_on(&shown, now);
        }
        if let Some(file) = self.file.as_mut().filter(|_| any) {
            file.flush();
        }
        any
    }

    /// Cuts addresses, and finds the names of what was answered.
    fn prepare(&self, mut sample: Sample, at: SystemTime) -> Shown {
        let bytes = match self.cut {
            Some(cut) => cut::sample(&mut sample, cut),
            None => true,
        };
        let answer = sample.counted.and_then(|counted| self.parts.telemetry.name(counted.slot));
        Shown { sample, at, answer, bytes }
    }

    /// Counts what is seen of a sample by itself.
    fn measure(&self, sample: &Sample) {
        let (figures, via) = (self.parts.telemetry.figures(), sample.via);
        figures.query_bytes.of(via).note(sample.query_len() as f64);
        if sample.reply_len() > 0 {
            figures.reply_bytes.of(via).note(sample.reply_len() as f64);
            figures.answer_seconds.of(via).note_time(sample.took);
            figures.note_qtype(line::qtype(sample.query()));
        }
    }

    fn hand_on(&mut self, shown: &Shown, now: Moment) {
        self.measure(&shown.sample);
        let Sample { at, from, subnet, .. } = shown.sample;
        if let Some(answer) = &shown.answer {
            let answer = Arc::clone(answer);
            self.parts.telemetry.observed().note(ObservedClient {
                at,
                from: from.ip(),
                subnet,
                answer,
            });
        }
        if let Some(file) = &mut self.file
            && !file.write(&line::of(shown), now)
        {
            self.counters.count(Tally::SampleLost(Lost::File));
        }
        if let Some(tap) = &self.tap {
            self.counters.add(Tally::SampleLost(Lost::Dnstap), tap.show(shown));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::SystemClock,
        telemetry::{Counted, Reason},
    };

    #[test]
    fn clients_are_remembered_by_record_with_addresses_cut() {
        let telemetry = Arc::new(Telemetry::default());
        let name = AnswerName {
            zone: "z".into(),
            record: "www.z".into(),
            region: "eu-west-1".into(),
            pool: "z/eu".into(),
        };
        let slot = telemetry.slot(name.clone());
        let (sampling, samples) = Sampling::new();
        let mut sampler = sampling.sampler(7, telemetry.thread());
        let dir = tempfile::tempdir().unwrap();
        let parts = |samples| Parts {
            dir: dir.path().to_owned(),
            identity: "here".to_owned(),
            sampling: sampling.clone(),
            samples,
            telemetry: Arc::clone(&telemetry),
        };
        let log = QueryLog::start(parts(samples), Arc::new(SystemClock::default())).unwrap();
        let anonymize = Some(Cut { v4: 24, v6: 48 });
        log.show(&QueryLogDef { one_in: 1, anonymize, ..QueryLogDef::default() });
        // The thread reads its wishes before it ends; samples wait until then.
        sampling.set(1);
        sampler.refresh();
        for counted in [Some(Counted { slot, reason: Reason::Healthy }), None] {
            assert!(sampler.is_due());
            let sample = sampler.begin().unwrap();
            sample.at = Moment(5);
            sample.from = "192.0.2.77:4444".parse().unwrap();
            sample.subnet = Some(("2001:db8:1:2::".parse().unwrap(), 64));
            sample.counted = counted;
            sampler.send();
        }
        assert!(log.stop(Duration::MAX));
        let seen = telemetry.observed().of(|answer| &*answer.record == "www.z");
        let client = ObservedClient {
            at: Moment(5),
            from: "192.0.2.0".parse().unwrap(),
            subnet: Some(("2001:db8:1::".parse().unwrap(), 48)),
            answer: Arc::new(name),
        };
        assert_eq!(seen, [client], "what nobody steered is no client of a record");
        // Fewer bits are wanted from now on: those that were noted go.
        let log = QueryLog::start(parts(Sampling::new().1), Arc::new(SystemClock::default()));
        let anonymize = Some(Cut { v4: 16, v6: 32 });
        let def = QueryLogDef { anonymize, ..QueryLogDef::default() };
        let log = log.unwrap();
        log.show(&def);
        assert!(log.stop(Duration::MAX));
        assert!(telemetry.observed().of(|_| true).is_empty());
        log.show(&QueryLogDef::default());
        assert!(log.stop(Duration::MAX));
    }
}
