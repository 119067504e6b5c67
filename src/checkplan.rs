//! What to probe, as compiled from files: the half of a compile that health reads.
//!
//! One [`Target`] is probed once however many records use it. Its key carries everything that
//! a result depends on (address and check), so a target found again by its key after a reload
//! keeps its counts, its phase and its verdict, and no probe is sent twice.

use crate::ids::{RegionId, SlotId, TargetId};
use ipnet::IpNet;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    ops::RangeInclusive,
    sync::Arc,
    time::Duration,
};

/// Everything to probe; ids are indices into `targets`.
#[derive(Clone, Debug, Default)]
pub struct CheckPlan {
    /// The targets, each with a key of its own.
    pub targets: Vec<Target>,
    /// `[health] deny`: never probed, beside what [`denied`] knows by itself.
    pub deny: Vec<IpNet>,
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

    /// The longest a target can count as up whose probes take `each` to fail: no time if it
    /// refuses, the time-out if it hangs. Never above [`Self::worst_case_detection`].
    pub fn detection(&self, each: Duration) -> Duration {
        let again = match self.fast_recheck {
            Some(after) => (each + after).min(self.interval),
            None => self.interval,
        };
        self.interval + each + again * self.fall.saturating_sub(1)
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

/// Whether `address` is never probed: whoever may write a zone must not reach, through our
/// probes, what only this machine may reach (reliability S-22). Cloud metadata, link-local,
/// multicast, broadcast and "this host" always are; `extra` is the operator's list.
pub fn denied(address: IpAddr, extra: &[IpNet]) -> bool {
    let address = match address {
        IpAddr::V6(v6) => embedded_v4(v6).map_or(address, IpAddr::V4),
        IpAddr::V4(_) => address,
    };
    let built_in = match address {
        IpAddr::V4(v4) => {
            v4.is_link_local()
                || v4.is_multicast()
                || v4.is_broadcast()
                || v4.octets()[0] == 0
                || METADATA_V4.contains(&v4)
        }
        IpAddr::V6(v6) => {
            v6.is_unicast_link_local()
                || v6.is_multicast()
                || v6.is_unspecified()
                || METADATA_V6.contains(&v6)
        }
    };
    built_in || extra.iter().any(|net| net.contains(&address))
}

/// Metadata services outside 169.254.0.0/16: Alibaba Cloud, Azure's wire server, Oracle Cloud.
const METADATA_V4: [Ipv4Addr; 3] = [
    Ipv4Addr::new(100, 100, 100, 200),
    Ipv4Addr::new(168, 63, 129, 16),
    Ipv4Addr::new(192, 0, 0, 192),
];
/// AWS, Google Cloud.
const METADATA_V6: [Ipv6Addr; 2] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// The IPv4 address that a packet to `address` ends at: mapped (RFC 4291 §2.5.5.2) or behind
/// the well-known NAT64 prefix 64:ff9b::/96 (RFC 6052 §2.1).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    if address.segments()[..6] == [0x64, 0xff9b, 0, 0, 0, 0] {
        let [.., a, b, c, d] = address.octets();
        return Some(Ipv4Addr::new(a, b, c, d));
    }
    address.to_ipv4_mapped()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn metadata_link_local_and_multicast_are_never_probed() {
        let extra = ["10.0.0.0/8".parse().unwrap(), "2001:db8::/32".parse().unwrap()];
        for address in [
            "169.254.169.254",
            "169.254.0.1",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "100.100.100.200",
            "10.1.2.3",
            "::",
            "fe80::1",
            "febf::1",
            "ff02::1",
            "fd00:ec2::254",
            "::ffff:169.254.169.254",
            "::ffff:10.0.0.1",
            "64:ff9b::169.254.169.254",
            "2001:db8::1",
        ] {
            assert!(denied(address.parse().unwrap(), &extra), "{address}");
        }
        for address in [
            "127.0.0.1",
            "::1",
            "192.0.2.1",
            "10.0.0.1",
            "2001:db8::1",
            "fd00::1",
            "::ffff:192.0.2.1",
            "64:ff9b::192.0.2.1",
        ] {
            assert!(!denied(address.parse().unwrap(), &[]), "{address}");
        }
    }
}
