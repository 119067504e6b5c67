//! Sockets: how queries come in and replies go out.
//!
//! [`sockets`] binds everything before anything is answered; [`udp`] runs one thread for each
//! socket, [`tcp`] one small tokio loop for each worker. Both hand every packet to an
//! [`Answerer`] of their own, which writes the reply over the query; who asks is what [`proxy`]
//! says where a load balancer stands in front. Must not know what a DNS
//! message says: the answerer decides, counts what it decided, and keeps silent by returning 0.

// Whatever a packet holds, nothing here panics: what could is not written, or says at its place
// which fact keeps it from it.
#![deny(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod proxy;
pub mod sockets;
pub mod tcp;
pub mod udp;

pub use crate::{engine::AHEAD, telemetry::Via};
pub use proxy::Proxies;
pub use sockets::{BindError, Sockets};
pub use tcp::{TcpLimits, TcpServer};
pub use udp::{UdpServer, UdpSettings};

use crate::telemetry::Family;
use std::net::SocketAddr;
use std::time::Duration;

/// Turns queries into replies; each thread of a server owns one.
///
/// The loops count queries, and what they or the kernel drop; RCODEs, TC, ECS and the reasons for
/// silence are the answerer's to count, in the same table.
pub trait Answerer: Send + 'static {
    /// Called before the packets of each batch, and at least once a second when none come: take
    /// the newest World, so that old ones can be freed, and the time if it matters.
    fn refresh(&mut self);

    /// Called before the queries of a stream, after `refresh`: its client may from here on be
    /// idle for `limit`, and is told so if it asks (RFC 7828).
    fn tell_idle(&mut self, limit: Duration) {
        // Whoever tells clients nothing has no use for it.
        let _ = limit;
    }

    /// Says that `packet` came in together with others, up to [`AHEAD`], and will be answered soon.
    fn foresee(&mut self, packet: &[u8]) {
        // Whoever does not care is as right, and perhaps slower.
        let _ = packet;
    }

    /// All that came in together are foreseen; their answers are to follow.
    fn prepare(&mut self) {}

    /// Answers one packet in place: `buf[..len]` holds the query, the reply is written over it;
    /// returns the reply's length, 0 for silence. `buf` is 4,096 bytes over UDP, 65,535 over TCP.
    fn answer(&mut self, buf: &mut [u8], len: usize, from: SocketAddr, over: Via) -> usize;
}

fn family(address: &SocketAddr) -> Family {
    match address {
        SocketAddr::V4(_) => Family::V4,
        SocketAddr::V6(_) => Family::V6,
    }
}

#[cfg(test)]
mod testing;
