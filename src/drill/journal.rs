//! What happened in one run: a file of JSON lines in `state/drills/NAME/RUN.jsonl`, only ever
//! added to. Everything a report says follows from it, so that a verdict can be computed again by
//! whoever doubts it.
//!
//! These types are a promise to those who read journals: fields are added freely, none renamed.
//! Times are milliseconds since the drill began, on a clock that never jumps. A run is bounded by
//! `max_duration` (an hour), its seconds by that and its events by [`EVENTS_MAX`]: some two
//! megabytes at the most.

use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Write},
    path::Path,
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender, SyncSender},
    thread,
    time::Duration,
};

/// The version of this format.
pub const SCHEMA: u32 = 1;
/// Events of the server written down beside a run: more than any failover of a region makes, and
/// no more than a disk can take while everything flaps.
pub const EVENTS_MAX: usize = 2_000;

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When, since the drill began.
    pub ms: f64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "entry", rename_all = "snake_case")]
pub enum What {
    /// The drill began.
    Began(Box<Head>),
    /// A stage of it began: `before`, `steps`, `after`, `done`.
    Stage {
        /// Which.
        stage: String,
    },
    /// What the drill would do or did not do, computed.
    Foreseen {
        /// Of which step.
        step: String,
        /// The share of all clients that would move.
        moved: f64,
        /// From where to where, with shares: `us-east-1 -> eu-west-1`.
        flows: Vec<(String, f64)>,
        /// How long it would take until an endpoint counts as down.
        detect_ms: Option<f64>,
        /// The longest that resolvers would keep old answers.
        ttl_s: u32,
    },
    /// A step began.
    Injected {
        /// Its id.
        step: String,
        /// What it does: `probe.fault`.
        action: String,
        /// To what.
        target: Option<String>,
        /// The same in words.
        said: String,
        /// When it is over by itself, whatever happens to us.
        until_ms: f64,
        /// The overrides made for it.
        overrides: Vec<u64>,
        /// The targets whose probes fail, by key.
        keys: Vec<String>,
        /// Whether somebody may be moved by it.
        disrupts: bool,
        /// Whether it has had no effect before a probe fails by it, or is made slow.
        #[serde(default)]
        awaits_probe: bool,
    },
    /// A step was taken back.
    Over {
        /// Its id.
        step: String,
    },
    /// A step could not be done.
    Refused {
        /// Its id.
        step: String,
        /// Why.
        why: String,
    },
    /// The first probe that failed by a step.
    FirstFailedProbe {
        /// Its id.
        step: String,
    },
    /// The first probe that a step made slow.
    FirstSlowedProbe {
        /// Its id.
        step: String,
    },
    /// The server wrote something down.
    Event(Seen),
    /// A second of answers.
    Second(Row),
    /// Raw answers around a change.
    Samples {
        /// The answers.
        answers: Vec<Sample>,
    },
    /// What stop conditions looked at, in their order.
    Stops {
        /// The values; nothing where nobody could say.
        values: Vec<Option<f64>>,
    },
    /// A stop condition fired.
    Fired {
        /// As written.
        when: String,
        /// What it saw.
        value: f64,
    },
    /// Everything ends at once.
    Aborted {
        /// Why.
        why: String,
        /// What could not be taken back.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        left: Vec<String>,
    },
    /// All that steps did was taken back.
    RolledBack {
        /// How long that took.
        took_ms: f64,
        /// What was done beside that: `failback record:gtm.example.com/app`.
        besides: Vec<String>,
    },
    /// All is answered as before.
    Back {
        /// When the last answer came that was not.
        last_off_ms: Option<f64>,
        /// Why the steady state is not what is expected, if it is not.
        deviates: Option<String>,
    },
    /// The process ended in the middle of it; told by the next one.
    Crashed {
        /// What was found and cleaned up.
        cleaned: Vec<String>,
    },
    /// A fault of our own kept it from going on, or its journal from being written.
    Broke {
        /// Which.
        why: String,
    },
    /// It is over.
    Ended {
        /// `PASS`, `FAIL`, `ABORTED`.
        verdict: String,
        /// Why, in one sentence.
        sentence: String,
    },
}

/// What is known of a run at its start.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// [`SCHEMA`].
    pub schema_version: u32,
    /// The drill.
    pub drill: String,
    /// Which run of it.
    pub run: String,
    /// What it is for.
    pub description: Option<String>,
    /// Whose it is.
    pub owner: Option<String>,
    /// `simulate`, `shadow`, `canary`, `live`.
    pub mode: String,
    /// Who started it.
    pub who: String,
    /// How it was acknowledged: the typed name, `--yes`, `schedule`.
    pub ack: String,
    /// The time of day, RFC 3339.
    pub started: String,
    /// The server's version.
    pub server_version: String,
    /// The files in force.
    pub revision: u64,
    /// The drill's file.
    pub file: String,
    /// Its SHA-256.
    pub sha256: String,
    /// Its text.
    pub text: String,
    /// Budgets: milliseconds, or a count.
    pub budgets: BTreeMap<String, f64>,
    /// Stop conditions as written.
    pub stops: Vec<String>,
    /// What is asked, for whom.
    pub lanes: Vec<String>,
    /// Where the questions go.
    pub server: String,
    /// What was not in its steady state: gone over by `--even-if-degraded`, or only warned of.
    pub degraded: Vec<String>,
    /// After so long it ends by itself.
    pub max_duration_ms: f64,
}

/// An event of the server.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen {
    /// Its number.
    pub seq: u64,
    /// Its kind.
    pub kind: String,
    /// Its log line.
    pub text: String,
    /// Whether someone should look.
    pub alarm: bool,
    /// Of a verdict: whether an endpoint that the drill hits went down (`true`) or came back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub down: Option<bool>,
    /// Of a publish: how long it took.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<f64>,
    /// Of a breaker that was confirmed: how many held falls took effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub released: Option<usize>,
    /// Who was behind it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub who: Option<String>,
}

/// A second of answers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Which, since the drill began.
    pub second: u32,
    /// Questions of that second of which it is known what came of them.
    pub asked: u64,
    /// Answered ones.
    pub answered: u64,
    /// Those without a reply.
    pub lost: u64,
    /// Without records.
    pub empty: u64,
    /// With another rcode, too few records, or nobody's address.
    pub wrong: u64,
    /// With an address that the drill hits.
    pub old: u64,
    /// The longest TTL of those, in seconds.
    pub old_ttl_s: u32,
    /// When the last of those came.
    pub last_old_ms: Option<f64>,
    /// Not among what was answered before.
    pub off: u64,
    /// When the first of those came.
    pub first_off_ms: Option<f64>,
    /// When the last of those came.
    pub last_off_ms: Option<f64>,
    /// Changes that had nothing to do with the drill, or went to and fro.
    pub spurious: u64,
    /// Answers by region.
    pub regions: BTreeMap<String, u64>,
    /// Under `mode = "shadow"`: the shares of would-be answers by region.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub would_be: BTreeMap<String, f64>,
}

/// A raw answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// When it came.
    pub at_ms: f64,
    /// What was asked, for whom.
    pub asked: String,
    /// Its rcode.
    pub rcode: String,
    /// Its records.
    pub records: Vec<String>,
    /// Its TTL.
    pub ttl_s: u32,
    /// The region of its first record.
    pub region: String,
}

/// How long a disk may take to say that an entry is on it: more than one that is busy does.
const WRITTEN: Duration = Duration::from_secs(10);
/// How often one looks meanwhile whether the wait is over for another reason.
const LOOK: Duration = Duration::from_millis(5);

/// A journal being written, by a thread of its own: a disk that hangs keeps nobody from taking back
/// what a drill does.
#[derive(Debug)]
pub(super) struct Writer {
    /// Nothing once the disk has failed.
    lines: Option<Sender<Line>>,
    /// Says when the thread is gone.
    gone: Receiver<()>,
    patience: Duration,
}

/// A line on its way to disk.
#[derive(Debug)]
struct Line {
    bytes: Vec<u8>,
    /// Who waits until it is there.
    waits: Option<SyncSender<io::Result<()>>>,
}

impl Writer {
    /// A new file at `path`, which must not be there, that begins with `first`; no file, if that
    /// cannot be written.
    pub(super) fn begin(path: &Path, first: &Entry) -> io::Result<Writer> {
        let file = OpenOptions::new().create_new(true).append(true).open(path)?;
        let begun = Writer::over(file, WRITTEN).and_then(|mut writer| {
            writer.add(first, &|| false)?;
            Ok(writer)
        });
        begun.inspect_err(|_| {
            // What is left is half a line at most, which readers pass over.
            let _ = fs::remove_file(path);
        })
    }

    /// The file at `path`, to go on with.
    pub(super) fn reopen(path: &Path) -> io::Result<Writer> {
        let text = fs::read(path)?;
        let file = OpenOptions::new().append(true).open(path)?;
        // What is added must not end up behind half a line.
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
        file.set_len(whole as u64)?;
        Writer::over(file, WRITTEN)
    }

    fn over(file: File, patience: Duration) -> io::Result<Writer> {
        let (lines, to_write) = mpsc::channel();
        let (is_there, gone) = mpsc::sync_channel(0);
        let thread = thread::Builder::new().name("drill-journal".to_owned());
        // Ends with its last line, or with the disk.
        thread.spawn(move || {
            write(file, &to_write);
            drop(is_there);
        })?;
        Ok(Writer { lines: Some(lines), gone, patience })
    }

    /// Adds an entry; one that changes what a crash would leave behind is on disk when this
    /// returns, unless `is_enough`: then it is on its way.
    ///
    /// # Errors
    /// When the disk fails or does not answer, once: nothing is written from then on.
    pub(super) fn add(&mut self, entry: &Entry, is_enough: &dyn Fn() -> bool) -> io::Result<()> {
        let is_vital = matches!(
            entry.what,
            What::Began(_)
                | What::Injected { .. }
                | What::Aborted { .. }
                | What::RolledBack { .. }
                | What::Crashed { .. }
                | What::Broke { .. }
                | What::Ended { .. }
        );
        let (Some(lines), Ok(mut bytes)) = (&self.lines, serde_json::to_vec(entry)) else {
            return Ok(());
        };
        bytes.push(b'\n');
        let (waits, written) = mpsc::sync_channel(1);
        let line = Line { bytes, waits: is_vital.then_some(waits) };
        let done = match lines.send(line) {
            Err(_) => Err(io::Error::other("the disk failed before")),
            Ok(()) if is_vital => wait(&written, self.patience, is_enough),
            Ok(()) => Ok(()),
        };
        done.inspect_err(|_| self.lines = None)
    }
}

impl Drop for Writer {
    /// Whoever opens the file next finds all that was added, unless the disk hangs.
    fn drop(&mut self) {
        if self.lines.take().is_some() {
            let _ = self.gone.recv_timeout(self.patience);
        }
    }
}

/// Writes until nobody has more, or the disk fails.
fn write(mut file: File, lines: &Receiver<Line>) {
    for Line { bytes, waits } in lines {
        let written = file.write_all(&bytes);
        let synced = written.and_then(|()| match waits {
            Some(_) => file.sync_data(),
            None => Ok(()),
        });
        let has_failed = synced.is_err();
        if let Some(waits) = waits {
            // Whoever waited may have given up.
            let _ = waits.send(synced);
        }
        if has_failed {
            return;
        }
    }
}

fn wait(
    written: &Receiver<io::Result<()>>,
    patience: Duration,
    is_enough: &dyn Fn() -> bool,
) -> io::Result<()> {
    let mut waited = Duration::ZERO;
    loop {
        match written.recv_timeout(LOOK) {
            Ok(written) => return written,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(io::Error::other("the disk failed before"));
            }
            Err(RecvTimeoutError::Timeout) if is_enough() => return Ok(()),
            Err(RecvTimeoutError::Timeout) if waited >= patience => {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the disk does not answer"));
            }
            Err(RecvTimeoutError::Timeout) => waited += LOOK,
        }
    }
}

/// The entries of the journal at `path`. A last line that a crash cut short is left out.
///
/// # Errors
/// When it cannot be read, or a line before the last is no entry.
pub fn read(path: &Path) -> Result<Vec<Entry>, String> {
    let shown = path.display();
    let file = File::open(path).map_err(|error| format!("cannot read {shown}: {error}"))?;
    let mut entries = Vec::new();
    let mut bad: Option<String> = None;
    for (number, line) in BufReader::new(file).lines().enumerate() {
        let line = line.map_err(|error| format!("cannot read {shown}: {error}"))?;
        if let Some(bad) = bad {
            return Err(bad);
        }
        match serde_json::from_str(&line) {
            Ok(entry) => entries.push(entry),
            Err(error) => bad = Some(format!("{shown}:{}: {error}", number + 1)),
        }
    }
    Ok(entries)
}

/// The head of a journal.
pub fn head(entries: &[Entry]) -> Option<&Head> {
    entries.iter().find_map(|entry| match &entry.what {
        What::Began(head) => Some(&**head),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again_but_for_a_line_that_was_cut() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.jsonl");
        let mut entries = vec![
            Entry {
                ms: 0.0,
                what: What::Began(Box::new(Head { drill: "x".into(), ..Head::default() })),
            },
            Entry { ms: 1000.25, what: What::Second(Row { asked: 7, ..Row::default() }) },
            Entry {
                ms: 1001.5,
                what: What::Event(Seen { seq: 3, down: Some(true), ..Seen::default() }),
            },
        ];
        let over =
            Entry { ms: 1002.0, what: What::Aborted { why: "enough".into(), left: Vec::new() } };
        let mut writer = Writer::begin(&path, &entries[0]).unwrap();
        entries[1..].iter().for_each(|entry| writer.add(entry, &|| false).unwrap());
        writer.add(&over, &|| false).unwrap();
        entries.push(over);
        assert!(Writer::begin(&path, &entries[0]).is_err(), "no journal is written over");
        assert!(path.exists(), "nor taken away");
        assert_eq!(read(&path).unwrap(), entries);
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(&path, format!("{text}{{\"ms\":2")).unwrap();
        assert_eq!(read(&path).unwrap(), entries);
        // What the next process adds stands on a line of its own.
        Writer::reopen(&path).unwrap().add(&entries[3], &|| false).unwrap();
        assert_eq!(read(&path).unwrap()[4], entries[3]);
        std::fs::write(&path, format!("nonsense\n{text}")).unwrap();
        assert!(read(&path).unwrap_err().contains("run.jsonl:1: "));
    }

    #[test]
    fn a_full_disk_is_told_once() {
        let full = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let mut writer = Writer::over(full, WRITTEN).unwrap();
        let entry =
            Entry { ms: 0.0, what: What::Aborted { why: "enough".into(), left: Vec::new() } };
        assert!(writer.add(&entry, &|| false).is_err());
        assert!(writer.add(&entry, &|| false).is_ok(), "nothing is written any more");
    }

    #[test]
    fn a_disk_that_hangs_keeps_nobody_waiting_who_has_had_enough() {
        // A pipe that nobody empties takes 64 KiB, then no more.
        let entry =
            Entry { ms: 0.0, what: What::Aborted { why: "x".repeat(100_000), left: Vec::new() } };
        let (reader, pipe) = io::pipe().unwrap();
        let pipe = File::from(std::os::fd::OwnedFd::from(pipe));
        let mut writer = Writer::over(pipe, Duration::from_millis(20)).unwrap();
        writer.add(&entry, &|| true).unwrap();
        let hangs = writer.add(&entry, &|| false).unwrap_err();
        assert_eq!(hangs.to_string(), "the disk does not answer");
        assert!(writer.add(&entry, &|| false).is_ok(), "it is told once");
        drop(reader);
    }
}
