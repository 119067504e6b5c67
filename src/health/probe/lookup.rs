//! Addresses of hosts, from the system's resolver, for each probe anew.
//!
//! The system's resolver blocks, and a lookup that hangs keeps its thread however soon its
//! probe has given up; so the number of threads is bounded here, and whoever finds none free in
//! time learns that it was our resolver that failed.

use super::NoAddress;
use crate::clock::Moment;
use std::{
    net::{SocketAddr, ToSocketAddrs},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::sync::Semaphore;

/// Lookups in flight, each with a thread: at 20 ms a lookup, 1,600 a second.
const LOOKUPS_MAX: usize = 32;

/// The system's resolver.
#[derive(Debug)]
pub(crate) struct Lookups {
    threads: Arc<Semaphore>,
    /// When a name was found last.
    found: AtomicU64,
}

impl Default for Lookups {
    fn default() -> Self {
        Lookups { threads: Arc::new(Semaphore::new(LOOKUPS_MAX)), found: AtomicU64::new(0) }
    }
}

impl Lookups {
    /// The addresses of `name`, in the order the system prefers.
    ///
    /// # Errors
    /// What went wrong, in words.
    pub(crate) async fn resolve(
        &self,
        name: &Arc<str>,
        port: u16,
        timeout: Duration,
    ) -> Result<Vec<SocketAddr>, NoAddress> {
        let asked = async {
            let permit = Arc::clone(&self.threads).acquire_owned().await.ok()?;
            let name = Arc::clone(name);
            let lookup = tokio::task::spawn_blocking(move || {
                let found = (&*name, port).to_socket_addrs().map(Vec::from_iter);
                drop(permit);
                found
            });
            lookup.await.ok()
        };
        let why = match tokio::time::timeout(timeout, asked).await {
            Ok(Some(Ok(found))) => return Ok(found),
            Ok(Some(Err(error))) => error.to_string(),
            Ok(None) => "stopped".to_owned(),
            Err(_) => "timeout".to_owned(),
        };
        Err(NoAddress::Lookup(format!("{name}: {why}")))
    }

    /// A name was found at `at`: the resolver works.
    pub(crate) fn found(&self, at: Moment) {
        self.found.fetch_max(at.0, Relaxed);
    }

    /// Whether any name was found after `since`.
    pub(crate) fn found_since(&self, since: Moment) -> bool {
        self.found.load(Relaxed) > since.0
    }
}
