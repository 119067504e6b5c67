//! The UDP loop: receive a batch, answer each in place, send the replies.
//!
//! Allocates nothing and reads no clock once it runs. Must not know who made the socket or how
//! the loop is told to end: [`super`] does.

use super::sys::{BATCH, Batch};
use crate::telemetry::{DropReason, Tally, ThreadCounters, Via};
use crate::transport::{AHEAD, Answerer, Proxies, family};
use std::io::{self, ErrorKind};
use std::ops::Range;
use std::os::fd::BorrowedFd;
use std::time::Duration;

/// Pause after an error that receiving should never give (out of memory, say), so that a lasting
/// one does not turn the loop into a spin.
const ERROR_PAUSE: Duration = Duration::from_millis(10);
/// Batches answered at most once the loop is to end: as many as a receive buffer of 4 MiB, doubled by
/// the kernel, holds at the 768 bytes which it counts for the smallest datagram (10,922, and a batch
/// is 64).
const LAST_BATCHES: usize = 171;

/// One thread's loop: its buffers, its answerer, its counters.
pub(super) struct Loop<'s, A> {
    pub(super) socket: BorrowedFd<'s>,
    pub(super) batch: Batch,
    pub(super) answerer: A,
    pub(super) counters: &'s ThreadCounters,
    /// The socket's drop counter when last seen.
    pub(super) drops: u32,
    /// How long to rest when all there was is answered.
    pub(super) coalesce: Option<Duration>,
    /// Who says in front of each datagram where it really comes from.
    pub(super) proxies: Proxies,
}

impl<A: Answerer> Loop<'_, A> {
    /// Answers until `ended` says so, and then what had come in by then; it is asked after each
    /// batch, and at least once a second because the socket's receive timeout is no longer than
    /// that.
    pub(super) fn run(&mut self, ended: impl Fn() -> bool) {
        while !ended() {
            match self.turn() {
                Ok(received) => self.rest(received),
                Err(e) if e.kind() == ErrorKind::WouldBlock => self.answerer.refresh(),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => std::thread::sleep(ERROR_PAUSE),
            }
        }
        // Who asked before the end is answered; those who go on asking do not put it off.
        for _ in 0..LAST_BATCHES {
            if !self.turn().is_ok_and(|received| received > 0) {
                return;
            }
        }
    }

    /// Receives a batch and answers it; how many questions it held.
    fn turn(&mut self) -> io::Result<usize> {
        let received = self.batch.receive(self.socket)?;
        self.answerer.refresh();
        self.note_drops();
        for first in (0..received).step_by(AHEAD) {
            let group = first..received.min(first + AHEAD);
            self.look_ahead(group.clone());
            group.for_each(|i| self.answer(i));
        }
        self.send();
        Ok(received)
    }

    /// Shows the answerer what it will be asked next, if it is several things.
    fn look_ahead(&mut self, group: Range<usize>) {
        if group.len() < 2 {
            return;
        }
        for i in group {
            let packet = self.batch.packet(i);
            self.answerer.foresee(packet.buf.get(..packet.len).unwrap_or_default());
        }
        self.answerer.prepare();
    }

    fn answer(&mut self, i: usize) {
        let packet = self.batch.packet(i);
        let Some(from) = packet.from else { return };
        self.counters.count(Tally::Query(Via::Udp, family(&from)));
        if from.port() == 0 {
            return self.counters.count(Tally::Dropped(DropReason::SourcePortZero));
        }
        if packet.cut {
            return self.counters.count(Tally::Dropped(DropReason::Oversize));
        }
        let Ok((len, from)) = self.proxies.strip(packet.buf, packet.len, from) else {
            return self.counters.count(Tally::Dropped(DropReason::BadProxyHeader));
        };
        let len = self.answerer.answer(packet.buf, len, from, Via::Udp);
        if len > 0 {
            self.batch.queue(i, len);
        }
    }

    /// Sends everything queued, or counts it as dropped. Never waits: a full send buffer means
    /// the interface is behind, and waiting would only move the loss to the receive buffer.
    fn send(&mut self) {
        let mut done = 0;
        while done < self.batch.queued() {
            match self.batch.send(self.socket, done) {
                Ok(sent) => done += sent,
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(e) => {
                    let lost = if is_full(&e) { self.batch.queued() - done } else { 1 };
                    self.counters.refused(lost as u64, e.raw_os_error().unwrap_or_default());
                    done += lost;
                }
            }
        }
    }

    /// Lets more queries come in before the next look, unless more than fit one are there already.
    fn rest(&self, received: usize) {
        if let Some(rest) = self.coalesce.filter(|_| received < BATCH) {
            std::thread::sleep(rest);
        }
    }

    fn note_drops(&mut self) {
        if let Some(drops) = self.batch.drops() {
            let more = drops.wrapping_sub(self.drops);
            self.counters.add(Tally::KernelDrop, u64::from(more));
            self.drops = drops;
        }
    }
}

/// Whether the next reply would meet the same error: no room, rather than no way to one client.
fn is_full(error: &io::Error) -> bool {
    error.kind() == ErrorKind::WouldBlock || error.raw_os_error() == Some(libc::ENOBUFS)
}
