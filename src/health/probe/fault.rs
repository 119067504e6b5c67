//! Whose fault an I/O error is: the target's, or this machine's.
//!
//! Errors which the kernel raises before a packet has left are our own and void the result
//! (DESIGN §5, Health); all others are what the target, or the way to it, did.

use super::Outcome;
use std::{
    io,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
};

/// The outcome of a probe of `to` that ended in `error`.
pub(super) fn judge(error: &io::Error, to: SocketAddr) -> Outcome {
    match error.raw_os_error() {
        Some(libc::EMFILE | libc::ENFILE) => Outcome::void("out of file descriptors"),
        Some(libc::ENOBUFS | libc::ENOMEM) => Outcome::void("out of socket buffers"),
        Some(libc::EADDRNOTAVAIL) => Outcome::void("out of local addresses or ports"),
        Some(libc::EAFNOSUPPORT) => Outcome::void("address family not supported here"),
        Some(libc::ENETUNREACH | libc::EHOSTUNREACH) if !has_route(to) => {
            Outcome::void(format_args!("no route to {}", to.ip()))
        }
        _ => Outcome::failed(words(error)),
    }
}

/// A connection's failure in a word or two.
fn words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "refused".into(),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => "reset".into(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::UnexpectedEof => "closed early".into(),
        io::ErrorKind::TimedOut => "timeout of the connection".into(),
        io::ErrorKind::HostUnreachable => "host unreachable".into(),
        io::ErrorKind::NetworkUnreachable => "network unreachable".into(),
        _ => error.to_string(),
    }
}

/// Whether this machine knows a way to `to`. Unreachable comes from the own kernel, at once, or
/// from a router by ICMP; only the first is our fault. Connecting a UDP socket sends nothing and
/// asks the same routing table, so it fails in the first case alone.
fn has_route(to: SocketAddr) -> bool {
    let any = match to {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
    };
    UdpSocket::bind(any).is_ok_and(|socket| socket.connect(to).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_this_machine_are_void_and_others_are_not() {
        let to = "127.0.0.1:9".parse().unwrap();
        for (errno, void) in [
            (libc::EMFILE, true),
            (libc::ENFILE, true),
            (libc::ENOBUFS, true),
            (libc::EADDRNOTAVAIL, true),
            (libc::ECONNREFUSED, false),
            (libc::ECONNRESET, false),
            (libc::ETIMEDOUT, false),
            // There is a route to loopback, so these can only have come from elsewhere.
            (libc::ENETUNREACH, false),
            (libc::EHOSTUNREACH, false),
        ] {
            let outcome = judge(&io::Error::from_raw_os_error(errno), to);
            assert_eq!(matches!(outcome, Outcome::Void(_)), void, "{outcome:?}");
        }
    }
}
