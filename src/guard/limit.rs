//! Response rate limiting: a network that is told too much too often is told less, so that
//! whoever forges its address gains nothing by us (reliability S-6).
//!
//! What is counted is what amplifies or what floods are made of ([`Kind`]); a positive reply not
//! much longer than its query is never looked at. Each network, kind and subject (a zone, or a
//! name that is there) has a bucket which drains at the operator's rate: who forges a network
//! and floods one zone costs it nothing in the others. A bucket is one number, the time at which it will be empty,
//! so one that has drained is equal to none and its place is free: the table needs no sweeping
//! and forgets nothing that matters while it has room. Must not know what a reply says.

use crate::clock::Moment;
use ipnet::IpNet;
use std::{
    net::IpAddr,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use super::networks::Networks;

/// A reply longer than so many times its query amplifies (DESIGN §5).
const AMPLIFIES: usize = 3;
/// Buckets that lie in one line of the cache and are looked at together.
const WAYS: usize = 8;
/// Lines. 8,192 of 64 bytes are 512 KiB. At the usual rate a bucket holds its place for 5 ms a
/// reply, so that 13 million replies a second would have to go out to fill all 65,536.
const SETS: usize = 8_192;
/// How much of an IPv4 and of an IPv6 address makes it a network of its own: what one customer
/// has at the least.
const V4_HOST_BITS: u32 = 32 - 24;
const V6_HOST_BITS: u32 = 128 - 56;
/// The longest window an operator may ask for.
pub const WINDOW_MAX: Duration = Duration::from_secs(60);

/// What is remembered of a time: 256 ns, fine enough for 100,000 replies a second within 0.3 %.
const TICK_BITS: u32 = 8;
/// Bits of a bucket that hold a time; the others tell whose it is. They come round in 78 hours.
const TIME_BITS: u32 = 40;
const TIME_MASK: u64 = (1 << TIME_BITS) - 1;
/// No bucket is further ahead of the clock of the thread that filled it than its window, nor of
/// another's by more than the time a batch takes, which this is many times over. One that seems
/// to be was left behind, hours ago.
const SKEW_MAX: u64 = ticks(Duration::from_secs(1));
/// What part of the errors to malformed packets one network may have, so that whoever forges
/// one leaves the others theirs.
const ERROR_SHARE: u64 = 10;

const fn ticks(duration: Duration) -> u64 {
    duration.as_nanos() as u64 >> TICK_BITS
}

/// A time as buckets know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticks(u64);

impl From<Moment> for Ticks {
    #[inline]
    fn from(moment: Moment) -> Self {
        Ticks(moment.0 >> TICK_BITS & TIME_MASK)
    }
}

/// What is counted. The number stands in what is hashed, beside the network's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The name does not exist.
    NxDomain,
    /// Any other error.
    Error,
    /// Somebody else's name servers.
    Referral,
    /// More than [`AMPLIFIES`] times the query.
    Large,
    /// An error to a packet that is no query.
    Malformed,
}

impl Kind {
    /// The kind of a reply, if it counts. NOERROR without AA is a referral, or a cookie by
    /// itself, which is no better than one.
    #[inline]
    pub fn of(rcode: u8, authoritative: bool, len: usize, query_len: usize) -> Option<Kind> {
        match rcode {
            0 if len > AMPLIFIES * query_len => Some(Kind::Large),
            0 if authoritative => None,
            0 => Some(Kind::Referral),
            3 => Some(Kind::NxDomain),
            _ => Some(Kind::Error),
        }
    }
}

/// How much is told to whom.
#[derive(Clone, Debug)]
pub struct LimitRules {
    /// Replies of one kind about one subject to one network; no limit when absent.
    pub rate: Option<Rate>,
    /// Over the limit one in so many is answered with TC, so that whoever did ask comes back
    /// over TCP; none when 0.
    pub slip: u32,
    /// Errors to malformed packets, all senders together, of which one network gets no more than
    /// a tenth; no limit when absent.
    pub errors: Option<Rate>,
    /// Who is told everything.
    pub exempt: Networks<bool>,
}

impl Default for LimitRules {
    /// 200 a second is ten times what a busy resolver asks for in vain, and at 512 bytes less
    /// than a megabit; half of what is over it slips, as NSD, BIND and Knot have it. Errors as
    /// NSD's `ERROR_RATELIMIT`. Loopback is exempt: no packet from outside has such a source.
    fn default() -> Self {
        let loopback = ["127.0.0.0/8", "::1/128"].into_iter().filter_map(|net| net.parse().ok());
        LimitRules {
            rate: Rate::new(Self::PER_SECOND, Self::WINDOW),
            slip: Self::SLIP,
            errors: Rate::new(Self::ERRORS_PER_SECOND, Self::WINDOW),
            exempt: Self::exempt(loopback),
        }
    }
}

impl LimitRules {
    /// The usual rate.
    pub const PER_SECOND: u32 = 200;
    /// The usual window.
    pub const WINDOW: Duration = Duration::from_secs(1);
    /// The usual slip.
    pub const SLIP: u32 = 2;
    /// The usual rate of errors.
    pub const ERRORS_PER_SECOND: u32 = 100;

    /// These networks and no others.
    pub fn exempt(networks: impl IntoIterator<Item = IpNet>) -> Networks<bool> {
        Networks::new(networks.into_iter().map(|net| (net, true)), false)
    }
}

/// So many in a second, and at once no more than a window of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How much time one takes.
    step: u64,
    /// How much time may be taken in advance.
    window: u64,
}

impl Rate {
    /// The highest that is kept to.
    pub const PER_SECOND_MAX: u32 = 100_000;

    /// `per_second` on average over `window`; none for 0.
    pub fn new(per_second: u32, window: Duration) -> Option<Rate> {
        let one = Duration::from_secs(1).checked_div(per_second)?;
        // Whoever asks for less than one in a window gets one at a time.
        Some(Rate { step: ticks(one).max(1), window: ticks(window.min(WINDOW_MAX).max(one)) })
    }

    /// The rate of which so many networks make up this one.
    #[inline]
    pub(super) fn share(self) -> Rate {
        let step = self.step * ERROR_SHARE;
        Rate { step, window: self.window.max(step) }
    }
}

/// A leaky bucket: whose it is, and when it will be empty.
#[derive(Debug, Default)]
pub struct Bucket(AtomicU64);

impl Bucket {
    /// Takes one out of the bucket of `tag`; whether there was one left. Somebody else's bucket
    /// is taken over as if it were empty. Writes only if there was.
    #[inline]
    pub(super) fn take(&self, tag: u64, Ticks(now): Ticks, rate: Rate) -> bool {
        let taken = self.0.fetch_update(Relaxed, Relaxed, |word| {
            let ahead = if word >> TIME_BITS == tag { ahead(word, now, rate.window) } else { 0 };
            let full = ahead + rate.step > rate.window;
            (!full).then(|| tag << TIME_BITS | (now + ahead + rate.step) & TIME_MASK)
        });
        taken.is_ok()
    }
}

/// How long until the bucket `word` is empty, which holds a `window` at the most.
#[inline]
fn ahead(word: u64, now: u64, window: u64) -> u64 {
    let ahead = word.wrapping_sub(now) & TIME_MASK;
    if ahead > window + SKEW_MAX { 0 } else { ahead }
}

/// Buckets of all networks and subjects, by a keyed hash, so that nobody can choose who shares a line.
#[derive(Debug)]
pub(super) struct Table(Box<[Line; SETS]>);

/// Buckets that are looked at together. When all are in use, the one nearest to empty goes.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Line([Bucket; WAYS]);

impl Default for Table {
    fn default() -> Self {
        let lines: Box<[Line]> = (0..SETS).map(|_| Line::default()).collect();
        #[expect(clippy::expect_used, reason = "once, at the start")]
        Table(lines.try_into().expect("there are as many lines as were counted"))
    }
}

impl Table {
    /// Takes one out of the bucket of whoever has this `hash`.
    #[inline]
    pub(super) fn take(&self, hash: u64, now: Ticks, rate: Rate) -> bool {
        #[expect(clippy::indexing_slicing, reason = "there are SETS of them")]
        let Line(line) = &self.0[hash as usize % SETS];
        let tag = hash >> TIME_BITS;
        let [first, ..] = line;
        let (mut bucket, mut least) = (first, u64::MAX);
        for other in line {
            let word = other.0.load(Relaxed);
            if word >> TIME_BITS == tag {
                bucket = other;
                break;
            }
            // Whose it is, and so how much it holds, is not known: as much as any may.
            let ahead = ahead(word, now.0, ticks(WINDOW_MAX));
            if ahead < least {
                (bucket, least) = (other, ahead);
            }
        }
        bucket.take(tag, now, rate)
    }
}

/// What stands for one kind of replies about one subject to one network: 56 bits of address,
/// family and kind, and the subject.
#[inline]
pub(super) fn identity(kind: Kind, about: u64, from: IpAddr) -> [u8; 16] {
    const V6: u64 = 0x80;
    let whose = match from {
        IpAddr::V4(ip) => u64::from(ip.to_bits() >> V4_HOST_BITS) << 8 | kind as u64,
        IpAddr::V6(ip) => ((ip.to_bits() >> V6_HOST_BITS) as u64) << 8 | V6 | kind as u64,
    };
    (u128::from(about) << 64 | u128::from(whose)).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::super::Guard;
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn rules(per_second: u32, window: Duration) -> LimitRules {
        let exempt = ["198.51.100.0/24".parse().unwrap()];
        LimitRules {
            rate: Rate::new(per_second, window),
            exempt: LimitRules::exempt(exempt),
            ..LimitRules::default()
        }
    }

    fn guard() -> Guard {
        Guard::new([[1; 16], [2; 16]])
    }

    /// How many of `count` replies at `at` get through.
    fn through(
        guard: &Guard,
        rules: &LimitRules,
        kind: Kind,
        from: &str,
        at: u64,
        count: u32,
    ) -> u32 {
        let from = from.parse().unwrap();
        let admits = |_: &u32| guard.admits(rules, kind, 0, from, Moment(at).into());
        (0..count).filter(admits).count() as u32
    }

    #[test]
    fn a_network_gets_its_rate_and_no_more() {
        let day = 86_400 * SECOND;
        for per_second in [1, 3, 7, 200, 1_000] {
            let (guard, rules) = (guard(), rules(per_second, LimitRules::WINDOW));
            let at = |time| through(&guard, &rules, Kind::NxDomain, "192.0.2.1", day + time, 5_000);
            assert_eq!(at(0), per_second, "at once");
            assert_eq!(at(0), 0, "then none");
            assert_eq!(at(SECOND), per_second, "a second later");
            assert_eq!(at(10 * SECOND), per_second, "what was not used is lost");
        }
    }

    #[test]
    fn a_window_is_how_much_may_come_at_once() {
        let (guard, rules) = (guard(), rules(10, Duration::from_secs(5)));
        let at = |time| through(&guard, &rules, Kind::Error, "2001:db8::1", time, 1_000);
        assert_eq!(at(SECOND), 50);
        assert_eq!(at(2 * SECOND), 10);
        assert_eq!(at(9 * SECOND), 50);
    }

    #[test]
    fn networks_and_kinds_are_apart_and_hosts_of_a_network_are_not() {
        let (guard, rules) = (guard(), rules(5, LimitRules::WINDOW));
        let got = |kind, from| through(&guard, &rules, kind, from, SECOND, 10);
        for (kind, from, expected) in [
            (Kind::NxDomain, "192.0.2.1", 5),
            (Kind::NxDomain, "192.0.2.255", 0),
            (Kind::NxDomain, "192.0.3.1", 5),
            (Kind::Error, "192.0.2.1", 5),
            (Kind::Referral, "192.0.2.1", 5),
            (Kind::Large, "192.0.2.1", 5),
            (Kind::Large, "192.0.2.9", 0),
            (Kind::NxDomain, "2001:db8:0:ff::1", 5),
            (Kind::NxDomain, "2001:db8:0:00::1", 0),
            (Kind::NxDomain, "2001:db8:0:100::1", 5),
            (Kind::NxDomain, "198.51.100.7", 10),
        ] {
            assert_eq!(got(kind, from), expected, "{kind:?} to {from}");
        }
    }

    #[test]
    fn what_is_told_of_one_subject_costs_the_others_nothing() {
        let (guard, rules) = (guard(), rules(5, LimitRules::WINDOW));
        let from = "192.0.2.1".parse().unwrap();
        let got = |kind, about| {
            let admits = |_: &u32| guard.admits(&rules, kind, about, from, Moment(SECOND).into());
            (0..10).filter(admits).count()
        };
        for kind in [Kind::NxDomain, Kind::Error, Kind::Referral, Kind::Large] {
            assert_eq!([1, 1, 2, 1 << 63].map(|about| got(kind, about)), [5, 0, 5, 5], "{kind:?}");
        }
    }

    #[test]
    fn no_rate_is_no_limit() {
        let (guard, rules) = (guard(), rules(0, LimitRules::WINDOW));
        assert_eq!(through(&guard, &rules, Kind::Error, "192.0.2.1", 0, 1_000), 1_000);
    }

    #[test]
    fn other_networks_do_not_wash_a_bucket_away() {
        let (guard, rules) = (guard(), rules(200, LimitRules::WINDOW));
        let victim = |at| through(&guard, &rules, Kind::Large, "192.0.2.1", at, 300);
        assert_eq!(victim(SECOND), 200);
        // A million others a second, one after the other.
        for n in 0..10_000_u32 {
            let from = std::net::Ipv4Addr::from_bits(0x0a00_0000 | n << 8).to_string();
            through(&guard, &rules, Kind::Large, &from, SECOND + u64::from(n) * 1_000, 1);
        }
        assert_eq!(victim(SECOND + 10_000_000), 2, "what 10 ms give");
    }

    #[test]
    fn time_that_comes_round_limits_nobody() {
        let (guard, rules) = (guard(), rules(5, LimitRules::WINDOW));
        let round = (TIME_MASK + 1) << TICK_BITS;
        let at = |time| through(&guard, &rules, Kind::Error, "192.0.2.1", time, 10);
        assert_eq!(at(round - SECOND / 2), 5);
        assert_eq!(at(round + SECOND / 2), 5, "over the edge");
        assert_eq!(at(round + SECOND / 2 + SECOND / 5), 1);
        assert_eq!(at(2 * round - 3_600 * SECOND), 5, "a bucket left behind is empty");
        // A thread whose batch began earlier sees the bucket a little fuller, not empty.
        assert_eq!(at(2 * round - 3_600 * SECOND - SECOND / 2), 0);
    }

    #[test]
    fn a_bucket_left_behind_is_empty_up_to_where_time_comes_round() {
        let round = (TIME_MASK + 1) << TICK_BITS;
        for before in [3, 10, 60, 119] {
            let (guard, rules) = (guard(), rules(5, LimitRules::WINDOW));
            let at = |time| through(&guard, &rules, Kind::Error, "192.0.2.1", time, 10);
            assert_eq!(at(SECOND), 5);
            assert_eq!(at(SECOND + round - before * SECOND), 5, "{before} s before");
            // Never used until now.
            let now = Moment(round - before * SECOND).into();
            let from = "203.0.113.1".parse().unwrap();
            assert!(guard.admits_malformed(&rules, from, now), "{before} s before");
        }
    }

    #[test]
    fn threads_share_one_limit() {
        let (guard, rules) = (guard(), rules(1_000, LimitRules::WINDOW));
        let flood = || through(&guard, &rules, Kind::Large, "192.0.2.1", SECOND, 5_000);
        let total: u32 = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(flood)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(total, 1_000);
    }

    #[test]
    fn malformed_packets_get_so_many_errors_whoever_sends_them() {
        let (guard, rules) = (guard(), rules(200, LimitRules::WINDOW));
        let got = |from: &str, at| {
            let (from, now) = (from.parse().unwrap(), Moment(at).into());
            (0..1_000).filter(|_| guard.admits_malformed(&rules, from, now)).count()
        };
        assert_eq!(got("192.0.2.1", SECOND), 10, "its share");
        assert_eq!(got("192.0.2.2", SECOND), 0, "of the same network");
        let others: usize = (0..20).map(|net| got(&format!("203.0.{net}.1"), SECOND)).sum();
        assert_eq!(others, 90, "all others");
        assert_eq!(got("198.51.100.1", SECOND), 1_000, "exempt");
        assert_eq!(got("203.0.113.1", 2 * SECOND), 10);
    }

    #[test]
    fn only_what_amplifies_or_floods_counts() {
        for (rcode, authoritative, len, expected) in [
            (0, true, 90, None),
            (0, true, 91, Some(Kind::Large)),
            (0, false, 60, Some(Kind::Referral)),
            (3, true, 60, Some(Kind::NxDomain)),
            (5, false, 30, Some(Kind::Error)),
            (2, false, 30, Some(Kind::Error)),
        ] {
            assert_eq!(Kind::of(rcode, authoritative, len, 30), expected, "{rcode} {len}");
        }
    }
}
