//! A TCP client that sends what it likes: whole messages, many at once, halves, single bytes.

use super::DEADLINE;
use socket2::{Domain, Socket, Type};
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, Shutdown, SocketAddr, TcpStream},
    time::Duration,
};

/// `message` with its length in front, as it goes over TCP.
pub fn frame(message: &[u8]) -> Vec<u8> {
    let prefix = u16::try_from(message.len()).unwrap();
    [&prefix.to_be_bytes(), message].concat()
}

/// A connection to a server under test.
pub struct Stream(pub TcpStream);

impl Stream {
    /// From wherever the kernel likes.
    pub fn connect(server: SocketAddr) -> Self {
        Stream::set_up(TcpStream::connect(server).unwrap())
    }

    /// From one of the many addresses that a host has on loopback.
    pub fn connect_from(source: IpAddr, server: SocketAddr) -> Self {
        let connected = Stream::try_connect_from(source, server, DEADLINE);
        connected.unwrap_or_else(|e| panic!("{source} to {server}: {e}"))
    }

    /// The same, unless the server does not take it within `patience`.
    pub fn try_connect_from(
        source: IpAddr,
        server: SocketAddr,
        patience: Duration,
    ) -> io::Result<Self> {
        let socket = Socket::new(Domain::for_address(server), Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(source, 0).into())?;
        socket.connect_timeout(&server.into(), patience)?;
        Ok(Stream::set_up(socket.into()))
    }

    fn set_up(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.set_write_timeout(Some(DEADLINE)).unwrap();
        Stream(stream)
    }

    /// Sends `bytes` as they are.
    pub fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).unwrap();
    }

    /// The next message; `None` once the server has closed.
    pub fn next(&mut self) -> Option<Vec<u8>> {
        match self.read() {
            Err(e) if is_gone(&e) => None,
            read => read.unwrap(),
        }
    }

    fn read(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut prefix = [0; 2];
        if self.0.read(&mut prefix[..1])? == 0 {
            return Ok(None);
        }
        self.0.read_exact(&mut prefix[1..])?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(prefix))];
        self.0.read_exact(&mut message)?;
        Ok(Some(message))
    }

    /// Sends a whole message and waits for the next one; `None` once the server has closed.
    pub fn ask(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        match self.exchange(message) {
            Err(e) if is_gone(&e) => None,
            reply => reply.unwrap(),
        }
    }

    /// The same, and `None` too when no reply comes in time.
    pub fn try_ask(&mut self, message: &[u8]) -> Option<Vec<u8>> {
        self.exchange(message).ok().flatten()
    }

    fn exchange(&mut self, message: &[u8]) -> io::Result<Option<Vec<u8>>> {
        self.0.write_all(&frame(message))?;
        self.read()
    }

    /// Says that nothing more will come.
    pub fn finish(&self) {
        self.0.shutdown(Shutdown::Write).unwrap();
    }

    /// Sends one byte without waiting; false once the server has closed.
    pub fn dribble(&mut self) -> bool {
        self.0.set_nonblocking(true).unwrap();
        let closed = match self.0.read(&mut [0]) {
            Err(e) if e.kind() == ErrorKind::WouldBlock => false,
            Ok(0) => true,
            Err(e) if is_gone(&e) => true,
            other => panic!("a reply to half a message: {other:?}"),
        };
        let open = !closed && !self.0.write(&[0]).is_err_and(|e| is_gone(&e));
        self.0.set_nonblocking(false).unwrap();
        open
    }
}

fn is_gone(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted
    )
}
