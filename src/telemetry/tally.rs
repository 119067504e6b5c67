//! The things every thread counts, whatever zones are loaded: a fixed list with a dense index.
//!
//! Must not know where they are stored ([`super::counters`]) or shown ([`super::metrics`]).

use crate::ids::CounterSlot;

/// A small closed set of label values: gives each variant a dense index and a label.
macro_rules! labels {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $label:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }
        impl $name {
            /// Every variant, in the order of their indices.
            pub const ALL: &'static [$name] = &[$($name::$variant,)*];
            /// The variant as a label's value.
            pub const fn label(self) -> &'static str {
                match self { $($name::$variant => $label,)* }
            }
        }
    };
}

labels! {
    /// How a query came in.
    Via {
        /// In a datagram.
        Udp = "udp",
        /// In a length-prefixed frame of a stream.
        Tcp = "tcp",
    }
}

labels! {
    /// The address family of a client.
    Family {
        /// IPv4.
        V4 = "ipv4",
        /// IPv6.
        V6 = "ipv6",
    }
}

labels! {
    /// Why a packet got no reply.
    DropReason {
        /// Its source port was 0: no reply could arrive there (RFC 768; protocol item 106).
        SourcePortZero = "source_port_zero",
        /// It was longer than the receive buffer.
        Oversize = "oversize",
        /// Shorter than a DNS header.
        Short = "short",
        /// QR was set: a response, never to be answered (reliability S-3).
        Response = "response",
        /// A trusted proxy sent no PROXY header in front of it, or a broken one.
        BadProxyHeader = "bad_proxy_header",
        /// An access list says that its sender gets nothing.
        Access = "access",
        /// Its sender's network was told enough lately (response rate limit).
        RateLimited = "rate_limited",
        /// It was malformed, and enough of those got an error lately (reliability S-3).
        ErrorLimited = "error_limited",
        /// Silent for any other reason.
        Other = "other",
    }
}

labels! {
    /// Why a TCP connection ended.
    CloseReason {
        /// The client closed it.
        Client = "client",
        /// Nothing came for longer than the idle limit.
        Idle = "idle",
        /// A message took longer than the message limit to arrive.
        SlowMessage = "slow_message",
        /// The client did not take its replies in time.
        SlowReader = "slow_reader",
        /// A frame of length zero.
        BadFrame = "bad_frame",
        /// A trusted proxy did not begin with a PROXY header, or with a broken one.
        BadProxyHeader = "bad_proxy_header",
        /// Closed to let a newer connection in.
        Evicted = "evicted",
        /// Reset, or another error of the stream.
        Error = "error",
        /// The server stops.
        Stopping = "stopping",
    }
}

labels! {
    /// What a client's cookie was worth.
    CookieResult {
        /// It had none of ours.
        New = "new",
        /// Ours, and made for its address.
        Valid = "valid",
        /// Not ours, not for its address, or too old.
        Invalid = "invalid",
    }
}

labels! {
    /// On what grounds a steered answer was given.
    Reason {
        /// Available members, as configured.
        Healthy = "healthy",
        /// Too few are up for `min_healthy`, but an up one beats a dead one.
        IgnoringMinHealthy = "ignoring-min-healthy",
        /// A failover answers a member that is not available, because leaving it waits.
        FailoverWaits = "failover-waits",
        /// Nothing is up.
        AllDown = "all-down",
    }
}

labels! {
    /// Where a sampled answer was lost on its way to those who look at traffic.
    Lost {
        /// Control did not take them in as fast as they came.
        Queue = "queue",
        /// The query log could not be written.
        File = "file",
        /// Nobody read dnstap, or not fast enough.
        Dnstap = "dnstap",
    }
}

/// What counts a steered answer: whose it is, and on what grounds it was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    /// The record and the region.
    pub slot: CounterSlot,
    /// The grounds.
    pub reason: Reason,
}

/// RCODEs counted apart: 0..=23 (23 is BADCOOKIE, the largest assigned), and one for the rest.
pub(super) const RCODES: usize = 25;

/// One thing to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Tally {
    /// A packet or frame was handed to the answerer.
    Query(Via, Family),
    /// A reply with this RCODE, extended bits included, was made.
    Response(Via, u16),
    /// A packet got no reply.
    Dropped(DropReason),
    /// A reply was sent with TC set.
    Truncated,
    /// A query carried an ECS option.
    Ecs,
    /// A query carried a cookie.
    Cookie(CookieResult),
    /// A reply over the rate limit was exchanged for an empty one with TC.
    Slipped,
    /// The kernel dropped a datagram because the receive buffer was full (`SO_RXQ_OVFL`).
    KernelDrop,
    /// The kernel refused to send a reply.
    SendDrop,
    /// A packet made the answerer panic.
    Panic,
    /// An answer was sampled.
    Sampled,
    /// A sampled answer was lost.
    SampleLost(Lost),
    /// A TCP connection was accepted.
    TcpOpened,
    /// A TCP connection ended.
    TcpClosed(CloseReason),
}

const VIAS: usize = Via::ALL.len();
const FAMILIES: usize = Family::ALL.len();
const RESPONSES: usize = VIAS * FAMILIES;
const DROPS: usize = RESPONSES + VIAS * RCODES;
const SINGLE: usize = DROPS + DropReason::ALL.len();
const COOKIES: usize = SINGLE + 8;
const LOSSES: usize = COOKIES + CookieResult::ALL.len();
const CLOSES: usize = LOSSES + Lost::ALL.len();

impl Tally {
    /// How many there are.
    pub(super) const COUNT: usize = CLOSES + CloseReason::ALL.len();

    /// Its place in a table of [`Tally::COUNT`].
    #[inline]
    pub(super) const fn index(self) -> usize {
        match self {
            Tally::Query(via, family) => via as usize * FAMILIES + family as usize,
            Tally::Response(via, rcode) => {
                let column = if (rcode as usize) < RCODES { rcode as usize } else { RCODES - 1 };
                RESPONSES + via as usize * RCODES + column
            }
            Tally::Dropped(reason) => DROPS + reason as usize,
            Tally::Truncated => SINGLE,
            Tally::Ecs => SINGLE + 1,
            Tally::KernelDrop => SINGLE + 2,
            Tally::SendDrop => SINGLE + 3,
            Tally::Panic => SINGLE + 4,
            Tally::TcpOpened => SINGLE + 5,
            Tally::Slipped => SINGLE + 6,
            Tally::Sampled => SINGLE + 7,
            Tally::SampleLost(at) => LOSSES + at as usize,
            Tally::Cookie(result) => COOKIES + result as usize,
            Tally::TcpClosed(reason) => CLOSES + reason as usize,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_tally_has_a_place_of_its_own() {
        let mut all = vec![
            Tally::Truncated,
            Tally::Ecs,
            Tally::KernelDrop,
            Tally::SendDrop,
            Tally::Panic,
            Tally::TcpOpened,
            Tally::Slipped,
            Tally::Sampled,
        ];
        for &via in Via::ALL {
            all.extend(Family::ALL.iter().map(|&family| Tally::Query(via, family)));
            all.extend((0..RCODES as u16).map(|rcode| Tally::Response(via, rcode)));
        }
        all.extend(DropReason::ALL.iter().map(|&reason| Tally::Dropped(reason)));
        all.extend(CookieResult::ALL.iter().map(|&result| Tally::Cookie(result)));
        all.extend(Lost::ALL.iter().map(|&at| Tally::SampleLost(at)));
        all.extend(CloseReason::ALL.iter().map(|&reason| Tally::TcpClosed(reason)));
        let places: HashSet<usize> = all.iter().map(|tally| tally.index()).collect();
        assert_eq!(places.len(), all.len());
        assert_eq!(all.len(), Tally::COUNT);
        assert!(places.iter().all(|&place| place < Tally::COUNT));
    }

    #[test]
    fn unassigned_rcodes_share_the_last_place() {
        let last = Tally::Response(Via::Tcp, RCODES as u16 - 1).index();
        assert_eq!(Tally::Response(Via::Tcp, 4095).index(), last);
    }
}
