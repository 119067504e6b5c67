//! UDP: one thread for each socket, one socket for each core and address.
//!
//! The kernel spreads clients over the sockets of an address (`SO_REUSEPORT`), so threads share
//! nothing. `socket` makes the sockets, `batch` is the loop, `sys` the system calls. Must
//! not know what is answered.

mod batch;
pub(super) mod socket;
mod sys;

use super::Answerer;
use crate::telemetry::{Tally, Telemetry, ThreadCounters};
use batch::Loop;
use socket2::Socket;
use std::io;
use std::net::Shutdown;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};

/// Running UDP threads; stops them when dropped.
#[derive(Debug)]
pub struct UdpServer {
    ended: Arc<AtomicBool>,
    threads: Vec<(Arc<Socket>, JoinHandle<()>)>,
}

impl UdpServer {
    /// Starts a thread for each of `sockets`; `make` gives each its answerer, which shares the
    /// thread's counters.
    ///
    /// # Errors
    /// When the system refuses a thread; those already started are stopped.
    pub fn start<A: Answerer>(
        sockets: Vec<Socket>,
        telemetry: &Telemetry,
        make: impl Fn(Arc<ThreadCounters>) -> A,
    ) -> io::Result<UdpServer> {
        let mut server = UdpServer { ended: Arc::default(), threads: Vec::new() };
        for (i, socket) in sockets.into_iter().enumerate() {
            let (socket, ended) = (Arc::new(socket), server.ended.clone());
            let counters = telemetry.thread();
            let answerer = make(counters.clone());
            let shared = socket.clone();
            let thread = Builder::new()
                .name(format!("udp-{i}"))
                .spawn(move || serve(&shared, &ended, answerer, &counters))?;
            server.threads.push((socket, thread));
        }
        Ok(server)
    }

    /// Ends all threads once what has come in is answered, and waits for them.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for UdpServer {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::Relaxed);
        for (socket, _) in &self.threads {
            // Wakes the thread: Linux ends a blocked receive of a socket shut down for reading,
            // though it then calls an unconnected one ENOTCONN. A datagram to ourselves could
            // land on another thread's socket, and be lost. Should this ever fail, the receive
            // timeout ends the wait within a second.
            let _ = socket.shutdown(Shutdown::Read);
        }
        for (_, thread) in self.threads.drain(..) {
            // A thread outlives any panic of its answerer, so there is no result to look at.
            let _ = thread.join();
        }
    }
}

/// A thread's life. A packet that makes the answerer panic costs the rest of its batch, not the
/// thread: the kernel would go on sending this socket its share of the clients.
fn serve<A: Answerer>(socket: &Socket, ended: &AtomicBool, answerer: A, counters: &ThreadCounters) {
    let batch = sys::Batch::new();
    let mut io = Loop { socket: socket.as_fd(), batch, answerer, counters, drops: 0 };
    let ended = || ended.load(Ordering::Relaxed);
    while catch_unwind(AssertUnwindSafe(|| io.run(ended))).is_err() {
        counters.count(Tally::Panic);
    }
}

#[cfg(test)]
mod tests;
