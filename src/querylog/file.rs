//! The file of the query log: lines appended, exchanged for a new one when it is long enough.
//!
//! Clients' addresses are nobody's business: the file is its owner's alone.

use crate::clock::Moment;
use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::{self, BufWriter, Write},
    os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt},
    path::PathBuf,
    time::Duration,
};

/// Files kept beside the one that is written, as `FILE.1` (the newest) and so on: with the default
/// of 64 MiB each 320 MiB in all.
const KEPT: u32 = 4;
/// How soon it is tried again to open a file that cannot be written.
const AGAIN: Duration = Duration::from_secs(5);

/// A file that lines are appended to.
#[derive(Debug)]
pub(super) struct LogFile {
    path: PathBuf,
    most: u64,
    out: Option<BufWriter<File>>,
    bytes: u64,
    /// When it failed last; told once, until it works again.
    failed: Option<Moment>,
}

impl LogFile {
    /// The file at `path`, exchanged before it is longer than `most`.
    pub(super) fn open(path: PathBuf, most: u64) -> LogFile {
        let mut file = LogFile { path, most, out: None, bytes: 0, failed: None };
        if let Err(error) = file.reopen() {
            file.fail(&error, Moment::default());
        }
        file
    }

    /// Appends `line`; whether it will stand in the file.
    pub(super) fn write(&mut self, line: &[u8], now: Moment) -> bool {
        match self.try_write(line, now) {
            Ok(written) => written,
            Err(error) => {
                self.fail(&error, now);
                false
            }
        }
    }

    /// Hands what was written to the system.
    pub(super) fn flush(&mut self) {
        // A failure comes back with the next line.
        let _ = self.out.as_mut().map(Write::flush);
    }

    fn try_write(&mut self, line: &[u8], now: Moment) -> io::Result<bool> {
        if self.out.is_none() {
            if self.failed.is_some_and(|at| now.since(at) < AGAIN) {
                return Ok(false);
            }
            self.reopen()?;
        }
        if self.bytes > 0 && self.bytes + line.len() as u64 > self.most {
            self.exchange()?;
        }
        let Some(out) = &mut self.out else { return Ok(false) };
        out.write_all(line)?;
        self.bytes += line.len() as u64;
        Ok(true)
    }

    fn reopen(&mut self) -> io::Result<()> {
        if let Some(folder) = self.path.parent() {
            fs::create_dir_all(folder)?;
        }
        let file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)?;
        let found = file.metadata()?;
        // The mode above is that of a new file; one that was there has whatever it was given.
        if found.is_file() && found.mode() & 0o077 != 0 {
            file.set_permissions(Permissions::from_mode(0o600))?;
        }
        self.bytes = found.len();
        self.out = Some(BufWriter::new(file));
        if self.failed.take().is_some() {
            tracing::info!(file = %self.path.display(), "the query log is written again");
        }
        Ok(())
    }

    /// Moves the file away, each of those kept one place on, and begins a new one.
    fn exchange(&mut self) -> io::Result<()> {
        if let Some(mut out) = self.out.take() {
            out.flush()?;
        }
        for place in (1..KEPT).rev() {
            // One that is not there yet is no failure.
            let _ = fs::rename(self.kept(place), self.kept(place + 1));
        }
        fs::rename(&self.path, self.kept(1))?;
        self.reopen()
    }

    fn kept(&self, place: u32) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{place}"));
        name.into()
    }

    fn fail(&mut self, error: &io::Error, now: Moment) {
        self.out = None;
        if self.failed.replace(now).is_none() {
            tracing::warn!(file = %self.path.display(), %error, "the query log cannot be written");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_file_is_exchanged_and_four_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run/queries.jsonl");
        let mut file = LogFile::open(path.clone(), 10);
        for n in 0..7 {
            assert!(file.write(format!("line {n}\n").as_bytes(), Moment(0)));
        }
        file.flush();
        let read = |place: &str| fs::read_to_string(format!("{}{place}", path.display()));
        assert_eq!(read("").unwrap(), "line 6\n");
        assert_eq!(read(".1").unwrap(), "line 5\n");
        assert_eq!(read(".4").unwrap(), "line 2\n");
        assert!(read(".5").is_err(), "older ones go");
        let mut file = LogFile::open(path.clone(), 20);
        assert!(file.write(b"more\n", Moment(0)));
        file.flush();
        assert_eq!(read("").unwrap(), "line 6\nmore\n", "it is appended to");
        let mode = || fs::metadata(&path).unwrap().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
        let mut file = LogFile::open(path.clone(), 20);
        assert!(file.write(b"private\n", Moment(0)));
        assert_eq!(mode(), 0o600, "one that was there is closed to others as well");
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_tried_again() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("run"), "no folder").unwrap();
        let path = dir.path().join("run/queries.jsonl");
        let mut file = LogFile::open(path.clone(), 1_000);
        let second = |n| Moment::default().after(Duration::from_secs(n));
        assert!(!file.write(b"lost\n", second(1)));
        fs::remove_file(dir.path().join("run")).unwrap();
        assert!(!file.write(b"lost\n", second(4)), "not so soon");
        assert!(file.write(b"kept\n", second(6)));
        file.flush();
        assert_eq!(fs::read_to_string(path).unwrap(), "kept\n");
    }
}
