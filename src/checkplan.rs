//! What to probe, as compiled from files: the half of a compile that health reads.
//!
//! One [`Target`] is probed once however many records use it. Its key carries everything that
//! a result depends on (address and check), so a target found again by its key after a reload
//! keeps its counts, its phase and its verdict, and no probe is sent twice.

use crate::ids::{RegionId, SlotId, TargetId};
use ipnet::IpNet;
use ring::digest;
use std::{
    collections::BTreeMap,
    fmt,
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
    /// `[health] isolation_guard`: asked only when nobody else can say whether we are cut off.
    pub guards: Vec<SocketAddr>,
    /// `[health] breaker`.
    pub breaker: BreakerSettings,
    /// What heartbeats must carry, by the name of their check.
    pub tokens: BTreeMap<Arc<str>, Token>,
}

/// When a mass failure is held (DESIGN §5, Breaker).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerSettings {
    /// The share of groups that may go at once, in millionths.
    pub share: u32,
    /// How long further falls are held.
    pub hold: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        BreakerSettings { share: 500_000, hold: Duration::from_secs(120) }
    }
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
    /// The slots whose verdict this target decides; none for a gate.
    pub slots: Vec<SlotId>,
    /// The region of the endpoints behind it, where they have one.
    pub region: Option<RegionId>,
    /// What fails together: `region:NAME` where there is one, else `pool:ZONE/POOL`, `check:NAME`
    /// for a gate. Of several users the first one's.
    pub group: Arc<str>,
    /// For people: `zone/pool/endpoint` of the first user, `check:NAME` for a gate.
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
    /// Nowhere: heartbeats come to us, for the endpoint of this id (empty for a gate).
    Pushed(Arc<str>),
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
    /// Failures that add up although passes lie between them.
    pub leaky: Option<Leaky>,
    /// A pass that took longer is slow: `fall` of them in a row degrade, `rise` fast ones mend.
    pub max_latency: Option<Duration>,
    /// How long a target that fell stays down at least; `None` = "off": no flap damping.
    pub hold_down: Option<Duration>,
    /// Whether its verdict moves answers.
    pub mode: Mode,
}

/// Intermittent loss, as gdnsd counts it (its `down_thresh` and `ok_thresh`): failures add up
/// until enough passes in a row forget them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Leaky {
    /// So many of them are a fall.
    pub failures: u32,
    /// So many passes in a row forget all of them.
    pub reset_after: u32,
}

/// Whether a verdict moves answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Mode {
    /// It does.
    #[default]
    Act,
    /// It is only shown: probed and judged like any other, but answers stay as they are.
    Observe,
}

impl Check {
    /// The longest a dead target can count as up: interval × fall + timeout (DESIGN §5, Health);
    /// for one that sends heartbeats, until they are stale and were looked for once more.
    pub fn worst_case_detection(&self) -> Duration {
        match self.kind {
            CheckKind::Push { stale_after } => stale_after + LAST_LOOK,
            _ => self.interval * self.fall + self.timeout,
        }
    }

    /// The longest a target can count as up whose probes take `each` to fail: no time if it
    /// refuses, the time-out if it hangs. Never above [`Self::worst_case_detection`].
    pub fn detection(&self, each: Duration) -> Duration {
        if let CheckKind::Push { .. } = self.kind {
            return self.worst_case_detection();
        }
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
    /// Heartbeats that the target sends to us.
    Push {
        /// Without one for so long it is down.
        stale_after: Duration,
    },
}

/// Heartbeats that are overdue are waited for once more, this long, before their target falls: a
/// pause of this process ends with them still in the queue of a socket.
pub const LAST_LOOK: Duration = Duration::from_millis(250);

/// What heartbeats of a check must carry. Only its SHA-256 is kept, so that neither memory nor
/// the time a comparison takes gives it away; it has no words.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

impl Token {
    /// The token that a file with this `text` holds. White space around it does not count.
    ///
    /// # Errors
    /// Says why it holds none.
    pub fn parse(text: &str) -> Result<Token, String> {
        /// Shorter ones could be guessed.
        const CHARACTERS_MIN: usize = 16;
        let token = text.trim();
        if token.len() < CHARACTERS_MIN || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(format!(
                "holds no token: one line of {CHARACTERS_MIN} or more ASCII characters without \
                 space"
            ));
        }
        Ok(Token::new(token.as_bytes()))
    }

    /// The token whose text is `secret`.
    pub fn new(secret: &[u8]) -> Token {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, secret).as_ref());
        Token(hash)
    }

    /// The token whose SHA-256 is `hash`.
    pub fn hashed(hash: [u8; 32]) -> Token {
        Token(hash)
    }

    /// Its SHA-256.
    pub fn hash(&self) -> &[u8; 32] {
        &self.0
    }

    /// Whether `given` is this token; takes equally long whatever it is.
    pub fn is(&self, given: &[u8]) -> bool {
        let Token(given) = Token::new(given);
        let differ = self.0.iter().zip(given).fold(0, |differ, (a, b)| differ | (a ^ b));
        std::hint::black_box(differ) == 0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
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
    fn a_token_is_itself_only_and_says_nothing() {
        let token = Token::new(b"hunter2");
        assert!(token.is(b"hunter2"));
        for other in [&b""[..], b"hunter", b"hunter22", b"Hunter2"] {
            assert!(!token.is(other));
        }
        assert_eq!(format!("{token:?}"), "Token(…)");
    }

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
