//! How many probes are in flight: a bound that hung targets cannot use up.
//!
//! A probe starts in a lane of [`Limits::starting`]. One which is not done after [`PATIENCE`]
//! stands aside into a second, larger set, as long as there is room, so that a region whose
//! thousands of targets hang for a time-out each delays nobody else's probe.

use std::{sync::Arc, time::Duration};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// An answer within a continent has come by then.
const PATIENCE: Duration = Duration::from_millis(250);

/// Bounds of what is in flight. Each probe holds a socket, and a few KiB (https: 40 KiB).
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Probes that have just started: at 1 ms each, half a million a second.
    pub starting: usize,
    /// Probes that wait for a slow target. With interval 10 s, time-out 3 s and rechecks, 4,000
    /// hanging targets take 3,000. More than the process may have descriptors for is harmless
    /// to the verdicts (results become void), not to the listener beside us.
    pub waiting: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Limits { starting: 512, waiting: 3_072 }
    }
}

/// The two sets.
#[derive(Debug)]
pub(super) struct Lanes {
    starting: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
}

impl Lanes {
    pub(super) fn new(limits: Limits) -> Self {
        Lanes {
            starting: Arc::new(Semaphore::new(limits.starting.max(1))),
            waiting: Arc::new(Semaphore::new(limits.waiting)),
        }
    }

    /// Waits for a place to start in.
    pub(super) async fn enter(&self) -> OwnedSemaphorePermit {
        Arc::clone(&self.starting).acquire_owned().await.expect("nobody closes the semaphore")
    }

    /// Runs `probe` in `place`, standing aside when it takes long.
    pub(super) async fn run<T>(
        &self,
        place: OwnedSemaphorePermit,
        probe: impl Future<Output = T>,
    ) -> T {
        let mut probe = std::pin::pin!(probe);
        tokio::select! {
            biased;
            done = &mut probe => return done,
            () = tokio::time::sleep(PATIENCE) => {}
        }
        let aside = Arc::clone(&self.waiting).try_acquire_owned();
        let _place = aside.unwrap_or(place);
        probe.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn hung_probes_stand_aside_and_let_others_start() {
        let lanes = Arc::new(Lanes::new(Limits { starting: 2, waiting: 8 }));
        let (started, mut all) = tokio::sync::watch::channel(0);
        let mut hung = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (lanes, started) = (Arc::clone(&lanes), started.clone());
            hung.spawn(async move {
                let place = lanes.enter().await;
                started.send_modify(|count| *count += 1);
                lanes.run(place, std::future::pending::<()>()).await;
            });
        }
        // None of them ever ends, two may start at a time, and yet all do, and a ninth.
        all.wait_for(|count| *count == 8).await.unwrap();
        let place = lanes.enter().await;
        assert_eq!(lanes.run(place, async { 7 }).await, 7);
    }

    #[tokio::test]
    async fn places_are_bounded_even_when_everybody_hangs() {
        let lanes = Lanes::new(Limits { starting: 1, waiting: 1 });
        let hung = || async {
            let place = lanes.enter().await;
            lanes.run(place, std::future::pending::<()>()).await
        };
        let third = async { tokio::time::timeout(PATIENCE * 4, lanes.enter()).await.is_err() };
        tokio::select! {
            ((), ()) = async { tokio::join!(hung(), hung()) } => panic!("pending ended"),
            full = async { tokio::time::sleep(PATIENCE * 2).await; third.await } => assert!(full),
        }
    }
}
