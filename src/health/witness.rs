//! Who can tell that we are not cut off: the newest answers of targets, and the isolation guards.
//! And, while somebody listens, who failed.
//!
//! A target that fails while another one answers has failed by itself; when nobody answers, the
//! fault may be our own network's. What follows from either is not decided here.

use crate::clock::{Clock, Moment};
use std::{
    collections::HashMap,
    io,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};
use tokio::{net::TcpStream, runtime::Handle};

/// A guard that is not far away has said something by then.
const GUARD_TIMEOUT: Duration = Duration::from_secs(1);

/// Called with the key of whoever answered (`guard:ADDRESS` for a guard) or failed, and when its
/// probe ended.
pub type Heard = Box<dyn Fn(&Arc<str>, Moment) + Send + Sync>;

/// Who answered, and when.
type Newest = [Option<(Arc<str>, Moment)>; 2];

/// The newest answers.
pub(super) struct Witnesses {
    /// Of two targets, newest first: whoever is in question, one of them is another.
    newest: Mutex<Newest>,
    /// Who failed since somebody last asked, by when the last of its failures began: as many as
    /// there are targets at most, and nobody while nobody listens.
    failed: Mutex<HashMap<Arc<str>, Moment>>,
    is_armed: AtomicBool,
    tell: Heard,
    are_guards_asked: AtomicBool,
}

impl Witnesses {
    pub(super) fn new(tell: Heard) -> Self {
        Witnesses {
            newest: Mutex::default(),
            failed: Mutex::default(),
            is_armed: AtomicBool::new(false),
            tell,
            are_guards_asked: AtomicBool::new(false),
        }
    }

    /// Whether answers and failures are told from now on.
    pub(super) fn arm(&self, armed: bool) {
        self.is_armed.store(armed, Relaxed);
        if !armed {
            self.failures();
        }
    }

    /// `key` failed by a probe from `began` to `ended`. A void one is no failure.
    pub(super) fn failed(&self, key: &Arc<str>, began: Moment, ended: Moment) {
        if self.is_armed.load(Relaxed) {
            let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
            failed.insert(Arc::clone(key), began);
            drop(failed);
            (self.tell)(key, ended);
        }
    }

    /// Who failed since this was last called, and when that began.
    pub(super) fn failures(&self) -> Vec<(Arc<str>, Moment)> {
        let mut failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::take(&mut *failed).into_iter().collect()
    }

    /// `key` answered by a probe that ended at `at`.
    pub(super) fn heard(&self, key: &Arc<str>, at: Moment) {
        {
            let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
            remember(&mut newest, key, at);
        }
        if self.is_armed.load(Relaxed) {
            (self.tell)(key, at);
        }
    }

    /// Whether anybody but `except` answered by a probe that ended after `since`.
    pub(super) fn answered_since(&self, since: Moment, except: &str) -> bool {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        newest.iter().flatten().any(|(key, at)| **key != *except && *at > since)
    }

    /// Asks every guard once, unless they are being asked. Opened or refused, it is an answer.
    pub(super) fn ask(
        self: &Arc<Self>,
        guards: &[SocketAddr],
        clock: &Arc<dyn Clock>,
        on: &Handle,
    ) {
        if guards.is_empty() || self.are_guards_asked.swap(true, Relaxed) {
            return;
        }
        let (this, clock, guards) = (Arc::clone(self), Arc::clone(clock), guards.to_vec());
        on.spawn(async move {
            let mut asked = tokio::task::JoinSet::new();
            for guard in guards {
                asked.spawn(async move { (guard, answers(guard).await) });
            }
            while let Some(asked) = asked.join_next().await {
                if let Ok((guard, true)) = asked {
                    this.heard(&format!("guard:{guard}").into(), clock.now());
                }
            }
            this.are_guards_asked.store(false, Relaxed);
        });
    }
}

/// Keeps the newest answers of two keys, newest first.
fn remember(newest: &mut Newest, key: &Arc<str>, at: Moment) {
    let is_key = |slot: &Option<(Arc<str>, Moment)>| slot.as_ref().is_some_and(|(k, _)| k == key);
    let slot = newest.iter().position(is_key).unwrap_or(1);
    if newest[slot].as_ref().is_none_or(|(_, known)| *known < at) {
        newest[slot] = Some((Arc::clone(key), at));
    }
    let moment = |slot: &Option<(Arc<str>, Moment)>| slot.as_ref().map(|(_, at)| *at);
    if moment(&newest[1]) > moment(&newest[0]) {
        newest.swap(0, 1);
    }
}

async fn answers(guard: SocketAddr) -> bool {
    match tokio::time::timeout(GUARD_TIMEOUT, TcpStream::connect(guard)).await {
        Ok(Ok(_)) => true,
        Ok(Err(error)) => error.kind() == io::ErrorKind::ConnectionRefused,
        Err(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn witnesses() -> Witnesses {
        Witnesses::new(Box::new(|_, _| {}))
    }

    #[test]
    fn failures_are_kept_once_each_and_only_for_those_who_listen() {
        let witnesses = witnesses();
        witnesses.failed(&"a".into(), Moment(1), Moment(2));
        assert!(witnesses.failures().is_empty(), "nobody listens");
        witnesses.arm(true);
        for began in [3, 5] {
            witnesses.failed(&"a".into(), Moment(began), Moment(began + 1));
        }
        assert_eq!(witnesses.failures(), [("a".into(), Moment(5))]);
        assert!(witnesses.failures().is_empty());
    }

    #[test]
    fn nobody_is_a_witness_for_itself() {
        let witnesses = witnesses();
        witnesses.heard(&"a".into(), Moment(5));
        assert!(witnesses.answered_since(Moment(4), "b"));
        assert!(!witnesses.answered_since(Moment(4), "a"));
        assert!(!witnesses.answered_since(Moment(5), "b"), "after, not at");
    }

    proptest! {
        #[test]
        fn two_answers_say_as_much_as_all_of_them(
            heard in proptest::collection::vec((0..4_u8, 0..50_u64), 0..20),
            since in 0..50_u64,
            except in 0..4_u8,
        ) {
            let witnesses = witnesses();
            for (key, at) in &heard {
                witnesses.heard(&key.to_string().into(), Moment(*at));
            }
            let model = heard.iter().any(|(key, at)| *key != except && *at > since);
            prop_assert_eq!(witnesses.answered_since(Moment(since), &except.to_string()), model);
        }
    }
}
