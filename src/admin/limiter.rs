//! How often one address may ask the admin API.
//!
//! A bucket is one number, the moment when it will be empty, so that one which has drained is
//! equal to none, and is thrown away when room is wanted.

use crate::clock::Moment;
use std::{
    collections::HashMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::{Mutex, PoisonError},
    time::Duration,
};

/// 50 requests a second: a dashboard asks for a few, a script that reads everything for ten.
const EACH: Duration = Duration::from_millis(20);
/// A burst of a hundred: a page with all that is on it.
const BURST: Duration = Duration::from_secs(2);
/// Addresses at a time; all others share a bucket. 4,096 x 32 bytes.
const ADDRESSES_MAX: usize = 4_096;

/// Counts requests.
#[derive(Debug, Default)]
pub(super) struct Limiter(Mutex<HashMap<IpAddr, Moment>>);

impl Limiter {
    /// Takes a request of `from`.
    ///
    /// # Errors
    /// How long it has to wait, if it asked too often.
    pub fn take(&self, from: IpAddr, now: Moment) -> Result<(), Duration> {
        self.look(from, now, |bucket, fuller| *bucket = fuller)
    }

    /// Whether a request of `from` would be taken.
    ///
    /// # Errors
    /// How long it has to wait, if it asked too often.
    pub fn check(&self, from: IpAddr, now: Moment) -> Result<(), Duration> {
        self.look(from, now, |_, _| ())
    }

    fn look(
        &self,
        from: IpAddr,
        now: Moment,
        well: impl FnOnce(&mut Moment, Moment),
    ) -> Result<(), Duration> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut from = network(from);
        if buckets.len() >= ADDRESSES_MAX && !buckets.contains_key(&from) {
            buckets.retain(|_, empty| *empty > now);
            if buckets.len() >= ADDRESSES_MAX {
                from = Ipv4Addr::UNSPECIFIED.into();
            }
        }
        let empty = buckets.entry(from).or_insert(now);
        let fuller = (*empty).max(now).after(EACH);
        let over = fuller.since(now).checked_sub(BURST).filter(|over| !over.is_zero());
        match over {
            Some(over) => Err(over),
            None => {
                well(empty, fuller);
                Ok(())
            }
        }
    }
}

/// Who counts as one: an IPv4 address, an IPv6 /64.
pub(super) fn network(from: IpAddr) -> IpAddr {
    match from.to_canonical() {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64).into(),
        v4 => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_burst_is_taken_then_a_steady_rate_and_others_are_not_in_the_way() {
        let limiter = Limiter::default();
        let (one, other) = (address("2001:db8::1"), address("192.0.2.1"));
        for _ in 0..100 {
            limiter.check(one, Moment(0)).unwrap();
            limiter.take(one, Moment(0)).unwrap();
        }
        assert_eq!(limiter.check(one, Moment(0)), Err(EACH));
        assert_eq!(limiter.take(one, Moment(0)), Err(EACH));
        assert_eq!(limiter.take(address("2001:db8::2"), Moment(0)), Err(EACH), "one /64");
        limiter.take(address("2001:db8:0:1::1"), Moment(0)).unwrap();
        limiter.take(other, Moment(0)).unwrap();
        let later = Moment(0).after(EACH);
        limiter.take(one, later).unwrap();
        assert!(limiter.take(one, later).is_err());
    }

    #[test]
    fn addresses_are_bounded_and_those_beyond_share_a_bucket() {
        let limiter = Limiter::default();
        let at = |i: u32| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + i));
        for i in 0..10_000 {
            let _ = limiter.take(at(i), Moment(0));
        }
        assert!(limiter.0.lock().unwrap().len() <= ADDRESSES_MAX + 1);
        assert!(limiter.take(at(20_000), Moment(0)).is_err());
        limiter.take(at(20_000), Moment(0).after(BURST * 100)).unwrap();
    }
}
