//! UDP: one thread for each socket, one socket for each core and address.
//!
//! The kernel spreads clients over the sockets of an address (`SO_REUSEPORT`), so threads share
//! nothing. `socket` makes the sockets, `batch` is the loop, `sys` the system calls. Must
//! not know what is answered.

mod batch;
pub(super) mod socket;
mod sys;

use super::{Answerer, Proxies};
use crate::telemetry::{Tally, Telemetry, ThreadCounters};
use batch::Loop;
use rustix::io::Errno;
use rustix::thread::{CpuSet, sched_setaffinity, set_current_timer_slack};
use socket2::Socket;
use std::io;
use std::net::Shutdown;
use std::num::NonZeroU64;
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// How the threads use their processors.
#[derive(Clone, Debug, Default)]
pub struct UdpSettings {
    /// Thread `i` of an address runs on the processor `cpus[i]`, from the front again when there are
    /// more threads; on any of them if this is empty.
    pub cpus: Vec<usize>,
    /// How many sockets stand behind each other for one address: the threads of one address.
    pub threads: usize,
    /// How long a thread rests after it has answered all there was. Under moderate load most of the
    /// cost of a query is the wake-up (DESIGN §6); a rest lets one wake-up serve several, and costs
    /// each at most that long. A thread that had nothing to do still answers at once.
    pub coalesce: Option<Duration>,
    /// Who says in front of each datagram where it really comes from.
    pub proxies: Proxies,
}

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
        settings: &UdpSettings,
        telemetry: &Telemetry,
        make: impl Fn(Arc<ThreadCounters>) -> A,
    ) -> io::Result<UdpServer> {
        let mut server = UdpServer { ended: Arc::default(), threads: Vec::new() };
        for (i, socket) in sockets.into_iter().enumerate() {
            let (socket, ended) = (Arc::new(socket), server.ended.clone());
            let counters = telemetry.thread();
            let answerer = make(counters.clone());
            let shared = socket.clone();
            let (cpu, coalesce) = (settings.cpu(i), settings.coalesce);
            let proxies = settings.proxies.clone();
            let thread = Builder::new().name(format!("udp-{i}")).spawn(move || {
                cpu.inspect(|&cpu| bind(cpu));
                coalesce.inspect(|_| rest_precisely());
                let batch = sys::Batch::new();
                let (socket, counters) = (shared.as_fd(), &*counters);
                serve(
                    Loop { socket, batch, answerer, counters, drops: 0, coalesce, proxies },
                    &ended,
                );
            })?;
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

impl UdpSettings {
    /// Where the thread of socket number `i` runs.
    fn cpu(&self, i: usize) -> Option<usize> {
        let turn = i.checked_rem(self.threads).unwrap_or(i);
        let place = turn.checked_rem(self.cpus.len())?;
        self.cpus.get(place).copied()
    }
}

/// Binds the calling thread to a processor. Where that is refused it is said; the thread then runs
/// anywhere, which is slower and not wrong.
fn bind(cpu: usize) {
    let mut only = CpuSet::new();
    only.set(cpu);
    if let Err(error) = sched_setaffinity(None, &only) {
        tracing::warn!(cpu, %error, "{}", unbound(error));
    }
}

/// What a thread that was not bound tells the operator. The kernel lets a thread bind itself
/// wherever it may run at all, so EPERM comes from a filter of system calls.
fn unbound(error: Errno) -> &'static str {
    match error {
        Errno::PERM => {
            "`cpu_affinity` has no effect, because the call sched_setaffinity is filtered: allow it \
             (of systemd, SystemCallFilter=)"
        }
        _ => "`cpu_affinity` names a processor that cannot be had",
    }
}

/// Lets the calling thread's rests end when they should: by default the kernel may be 50 µs late,
/// which is as long as the rest itself.
fn rest_precisely() {
    // Where it fails, rests are longer than asked for.
    let _ = set_current_timer_slack(NonZeroU64::new(1));
}

/// A thread's life. A packet that makes the answerer panic costs the rest of its batch, not the
/// thread: the kernel would go on sending this socket its share of the clients.
fn serve<A: Answerer>(mut io: Loop<'_, A>, ended: &AtomicBool) {
    let ended = || ended.load(Ordering::Relaxed);
    while catch_unwind(AssertUnwindSafe(|| io.run(ended))).is_err() {
        io.counters.count(Tally::Panic);
    }
}

#[cfg(test)]
mod tests;
