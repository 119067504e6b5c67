//! How a UDP socket is set up before it is bound.
//!
//! Must not know how many there are or who binds them: [`crate::transport::sockets`] does.

use super::sys::set_option;
use libc::c_int;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

/// Buffer asked for to receive: the kernel doubles it and charges a small datagram 768 bytes, so it
/// holds 10,900, which is 70 ms of 150,000 a second. That long a thread may be kept from its core, by
/// others or by the host of a virtual machine, and loses nothing; and it is a fraction of what the
/// quickest resolvers wait before they ask again. The usual default of 208 KiB holds 270.
const RECEIVE: usize = 4 << 20;
/// The same to send: 42 batches of replies for an interface that is behind.
const SEND: usize = 1 << 20;
/// The longest a thread waits in the kernel: bounds how long it keeps an old World alive.
const RECEIVE_TIMEOUT: Duration = Duration::from_secs(1);

/// A socket for `address`, ready to be bound.
pub(in crate::transport) fn open(address: &SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(*address), Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_read_timeout(Some(RECEIVE_TIMEOUT))?;
    enlarge_buffers(&socket)?;
    let on = |level, name| set_option(socket.as_fd(), level, name, 1);
    on(libc::SOL_SOCKET, libc::SO_RXQ_OVFL)?;
    // PROBE sets DF and ignores the path MTU: nobody can make us send fragments, neither a router
    // on the way nor a forged ICMP "fragmentation needed" (reliability S-16). Replies stay below
    // 1,232 bytes, so they fit every path IPv6 may take.
    match address {
        SocketAddr::V4(_) => {
            set(&socket, libc::IPPROTO_IP, libc::IP_MTU_DISCOVER, libc::IP_PMTUDISC_PROBE)?;
        }
        SocketAddr::V6(_) => {
            socket.set_only_v6(true)?;
            set(&socket, libc::IPPROTO_IPV6, libc::IPV6_MTU_DISCOVER, libc::IPV6_PMTUDISC_PROBE)?;
        }
    }
    // Without it a reply to a wildcard bind leaves from whatever address routing prefers, and the
    // client drops it. It costs 5 %, so an explicit bind does without (protocol item 106).
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => on(libc::IPPROTO_IP, libc::IP_PKTINFO)?,
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => {
            on(libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO)?;
            // What is ours by a local route alone (anycast, load balancers) is received; IPv4 lets
            // a reply leave from there too, IPv6 refuses it as a source without this.
            socket.set_freebind_v6(true)?;
        }
        _ => {}
    }
    Ok(socket)
}

pub(in crate::transport) fn set(
    socket: &Socket,
    level: c_int,
    name: c_int,
    value: c_int,
) -> io::Result<()> {
    set_option(socket.as_fd(), level, name, value)
}

/// Asks past `net.core.rmem_max` and `wmem_max` first, which takes CAP_NET_ADMIN, then up to them.
fn enlarge_buffers(socket: &Socket) -> io::Result<()> {
    let force = |name, bytes| set(socket, libc::SOL_SOCKET, name, bytes as c_int);
    force(libc::SO_RCVBUFFORCE, RECEIVE).or_else(|_| socket.set_recv_buffer_size(RECEIVE))?;
    force(libc::SO_SNDBUFFORCE, SEND).or_else(|_| socket.set_send_buffer_size(SEND))
}

/// Tells the operator if `socket`, one of many alike, may lose bursts.
pub(in crate::transport) fn warn_if_small(socket: &Socket) {
    match socket.recv_buffer_size() {
        Ok(bytes) if bytes < RECEIVE => tracing::warn!(
            bytes,
            "UDP receive buffers are small and bursts will be lost: set net.core.rmem_max to \
             {RECEIVE} and wmem_max to {SEND} (packaging/sysctl.d/tradewind.conf) or grant CAP_NET_ADMIN"
        ),
        _ => {}
    }
}
