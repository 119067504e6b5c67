//! How far a load has come, for whoever waits for it: counted by those who read, shown elsewhere.

use std::{
    io::{self, Read},
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// Counts that only grow. Of zones only: nothing else is large.
#[derive(Debug, Default)]
pub struct Progress {
    bytes: AtomicU64,
    bytes_read: AtomicU64,
    records: AtomicU64,
    file: Mutex<Option<Arc<Path>>>,
}

impl Progress {
    /// A file of `bytes` is going to be read.
    pub fn found(&self, bytes: u64) {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// More records were read.
    pub fn records(&self, count: u64) {
        self.records.fetch_add(count, Ordering::Relaxed);
    }

    /// Counts what is read of `file`.
    pub fn count<'r>(&'r self, file: &Arc<Path>, text: Box<dyn Read + 'r>) -> Box<dyn Read + 'r> {
        *self.file.lock().unwrap_or_else(PoisonError::into_inner) = Some(file.clone());
        Box::new(Counted { text, progress: self })
    }

    /// How far it has come.
    pub fn now(&self) -> Reached {
        Reached {
            bytes: self.bytes.load(Ordering::Relaxed),
            bytes_read: self.bytes_read.load(Ordering::Relaxed),
            records: self.records.load(Ordering::Relaxed),
            file: self.file.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }
}

/// How far a load had come at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reached {
    /// The size of all zones' files found so far.
    pub bytes: u64,
    /// How much of that was read.
    pub bytes_read: u64,
    /// How many records were in it.
    pub records: u64,
    /// The file that was begun last.
    pub file: Option<Arc<Path>>,
}

struct Counted<'r> {
    text: Box<dyn Read + 'r>,
    progress: &'r Progress,
}

impl Read for Counted<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let read = self.text.read(to)?;
        self.progress.bytes_read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}
