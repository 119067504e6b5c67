//! Many questions: a steady stream in which nothing may be lost, and a great number at once.
//!
//! What is in flight is bounded, so that no socket buffer overflows: a question without a reply
//! was lost by the server.

use super::{DEADLINE, await_some_for};
use hickory_proto::{
    op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
    rr::{RData, RecordType, rdata::opt::ClientSubnet, rdata::opt::EdnsOption},
};
use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr, UdpSocket},
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tradewind::clock::{Clock, Moment, SystemClock};

/// Questions in flight: their replies fit the 208 KiB which a socket has by default.
const WINDOW: usize = 128;
/// How often a stream looks whether its next question is due.
const TICK: Duration = Duration::from_millis(1);
/// How soon [`first_answer`] asks again.
const AGAIN: Duration = Duration::from_millis(5);

/// A question on the wire, to be sent any number of times.
#[derive(Clone)]
pub struct Ask(Vec<u8>);

impl Ask {
    /// `owner` and `rtype`; `client` is a network for ECS, or empty.
    pub fn new(owner: &str, rtype: RecordType, client: &str) -> Self {
        let mut message = Message::new(0, MessageType::Query, OpCode::Query);
        message.add_query(Query::query(super::dns::name(owner), rtype));
        let mut edns = Edns::new();
        edns.set_max_payload(1232);
        if !client.is_empty() {
            let net: ipnet::IpNet = client.parse().unwrap();
            let option = ClientSubnet::new(net.addr(), net.prefix_len(), 0);
            edns.options_mut().insert(EdnsOption::Subnet(option));
        }
        message.set_edns(edns);
        Ask(message.to_vec().unwrap())
    }

    /// An A question.
    pub fn a(owner: &str) -> Self {
        Ask::new(owner, RecordType::A, "")
    }
}

/// What a reply says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Its rcode.
    pub rcode: ResponseCode,
    /// The addresses, in its order.
    pub addresses: Vec<IpAddr>,
    /// The text of the first TXT record.
    pub text: Option<String>,
    /// The TTL of the first record.
    pub ttl: Option<u32>,
}

impl Answer {
    fn read(message: &Message) -> Self {
        let text = message.answers.iter().find_map(|record| match &record.data {
            RData::TXT(txt) => Some(String::from_utf8(txt.txt_data.concat()).unwrap()),
            _ => None,
        });
        Answer {
            rcode: message.metadata.response_code,
            addresses: super::dns::addresses(message),
            text,
            ttl: message.answers.first().map(|record| record.ttl),
        }
    }

    /// The only address.
    pub fn address(&self) -> IpAddr {
        let [address] = self.addresses[..] else { panic!("not one address: {self:?}") };
        address
    }
}

/// A question that was answered.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// Which of the questions.
    pub ask: usize,
    /// When it was sent.
    pub asked: Moment,
    /// When the reply came.
    pub answered: Moment,
    /// The reply.
    pub answer: Answer,
}

/// A socket with questions in flight.
struct Pipe {
    clock: SystemClock,
    socket: UdpSocket,
    next: u16,
    in_flight: HashMap<u16, (usize, Moment)>,
    buffer: [u8; 4096],
}

impl Pipe {
    fn to(server: SocketAddr, clock: SystemClock) -> Self {
        let any: IpAddr = if server.is_ipv4() { [0; 4].into() } else { [0; 16].into() };
        let socket = UdpSocket::bind((any, 0)).unwrap();
        socket.connect(server).unwrap();
        Pipe { clock, socket, next: 0, in_flight: HashMap::new(), buffer: [0; 4096] }
    }

    fn is_full(&self) -> bool {
        self.in_flight.len() >= WINDOW
    }

    fn send(&mut self, ask: usize, question: &Ask) {
        while self.in_flight.contains_key(&self.next) {
            self.next = self.next.wrapping_add(1);
        }
        let mut bytes = question.0.clone();
        bytes[..2].copy_from_slice(&self.next.to_be_bytes());
        self.in_flight.insert(self.next, (ask, self.clock.now()));
        self.next = self.next.wrapping_add(1);
        // Refused when nobody listens there: then there is no reply either.
        let _ = self.socket.send(&bytes);
    }

    /// The next reply, if one comes within `wait`.
    fn receive(&mut self, wait: Duration) -> Option<Exchange> {
        self.socket.set_read_timeout(Some(wait)).unwrap();
        let bytes = self.socket.recv(&mut self.buffer).ok()?;
        let answered = self.clock.now();
        let message = Message::from_vec(&self.buffer[..bytes]).unwrap();
        let (ask, asked) = self.in_flight.remove(&message.metadata.id)?;
        Some(Exchange { ask, asked, answered, answer: Answer::read(&message) })
    }
}

/// Asks all of `questions`, many at a time; hands on which it was and its answer.
///
/// # Panics
/// When one is not answered.
pub fn ask_all(
    server: SocketAddr,
    questions: impl IntoIterator<Item = Ask>,
    mut take: impl FnMut(usize, Answer),
) {
    let mut pipe = Pipe::to(server, SystemClock::default());
    let mut questions = questions.into_iter().enumerate().fuse();
    loop {
        while !pipe.is_full() {
            let Some((ask, question)) = questions.next() else { break };
            pipe.send(ask, &question);
        }
        if pipe.in_flight.is_empty() {
            return;
        }
        let Some(exchange) = pipe.receive(DEADLINE) else {
            panic!("{} questions were lost", pipe.in_flight.len());
        };
        take(exchange.ask, exchange.answer);
    }
}

/// Asks again and again until `accept` likes the answer, as clients of a server that starts do.
pub fn first_answer(
    server: SocketAddr,
    clock: SystemClock,
    question: &Ask,
    mut accept: impl FnMut(&Answer) -> bool,
) -> Exchange {
    let mut pipe = Pipe::to(server, clock);
    await_some_for(DEADLINE, "the first right answer", || {
        pipe.send(0, question);
        pipe.receive(AGAIN).filter(|exchange| accept(&exchange.answer))
    })
}

/// Questions asked in turn, so many a second, until it is stopped.
pub struct Stream {
    shared: Arc<Shared>,
    thread: JoinHandle<usize>,
}

struct Shared {
    seen: Mutex<Vec<Exchange>>,
    stopping: AtomicBool,
}

impl Stream {
    /// Starts to ask `questions` in turn; moments are those of `clock`.
    pub fn start(
        server: SocketAddr,
        clock: SystemClock,
        questions: Vec<Ask>,
        per_second: u32,
    ) -> Self {
        let shared = Arc::new(Shared { seen: Mutex::default(), stopping: AtomicBool::new(false) });
        let pipe = Pipe::to(server, clock);
        let theirs = Arc::clone(&shared);
        let thread = thread::spawn(move || theirs.run(pipe, &questions, per_second));
        Stream { shared, thread }
    }

    /// The exchanges so far, in the order in which replies came.
    pub fn seen(&self) -> MutexGuard<'_, Vec<Exchange>> {
        self.shared.seen.lock().unwrap()
    }

    /// Waits for the first exchange that `accept` likes, among those asked from now on.
    pub fn await_answer(
        &self,
        what: &str,
        deadline: Duration,
        mut accept: impl FnMut(&Exchange) -> bool,
    ) -> Exchange {
        let mut looked_at = self.seen().len();
        await_some_for(deadline, what, || {
            let seen = self.seen();
            let found = seen[looked_at..].iter().find(|exchange| accept(exchange));
            looked_at = seen.len();
            found.cloned()
        })
    }

    /// Stops asking, waits for the last replies and gives all exchanges in the order in which
    /// they were asked.
    ///
    /// # Panics
    /// When a question was lost.
    pub fn stop(self) -> Vec<Exchange> {
        self.shared.stopping.store(true, SeqCst);
        let lost = self.thread.join().unwrap();
        let mut seen = std::mem::take(&mut *self.shared.seen.lock().unwrap());
        assert_eq!(lost, 0, "questions lost beside {} that were answered", seen.len());
        seen.sort_by_key(|exchange| exchange.asked);
        seen
    }
}

impl Shared {
    /// Returns how many questions had no reply.
    fn run(&self, mut pipe: Pipe, questions: &[Ask], per_second: u32) -> usize {
        let clock = pipe.clock;
        let begun = clock.now();
        let mut sent = 0;
        while !self.stopping.load(SeqCst) {
            let due = clock.now().since(begun).as_secs_f64() * f64::from(per_second);
            while (sent as f64) < due && !pipe.is_full() {
                pipe.send(sent % questions.len(), &questions[sent % questions.len()]);
                sent += 1;
            }
            if let Some(exchange) = pipe.receive(TICK) {
                self.seen.lock().unwrap().push(exchange);
            }
        }
        while !pipe.in_flight.is_empty() {
            match pipe.receive(DEADLINE) {
                Some(exchange) => self.seen.lock().unwrap().push(exchange),
                None => break,
            }
        }
        pipe.in_flight.len()
    }
}
