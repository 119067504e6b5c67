//! What to probe, as compiled from files: the half of a compile that health reads.
//!
//! One [`Target`] is probed once however many records use it. Its key carries everything that
//! a result depends on (address and check), so a target found again by its key after a reload
//! keeps its counts, its phase and its verdict, and no probe is sent twice.

use crate::ids::{RegionId, SlotId, TargetId};
use std::{net::SocketAddr, ops::RangeInclusive, sync::Arc, time::Duration};

/// Everything to probe; ids are indices into `targets`.
#[derive(Clone, Debug, Default)]
pub struct CheckPlan {
    /// The targets, each with a key of its own.
    pub targets: Vec<Target>,
}

impl CheckPlan {
    /// The target `id` was given out for.
    pub fn target(&self, id: TargetId) -> &Target {
        &self.targets[id.index()]
    }
}

/// One thing to probe.
#[derive(Clone, Debug)]
pub struct Target {
    /// Stable over reloads: the address and the meaning of the check (not its name).
    pub key: Arc<str>,
    /// Where the probe connects to.
    pub address: ProbeAddress,
    /// What is asked and how results are judged.
    pub check: Arc<Check>,
    /// The slots whose verdict this target decides.
    pub slots: Vec<SlotId>,
    /// The region of the endpoints behind it, where they have one.
    pub region: Option<RegionId>,
    /// For people: `zone/pool/endpoint` of the first user.
    pub label: Arc<str>,
}

/// Where a probe connects to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ProbeAddress {
    /// An address as written.
    Ip(SocketAddr),
    /// A name (a CNAME endpoint's target), resolved by the system for each probe.
    Host {
        /// The name, without trailing dot.
        name: Arc<str>,
        /// The port.
        port: u16,
    },
}

/// A check definition, with every default filled in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Check {
    /// Its name in `healthchecks/`.
    pub name: Arc<str>,
    /// What is sent and expected.
    pub kind: CheckKind,
    /// Time between probes; jitter only shortens it.
    pub interval: Duration,
    /// A probe that has not finished by then has failed; shorter than the interval.
    pub timeout: Duration,
    /// Consecutive failures that make it down.
    pub fall: u32,
    /// Consecutive successes that make it up again.
    pub rise: u32,
    /// How soon a failure is looked at again; `None` = "off", the calm setting.
    pub fast_recheck: Option<Duration>,
}

impl Check {
    /// The longest a dead target can count as up: interval × fall + timeout (DESIGN §5, Health).
    pub fn worst_case_detection(&self) -> Duration {
        self.interval * self.fall + self.timeout
    }
}

/// What a probe sends and expects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum CheckKind {
    /// A TCP connection that opens.
    Tcp,
    /// A response to an HTTP request.
    Http(HttpCheck),
    /// The same over TLS, certificate verified.
    Https(HttpCheck),
}

/// An HTTP request and what its response must be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpCheck {
    /// Path and query, beginning with `/`.
    pub path: Arc<str>,
    /// `Host` and SNI; the probe's address when absent.
    pub host: Option<Arc<str>>,
    /// Status codes that pass.
    pub status: Vec<RangeInclusive<u16>>,
    /// Text the first 8 KiB of the body must contain.
    pub body_contains: Option<Arc<str>>,
}
