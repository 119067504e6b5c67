//! Stand-ins for the engine and for clients, shared by the tests of this room.

use super::{Answerer, Sockets, Via};
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

/// How long a test waits for what must happen before it fails.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Replies with the query's own bytes, first bit set; obeys the words in [`Echo::answer`].
pub(super) struct Echo;

impl Answerer for Echo {
    fn refresh(&mut self) {}
    fn answer(&mut self, buf: &mut [u8], len: usize, _from: SocketAddr, over: Via) -> usize {
        match &buf[..len] {
            b"silence" => return 0,
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
