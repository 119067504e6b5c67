//! TCP: a few threads, each with its own listeners, its own small tokio loop and one answerer.
//!
//! Answering never waits, so the connections of a worker take turns with one answerer and need no
//! lock. `conversation` is what happens on one connection, generic over the stream; `seats`
//! limits how many there are. Must not know what is answered.

mod conversation;
mod seats;

use super::{Answerer, Proxies};
use crate::telemetry::{CloseReason, Tally, Telemetry, ThreadCounters};
use conversation::{Desk, converse};
use seats::Seats;
use std::cell::RefCell;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::runtime::{self, Runtime};
use tokio::sync::watch;
use tokio::task::{JoinSet, LocalSet};
use tokio::time::{sleep, timeout};

/// How often an idle worker refreshes its answerer, so that old Worlds can be freed.
const REFRESH: Duration = Duration::from_secs(1);
/// Pause after `accept` fails, so that a lasting failure does not turn the loop into a spin.
const ERROR_PAUSE: Duration = Duration::from_millis(10);
/// How long connections that are sending may go on once the server stops.
const FAREWELL: Duration = Duration::from_secs(1);

/// What a TCP client may take (reliability S-9).
#[derive(Clone, Copy, Debug)]
pub struct TcpLimits {
    /// Connections at once over all workers; past it the longest idle gives way.
    pub connections: usize,
    /// Connections at once from one IPv4 address or IPv6 /56; past it its longest idle gives way.
    pub per_source: usize,
    /// Wait for the next query while at most half of `connections` are taken.
    pub idle: Duration,
    /// Wait for the next query when all are taken; in between it falls evenly.
    pub idle_min: Duration,
    /// Time for one message to arrive whole, however it dribbles.
    pub message: Duration,
    /// Time for a client to take the replies of one batch.
    pub write: Duration,
}

impl Default for TcpLimits {
    /// 1,024 connections hold at most 4 MiB while idle (two buffers of 2 KiB), and 64 MiB more
    /// for the two seconds in which every one may dribble the longest message. Whoever wants
    /// all of them needs eight addresses.
    fn default() -> Self {
        TcpLimits {
            connections: 1_024,
            per_source: 128,
            idle: Duration::from_secs(10),
            idle_min: Duration::from_secs(1),
            message: Duration::from_secs(2),
            write: Duration::from_secs(2),
        }
    }
}

/// Running TCP workers; stops them when dropped.
#[derive(Debug)]
pub struct TcpServer {
    stop: watch::Sender<bool>,
    workers: Vec<JoinHandle<()>>,
}

impl TcpServer {
    /// Starts a worker for each set of listeners; `make` gives each its answerer, which shares the
    /// worker's counters. Connections of `proxies` begin with a header that says whose they are.
    ///
    /// # Errors
    /// When the system refuses a thread or an event queue; those already started are stopped.
    pub fn start<A: Answerer>(
        listeners: Vec<Vec<TcpListener>>,
        limits: TcpLimits,
        proxies: &Proxies,
        telemetry: &Telemetry,
        make: impl Fn(Arc<ThreadCounters>) -> A,
    ) -> io::Result<TcpServer> {
        let mut server = TcpServer { stop: watch::Sender::new(false), workers: Vec::new() };
        let seats = Arc::new(Seats::new(limits));
        for (i, listeners) in listeners.into_iter().enumerate() {
            let counters = telemetry.thread();
            let desk = Desk::new(make(counters.clone()), counters);
            let (seats, stop) = (seats.clone(), server.stop.subscribe());
            let proxies = proxies.clone();
            let runtime = runtime::Builder::new_current_thread().enable_all().build()?;
            let worker = Builder::new().name(format!("tcp-{i}")).spawn(move || {
                let desk = RefCell::new(desk);
                serve(&runtime, listeners, Worker { desk, seats, proxies, stop });
            })?;
            server.workers.push(worker);
        }
        Ok(server)
    }

    /// Takes no more connections, answers what has arrived, closes, and waits for it all.
    pub fn stop(self) {
        drop(self);
    }
}

impl Drop for TcpServer {
    fn drop(&mut self) {
        self.stop.send_replace(true);
        for worker in self.workers.drain(..) {
            // Answering runs in tasks, which keep panics to themselves: nothing to look at.
            let _ = worker.join();
        }
    }
}

/// What the tasks of one worker share.
struct Worker<A> {
    desk: RefCell<Desk<A>>,
    seats: Arc<Seats>,
    proxies: Proxies,
    stop: watch::Receiver<bool>,
}

fn serve<A: Answerer>(runtime: &Runtime, listeners: Vec<TcpListener>, worker: Worker<A>) {
    let worker = Rc::new(worker);
    let tasks = LocalSet::new();
    tasks.block_on(runtime, async {
        let mut accepting = JoinSet::new();
        for listener in listeners {
            accepting.spawn_local(accept(listener, worker.clone()));
        }
        let mut stop = worker.stop.clone();
        while timeout(REFRESH, stopped(&mut stop)).await.is_err() {
            worker.desk.borrow_mut().refresh();
        }
        while accepting.join_next().await.is_some() {}
    });
}

/// Resolves when the server stops.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means the server is gone altogether, which is as good a reason.
    let _ = stop.wait_for(|&stop| stop).await;
}

/// Takes the connections of one listener until the server stops, then sees them off.
async fn accept<A: Answerer>(listener: TcpListener, worker: Rc<Worker<A>>) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "cannot watch a TCP listener"),
    };
    let mut stop = worker.stop.clone();
    let mut visits = JoinSet::new();
    loop {
        tokio::select! {
            biased;
            () = stopped(&mut stop) => break,
            Some(ended) = visits.join_next() => note(&worker, ended),
            accepted = listener.accept() => match accepted {
                Ok((stream, from)) => {
                    visits.spawn_local(visit(stream, from, worker.clone()));
                }
                Err(error) if is_clients(&error) => {}
                Err(error) => {
                    if is_for_want_of_room(&error) {
                        worker.seats.evict_longest_idle();
                    }
                    sleep(ERROR_PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    let farewell = async {
        while let Some(ended) = visits.join_next().await {
            note(&worker, ended);
        }
    };
    let _ = timeout(FAREWELL, farewell).await;
}

/// Whether `accept` failed because the client left first.
fn is_clients(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset)
}

/// Whether `accept` failed for want of descriptors or memory: somebody has to leave. What else
/// goes wrong (the network is down, a filter forbids) nobody inside can help.
fn is_for_want_of_room(error: &io::Error) -> bool {
    let wants = [libc::EMFILE, libc::ENFILE, libc::ENOBUFS, libc::ENOMEM];
    error.raw_os_error().is_some_and(|error| wants.contains(&error))
}

/// One connection, from seat to close.
async fn visit<A: Answerer>(
    mut stream: TcpStream,
    from: SocketAddr,
    worker: Rc<Worker<A>>,
) -> CloseReason {
    worker.desk.borrow().counters.count(Tally::TcpOpened);
    // Replies leave in one write; waiting to fill a segment would only delay them.
    let _ = stream.set_nodelay(true);
    let source = (!worker.proxies.trust(from.ip())).then_some(from.ip());
    let seat = worker.seats.take(source);
    tokio::select! {
        biased;
        () = seat.evicted() => CloseReason::Evicted,
        reason = converse(&mut stream, from, &worker, &seat) => reason,
    }
}

fn note<A>(worker: &Worker<A>, ended: Result<CloseReason, tokio::task::JoinError>) {
    let desk = worker.desk.borrow();
    let reason = ended.unwrap_or_else(|_| {
        desk.counters.count(Tally::Panic);
        CloseReason::Error
    });
    desk.counters.count(Tally::TcpClosed(reason));
}

#[cfg(test)]
mod tests;
