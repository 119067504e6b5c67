//! The UDP path allocates nothing per query: held by an allocator that counts.

#![expect(clippy::unwrap_used, reason = "a test may panic")]
#![expect(unsafe_code, reason = "an allocator can be had in no other way")]

mod desk;

use desk::{Ask, Server, medley, signed};
use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    hint::black_box,
    net::{SocketAddr, UdpSocket},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};
use tradewind::{
    clock::{SystemClock, Timekeeper},
    daemon::answerer::WorldAnswerer,
    engine::Desk,
    telemetry::{CookieResult, DropReason, Lost, Sampling, Tally, Telemetry, Via},
    transport::{Answerer, Sockets, UdpServer, UdpSettings},
    world::Publisher,
};

/// The system's allocator, which counts for the threads that have said where.
struct Counting;

#[global_allocator]
static COUNTING: Counting = Counting;

thread_local! {
    static COUNT: Cell<Option<&'static AtomicUsize>> = const { Cell::new(None) };
}

fn count() {
    if let Ok(Some(count)) = COUNT.try_with(Cell::get) {
        count.fetch_add(1, Relaxed);
    }
}

// SAFETY: all is handed on to the system's allocator, which keeps the contract; `realloc` and
// `alloc_zeroed` are the trait's own, which use these two.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps `alloc`'s contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller keeps `dealloc`'s contract, and `pointer` came from `System`.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[test]
fn an_allocation_would_be_seen() {
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    COUNT.set(Some(&SEEN));
    drop(black_box(Box::new(1)));
    COUNT.set(None);
    assert_eq!(SEEN.load(Relaxed), 2);
}

#[test]
fn no_answer_allocates() {
    allocates_nothing(&mut medley::medley(), medley::QUERIES);
}

#[test]
fn no_signed_answer_allocates() {
    for zone in [signed::NSEC, signed::NSEC3, signed::OPT_OUT] {
        allocates_nothing(&mut signed::signed(zone), signed::QUERIES);
    }
}

/// Asks each of `queries`, with what it is called, many times.
fn allocates_nothing<'q>(
    server: &mut Server,
    queries: impl IntoIterator<Item = &'q (&'q str, &'q str)>,
) {
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    for (what, query) in queries {
        let ask = Ask::new(query);
        let packet = ask.packet();
        assert!(!server.answer(&packet, ask.from, Via::Udp).is_empty(), "{what}");
        COUNT.set(Some(&SEEN));
        for _ in 0..100 {
            black_box(server.answer(&packet, ask.from, Via::Udp));
            // What no query is: cut short, and a response.
            black_box(server.answer(&packet[..packet.len() - 5], ask.from, Via::Udp));
        }
        COUNT.set(None);
        assert_eq!(SEEN.load(Relaxed), 0, "{what}: {query}");
    }
}

#[test]
fn no_stranger_makes_an_answer_allocate() {
    let mut server = medley::made(medley::ALL_ON);
    server.at(Duration::ZERO, medley::COOKIES_MADE);
    // One a second of each kind, then TC; of what is cut short, one, then silence.
    allocates_nothing(&mut server, medley::STRANGERS.iter().chain(medley::QUERIES));
    assert!(server.count(Tally::Slipped) > 0);
    assert!(server.count(Tally::Dropped(DropReason::ErrorLimited)) > 0);
    assert!(server.count(Tally::Cookie(CookieResult::Valid)) > 100);
}

/// Answers as the server does, and counts what its thread allocates from the second batch on.
struct Watched {
    inner: WorldAnswerer,
    warm: bool,
    seen: &'static AtomicUsize,
}

impl Answerer for Watched {
    fn refresh(&mut self) {
        self.inner.refresh();
        if std::mem::replace(&mut self.warm, true) {
            COUNT.set(Some(self.seen));
        }
    }
    fn foresee(&mut self, packet: &[u8]) {
        self.inner.foresee(packet);
    }
    fn prepare(&mut self) {
        self.inner.prepare();
    }
    fn answer(&mut self, buf: &mut [u8], len: usize, from: SocketAddr, via: Via) -> usize {
        self.inner.answer(buf, len, from, via)
    }
}

#[test]
fn no_packet_allocates_on_its_way_through_a_udp_thread() {
    static SEEN: AtomicUsize = AtomicUsize::new(0);
    let publisher = Publisher::new(medley::medley().into_world());
    let telemetry = Telemetry::default();
    // Every second or so is sampled, and nobody takes samples out: the queue is full before the end.
    let (sampling, samples) = Sampling::new();
    sampling.set(2);
    let sockets = Sockets::bind(&["127.0.0.1:0".parse().unwrap()], 1, 1).unwrap();
    let server = UdpServer::start(sockets.udp, &UdpSettings::default(), &telemetry, |counters| {
        let (reader, time) =
            (publisher.reader(), Timekeeper::new(Arc::new(SystemClock::default())));
        let (sampler, desk) = (sampling.sampler(1, counters.clone()), Desk::new(1, counters));
        let inner = WorldAnswerer::new(reader, time, desk, sampler);
        Watched { inner, warm: false, seen: &SEEN }
    });
    let client = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.connect(sockets.addresses[0]).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut reply = [0; 4_096];
    for _ in 0..80 {
        // Several at once, so that some come in together.
        for some in medley::QUERIES.chunks(8) {
            for (_, query) in some {
                client.send(&Ask::new(query).packet()).unwrap();
            }
            for (_, query) in some {
                assert!(client.recv(&mut reply).unwrap() >= 12, "{query}");
            }
        }
    }
    // The thread frees what it has when it ends.
    let seen = SEEN.load(Relaxed);
    server.unwrap().stop();
    assert_eq!(seen, 0);
    let totals = telemetry.totals();
    let (sampled, lost) = (totals.of(Tally::Sampled), totals.of(Tally::SampleLost(Lost::Queue)));
    assert!(sampled > lost && lost > 0, "{sampled} sampled, {lost} lost");
    assert_eq!(samples.try_iter().count() as u64, sampled - lost);
}
