//! Stand-ins for the engine and for clients, shared by the tests of this room.

use super::{Answerer, Proxies, Sockets, Via};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// How long a test waits for what must happen before it fails.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Replies with the query's own bytes, first bit set; obeys the words in [`Echo::answer`].
pub(super) struct Echo;

impl Answerer for Echo {
    fn refresh(&mut self) {}
    fn answer(&mut self, buf: &mut [u8], len: usize, from: SocketAddr, over: Via) -> usize {
        match &buf[..len] {
            b"silence" => return 0,
            b"who asks?" => {
                let from = from.to_string();
                buf[..from.len()].copy_from_slice(from.as_bytes());
                return from.len();
            }
            b"panic" => panic!("asked to"),
            b"longest" if over == Via::Tcp => {
                buf.fill(b'x');
                return buf.len();
            }
            _ => {}
        }
        buf[0] |= 0x80;
        len
    }
}

/// A PROXY header of a client at 192.0.2.7, port 4660, with a TLV behind its addresses.
pub(super) const PROXY_HEADER: &[u8] =
    b"\r\n\r\n\0\r\nQUIT\n\x21\x12\0\x10\xc0\0\x02\x07\xc0\0\x02\x35\x12\x34\0\x35\x04\0\x01x";

/// Networks of loopback, as trusted proxies.
pub(super) fn loopback_proxies() -> Proxies {
    Proxies::within(["127.0.0.0/8", "::1/128"].map(|network| network.parse().unwrap()))
}

/// Sockets on `listen` (port 0) with one thread or worker each.
pub(super) fn sockets(listen: &[&str]) -> Sockets {
    let listen: Vec<SocketAddr> = listen.iter().map(|address| address.parse().unwrap()).collect();
    Sockets::bind(&listen, 1, 1).unwrap()
}

/// A UDP client that talks to nobody but `server`.
pub(super) fn client(server: SocketAddr) -> UdpSocket {
    let any = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
    let client = UdpSocket::bind(any).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.connect(server).unwrap();
    client
}
