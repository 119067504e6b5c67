//! One connection: read what has come, answer every whole message, write the replies, again.
//!
//! Generic over the stream, so that TLS needs nothing new. Replies keep the order of the queries;
//! a client that does not read its replies is not read from. Must not know how the connection was
//! accepted or how many there are.

use super::seats::Seat;
use super::{Worker, stopped};
use crate::telemetry::{CloseReason, Tally, ThreadCounters, Via};
use crate::transport::{Answerer, family};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};

/// The longest message its two-byte prefix can announce (RFC 1035 §4.2.2).
const MESSAGE_MAX: usize = u16::MAX as usize;
/// Queries answered before their replies are written.
const ROUND_QUERIES: usize = 64;
/// Bytes of replies after which a round ends early: one more reply still fits 128 KiB.
const ROUND_BYTES: usize = MESSAGE_MAX;
/// Room for the first read: most clients send one query below 100 bytes.
const INBOX_START: usize = 512;
/// Larger buffers are given back when a connection falls idle.
const IDLE_BUFFER: usize = 2_048;

/// Where a worker's connections have their queries answered, one at a time.
pub(super) struct Desk<A> {
    answerer: A,
    /// Queries are answered in place here: a reply may be longer than what came in.
    message: Box<[u8]>,
    pub(super) counters: Arc<ThreadCounters>,
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
        Desk {
            answerer,
            message: vec![0; MESSAGE_MAX].into(),
            counters,
        }
    }

    pub(super) fn refresh(&mut self) {
        self.answerer.refresh();
    }

    /// Answers the whole messages at the front of `inbox`, as many as make a round, and appends
    /// the replies, framed, to `outbox`.
    fn answer_round(&mut self, inbox: &[u8], from: SocketAddr, outbox: &mut Vec<u8>) -> Round {
        let mut round = Round {
            consumed: 0,
            bad_frame: false,
        };
        for query in 0..ROUND_QUERIES {
            let Some((message, _)) = split_frame(&inbox[round.consumed..]) else {
                break;
            };
            if message.is_empty() {
                round.bad_frame = true;
                break;
            }
            if query == 0 {
                self.answerer.refresh();
            }
            round.consumed += 2 + message.len();
            self.answer(message, from, outbox);
            if outbox.len() >= ROUND_BYTES {
                break;
            }
        }
        round
    }

    fn answer(&mut self, message: &[u8], from: SocketAddr, outbox: &mut Vec<u8>) {
        self.counters.count(Tally::Query(Via::Tcp, family(&from)));
        self.message[..message.len()].copy_from_slice(message);
        let len = self
            .answerer
            .answer(&mut self.message, message.len(), from, Via::Tcp);
        if len > 0 {
            let prefix = u16::try_from(len).expect("a reply fits the buffer of 65,535 bytes");
            outbox.extend_from_slice(&prefix.to_be_bytes());
            outbox.extend_from_slice(&self.message[..len]);
        }
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
    let limits = worker.seats.limits;
    let mut stop = worker.stop.clone();
    let (mut inbox, mut outbox) = (Vec::new(), Vec::new());
    let mut deadline = Instant::now() + worker.seats.idle_limit();
    loop {
        make_room(&mut inbox);
        let waiting_for_first_byte = inbox.is_empty();
        // Reading comes first, so that what had arrived when the server stops is answered.
        let read = tokio::select! {
            biased;
            read = timeout_at(deadline, stream.read_buf(&mut inbox)) => read,
            () = stopped(&mut stop) => return CloseReason::Stopping,
        };
        match read {
            Err(_) if waiting_for_first_byte => return CloseReason::Idle,
            Err(_) => return CloseReason::SlowMessage,
            Ok(Err(_)) => return CloseReason::Error,
            // A client that has closed its half got its replies before we read again.
            Ok(Ok(0)) => return CloseReason::Client,
            Ok(Ok(_)) => {}
        }
        let mut consumed = 0;
        loop {
            let pending = &inbox[consumed..];
            let round = worker
                .desk
                .borrow_mut()
                .answer_round(pending, from, &mut outbox);
            consumed += round.consumed;
            if !outbox.is_empty() {
                match timeout(limits.write, send(stream, &outbox)).await {
                    Err(_) => return CloseReason::SlowReader,
                    Ok(Err(_)) => return CloseReason::Error,
                    Ok(Ok(())) => outbox.clear(),
                }
            }
            if round.bad_frame {
                return CloseReason::BadFrame;
            }
            if round.consumed == 0 {
                break;
            }
        }
        inbox.drain(..consumed);
        if consumed > 0 {
            seat.touch();
        }
        if inbox.is_empty() {
            give_back(&mut inbox);
            give_back(&mut outbox);
            deadline = Instant::now() + worker.seats.idle_limit();
        } else if waiting_for_first_byte || consumed > 0 {
            // Set once for each message: bytes that dribble in do not extend it.
            deadline = Instant::now() + limits.message;
        }
    }
}

async fn send<S: AsyncWrite + Unpin>(stream: &mut S, replies: &[u8]) -> std::io::Result<()> {
    stream.write_all(replies).await?;
    stream.flush().await
}

/// Grows a full buffer to twice what has really arrived, whatever a prefix announces.
fn make_room(inbox: &mut Vec<u8>) {
    if inbox.len() == inbox.capacity() {
        inbox.reserve_exact(inbox.len().max(INBOX_START));
    }
}

fn give_back(buffer: &mut Vec<u8>) {
    if buffer.capacity() > IDLE_BUFFER {
        *buffer = Vec::new();
    }
}
