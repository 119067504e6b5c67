//! An HTTP backend to be probed: real sockets, and a switch for every way to fail.

use super::{DEADLINE, await_some_for};
use socket2::SockRef;
use std::{
    collections::HashMap,
    io::{self, BufRead, BufReader, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::Duration,
};
use tradewind::clock::{Clock, Moment, SystemClock};

/// What a running backend does with a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mood {
    /// Answers with this status and body.
    Answer(u16, String),
    /// Accepts the connection and the request, then says nothing.
    Hang,
    /// Cuts the connection once it has read the request.
    Reset,
    /// Answers well, but a byte each 20 ms.
    Dribble,
    /// Answers well, but only after this long.
    Slow(Duration),
    /// Answers well and ill in turn.
    Flap,
    /// Answers ill so many times, then well.
    IllFor(u32),
}

impl Mood {
    /// `200` and `ok`.
    pub fn well() -> Self {
        Mood::Answer(200, "ok\n".to_owned())
    }

    /// `503`.
    pub fn ill() -> Self {
        Mood::Answer(503, "down for maintenance\n".to_owned())
    }
}

/// What its threads share.
struct Shared {
    mood: Mutex<Mood>,
    stopping: AtomicBool,
    connections: AtomicU64,
    hits: AtomicU64,
    clock: SystemClock,
    /// When each request was read.
    read: Mutex<Vec<Moment>>,
    /// The connections in hand by number, to be cut when it stops.
    open: Mutex<HashMap<u64, TcpStream>>,
}

/// A backend at a fixed address; stopped, its port refuses connections.
pub struct Backend {
    address: SocketAddr,
    shared: Arc<Shared>,
    listener: Option<JoinHandle<()>>,
}

impl Backend {
    /// A running one on `127.0.0.host` and a free port, in good mood.
    pub fn start(host: u8) -> Self {
        Self::at((Ipv4Addr::new(127, 0, 0, host), 0).into())
    }

    /// A running one at `address`, where port 0 stands for any that is free.
    pub fn at(address: SocketAddr) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let mut backend = Backend {
            address: listener.local_addr().unwrap(),
            shared: Arc::new(Shared {
                mood: Mutex::new(Mood::well()),
                stopping: AtomicBool::new(false),
                connections: AtomicU64::new(0),
                hits: AtomicU64::new(0),
                clock: SystemClock::default(),
                read: Mutex::default(),
                open: Mutex::default(),
            }),
            listener: None,
        };
        backend.listen(listener);
        backend
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what it does from the next request on.
    pub fn set(&self, mood: Mood) {
        *self.shared.mood.lock().unwrap() = mood;
    }

    /// How many requests it has read.
    pub fn hits(&self) -> u64 {
        self.shared.hits.load(SeqCst)
    }

    /// The times between requests, of all it has read since the first `after`.
    pub fn gaps(&self, after: u64) -> Vec<Duration> {
        let mut read = self.shared.read.lock().unwrap().clone();
        read.sort_unstable();
        read[after as usize..].windows(2).map(|pair| pair[1].since(pair[0])).collect()
    }

    /// How many connections it has accepted, with those that never asked anything.
    pub fn connections(&self) -> u64 {
        self.shared.connections.load(SeqCst)
    }

    /// Waits until it has read `count` requests in all.
    pub fn await_hits(&self, count: u64, deadline: Duration) {
        let what = format!("{count} requests at {}", self.address);
        await_some_for(deadline, &what, || (self.hits() >= count).then_some(()));
    }

    /// Dies: open connections are cut, new ones refused.
    pub fn stop(&mut self) {
        let Some(thread) = self.listener.take() else {
            return;
        };
        self.shared.stopping.store(true, SeqCst);
        // A connection wakes the accepting thread; it ends, and the listener with it.
        let _ = TcpStream::connect(self.address);
        let _ = thread.join();
        for (_, stream) in self.shared.open.lock().unwrap().drain() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Comes back at the same address, in the mood it had.
    pub fn restart(&mut self) {
        if self.listener.is_none() {
            self.listen(TcpListener::bind(self.address).unwrap());
        }
    }

    fn listen(&mut self, listener: TcpListener) {
        self.shared.stopping.store(false, SeqCst);
        let shared = Arc::clone(&self.shared);
        self.listener = Some(thread::spawn(move || {
            for stream in listener.incoming() {
                if shared.stopping.load(SeqCst) {
                    return;
                }
                let shared = Arc::clone(&shared);
                // A client that went away is no concern of ours.
                thread::spawn(move || stream.and_then(|stream| shared.serve(stream)));
            }
        }));
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) -> io::Result<()> {
        let number = self.connections.fetch_add(1, SeqCst);
        self.open.lock().unwrap().insert(number, stream.try_clone()?);
        let done = self.answer(stream);
        self.open.lock().unwrap().remove(&number);
        done
    }

    /// One request, one response, and the connection ends.
    fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(stream.try_clone()?);
        let mut line = String::new();
        while line.trim_end() != "" || line.is_empty() {
            line.clear();
            if reader.read_line(&mut line)? == 0 {
                return Ok(()); // A client that only connects, as tcp probes do.
            }
        }
        self.read.lock().unwrap().push(self.clock.now());
        let hits = self.hits.fetch_add(1, SeqCst);
        let mood = self.mood.lock().unwrap().clone();
        match mood {
            Mood::Answer(status, body) => stream.write_all(&response(status, &body)),
            // Until the client gives up, or we are stopped and cut it.
            Mood::Hang => reader.read(&mut [0]).map(|_| ()),
            // Closed with a linger of zero: the kernel sends RST, no FIN.
            Mood::Reset => SockRef::from(&stream).set_linger(Some(Duration::ZERO)),
            Mood::Dribble => response(200, "ok\n").iter().try_for_each(|byte| {
                thread::sleep(Duration::from_millis(20));
                stream.write_all(&[*byte])
            }),
            Mood::Slow(time) => {
                thread::sleep(time);
                stream.write_all(&response(200, "ok\n"))
            }
            Mood::Flap if hits.is_multiple_of(2) => stream.write_all(&response(200, "ok\n")),
            Mood::Flap => stream.write_all(&response(500, "oh\n")),
            Mood::IllFor(left) => {
                *self.mood.lock().unwrap() = match left {
                    0 | 1 => Mood::well(),
                    more => Mood::IllFor(more - 1),
                };
                stream.write_all(&response(503, "not now\n"))
            }
        }
    }
}

/// A whole response, after which the connection ends.
fn response(status: u16, body: &str) -> Vec<u8> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} -\r\nContent-Length: {length}\r\nConnection: close\r\n");
    format!("{head}\r\n{body}").into_bytes()
}

/// The status and body of `GET path`.
pub fn get(server: SocketAddr, path: &str) -> io::Result<(u16, String)> {
    let stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    exchange(stream, "GET", path, &server.to_string())
}

/// One request over `stream`; the status and body of its response.
pub fn exchange(
    mut stream: impl Read + Write,
    method: &str,
    path: &str,
    host: &str,
) -> io::Result<(u16, String)> {
    write!(stream, "{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut response = String::new();
    stream.read_to_string(&mut response)?;
    let (head, body) = response.split_once("\r\n\r\n").unwrap_or((&response, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(|| io::Error::other(format!("no HTTP response: {head}")))?;
    Ok((status, body.to_owned()))
}
