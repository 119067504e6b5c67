//! The signals a server minds: SIGHUP loads the files, SIGTERM and SIGINT stop it.
//!
//! Caught before anything else is done, since an uncaught SIGHUP ends the process: whoever
//! sends one while the server starts has it loaded once it runs.

use crate::control::{Change, audit::Origin};
use anyhow::Context as _;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::{Notify, mpsc::UnboundedSender},
};

/// The signals caught so far.
pub(super) struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Catches them from now on. To be called in a tokio runtime.
    pub(super) fn catch() -> anyhow::Result<Signals> {
        Ok(Signals {
            hangup: signal(SignalKind::hangup()).context("cannot wait for SIGHUP")?,
            terminate: signal(SignalKind::terminate()).context("cannot wait for SIGTERM")?,
            interrupt: signal(SignalKind::interrupt()).context("cannot wait for SIGINT")?,
        })
    }

    /// Returns at SIGTERM or SIGINT; each SIGHUP until then is a wish to load the files, and
    /// told to `hangup`.
    pub(super) async fn stopped(&mut self, changes: &UnboundedSender<Change>, hangup: &Notify) {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => {
                    hangup.notify_one();
                    let cause = "SIGHUP".into();
                    // Fails only when the loop has ended, and then SIGTERM is what follows.
                    let by = Origin::unknown("SIGHUP");
                    let _ = changes.send(Change::Reload { cause, by, force: false, reply: None });
                }
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
            }
        }
    }
}
