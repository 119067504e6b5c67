//! The journals that are kept: `state/drills/NAME/RUN.jsonl`.

use super::journal::{self, Entry, What};
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
        }
        Ok(())
    }

    /// The runs of `drill`, oldest first: their names are times.
    pub fn runs(&self, drill: &str) -> Vec<String> {
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
