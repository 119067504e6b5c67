//! One connection: read what has come, answer every whole message, write the replies, again.
//!
//! Generic over the stream, so that TLS needs nothing new. Replies keep the order of the queries:
//! RFC 7766 §6.2.1.1 allows any, so that a slow answer holds up no quick one, but ours are all
//! computed at once and none waits for anything. A client that does not read its replies is not
//! read from. Must not know how the connection was accepted or how many there are.

use super::seats::Seat;
use super::{Worker, stopped};
use crate::telemetry::{CloseReason, Tally, ThreadCounters, Via};
use crate::transport::proxy::{self, HeaderProblem};
use crate::transport::{Answerer, family};
use std::cell::RefCell;
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};

/// The longest message its two-byte prefix can announce (RFC 1035 §4.2.2).
const MESSAGE_MAX: usize = u16::MAX as usize;
/// The longest message with its prefix.
const FRAME_MAX: usize = 2 + MESSAGE_MAX;
/// Queries answered before their replies are written.
const ROUND_QUERIES: usize = 64;
/// Bytes of replies after which a round ends early: some 32 of them, about what one write to a
/// fresh connection may put on the way (initial window: 14 KiB).
const ROUND_BYTES: usize = 16 << 10;
/// Bytes taken at one read: some 400 queries, so that those who pipeline cost few system calls.
const READ_BYTES: usize = 16 << 10;
/// Reads of what follows a broken frame, before the connection is closed whatever comes: 1 MiB,
/// more than a client has on the way that reads its replies.
const LEAVE_READS: usize = 64;
/// Larger buffers are given back when a connection falls idle.
const IDLE_BUFFER: usize = 2_048;

/// Where a worker's connections have their queries answered, one at a time.
pub(super) struct Desk<A> {
    answerer: A,
    /// Queries are answered in place here: a reply may be longer than what came in.
    message: Box<[u8]>,
    /// What arrives is read here first, so that a connection holds no more than it was sent.
    arrivals: Box<[u8]>,
    pub(super) counters: Arc<ThreadCounters>,
}

/// Whose queries a round answers.
#[derive(Clone, Copy)]
struct Client {
    from: SocketAddr,
    /// How long it may be idle once it has its replies.
    idle: Duration,
}

/// What a round did with the bytes it was given.
struct Round {
    /// Bytes of whole messages, from the front.
    consumed: usize,
    /// Whether a frame of length zero came next.
    bad_frame: bool,
}

impl<A: Answerer> Desk<A> {
    pub(super) fn new(answerer: A, counters: Arc<ThreadCounters>) -> Self {
        let (message, arrivals) = (vec![0; MESSAGE_MAX].into(), vec![0; READ_BYTES].into());
        Desk { answerer, message, arrivals, counters }
    }

    pub(super) fn refresh(&mut self) {
        self.answerer.refresh();
    }

    /// Answers the whole messages at the front of `inbox`, as many as make a round, and appends
    /// the replies, framed, to `outbox`.
    fn answer_round(&mut self, mut inbox: &[u8], client: Client, outbox: &mut Vec<u8>) -> Round {
        let mut round = Round { consumed: 0, bad_frame: false };
        for query in 0..ROUND_QUERIES {
            let Some((message, rest)) = split_frame(inbox) else {
                break;
            };
            inbox = rest;
            if message.is_empty() {
                round.bad_frame = true;
                break;
            }
            if query == 0 {
                self.answerer.refresh();
                self.answerer.tell_idle(client.idle);
            }
            round.consumed += 2 + message.len();
            self.answer(message, client.from, outbox);
            if outbox.len() >= ROUND_BYTES {
                break;
            }
        }
        round
    }

    fn answer(&mut self, message: &[u8], from: SocketAddr, outbox: &mut Vec<u8>) {
        self.counters.count(Tally::Query(Via::Tcp, family(&from)));
        if let Some(front) = self.message.get_mut(..message.len()) {
            front.copy_from_slice(message);
        }
        let len = self.answerer.answer(&mut self.message, message.len(), from, Via::Tcp);
        let Some(reply) = self.message.get(..len).filter(|reply| !reply.is_empty()) else { return };
        // The buffer, and so the reply, is no longer than what a prefix can say.
        outbox.extend_from_slice(&(len as u16).to_be_bytes());
        outbox.extend_from_slice(reply);
    }
}

/// The first message of `bytes` and what follows it; none while it is not all there.
fn split_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (prefix, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*prefix)))
}

/// Serves one connection until it ends, and says why it did.
pub(super) async fn converse<S, A>(
    stream: &mut S,
    from: SocketAddr,
    worker: &Worker<A>,
    seat: &Seat,
) -> CloseReason
where
    S: AsyncRead + AsyncWrite + Unpin,
    A: Answerer,
{
    let mut visit = Conversation {
        stream,
        from,
        worker,
        stop: worker.stop.clone(),
        inbox: Vec::new(),
        outbox: Vec::new(),
    };
    let Err(reason) = visit.run(seat).await;
    if reason == CloseReason::BadFrame {
        visit.take_leave().await;
    }
    reason
}

/// A connection, and what was read from it but not answered yet.
struct Conversation<'c, S, A> {
    stream: &'c mut S,
    /// Who asks: behind a proxy, once that has said so, its client.
    from: SocketAddr,
    worker: &'c Worker<A>,
    stop: watch::Receiver<bool>,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin, A: Answerer> Conversation<'_, S, A> {
    async fn run(&mut self, seat: &Seat) -> Result<Infallible, CloseReason> {
        if self.worker.proxies.trust(self.from.ip()) {
            self.take_header().await?;
            seat.belongs_to(self.from.ip());
        }
        let mut deadline = self.idle_deadline();
        let mut begins = true;
        loop {
            let answered = self.answer_all(seat).await?;
            if self.inbox.is_empty() {
                give_back(&mut self.inbox);
                give_back(&mut self.outbox);
                deadline = self.idle_deadline();
            } else if begins || answered {
                // Set once for each message: bytes that dribble in do not extend it.
                deadline = self.message_deadline();
            }
            begins = self.inbox.is_empty();
            self.read(deadline).await?;
        }
    }

    /// Takes the PROXY header off the front of the stream; from then on its client is asking. It
    /// has the time of a message to come.
    async fn take_header(&mut self) -> Result<(), CloseReason> {
        let mut deadline = self.idle_deadline();
        loop {
            let begins = self.inbox.is_empty();
            self.read(deadline).await?;
            match proxy::parse(&self.inbox) {
                Ok(header) => {
                    self.inbox.drain(..header.len);
                    self.from = header.source.unwrap_or(self.from);
                    return Ok(());
                }
                Err(HeaderProblem::Malformed) => return Err(CloseReason::BadProxyHeader),
                Err(HeaderProblem::Incomplete) if begins => deadline = self.message_deadline(),
                Err(HeaderProblem::Incomplete) => {}
            }
        }
    }

    fn idle_deadline(&self) -> Instant {
        Instant::now() + self.worker.seats.idle_limit()
    }

    fn message_deadline(&self) -> Instant {
        Instant::now() + self.worker.seats.limits.message
    }

    /// Closes our half and reads on for a moment. To close with input unread is to reset the
    /// connection, which may take replies from the client that it has not come to read.
    async fn take_leave(&mut self) {
        if self.stream.shutdown().await.is_err() {
            return;
        }
        let deadline = self.message_deadline();
        for _ in 0..LEAVE_READS {
            self.inbox.clear();
            if self.read(deadline).await.is_err() {
                return;
            }
        }
    }

    /// Waits for bytes until `deadline`: that of the message begun, or else that of idleness.
    async fn read(&mut self, deadline: Instant) -> Result<(), CloseReason> {
        let begins = self.inbox.is_empty();
        let Self { stream, worker, inbox, stop, .. } = self;
        let arrival = poll_fn(|cx| poll_arrival(*stream, &worker.desk, inbox, cx));
        // Reading comes first, so that what had arrived when the server stops is answered.
        let read = tokio::select! {
            biased;
            read = timeout_at(deadline, arrival) => read,
            () = stopped(stop) => return Err(CloseReason::Stopping),
        };
        match read {
            Err(_) if begins => Err(CloseReason::Idle),
            Err(_) => Err(CloseReason::SlowMessage),
            Ok(Err(_)) => Err(CloseReason::Error),
            // A client that has closed its half got its replies before we read again.
            Ok(Ok(0)) => Err(CloseReason::Client),
            Ok(Ok(_)) => Ok(()),
        }
    }

    /// Answers every whole message that has come, round by round. Returns whether there was one.
    /// Only who is sent replies keeps `seat` the better for it: silence is for those not wanted.
    async fn answer_all(&mut self, seat: &Seat) -> Result<bool, CloseReason> {
        let mut consumed = 0;
        loop {
            let round = self.answer_round(consumed);
            if !self.outbox.is_empty() {
                self.write().await?;
                seat.touch();
            }
            if round.bad_frame {
                return Err(CloseReason::BadFrame);
            }
            if round.consumed == 0 {
                break;
            }
            consumed += round.consumed;
        }
        self.inbox.drain(..consumed);
        Ok(consumed > 0)
    }

    /// Holds the desk for one round only: others answer while this client takes its replies.
    fn answer_round(&mut self, consumed: usize) -> Round {
        let client = Client { from: self.from, idle: self.worker.seats.idle_limit() };
        let mut desk = self.worker.desk.borrow_mut();
        let waiting = self.inbox.get(consumed..).unwrap_or_default();
        desk.answer_round(waiting, client, &mut self.outbox)
    }

    /// Writes the replies of a round in one go.
    async fn write(&mut self) -> Result<(), CloseReason> {
        let limit = self.worker.seats.limits.write;
        match timeout(limit, send(self.stream, &self.outbox)).await {
            Err(_) => Err(CloseReason::SlowReader),
            Ok(Err(_)) => Err(CloseReason::Error),
            Ok(Ok(())) => {
                self.outbox.clear();
                Ok(())
            }
        }
    }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, replies: &[u8]) -> std::io::Result<()> {
    stream.write_all(replies).await?;
    stream.flush().await
}

/// Appends what has arrived to `inbox`, and says how much that was. Whole messages have been
/// taken out of it, so one of any length finds room: `inbox` never holds more than that.
fn poll_arrival<S: AsyncRead + Unpin, A>(
    stream: &mut S,
    desk: &RefCell<Desk<A>>,
    inbox: &mut Vec<u8>,
    cx: &mut Context<'_>,
) -> Poll<std::io::Result<usize>> {
    let mut desk = desk.borrow_mut();
    let room = FRAME_MAX.saturating_sub(inbox.len());
    let (arrivals, _) = desk.arrivals.split_at_mut(room.min(READ_BYTES));
    let mut arrived = ReadBuf::new(arrivals);
    ready!(Pin::new(stream).poll_read(cx, &mut arrived))?;
    let arrived = arrived.filled();
    grow(inbox, inbox.len() + arrived.len());
    inbox.extend_from_slice(arrived);
    Poll::Ready(Ok(arrived.len()))
}

/// Makes room for `len` bytes that have really arrived, whatever a prefix announces: twice what
/// there was, so that a message in small pieces is not copied for each.
fn grow(inbox: &mut Vec<u8>, len: usize) {
    if len > inbox.capacity() {
        let capacity = len.max(inbox.capacity() * 2).min(FRAME_MAX);
        inbox.reserve_exact(capacity - inbox.len());
    }
}

fn give_back(buffer: &mut Vec<u8>) {
    if buffer.capacity() > IDLE_BUFFER {
        *buffer = Vec::new();
    }
}
