//! A child process that never outlives its test.

use super::{DEADLINE, await_some, look_for};
use std::{
    fs::{self, File},
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

/// A running program with all it started, and what it wrote.
pub struct Process {
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts `command` in a process group of its own, stdout and stderr into `log`. It also
    /// ends with the thread that started it, so that a test run that is killed leaves no server
    /// on a port of the next run.
    pub fn start(command: &Command, log: &Path) -> Self {
        let file = File::create(log).unwrap();
        // setpriv(1) is part of every Debian; prctl(2) would need `unsafe`.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::null())
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        let log = log.to_owned();
        Process { child, log }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// [`kept_waiting`], of this one.
    pub fn kept_waiting(&self) -> Duration {
        kept_waiting(self.id())
    }

    /// What it wrote so far.
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits for `look` to find something; fails, with the log, after [`DEADLINE`] and at once
    /// when the process ends.
    pub fn await_some<T>(&mut self, what: &str, mut look: impl FnMut() -> Option<T>) -> T {
        let found = look_for(DEADLINE, || {
            if let Some(status) = self.child.try_wait().unwrap() {
                panic!("{what}: it ended with {status}; log:\n{}", self.log());
            }
            look()
        });
        found.unwrap_or_else(|| panic!("{what}: not within {DEADLINE:?}; log:\n{}", self.log()))
    }

    /// Sends a signal by its name (`TERM`, `HUP`, `STOP`) to the process.
    pub fn signal(&self, name: &str) {
        kill(name, &self.id().to_string());
    }

    /// Asks it to end, waits until it has.
    pub fn terminate(&mut self) -> ExitStatus {
        self.signal("TERM");
        await_some("end after SIGTERM", || self.child.try_wait().unwrap())
    }
}

impl Drop for Process {
    /// Ends it and all it started, and waits for them: a child of NSD's outlives NSD for a moment,
    /// and as long holds the address that the next one is to answer at.
    fn drop(&mut self) {
        let group = self.id();
        // It may be gone already.
        kill("KILL", &format!("-{group}"));
        let _ = self.child.kill();
        let _ = self.child.wait();
        look_for(DEADLINE, || (!runs(group)).then_some(()));
    }
}

/// Whether any process of a group still runs: one that has ended and waits for whoever adopted it
/// to notice holds nothing any more.
fn runs(group: u32) -> bool {
    let Ok(processes) = fs::read_dir("/proc") else { return false };
    processes.flatten().any(|process| {
        // No process at all, or one that has just gone.
        let Ok(stat) = fs::read_to_string(process.path().join("stat")) else { return false };
        // PID (NAME) STATE PARENT GROUP ...
        let Some((_, fields)) = stat.rsplit_once(')') else { return false };
        let mut fields = fields.split_whitespace();
        let state = fields.next();
        fields.nth(1) == Some(&group.to_string()) && !matches!(state, Some("Z" | "X"))
    })
}

/// For how long the threads of a process have been ready to run while others had the processors:
/// what a promise in wall-clock time has to allow for on a machine that is busy with other things.
pub fn kept_waiting(id: u32) -> Duration {
    scheduled(id, 1)
}

/// For how long the threads that a process has now have been on processors.
pub fn on_processors(id: u32) -> Duration {
    scheduled(id, 0)
}

/// A field of `schedstat`, in ns, over all threads: 0 the time on a processor, 1 the time waiting
/// for one. Kernels may be built without.
fn scheduled(id: u32, field: usize) -> Duration {
    let Ok(tasks) = fs::read_dir(format!("/proc/{id}/task")) else {
        return Duration::ZERO;
    };
    let times = tasks.flatten().filter_map(|task| {
        let text = fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().nth(field)?.parse::<u64>().ok()
    });
    Duration::from_nanos(times.sum())
}

/// User and system time of all threads of a process, to the tick.
pub fn processor_seconds(id: u32) -> f64 {
    /// Clock ticks of `/proc/PID/stat` (`USER_HZ`).
    const TICKS_A_SECOND: f64 = 100.0;
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |field: usize| fields[field].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / TICKS_A_SECOND
}

/// kill(1) rather than kill(2): the tests need no `unsafe`.
fn kill(signal: &str, target: &str) {
    let script = format!("kill -s {signal} -- {target}");
    let _ = Command::new("sh").args(["-c", &script]).stderr(Stdio::null()).status();
}
