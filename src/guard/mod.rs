//! Who may ask, who is who he says, and how much a stranger is told: access lists ([`access`]),
//! cookies ([`cookie`]) and response rate limits ([`limit`]).
//!
//! [`Rules`] is what the operator says, compiled, and part of every World; [`Guard`] is what the
//! threads of one server share: its secrets and the one table of who was told how much lately.
//! Looked up by address ([`networks`]), hashed with a secret ([`siphash`]). No I/O, no clock, no
//! lock, no allocation on the packet's way. Must not know names, records or sockets.

// Whatever a packet holds, nothing here panics: what could is not written, or says at its place
// which fact keeps it from it.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod access;
pub mod cookie;
pub mod limit;
pub mod networks;
mod siphash;

use crate::clock::Moment;
use access::Access;
use cookie::{CookieRules, OwnSecrets, Secret};
use limit::{Bucket, Kind, LimitRules, Table};
use networks::Networks;
use siphash::Key;
use std::net::IpAddr;

/// What the operator says, compiled. The default is what an empty file says.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Who may ask; everybody when absent.
    pub access: Option<Networks<Access>>,
    /// Whose word on the networks of clients is believed (RFC 7871 §11.3); everybody's when
    /// absent.
    pub ecs_trusted: Option<Networks<bool>>,
    /// How cookies are made and asked for; not at all when absent.
    pub cookies: Option<CookieRules>,
    /// How much is told to whom.
    pub limits: LimitRules,
}

impl Default for Rules {
    fn default() -> Self {
        Rules {
            access: None,
            ecs_trusted: None,
            cookies: Some(CookieRules::default()),
            limits: LimitRules::default(),
        }
    }
}

impl Rules {
    /// What becomes of queries of `from`.
    #[inline]
    pub fn access(&self, from: IpAddr) -> Access {
        self.access.as_ref().map_or(Access::Allow, |networks| networks.of(from))
    }

    /// Whether `from` is believed when it speaks for a client's network.
    #[inline]
    pub fn trusts_ecs(&self, from: IpAddr) -> bool {
        self.ecs_trusted.as_ref().is_none_or(|networks| networks.of(from))
    }
}

/// What all threads of a server share.
///
/// One table for all of them, not one each: the kernel spreads packets over threads by address
/// *and port*, so whoever forges a source could have each thread's limit by changing the port,
/// and a resolver that always asks from one port would have a part of it only. Sharing costs
/// little: a reply over the limit reads one line of the table and writes nothing, so that a
/// line is written no oftener than the limit lets replies through.
#[derive(Debug)]
pub struct Guard {
    /// What our own secrets of cookies are made from.
    root: Key,
    key: Key,
    told: Table,
    malformed: Bucket,
}

impl Guard {
    /// With secrets of its own made from `random`, which nobody else may know: one for cookies,
    /// one for the table's hash.
    pub fn new(random: [[u8; 16]; 2]) -> Guard {
        let [root, key] = random;
        Guard {
            root: Key::new(root),
            key: Key::new(key),
            told: Table::default(),
            malformed: Bucket::default(),
        }
    }

    /// The secrets that cookies are made with at `now` where the operator gave none: one of the
    /// day, which signs, and the one before (RFC 7873 §7.1). No thread needs to be told of them:
    /// all make the same from what they share.
    pub fn own_secrets(&self, now: Moment) -> OwnSecrets {
        OwnSecrets::at(now, |day| {
            let half = |half: u64| siphash::hash(self.root, &(day << 1 | half).to_le_bytes());
            let [low, high] = [0, 1].map(|place| u128::from(half(place)));
            Secret::new((high << 64 | low).to_le_bytes())
        })
    }

    /// Whether `from` may have one more reply of this kind about this subject, whatever number
    /// stands for it, at `now`.
    #[inline]
    pub fn admits(
        &self,
        rules: &LimitRules,
        kind: Kind,
        about: u64,
        from: IpAddr,
        now: limit::Ticks,
    ) -> bool {
        let Some(rate) = rules.rate.filter(|_| !rules.exempt.of(from)) else { return true };
        self.told.take(self.hash(kind, about, from), now, rate)
    }

    /// Whether one more malformed packet may get an error at `now` (reliability S-3): its network
    /// has not had its share, nor all together theirs.
    #[inline]
    pub fn admits_malformed(&self, rules: &LimitRules, from: IpAddr, now: limit::Ticks) -> bool {
        let Some(rate) = rules.errors.filter(|_| !rules.exempt.of(from)) else { return true };
        let hash = self.hash(Kind::Malformed, 0, from);
        self.told.take(hash, now, rate.share()) && self.malformed.take(0, now, rate)
    }

    #[inline]
    fn hash(&self, kind: Kind, about: u64, from: IpAddr) -> u64 {
        siphash::hash(self.key, &limit::identity(kind, about, from))
    }
}
