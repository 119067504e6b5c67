//! How many TCP connections there may be, and which one leaves when another comes.
//!
//! A newcomer always gets a seat; if there are too many, the longest idle gives its up, as gdnsd
//! does: attackers hold connections, resolvers use them. Touched when a connection
//! comes, goes or was sent a batch of replies; locked only for coming and going. Must not know
//! what a connection carries.

use super::TcpLimits;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// All seats of a server, over its workers.
#[derive(Debug)]
pub(super) struct Seats {
    pub(super) limits: TcpLimits,
    taken: Mutex<Vec<Arc<Place>>>,
    /// Length of `taken`, readable without the lock.
    occupied: AtomicUsize,
    opened: Instant,
}

/// One taken seat; given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Arc<Seats>,
    place: Arc<Place>,
}

#[derive(Debug)]
struct Place {
    /// Whom it counts for: set once, and never while a proxy has not said whom it speaks for.
    source: OnceLock<IpAddr>,
    /// Nanoseconds from `Seats::opened` to the last query, or to taking the seat.
    active: AtomicU64,
    evict: Notify,
}

impl Seats {
    pub(super) fn new(limits: TcpLimits) -> Self {
        Seats {
            limits,
            taken: Mutex::default(),
            occupied: AtomicUsize::new(0),
            opened: Instant::now(),
        }
    }

    /// A seat for a connection from `address`; if that source has too many by now, the longest
    /// idle of them gives its up, or else, if all are taken, the longest idle of all. Behind a
    /// proxy [`Seat::belongs_to`] says for whom it counts, as soon as that is known.
    pub(super) fn take(self: &Arc<Self>, address: Option<IpAddr>) -> Seat {
        let source = address.map(source_of);
        let place = Arc::new(Place {
            source: source.map_or_else(OnceLock::new, OnceLock::from),
            active: AtomicU64::new(self.now()),
            evict: Notify::new(),
        });
        let mut taken = self.taken();
        if let Some(source) = source {
            self.hold_to_share(&mut taken, source);
        }
        if taken.len() >= self.limits.connections {
            evict_longest_idle(&mut taken, |_| true);
        }
        taken.push(place.clone());
        self.occupied.store(taken.len(), Relaxed);
        Seat { seats: self.clone(), place }
    }

    /// Makes room for one more of `source` among its own if it has as many as it may.
    fn hold_to_share(&self, taken: &mut Vec<Arc<Place>>, source: IpAddr) {
        let of_source = |place: &Place| place.source.get() == Some(&source);
        let others = taken.iter().filter(|place| of_source(place)).count();
        if others >= self.limits.per_source {
            evict_longest_idle(taken, of_source);
        }
    }

    /// Makes the connection leave that has been idle longest.
    pub(super) fn evict_longest_idle(&self) {
        let mut taken = self.taken();
        evict_longest_idle(&mut taken, |_| true);
        self.occupied.store(taken.len(), Relaxed);
    }

    /// How long a connection may be idle now: less the fuller the house.
    pub(super) fn idle_limit(&self) -> Duration {
        let TcpLimits { connections, idle, idle_min, .. } = self.limits;
        let occupied = self.occupied.load(Relaxed) as f64 / connections.max(1) as f64;
        let load = ((occupied - 0.5) * 2.0).clamp(0.0, 1.0);
        idle - idle.saturating_sub(idle_min).mul_f64(load)
    }

    fn now(&self) -> u64 {
        self.opened.elapsed().as_nanos() as u64
    }

    /// The list is sound after each step, so what a panicking holder left can be used.
    fn taken(&self) -> MutexGuard<'_, Vec<Arc<Place>>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The seat is free at once; its connection hears of it and closes. One pass over at most
/// `connections` places: some microseconds, against the tens that accepting costs the kernel.
fn evict_longest_idle(taken: &mut Vec<Arc<Place>>, of: impl Fn(&Place) -> bool) {
    let candidates = taken.iter().enumerate().filter(|(_, place)| of(place));
    if let Some((i, _)) = candidates.min_by_key(|(_, place)| place.active.load(Relaxed)) {
        taken.swap_remove(i).evict.notify_one();
    }
}

/// Whom a connection counts for. One customer is commonly given a whole IPv6 /56 (RFC 6177 §2).
fn source_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (!0 << 72)).into(),
        v4 => v4,
    }
}

impl Seat {
    /// Counts the seat for `address`; if that source has too many by now, the longest idle of
    /// them gives its up.
    pub(super) fn belongs_to(&self, address: IpAddr) {
        let source = source_of(address);
        let mut taken = self.seats.taken();
        self.seats.hold_to_share(&mut taken, source);
        self.seats.occupied.store(taken.len(), Relaxed);
        // A connection has one source: only its own task calls this, and once.
        let _ = self.place.source.set(source);
    }

    /// Resolves when the seat is needed for a newcomer.
    pub(super) async fn evicted(&self) {
        self.place.evict.notified().await;
    }

    /// Notes that the client asked something.
    pub(super) fn touch(&self) {
        self.place.active.store(self.seats.now(), Relaxed);
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        // Not there if it was evicted.
        if let Some(i) = taken.iter().position(|place| Arc::ptr_eq(place, &self.place)) {
            taken.swap_remove(i);
        }
        self.seats.occupied.store(taken.len(), Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(connections: usize, per_source: usize) -> Arc<Seats> {
        Arc::new(Seats::new(TcpLimits { connections, per_source, ..TcpLimits::default() }))
    }

    fn take(seats: &Arc<Seats>, address: &str) -> Seat {
        seats.take(Some(address.parse().unwrap()))
    }

    fn is_evicted(seat: &Seat) -> bool {
        !seat.seats.taken().iter().any(|place| Arc::ptr_eq(place, &seat.place))
    }

    #[test]
    fn the_longest_idle_gives_way_to_a_newcomer() {
        let seats = seats(2, 2);
        let first = take(&seats, "192.0.2.1");
        let second = take(&seats, "192.0.2.2");
        first.touch();
        let third = take(&seats, "192.0.2.3");
        assert_eq!([&first, &second, &third].map(is_evicted), [false, true, false]);
        drop(second);
        let fourth = take(&seats, "192.0.2.4");
        assert_eq!([&first, &third, &fourth].map(is_evicted), [true, false, false]);
    }

    #[test]
    fn a_greedy_source_takes_seats_from_itself_only() {
        let seats = seats(100, 2);
        for (quiet, greedy) in [
            ("2001:db8::1", ["2001:db8:0:100::1", "2001:db8:0:1ff::2", "2001:db8:0:101::3"]),
            ("192.0.2.1", ["192.0.2.2", "::ffff:192.0.2.2", "192.0.2.2"]),
        ] {
            let quiet = take(&seats, quiet);
            let greedy = greedy.map(|address| take(&seats, address));
            assert!(!is_evicted(&quiet));
            assert_eq!(greedy.each_ref().map(is_evicted), [true, false, false]);
        }
    }

    #[test]
    fn a_greedy_source_takes_seats_from_itself_in_a_full_house_too() {
        let seats = seats(3, 2);
        let quiet = take(&seats, "192.0.2.1");
        let greedy = ["192.0.2.2"; 3].map(|address| take(&seats, address));
        assert!(!is_evicted(&quiet));
        assert_eq!(greedy.each_ref().map(is_evicted), [true, false, false]);
        assert_eq!(seats.occupied.load(Relaxed), 3);
    }

    #[test]
    fn connections_whose_source_is_not_known_yet_count_for_nobody() {
        let seats = seats(3, 1);
        let unknown = [seats.take(None), seats.take(None)];
        let known = take(&seats, "192.0.2.1");
        assert!(!unknown.iter().chain([&known]).any(is_evicted));
        unknown[1].belongs_to("192.0.2.1".parse().unwrap());
        assert_eq!([&unknown[0], &unknown[1], &known].map(is_evicted), [false, false, true]);
        drop(known);
        let others = [seats.take(None), seats.take(None)];
        assert_eq!([&unknown[0], &unknown[1], &others[0]].map(is_evicted), [true, false, false]);
    }

    #[test]
    fn patience_falls_as_the_house_fills() {
        let seats = seats(4, 4);
        let mut held = Vec::new();
        let mut limits = vec![seats.idle_limit().as_millis()];
        for _ in 0..4 {
            held.push(seats.take(None));
            limits.push(seats.idle_limit().as_millis());
        }
        assert_eq!(limits, [10_000, 10_000, 10_000, 5_500, 1_000]);
        held.clear();
        assert_eq!(seats.idle_limit().as_millis(), 10_000);
    }
}
