//! The journals that are kept: `state/drills/NAME/RUN.jsonl`.

use super::{
    journal::{self, Entry, What},
    report::{self, Trend},
};
use crate::config::drill::is_name;
use std::{
    fs, io,
    path::{Path, PathBuf},
};

/// Runs of one drill that are kept: a year of weekly ones.
pub const RUNS_KEPT: usize = 60;

/// The folder with them.
#[derive(Clone, Debug)]
pub struct Archive(PathBuf);

impl Archive {
    /// The archive in the state folder `state`.
    pub fn new(state: &Path) -> Archive {
        Archive(state.join("drills"))
    }

    /// Somebody who cannot reach the server makes this file to end whatever drill runs.
    pub fn abort_file(&self) -> PathBuf {
        self.0.join("ABORT")
    }

    /// Where the journal of a run stands.
    pub(super) fn path(&self, drill: &str, run: &str) -> PathBuf {
        self.0.join(drill).join(format!("{run}.jsonl"))
    }

    /// Makes the folder of `drill`, and room for one more run of it.
    pub(super) fn prepare(&self, drill: &str) -> io::Result<()> {
        fs::create_dir_all(self.0.join(drill))?;
        let runs = self.runs(drill);
        for run in runs.iter().take(runs.len().saturating_sub(RUNS_KEPT - 1)) {
            fs::remove_file(self.path(drill, run))?;
            // One that was run by an older version has none.
            let _ = fs::remove_file(self.summary(drill, run));
        }
        Ok(())
    }

    fn summary(&self, drill: &str, run: &str) -> PathBuf {
        self.0.join(drill).join(format!("{run}.summary.json"))
    }

    /// Writes down what a run adds to the trend of its drill, so that nobody has to read its
    /// journal for that.
    pub(super) fn sum_up(&self, drill: &str, trend: &Trend) {
        let Ok(text) = serde_json::to_vec(trend) else { return };
        // Without it the journal is read.
        let _ = fs::write(self.summary(drill, &trend.run), text);
    }

    /// What a run adds to the trend of its drill; nothing while it runs.
    pub(super) fn trend(&self, drill: &str, run: &str) -> Option<Trend> {
        let known = fs::read(self.summary(drill, run)).ok();
        let known = known.and_then(|text| serde_json::from_slice(&text).ok());
        known.or_else(|| report::trend(&journal::read(&self.path(drill, run)).ok()?))
    }

    /// The runs of `drill`, oldest first: their names are times. What cannot be a drill's name, as
    /// a path out of the archive, has none.
    pub fn runs(&self, drill: &str) -> Vec<String> {
        if !is_name(drill) {
            return Vec::new();
        }
        let entries = fs::read_dir(self.0.join(drill)).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            name.strip_suffix(".jsonl").map(str::to_owned)
        });
        let mut runs: Vec<String> = names.collect();
        runs.sort_unstable();
        runs
    }

    /// The journal of a run; of the newest one, without `run`.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn journal(&self, drill: &str, run: Option<&str>) -> Result<Vec<Entry>, String> {
        let runs = self.runs(drill);
        let run = match run {
            Some(run) => runs.iter().find(|known| *known == run),
            None => runs.last(),
        };
        let run = run.ok_or_else(|| format!("there is no such run of `{drill}`"))?;
        journal::read(&self.path(drill, run))
    }

    /// Runs that never ended: the process that ran them is gone.
    pub(super) fn unfinished(&self) -> Vec<(String, String, Vec<Entry>)> {
        let folders = fs::read_dir(&self.0).into_iter().flatten().flatten();
        let drills = folders.filter_map(|entry| entry.file_name().into_string().ok());
        let mut unfinished = Vec::new();
        for drill in drills {
            // Only the newest one of a drill can be: the next one does not begin before.
            let Some(run) = self.runs(&drill).pop() else { continue };
            let Ok(entries) = journal::read(&self.path(&drill, &run)) else { continue };
            let is_over = entries.iter().any(|entry| matches!(entry.what, What::Ended { .. }));
            if !is_over {
                unfinished.push((drill, run, entries));
            }
        }
        unfinished
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drill::report::Verdict;

    #[test]
    fn no_name_leads_out_of_the_archive() {
        let state = tempfile::tempdir().unwrap();
        let archive = Archive::new(state.path());
        archive.prepare("x").unwrap();
        fs::write(archive.path("x", "1"), "").unwrap();
        fs::write(state.path().join("2.jsonl"), "").unwrap();
        assert_eq!(archive.runs("x"), ["1"]);
        for name in ["..", "", ".", "x/../..", "../drills/x"] {
            assert!(archive.runs(name).is_empty(), "{name}");
            assert!(archive.journal(name, Some("2")).is_err(), "{name}");
        }
        assert!(archive.journal("x", Some("../../2")).is_err());
    }

    #[test]
    fn a_trend_is_read_without_the_journal() {
        let state = tempfile::tempdir().unwrap();
        let archive = Archive::new(state.path());
        archive.prepare("x").unwrap();
        let measures = [("detect".to_owned(), 1.5)].into();
        let trend = Trend { run: "1".into(), verdict: Verdict::Fail, measures };
        archive.sum_up("x", &trend);
        assert_eq!(archive.trend("x", "1"), Some(trend));
        assert_eq!(archive.trend("x", "2"), None);
    }
}
