//! Watching files: `geoip/` always, the operator's other files with `watch = true`.
//!
//! A change is loaded after one second without further writes. Watching is a convenience: when
//! the kernel will not do it the server says so once and goes on.

use crate::control::{Change, audit::Origin};
use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use tokio::{
    sync::mpsc::{self, UnboundedReceiver, UnboundedSender},
    task::JoinHandle,
    time::sleep,
};

/// Quiet time before a change is loaded (DESIGN §5, Reload).
const QUIET: Duration = Duration::from_secs(1);

/// The cause of a load of all files, location data included.
const EVERYTHING: &str = "watch";

/// A folder that is being watched, and what was touched in it since.
pub(super) struct Folder {
    dir: PathBuf,
    watcher: RecommendedWatcher,
    told: UnboundedReceiver<Vec<PathBuf>>,
}

/// Loads what changes until dropped.
pub(super) struct Watch(JoinHandle<()>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Folder {
    /// Watches `dir`: before its files are first read, so that no change falls between. Nothing
    /// if the kernel will not do it.
    pub(super) fn open(dir: &Path) -> Option<Folder> {
        let (tell, told) = mpsc::unbounded_channel();
        let watcher = notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
            let Ok(event) = event else { return };
            if !event.kind.is_access() {
                // Fails only while the server stops.
                let _ = tell.send(event.paths);
            }
        });
        let dir = dir.canonicalize().unwrap_or_else(|_| dir.to_owned());
        match watcher {
            Ok(mut watcher) => {
                look_at(&mut watcher, &dir);
                Some(Folder { dir, watcher, told })
            }
            Err(error) => {
                tracing::warn!(%error, "files are not watched; use `tradewind reload`");
                None
            }
        }
    }

    /// Has changes loaded from now on: of `everything`, or of `geoip/` alone.
    pub(super) fn watch(self, everything: bool, changes: UnboundedSender<Change>) -> Watch {
        Watch(tokio::spawn(self.run(everything, changes)))
    }

    async fn run(mut self, everything: bool, changes: UnboundedSender<Change>) {
        let wanted = |paths: &[PathBuf]| cause(&self.dir, paths, everything);
        while let Some(cause) = next_quiet(&mut self.told, QUIET, wanted).await {
            // Again each time, since a folder may have been made; and before the files are read.
            look_at(&mut self.watcher, &self.dir);
            let by = Origin::itself("file watch");
            let change = Change::Reload { cause: cause.into(), by, force: false, reply: None };
            if changes.send(change).is_err() {
                return;
            }
        }
    }
}

fn look_at(watcher: &mut RecommendedWatcher, dir: &Path) {
    // Not recursive at the top: `state/` and whatever else lies there is none of our concern.
    let folders = [
        (dir.to_owned(), RecursiveMode::NonRecursive),
        (dir.join("zones"), RecursiveMode::Recursive),
        (dir.join("healthchecks"), RecursiveMode::NonRecursive),
        (dir.join("rollouts"), RecursiveMode::NonRecursive),
        (dir.join("geoip"), RecursiveMode::NonRecursive),
        (dir.join("drills"), RecursiveMode::NonRecursive),
    ];
    for (folder, mode) in folders {
        if folder.is_dir()
            && let Err(error) = watcher.watch(&folder, mode)
        {
            tracing::warn!(folder = %folder.display(), %error, "is not watched");
        }
    }
}

/// What to load, once nothing that matters was touched for a `quiet` time. Whatever else is written
/// in the folder, a log perhaps, neither counts nor puts the load off.
async fn next_quiet(
    told: &mut UnboundedReceiver<Vec<PathBuf>>,
    quiet: Duration,
    cause: impl Fn(&[PathBuf]) -> Option<&'static str>,
) -> Option<&'static str> {
    let mut wanted = loop {
        if let Some(cause) = cause(&told.recv().await?) {
            break cause;
        }
    };
    let mut pause = std::pin::pin!(sleep(quiet));
    loop {
        tokio::select! {
            touched = told.recv() => if let Some(cause) = cause(&touched?) {
                // Whoever loads everything loads the location data too.
                wanted = if wanted == EVERYTHING { wanted } else { cause };
                pause.set(sleep(quiet));
            },
            () = &mut pause => return Some(wanted),
        }
    }
}

/// What to load for these paths: everything, the location data only, or nothing.
fn cause(dir: &Path, touched: &[PathBuf], everything: bool) -> Option<&'static str> {
    let rooms = touched.iter().filter_map(|path| path.strip_prefix(dir).ok()?.iter().next());
    let mut places = false;
    for room in rooms {
        match room.to_str() {
            Some("tradewind.toml" | "zones" | "healthchecks" | "drills" | "rollouts")
                if everything =>
            {
                return Some(EVERYTHING);
            }
            Some("geoip") => places = true,
            _ => {}
        }
    }
    places.then_some("geoip")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn geoip_is_always_loaded_and_the_rest_only_if_asked_for() {
        let dir = Path::new("/etc/tradewind");
        let touched = |paths: &[&str]| paths.iter().map(|p| dir.join(p)).collect::<Vec<_>>();
        for (paths, everything, expected) in [
            (&["geoip/city.mmdb"][..], false, Some("geoip")),
            (&["zones/a.toml"], false, None),
            (&["zones/a.toml"], true, Some("watch")),
            (&["geoip/city.mmdb", "tradewind.toml"], true, Some("watch")),
            (&["state/revisions/1.json"], true, None),
        ] {
            assert_eq!(cause(dir, &touched(paths), everything), expected, "{paths:?}");
        }
    }

    #[tokio::test]
    async fn what_is_not_ours_neither_loads_nor_puts_a_load_off() {
        let (tell, mut told) = mpsc::unbounded_channel();
        tell.send(vec!["tradewind.log".into()]).unwrap();
        tell.send(vec!["zones/a.toml".into()]).unwrap();
        let (quiet, noise) = (Duration::from_millis(500), Duration::from_millis(5));
        // A log beside our files is written all the time, until nobody is told any more.
        let log = tokio::spawn(async move {
            while tell.send(vec!["tradewind.log".into()]).is_ok() {
                tokio::time::sleep(noise).await;
            }
        });
        let found = next_quiet(&mut told, quiet, |paths| cause(Path::new(""), paths, true)).await;
        assert_eq!(found, Some("watch"));
        drop(told);
        log.await.unwrap();
    }
}
