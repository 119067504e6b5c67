//! The clients that were seen lately asking for steered records: what the effect of a change is
//! foretold from, beside the address space.
//!
//! A ring of the last [`CLIENTS_MAX`] sampled ones, written by whoever takes the samples in and
//! read when somebody asks. Must not know what a map or a policy is: clients are addresses.

use super::counters::AnswerName;
use crate::clock::Moment;
use std::{
    collections::VecDeque,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Clients kept: at one sample in a thousand those of 65 million queries, in 6 MiB. A share of one
/// half is then known to 0.4 %, two standard deviations.
pub const CLIENTS_MAX: usize = 65_536;

/// A client that was answered a steered record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObservedClient {
    /// When.
    pub at: Moment,
    /// Who sent the query, cut as the operator wants addresses cut.
    pub from: IpAddr,
    /// The client network it spoke for and how many bits of it are known, cut likewise.
    pub subnet: Option<(IpAddr, u8)>,
    /// The record, and the region it was answered.
    pub answer: Arc<AnswerName>,
}

/// The clients seen lately.
#[derive(Debug, Default)]
pub struct Observed(Mutex<VecDeque<ObservedClient>>);

/// The clients who asked for some records, oldest first: as many as there are in it, seen from
/// the first's `at` to the last's.
pub type Clients = Vec<ObservedClient>;

impl Observed {
    /// Notes `client`, and forgets the oldest when there are too many.
    pub fn note(&self, client: ObservedClient) {
        let mut clients = self.clients();
        if clients.len() == CLIENTS_MAX {
            clients.pop_front();
        }
        clients.push_back(client);
    }

    /// Forgets all of them.
    pub fn forget(&self) {
        self.clients().clear();
    }

    /// The clients who asked for records that `wanted` likes, oldest first.
    pub fn of(&self, mut wanted: impl FnMut(&AnswerName) -> bool) -> Clients {
        let clients = self.clients();
        clients.iter().filter(|client| wanted(&client.answer)).cloned().collect()
    }

    /// Whoever panics while holding it leaves whole clients behind.
    fn clients(&self) -> MutexGuard<'_, VecDeque<ObservedClient>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(n: usize, record: &Arc<AnswerName>) -> ObservedClient {
        let from = IpAddr::V4((n as u32).into());
        ObservedClient { at: Moment(n as u64), from, subnet: None, answer: Arc::clone(record) }
    }

    #[test]
    fn the_last_clients_are_kept_by_record() {
        let record = |name: &str| {
            let name = AnswerName {
                zone: "z".into(),
                record: name.into(),
                region: "eu".into(),
                pool: "eu".into(),
            };
            Arc::new(name)
        };
        let (www, api) = (record("www"), record("api"));
        let observed = Observed::default();
        for n in 0..CLIENTS_MAX + 10 {
            observed.note(client(n, if n % 2 == 0 { &www } else { &api }));
        }
        assert_eq!(observed.of(|_| true).len(), CLIENTS_MAX);
        let of_www = observed.of(|answer| &*answer.record == "www");
        assert_eq!(of_www.len(), CLIENTS_MAX / 2);
        assert_eq!(of_www.first(), Some(&client(10, &www)), "oldest first");
        assert_eq!(of_www.last(), Some(&client(CLIENTS_MAX + 8, &www)));
        assert!(observed.of(|answer| &*answer.record == "none").is_empty());
        observed.forget();
        assert!(observed.of(|_| true).is_empty());
    }
}
