//! Binding: every socket of the server, before a single query is answered.
//!
//! Doing it all at once makes a wrong address, a missing capability or a second server an error at
//! start instead of a gap in service. Must not know what is served on the sockets.

use super::udp;
use crate::telemetry::Via;
use socket2::{Domain, Protocol, Socket, Type};
use std::io::{self, ErrorKind};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

/// The port that is asked unless a delegation could say otherwise, which none can (RFC 1035 §4.2).
const DNS: u16 = 53;
/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 1_024;
/// How long the kernel keeps a connection to itself on which nothing was asked; it rounds up to
/// the times at which it repeats its SYN-ACK, here after 3 s.
const DEFER_SECONDS: i32 = 2;
/// Ports tried when any will do, because one that is free for UDP may be taken for TCP.
const PORT_TRIES: usize = 16;

/// Why the server cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// EACCES.
    #[error(
        "no permission to listen on {address} ({}): ports below 1024 need CAP_NET_BIND_SERVICE; run \
         `setcap cap_net_bind_service=+ep` on the program, or set \
         AmbientCapabilities=CAP_NET_BIND_SERVICE in its systemd unit, or listen on a higher port",
        over.label()
    )]
    Denied {
        /// The address asked for.
        address: SocketAddr,
        /// The protocol asked for.
        over: Via,
    },
    /// EADDRINUSE.
    #[error(
        "{address} ({}) is in use by another program: `ss -lntup 'sport = :{}'` names it; stop it \
         or listen elsewhere (systemd-resolved holds 127.0.0.53:53, which only conflicts with a \
         wildcard: list the addresses instead)",
        over.label(), address.port()
    )]
    InUse {
        /// The address asked for.
        address: SocketAddr,
        /// The protocol asked for.
        over: Via,
    },
    /// EADDRNOTAVAIL.
    #[error("no interface of this machine has the address {}: add it or correct `listen`", address.ip())]
    NotOurs {
        /// The address asked for.
        address: SocketAddr,
    },
    /// Any other refusal.
    #[error("cannot listen on {address} ({}): {error}", over.label())]
    Refused {
        /// The address asked for.
        address: SocketAddr,
        /// The protocol asked for.
        over: Via,
        /// What the system said.
        error: io::Error,
    },
}

/// Port 53 of every address of the families that this machine has: where to listen if nobody says
/// otherwise. A family that it lacks is told.
pub fn everywhere() -> Vec<SocketAddr> {
    let all: [IpAddr; 2] = [Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()];
    all.into_iter().filter(has_family).map(|ip| SocketAddr::new(ip, DNS)).collect()
}

/// Whether there can be sockets for addresses like `ip`. Whatever else is wrong with one, binding
/// finds and explains.
fn has_family(ip: &IpAddr) -> bool {
    let domain = Domain::for_address(SocketAddr::new(*ip, DNS));
    match Socket::new(domain, Type::DGRAM, Some(Protocol::UDP)) {
        Err(error) if error.raw_os_error() == Some(libc::EAFNOSUPPORT) => {
            tracing::warn!(address = %ip, %error, "the default of `listen` is cut to what there is");
            false
        }
        _ => true,
    }
}

/// The server's sockets, bound and waiting.
#[derive(Debug)]
pub struct Sockets {
    /// The addresses bound, each for UDP and TCP, with their real ports.
    pub addresses: Vec<SocketAddr>,
    /// One for each UDP thread and address: for [`super::UdpServer::start`].
    pub udp: Vec<Socket>,
    /// For each TCP worker one for each address: for [`super::TcpServer::start`].
    pub tcp: Vec<Vec<TcpListener>>,
}

impl Sockets {
    /// Binds each address for UDP and TCP, `udp_threads` and `tcp_workers` times. The first
    /// address with port 0 takes any port that is free for both, and later ones take the same.
    ///
    /// # Errors
    /// At the first address that cannot be bound.
    pub fn bind(
        listen: &[SocketAddr],
        udp_threads: usize,
        tcp_workers: usize,
    ) -> Result<Sockets, BindError> {
        let any_port = listen.iter().any(|address| address.port() == 0);
        let mut tries = if any_port { PORT_TRIES } else { 1 };
        loop {
            tries -= 1;
            match bind_once(listen, udp_threads, tcp_workers) {
                Err(BindError::InUse { .. }) if tries > 0 => {}
                Err(error) => return Err(error),
                Ok(sockets) => {
                    sockets.udp.first().inspect(|socket| udp::socket::warn_if_small(socket));
                    return Ok(sockets);
                }
            }
        }
    }
}

fn bind_once(
    listen: &[SocketAddr],
    udp_threads: usize,
    tcp_workers: usize,
) -> Result<Sockets, BindError> {
    let mut sockets = Sockets { addresses: Vec::new(), udp: Vec::new(), tcp: Vec::new() };
    sockets.tcp.resize_with(tcp_workers, Vec::new);
    let mut any_port = None;
    for &address in listen {
        let mut address = address;
        if address.port() == 0 {
            address.set_port(any_port.unwrap_or(0));
        }
        let udp = bind_group(&mut address, Via::Udp, udp_threads)?;
        let tcp = bind_group(&mut address, Via::Tcp, tcp_workers)?;
        any_port = any_port.or(Some(address.port()));
        sockets.addresses.push(address);
        sockets.udp.extend(udp);
        for (worker, socket) in sockets.tcp.iter_mut().zip(tcp) {
            socket.listen(BACKLOG).map_err(|e| explain(e, address, Via::Tcp))?;
            worker.push(socket.into());
        }
    }
    Ok(sockets)
}

/// Binds `count` sockets to one address; if its port is 0, writes the port the first one got.
///
/// The first is bound without `SO_REUSEPORT` and shares only afterwards: so a second server of
/// the same user is refused instead of taking half of our clients, and port 0 cannot hand us a
/// port that another such group already shares.
fn bind_group(address: &mut SocketAddr, over: Via, count: usize) -> Result<Vec<Socket>, BindError> {
    let mut group = Vec::with_capacity(count);
    for i in 0..count {
        let bound = bind_socket(address, over, i > 0);
        group.push(bound.map_err(|e| explain(e, *address, over))?);
    }
    Ok(group)
}

fn bind_socket(address: &mut SocketAddr, over: Via, join: bool) -> io::Result<Socket> {
    let socket = match over {
        Via::Udp => udp::socket::open(address)?,
        Via::Tcp => open_tcp(address)?,
    };
    socket.set_reuse_port(join)?;
    socket.bind(&(*address).into())?;
    socket.set_reuse_port(true)?;
    if let (0, Some(bound)) = (address.port(), socket.local_addr()?.as_socket()) {
        address.set_port(bound.port());
    }
    Ok(socket)
}

fn open_tcp(address: &SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(*address), Type::STREAM, Some(Protocol::TCP))?;
    // Connections of a server just stopped linger in TIME_WAIT and must not hold up the next.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Who connects and says nothing costs neither a wake-up nor a seat until it speaks or, after
    // a last look from the kernel, this has passed: as long as one message may take.
    udp::socket::set(&socket, libc::IPPROTO_TCP, libc::TCP_DEFER_ACCEPT, DEFER_SECONDS)?;
    Ok(socket)
}

fn explain(error: io::Error, address: SocketAddr, over: Via) -> BindError {
    match error.kind() {
        ErrorKind::PermissionDenied => BindError::Denied { address, over },
        ErrorKind::AddrInUse => BindError::InUse { address, over },
        ErrorKind::AddrNotAvailable => BindError::NotOurs { address },
        _ => BindError::Refused { address, over, error },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bind(listen: &[&str], count: usize) -> Result<Sockets, BindError> {
        let listen: Vec<SocketAddr> = listen.iter().map(|a| a.parse().unwrap()).collect();
        Sockets::bind(&listen, count, count)
    }

    #[test]
    fn port_zero_is_one_port_for_all_addresses_and_protocols() {
        let sockets = bind(&["127.0.0.1:0", "127.0.0.2:0", "[::1]:0"], 2).unwrap();
        let port = sockets.addresses[0].port();
        assert_ne!(port, 0);
        assert!(sockets.addresses.iter().all(|address| address.port() == port));
        assert_eq!(sockets.udp.len(), 6);
        assert_eq!(sockets.tcp.len(), 2);
        for listener in sockets.tcp.iter().flatten() {
            assert_eq!(listener.local_addr().unwrap().port(), port);
        }
    }

    #[test]
    fn a_second_server_of_the_same_user_is_refused() {
        let first = bind(&["127.0.0.1:0"], 2).unwrap();
        let taken = first.addresses[0].to_string();
        let refused = bind(&[&taken], 2).unwrap_err();
        assert!(matches!(refused, BindError::InUse { over: Via::Udp, .. }), "{refused}");
        assert!(refused.to_string().starts_with(&taken), "{refused}");
        drop(first.udp);
        let refused = bind(&[&taken], 2).unwrap_err();
        assert!(matches!(refused, BindError::InUse { over: Via::Tcp, .. }), "{refused}");
        drop(first.tcp);
        bind(&[&taken], 2).unwrap();
    }

    #[test]
    fn an_address_of_another_machine_is_named() {
        let refused = bind(&["192.0.2.1:0"], 1).unwrap_err();
        assert!(matches!(refused, BindError::NotOurs { .. }), "{refused}");
        assert!(refused.to_string().contains("192.0.2.1"));
    }

    #[test]
    fn a_refusal_names_the_address_and_the_remedy() {
        let cases = [
            (libc::EACCES, ["127.0.0.1:53", "setcap cap_net_bind_service=+ep"]),
            (libc::EADDRINUSE, ["127.0.0.1:53", "ss -lntup 'sport = :53'"]),
            (libc::EADDRNOTAVAIL, ["127.0.0.1", "correct `listen`"]),
            (libc::EMFILE, ["127.0.0.1:53", "Too many open files"]),
        ];
        for (code, parts) in cases {
            let error = io::Error::from_raw_os_error(code);
            let told = explain(error, "127.0.0.1:53".parse().unwrap(), Via::Udp).to_string();
            assert!(parts.iter().all(|part| told.contains(part)), "{told}");
        }
    }

    #[test]
    fn buffers_hold_a_burst() {
        let sockets = bind(&["127.0.0.1:0", "[::]:0"], 1).unwrap();
        let allowed = |max, asked: usize| {
            let max = std::fs::read_to_string(format!("/proc/sys/net/core/{max}")).unwrap();
            // The kernel doubles what is asked for.
            2 * max.trim().parse::<usize>().unwrap().min(asked)
        };
        for socket in &sockets.udp {
            assert!(socket.recv_buffer_size().unwrap() >= allowed("rmem_max", 4 << 20));
            assert!(socket.send_buffer_size().unwrap() >= allowed("wmem_max", 1 << 20));
        }
    }
}
