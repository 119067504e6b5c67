//! Asks the server by DNS as clients do: one socket, a bounded rate, no second try, so that
//! whatever is lost is seen to be lost. Decodes by code that is not ours ([`crate::dns`]).

use super::answers::{Answer, Heard, Link};
use crate::{
    clock::{Clock, Moment},
    dns::Question,
};
use hickory_proto::{
    op::Message,
    rr::{Name, RData},
};
use std::{
    collections::HashMap,
    fmt::Display,
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
        mpsc::Sender,
    },
    thread,
    time::Duration,
};

/// A reply that takes longer is lost: a hundred times what a busy loopback takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);
/// The longest pause before a look at the clock.
const TICK: Duration = Duration::from_millis(2);
/// No reply of ours is longer (DNS flag day 2020).
const REPLY_MAX: usize = 4_096;

/// What is asked of whom, how often.
pub(super) struct Asking {
    pub server: SocketAddr,
    /// One for each lane, with how many a second.
    pub lanes: Vec<(Question, f64)>,
    pub clock: Arc<dyn Clock>,
    pub tell: Sender<Heard>,
}

/// Asks until it is dropped.
pub(super) struct Asker {
    stopping: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Asker {
    /// Starts to ask.
    pub(super) fn start(asking: Asking) -> io::Result<Asker> {
        let any: IpAddr = match asking.server {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let socket = UdpSocket::bind((any, 0))?;
        socket.connect(asking.server)?;
        let stopping = Arc::new(AtomicBool::new(false));
        let theirs = Arc::clone(&stopping);
        let thread = thread::Builder::new().name("drill-asker".to_owned());
        let thread = thread.spawn(move || {
            if let Some(mut lanes) = Lanes::new(&asking) {
                lanes.run(&asking, &socket, &theirs);
            }
        })?;
        Ok(Asker { stopping, thread: Some(thread) })
    }

    /// Stops asking, and waits until what is under way has been told.
    pub(super) fn stop(mut self) {
        self.join();
    }

    fn join(&mut self) {
        self.stopping.store(true, Relaxed);
        if let Some(thread) = self.thread.take() {
            // It ends within [`PATIENCE`]; if it panicked, what it told is all there is.
            let _ = thread.join();
        }
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.join();
    }
}

struct Lanes {
    queries: Vec<Vec<u8>>,
    /// When each is asked next, and how long after the last time.
    due: Vec<(Moment, Duration)>,
    next: u16,
    in_flight: HashMap<u16, (usize, Moment)>,
    buffer: Vec<u8>,
}

impl Lanes {
    /// Nothing if a question cannot be written, which none is that was compiled.
    fn new(asking: &Asking) -> Option<Lanes> {
        let queries = asking.lanes.iter().map(|(question, _)| question.to_vec(0).ok());
        let now = asking.clock.now();
        let count = asking.lanes.len().max(1) as f64;
        let due = asking.lanes.iter().enumerate().map(|(place, (_, rate))| {
            let pause = Duration::from_secs_f64(1.0 / rate.max(0.001));
            // Spread over one pause, so that they do not come in bursts.
            (now.after(pause.mul_f64(place as f64 / count)), pause)
        });
        Some(Lanes {
            queries: queries.collect::<Option<_>>()?,
            due: due.collect(),
            next: 0,
            in_flight: HashMap::new(),
            buffer: vec![0; REPLY_MAX],
        })
    }

    fn run(&mut self, asking: &Asking, socket: &UdpSocket, stopping: &AtomicBool) {
        loop {
            let now = asking.clock.now();
            let is_stopping = stopping.load(Relaxed);
            if is_stopping && self.in_flight.is_empty() {
                return;
            }
            if !is_stopping {
                self.ask_due(asking, socket, now);
            }
            let next = self.due.iter().map(|(at, _)| *at).min().filter(|_| !is_stopping);
            let pause =
                next.map_or(TICK, |at| at.since(now)).clamp(Duration::from_micros(50), TICK);
            // Before anything counts as lost, all that is there is read: it may be we who were late.
            match self.listen(asking, socket, pause) {
                Some(true) => {}
                Some(false) => return,
                None if !self.give_up(asking, asking.clock.now()) => return,
                None => {}
            }
        }
    }

    fn ask_due(&mut self, asking: &Asking, socket: &UdpSocket, now: Moment) {
        for lane in 0..self.due.len() {
            let (at, pause) = self.due[lane];
            if at > now {
                continue;
            }
            // After a pause of ours what was missed is not made up for: that would be a burst.
            let next = at.after(pause);
            self.due[lane].0 = if next > now { next } else { now.after(pause) };
            if self.in_flight.contains_key(&self.next) {
                // Sixty-five thousand within a second cannot be, at the rates there are.
                continue;
            }
            let query = &mut self.queries[lane];
            query[..2].copy_from_slice(&self.next.to_be_bytes());
            self.in_flight.insert(self.next, (lane, asking.clock.now()));
            self.next = self.next.wrapping_add(1);
            // One that cannot be sent is not answered either, and counts as lost.
            let _ = socket.send(query);
        }
    }

    /// Tells what was lost; whether anybody listens.
    fn give_up(&mut self, asking: &Asking, now: Moment) -> bool {
        let lost = |(_, (_, asked)): &(&u16, &(usize, Moment))| now.since(*asked) >= PATIENCE;
        let ids: Vec<u16> = self.in_flight.iter().filter(lost).map(|(id, _)| *id).collect();
        ids.into_iter().all(|id| {
            let Some((lane, asked)) = self.in_flight.remove(&id) else { return true };
            asking.tell.send(Heard { lane, asked, at: now, answer: None }).is_ok()
        })
    }

    /// Takes what comes within `pause`, if anything does; whether anybody listens.
    fn listen(&mut self, asking: &Asking, socket: &UdpSocket, pause: Duration) -> Option<bool> {
        // Fails for a pause of zero only.
        let _ = socket.set_read_timeout(Some(pause));
        let bytes = socket.recv(&mut self.buffer).ok()?;
        let at = asking.clock.now();
        let Ok(message) = Message::from_vec(&self.buffer[..bytes]) else { return Some(true) };
        let Some((lane, asked)) = self.in_flight.remove(&message.metadata.id) else {
            return Some(true);
        };
        let heard =
            Heard { lane, asked, at, answer: Some(read(&message, &asking.lanes[lane].0.name)) };
        Some(asking.tell.send(heard).is_ok())
    }
}

/// What `message` says of the name `asked` and of those that CNAMEs lead to.
fn read(message: &Message, asked: &Name) -> Answer {
    let mut links = vec![Link { owner: text(asked), records: Vec::new() }];
    for record in &message.answers {
        let owned = match &record.data {
            RData::CNAME(name) => Some(text(name)),
            data => data.ip_addr().map(|ip| ip.to_string()),
        };
        let (Some(owned), owner) = (owned, text(&record.name)) else { continue };
        match links.iter_mut().find(|link| link.owner == owner) {
            Some(link) => link.records.push(owned),
            None => links.push(Link { owner, records: vec![owned] }),
        }
    }
    let rcode = message.metadata.response_code;
    Answer {
        rcode: format!("{rcode:?}").to_ascii_uppercase(),
        links,
        ttl: message.answers.first().map_or(0, |record| record.ttl),
    }
}

/// A name, or an address, as answers are compared and shown.
pub(super) fn text(name: &impl Display) -> String {
    name.to_string().trim_end_matches('.').to_ascii_lowercase()
}
