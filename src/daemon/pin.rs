//! Looks for `state/PIN`: once a second, and at SIGHUP.

use crate::control::{
    Change,
    hand::pin::{PinFile, pinned},
};
use std::{path::PathBuf, sync::Arc, time::Duration};
use tokio::{
    sync::{Notify, mpsc::UnboundedSender},
    task::JoinHandle,
    time::timeout,
};

/// Whoever made the file waits no longer than this.
const LOOK: Duration = Duration::from_secs(1);

/// Looks until dropped.
pub(super) struct PinWatch(JoinHandle<()>);

impl Drop for PinWatch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl PinWatch {
    /// Tells of every change of the file in `state`, which stood as `known` says; looks at once
    /// when `nudge` is given.
    pub(super) fn start(
        state: PathBuf,
        mut known: Option<PinFile>,
        nudge: Arc<Notify>,
        changes: UnboundedSender<Change>,
    ) -> PinWatch {
        PinWatch(tokio::spawn(async move {
            loop {
                // Either way it is time to look.
                let _ = timeout(LOOK, nudge.notified()).await;
                let state = state.clone();
                // A file system that hangs must not hold up whatever else this thread does.
                let Ok(now) = tokio::task::spawn_blocking(move || pinned(&state)).await else {
                    continue;
                };
                if now != known {
                    known.clone_from(&now);
                    if changes.send(Change::Pin(now)).is_err() {
                        return;
                    }
                }
            }
        }))
    }
}
