//! A line on a terminal that says how far a load has come, for loads that somebody waits for.

use crate::config::{Progress, Reached};
use indicatif::{ProgressBar, ProgressStyle};
use std::{
    io::{self, IsTerminal},
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread,
    time::Duration,
};

/// Whoever waits no longer than this need not be told what for.
const PATIENCE: Duration = Duration::from_millis(500);

/// Often enough to be seen moving.
const REDRAWN: Duration = Duration::from_millis(100);

/// What `work`, which counts on `progress`, comes to. When it takes longer than a moment and
/// standard error is a terminal, a line there shows how far it has come; it is gone afterwards.
pub fn shown<R>(progress: &Progress, work: impl FnOnce() -> R) -> R {
    if !io::stderr().is_terminal() {
        return work();
    }
    let (done, waiting) = mpsc::channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || draw(progress, &waiting));
        let result = work();
        drop(done);
        result
    })
}

/// Draws until the other end of `waiting` is gone.
fn draw(progress: &Progress, waiting: &Receiver<()>) {
    let is_going_on = |time| waiting.recv_timeout(time) == Err(RecvTimeoutError::Timeout);
    if !is_going_on(PATIENCE) {
        return;
    }
    let style = ProgressStyle::with_template("loading {bar:24} {bytes}/{total_bytes}{msg}");
    let bar = ProgressBar::no_length();
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
    while is_going_on(REDRAWN) {
        let reached = progress.now();
        bar.set_length(reached.bytes);
        bar.set_position(reached.bytes_read);
        bar.set_message(rest(&reached));
    }
    bar.finish_and_clear();
}

/// What stands behind the bar.
fn rest(reached: &Reached) -> String {
    let file = reached.file.iter().map(|file| format!(", {}", file.display()));
    let mut digits = reached.records.to_string();
    for place in (1..digits.len())
        .rev()
        .filter(|place| (digits.len() - place).is_multiple_of(3))
        .collect::<Vec<_>>()
    {
        digits.insert(place, ',');
    }
    format!(", {digits} records{}", file.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn records_and_the_file_stand_behind_the_bar() {
        let shown = |records, file: Option<&str>| {
            let file = file.map(|file| Path::new(file).into());
            rest(&Reached { records, file, ..Reached::default() })
        };
        assert_eq!(shown(0, None), ", 0 records");
        assert_eq!(shown(999, None), ", 999 records");
        assert_eq!(shown(1_234_567, Some("zones/a.zone")), ", 1,234,567 records, zones/a.zone");
    }
}
