//! Asking other DNS servers: a question out, the reply that belongs to it back.
//!
//! A client blocks, asks one thing at a time and keeps its sockets, which is what a command needs,
//! and a lookup on a thread of its own.
//! Messages are coded by hickory-proto, never by [`crate::wire`]: a fault of ours must not hide
//! behind itself.

use crate::clock::{Clock, Dice, Moment};
use hickory_proto::{
    ProtoError,
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{
        DNSClass, Name, RecordType,
        rdata::opt::{ClientSubnet, EdnsOption},
    },
    serialize::binary::DecodeError,
};
use ipnet::IpNet;
use std::{
    io::{self, ErrorKind, Read, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket},
    time::Duration,
};

/// The port of DNS (RFC 1035 §4.2).
pub const PORT: u16 = 53;
/// Where the system's resolvers are listed.
pub const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The payload size we say we take: fits every path's MTU (DNS flag day 2020).
const PAYLOAD: u16 = 1232;
/// How often a question is sent over UDP before its server counts as silent.
pub const TRIES: u32 = 3;

/// How a question travels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// A datagram; a truncated reply is asked for again over TCP.
    Udp,
    /// A connection, kept for the next question.
    Tcp,
}

impl Transport {
    /// The word people read.
    pub const fn word(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
        }
    }
}

/// What is asked.
#[derive(Clone, Debug)]
pub struct Question {
    /// Of which name.
    pub name: Name,
    /// Of which type.
    pub rtype: RecordType,
    /// The client's network, told to the server (RFC 7871).
    pub subnet: Option<IpNet>,
    /// Whether signatures are wanted.
    pub dnssec: bool,
    /// Whether the server should ask others for us.
    pub recurse: bool,
}

impl Question {
    /// A plain question to an authoritative server.
    pub fn new(name: Name, rtype: RecordType) -> Self {
        Question { name, rtype, subnet: None, dnssec: false, recurse: false }
    }

    /// The same for a client in `subnet`.
    pub fn for_client(mut self, subnet: IpNet) -> Self {
        self.subnet = Some(subnet);
        self
    }

    /// The question as a message with this id.
    ///
    /// # Errors
    /// When it cannot be one.
    pub fn to_vec(&self, id: u16) -> Result<Vec<u8>, ProtoError> {
        self.message(id).to_vec()
    }

    fn message(&self, id: u16) -> Message {
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD).set_dnssec_ok(self.dnssec);
        if let Some(net) = self.subnet {
            // Bits past the prefix must be zero (RFC 7871 §6).
            let net = net.trunc();
            let option = ClientSubnet::new(net.addr(), net.prefix_len(), 0);
            edns.options_mut().insert(EdnsOption::Subnet(option));
        }
        let mut message = Message::new(id, MessageType::Query, OpCode::Query);
        message.metadata.recursion_desired = self.recurse;
        message.add_query(Query::query(self.name.clone(), self.rtype));
        message.set_edns(edns);
        message
    }

    /// Whether `reply` answers this question; an error without a question section (FORMERR of old
    /// servers) is taken for one.
    fn is_answered_by(&self, reply: &Message, id: u16) -> bool {
        reply.metadata.id == id
            && reply.metadata.message_type == MessageType::Response
            && (!reply.queries.is_empty() || reply.metadata.response_code != ResponseCode::NoError)
            && reply.queries.iter().all(|query| {
                query.name == self.name
                    && query.query_type == self.rtype
                    && query.query_class == DNSClass::IN
            })
    }
}

/// What came back.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The message.
    pub message: Message,
    /// Its length on the wire.
    pub bytes: usize,
    /// From sending the question (the last try of it) to having the reply.
    pub took: Duration,
    /// How it came: TCP also where a UDP reply was truncated.
    pub transport: Transport,
}

/// Why there is no reply.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nothing came in time.
    #[error("no reply over {} within {timeout:?}", .transport.word())]
    Silent {
        /// How it was asked.
        transport: Transport,
        /// For how long, each time.
        timeout: Duration,
    },
    /// The network said no.
    #[error("{}: {error}", .transport.word())]
    Network {
        /// How it was asked.
        transport: Transport,
        /// What it said.
        error: io::Error,
    },
    /// A reply came that is no DNS message.
    #[error("the reply cannot be decoded: {0}")]
    Garbled(#[from] DecodeError),
    /// The question cannot be written as a message.
    #[error("the question cannot be encoded: {0}")]
    Unspeakable(#[from] ProtoError),
}

/// A client of one server.
pub struct Client<'a> {
    clock: &'a dyn Clock,
    server: SocketAddr,
    timeout: Duration,
    ids: Dice,
    udp: Option<UdpSocket>,
    tcp: Option<TcpStream>,
    buffer: Vec<u8>,
}

impl<'a> Client<'a> {
    /// A client that waits `timeout` for each try and draws its message ids from `seed`.
    pub fn new(clock: &'a dyn Clock, server: SocketAddr, timeout: Duration, seed: u64) -> Self {
        Client {
            clock,
            server,
            timeout,
            ids: Dice::seeded(seed),
            udp: None,
            tcp: None,
            buffer: vec![0; usize::from(u16::MAX)],
        }
    }

    /// Asks, over TCP as well when the UDP reply was truncated (RFC 7766 §5).
    ///
    /// # Errors
    /// When no reply that belongs to the question came.
    pub fn ask(&mut self, question: &Question, transport: Transport) -> Result<Reply, AskError> {
        let id = (self.ids.roll() >> 48) as u16;
        let query = question.to_vec(id)?;
        if transport == Transport::Udp {
            let reply = self.ask_udp(question, id, &query)?;
            if !reply.message.metadata.truncation {
                return Ok(reply);
            }
        }
        self.ask_tcp(question, id, &query)
    }

    fn ask_udp(&mut self, question: &Question, id: u16, query: &[u8]) -> Result<Reply, AskError> {
        let failed = |error| AskError::Network { transport: Transport::Udp, error };
        if self.udp.is_none() {
            self.udp = Some(connect_udp(self.server).map_err(failed)?);
        }
        for _ in 0..TRIES {
            let sent = self.clock.now();
            if let Some(socket) = &self.udp {
                socket.send(query).map_err(failed)?;
            }
            while let Some(bytes) = self.receive_udp(sent).map_err(failed)? {
                let datagram = &self.buffer[..bytes];
                if !datagram.starts_with(&id.to_be_bytes()) {
                    continue; // A late reply to an earlier question.
                }
                let message = Message::from_vec(datagram)?;
                if question.is_answered_by(&message, id) {
                    let took = self.clock.now().since(sent);
                    let transport = Transport::Udp;
                    return Ok(Reply { message, bytes, took, transport });
                }
            }
        }
        Err(AskError::Silent { transport: Transport::Udp, timeout: self.timeout * TRIES })
    }

    /// The next datagram, or `None` once the time since `sent` is up.
    fn receive_udp(&mut self, sent: Moment) -> io::Result<Option<usize>> {
        let (Some(socket), Some(left)) = (&self.udp, self.left(sent)) else {
            return Ok(None);
        };
        socket.set_read_timeout(Some(left))?;
        match socket.recv(&mut self.buffer) {
            Ok(bytes) => Ok(Some(bytes)),
            Err(e) if is_timeout(&e) => Ok(None),
            Err(e) => Err(e),
        }
    }

    fn ask_tcp(&mut self, question: &Question, id: u16, query: &[u8]) -> Result<Reply, AskError> {
        let kept = self.tcp.is_some();
        let sent = self.clock.now();
        let mut result = self.exchange_tcp(query, sent);
        // A server may close an idle connection at any time (RFC 7766 §6.2.3): once more, afresh.
        if kept && result.as_ref().is_err_and(|e| !is_timeout(e)) {
            self.tcp = None;
            result = self.exchange_tcp(query, sent);
        }
        let bytes = match result {
            Ok(bytes) => bytes,
            Err(error) => {
                self.tcp = None;
                return Err(self.tcp_failure(error));
            }
        };
        let message = Message::from_vec(&self.buffer[..bytes])?;
        if !question.is_answered_by(&message, id) {
            self.tcp = None;
            return Err(self.tcp_failure(io::Error::other("the reply is to another question")));
        }
        let took = self.clock.now().since(sent);
        let transport = Transport::Tcp;
        Ok(Reply { message, bytes, took, transport })
    }

    fn exchange_tcp(&mut self, query: &[u8], sent: Moment) -> io::Result<usize> {
        let timeout = || io::Error::from(ErrorKind::TimedOut);
        let mut stream = match self.tcp.take() {
            Some(stream) => stream,
            None => TcpStream::connect_timeout(&self.server, self.timeout)?,
        };
        // Length and message in one write, so that they travel in one segment (RFC 7766 §8).
        let mut framed = Vec::with_capacity(2 + query.len());
        framed.extend((query.len() as u16).to_be_bytes());
        framed.extend(query);
        stream.set_write_timeout(Some(self.left(sent).ok_or_else(timeout)?))?;
        stream.write_all(&framed)?;
        let mut length = [0; 2];
        self.read_tcp(&mut stream, &mut length, sent)?;
        let length = usize::from(u16::from_be_bytes(length));
        let mut buffer = std::mem::take(&mut self.buffer);
        let result = self.read_tcp(&mut stream, &mut buffer[..length], sent);
        self.buffer = buffer;
        result?;
        self.tcp = Some(stream);
        Ok(length)
    }

    /// Fills `to` in the time that is left since `sent`, however many pieces it comes in.
    fn read_tcp(&self, stream: &mut TcpStream, mut to: &mut [u8], sent: Moment) -> io::Result<()> {
        while !to.is_empty() {
            let left = self.left(sent).ok_or_else(|| io::Error::from(ErrorKind::TimedOut))?;
            stream.set_read_timeout(Some(left))?;
            match stream.read(to) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => to = &mut to[read..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn tcp_failure(&self, error: io::Error) -> AskError {
        let transport = Transport::Tcp;
        if is_timeout(&error) {
            let timeout = self.timeout;
            AskError::Silent { transport, timeout }
        } else {
            AskError::Network { transport, error }
        }
    }

    /// What is left of the time for a try begun at `sent`.
    fn left(&self, sent: Moment) -> Option<Duration> {
        let left = self.timeout.checked_sub(self.clock.now().since(sent))?;
        (!left.is_zero()).then_some(left)
    }
}

/// A socket that hears `server` only.
fn connect_udp(server: SocketAddr) -> io::Result<UdpSocket> {
    let any: IpAddr = match server {
        SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(server)?;
    Ok(socket)
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

/// The system's resolvers, as they are listed now.
pub fn system_resolvers() -> impl Iterator<Item = IpAddr> {
    resolvers(&std::fs::read_to_string(RESOLV_CONF).unwrap_or_default()).into_iter()
}

/// The `nameserver` lines of resolv.conf(5).
fn resolvers(text: &str) -> Vec<IpAddr> {
    let listed = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.parse().ok())?
    });
    listed.collect()
}

/// A seed nobody chose: the randomness std keeps its hash maps safe with.
pub fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_error_may_come_without_its_question() {
        let question = Question::new(Name::root(), RecordType::A);
        let mut reply = Message::new(7, MessageType::Response, OpCode::Query);
        assert!(!question.is_answered_by(&reply, 7), "anybody's addresses");
        reply.metadata.response_code = ResponseCode::FormErr;
        assert!(question.is_answered_by(&reply, 7));
    }

    #[test]
    fn a_reply_that_comes_byte_by_byte_is_waited_for_no_longer_than_another() {
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let server = listener.local_addr().unwrap();
        let drip = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.write_all(&[1]).is_ok() {
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        let clock = crate::clock::SystemClock::default();
        let mut client = Client::new(&clock, server, Duration::from_millis(200), 1);
        let question = Question::new(Name::root(), RecordType::A);
        let error = client.ask(&question, Transport::Tcp).unwrap_err();
        assert!(matches!(error, AskError::Silent { .. }), "{error}");
        drop(client);
        drip.join().unwrap();
    }

    #[test]
    fn resolvers_are_read_as_the_system_lists_them() {
        let text = "# made by dhcp\nsearch example.com\nnameserver 192.0.2.1\n\
                    nameserver\t2001:db8::1 # second\noptions edns0\nnameserver nonsense\n";
        let found: Vec<_> = resolvers(text).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["192.0.2.1", "2001:db8::1"]);
    }
}
