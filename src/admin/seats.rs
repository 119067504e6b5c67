//! Who may be at a door at once: so many that have asked nothing yet, and apart from them so many
//! that are served, of each address and of all.
//!
//! A host that connects and says nothing takes places among those who wait only, and few of them.
//! Where many such hosts are at work, whoever has said nothing for longest makes room for who comes
//! next: a real client has asked within a few round trips, and is gone from among them.

use super::limiter::network;
use std::{
    collections::{HashMap, VecDeque},
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::sync::Notify;

/// Connections that wait, shake hands or write a head: a descriptor and some 20 KiB each.
const WAITING_MAX: usize = 512;
/// Of those of one address: programs behind one address translator whose heartbeats come at once.
const WAITING_EACH: usize = 32;
/// Requests that are served at once: scrapers, load balancers, and people who follow events.
const SERVED_MAX: usize = 64;
/// Of those of one address, so that four of them at the least have to take all.
const SERVED_EACH: usize = 16;

/// The places of one door.
#[derive(Debug)]
pub(super) struct Seats {
    taken: Mutex<Taken>,
    waiting_each: usize,
    served_each: usize,
}

#[derive(Debug, Default)]
struct Taken {
    /// Connections so far.
    count: u64,
    /// Oldest first.
    waiting: VecDeque<Waiting>,
    served: HashMap<IpAddr, usize>,
}

#[derive(Debug)]
struct Waiting {
    number: u64,
    from: IpAddr,
    leave: Arc<Notify>,
}

/// The place of a connection, given back with it.
#[derive(Debug)]
pub(super) struct Guest {
    seats: Arc<Seats>,
    number: u64,
    from: IpAddr,
    leave: Arc<Notify>,
    is_served: Mutex<bool>,
}

impl Seats {
    /// For a door that anybody may come to.
    pub fn of_strangers() -> Arc<Seats> {
        Arc::new(Seats {
            taken: Mutex::default(),
            waiting_each: WAITING_EACH,
            served_each: SERVED_EACH,
        })
    }

    /// For a door of one user's, where nobody has an address.
    pub fn of_one() -> Arc<Seats> {
        Arc::new(Seats {
            taken: Mutex::default(),
            waiting_each: WAITING_MAX,
            served_each: SERVED_MAX,
        })
    }

    /// A place for a connection of `from`; none if that has too many already.
    pub fn enter(self: &Arc<Seats>, from: IpAddr) -> Option<Guest> {
        let (from, leave) = (network(from), Arc::new(Notify::new()));
        let mut taken = self.lock();
        let own = taken.waiting.iter().filter(|waiting| waiting.from == from).count();
        if own >= self.waiting_each {
            return None;
        }
        if taken.waiting.len() >= WAITING_MAX
            && let Some(oldest) = taken.waiting.pop_front()
        {
            oldest.leave.notify_one();
        }
        taken.count += 1;
        let number = taken.count;
        taken.waiting.push_back(Waiting { number, from, leave: Arc::clone(&leave) });
        let seats = Arc::clone(self);
        Some(Guest { seats, number, from, leave, is_served: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    /// Whether `number` waited until now.
    fn stops_waiting(&mut self, number: u64) -> bool {
        let at = self.waiting.iter().position(|waiting| waiting.number == number);
        at.and_then(|at| self.waiting.remove(at)).is_some()
    }
}

impl Guest {
    /// Until somebody else needs the place of this one, which still says nothing.
    pub async fn has_to_leave(&self) {
        self.leave.notified().await;
    }

    /// Whether its request, which is here, may be served now; it waits no more either way.
    pub fn is_served(&self) -> bool {
        let mut taken = self.seats.lock();
        if !taken.stops_waiting(self.number) {
            return false;
        }
        let own = taken.served.get(&self.from).copied().unwrap_or_default();
        if own >= self.seats.served_each || taken.served.values().sum::<usize>() >= SERVED_MAX {
            return false;
        }
        taken.served.insert(self.from, own + 1);
        *self.is_served.lock().unwrap_or_else(PoisonError::into_inner) = true;
        true
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut taken = self.seats.lock();
        taken.stops_waiting(self.number);
        if *self.is_served.get_mut().unwrap_or_else(PoisonError::into_inner)
            && let Some(own) = taken.served.get_mut(&self.from)
        {
            *own -= 1;
            if *own == 0 {
                taken.served.remove(&self.from);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;
    use tokio::time::{Duration, timeout};

    fn host(number: usize) -> IpAddr {
        Ipv4Addr::from_bits(0x7f00_0100 + number as u32).into()
    }

    #[test]
    fn one_address_takes_its_share_of_the_places_and_gives_them_back() {
        let seats = Seats::of_strangers();
        let idle: Vec<Guest> = (0..200).filter_map(|_| seats.enter(host(1))).collect();
        assert_eq!(idle.len(), WAITING_EACH);
        let asks = || seats.enter(host(2)).filter(Guest::is_served);
        let served: Vec<Guest> = (0..200).filter_map(|_| asks()).collect();
        assert_eq!(served.len(), SERVED_EACH);
        assert!(seats.enter(host(3)).is_some_and(|guest| guest.is_served()));
        drop((idle, served));
        let taken = seats.lock();
        assert!(taken.waiting.is_empty() && taken.served.is_empty(), "{taken:?}");
    }

    #[tokio::test]
    async fn among_many_who_say_nothing_the_longest_there_makes_room() {
        let seats = Seats::of_strangers();
        let idle: Vec<Guest> =
            (0..WAITING_MAX).map(|n| seats.enter(host(n / WAITING_EACH)).unwrap()).collect();
        let guest = seats.enter(host(900)).unwrap();
        idle[0].has_to_leave().await;
        assert!(timeout(Duration::ZERO, idle[1].has_to_leave()).await.is_err());
        assert!(!idle[0].is_served() && guest.is_served());
    }
}
