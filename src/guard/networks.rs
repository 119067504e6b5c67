//! Networks and what is said of each, looked up by address: of those that hold it, the longest
//! counts.
//!
//! Laid out flat when files are compiled: where one value ends and the next begins, in order, so
//! that a lookup is one binary search however they nest. Must not know what the values mean.

use ipnet::IpNet;
use std::net::IpAddr;

/// What is said of each address of both families.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Networks<T> {
    v4: Runs<T>,
    v6: Runs<T>,
}

/// From each start to the next one every address has the same value. The first start is 0.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Runs<T> {
    first: T,
    others: Box<[(u128, T)]>,
}

impl<T: Copy + PartialEq> Networks<T> {
    /// `of` says what holds for each network, `otherwise` what for all other addresses. Of one
    /// network given twice the last counts.
    pub fn new(of: impl IntoIterator<Item = (IpNet, T)>, otherwise: T) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for (net, value) in of {
            match net.trunc() {
                IpNet::V4(net) => {
                    let (first, last) = (net.network(), net.broadcast());
                    let (first, last) = (first.to_bits().into(), last.to_bits().into());
                    v4.push((first, last, value));
                }
                IpNet::V6(net) => {
                    v6.push((net.network().to_bits(), net.broadcast().to_bits(), value));
                }
            }
        }
        Networks { v4: Runs::new(v4, otherwise), v6: Runs::new(v6, otherwise) }
    }

    /// What is said of `ip`.
    #[inline]
    pub fn of(&self, ip: IpAddr) -> T {
        match ip {
            IpAddr::V4(ip) => self.v4.of(ip.to_bits().into()),
            IpAddr::V6(ip) => self.v6.of(ip.to_bits()),
        }
    }
}

impl<T: Copy + PartialEq> Runs<T> {
    /// From networks by their first and last addresses: nested or apart, never across.
    fn new(mut nets: Vec<(u128, u128, T)>, otherwise: T) -> Self {
        // The wider before those in it.
        nets.sort_by_key(|&(first, last, _)| (first, std::cmp::Reverse(last)));
        let mut runs = vec![(0, otherwise)];
        let mut open: Vec<(u128, T)> = Vec::new();
        let around = |open: &[(u128, T)]| open.last().map_or(otherwise, |(_, value)| *value);
        for (first, last, value) in nets {
            while let Some((end, _)) = open.pop_if(|(end, _)| *end < first) {
                begin(&mut runs, end + 1, around(&open));
            }
            begin(&mut runs, first, value);
            open.push((last, value));
        }
        while let Some((end, _)) = open.pop() {
            // The last address has none behind it; IPv4's is followed by space nobody asks for.
            if let Some(next) = end.checked_add(1) {
                begin(&mut runs, next, around(&open));
            }
        }
        let (_, first) = runs.remove(0);
        Runs { first, others: runs.into() }
    }

    #[inline]
    fn of(&self, address: u128) -> T {
        let behind = self.others.partition_point(|(start, _)| *start <= address);
        let run = behind.checked_sub(1).and_then(|at| self.others.get(at));
        run.map_or(self.first, |(_, value)| *value)
    }
}

/// Begins a run; one that would be empty, or go on with the same value, leaves no trace.
fn begin<T: PartialEq>(runs: &mut Vec<(u128, T)>, start: u128, value: T) {
    runs.pop_if(|(last, _)| *last == start);
    if runs.last().is_none_or(|(_, before)| *before != value) {
        runs.push((start, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn networks(said: &[(&str, u8)]) -> Networks<u8> {
        Networks::new(said.iter().map(|(net, value)| (net.parse().unwrap(), *value)), 0)
    }

    #[test]
    fn the_longest_network_counts() {
        let table = networks(&[
            ("10.0.0.0/8", 1),
            ("10.1.0.0/16", 2),
            ("10.1.255.0/24", 3),
            ("255.255.255.255/32", 4),
            ("2001:db8::/32", 5),
            ("::1/128", 6),
        ]);
        for (ip, value) in [
            ("9.255.255.255", 0),
            ("10.0.0.0", 1),
            ("10.1.0.0", 2),
            ("10.1.254.255", 2),
            ("10.1.255.255", 3),
            ("10.2.0.0", 1),
            ("11.0.0.0", 0),
            ("255.255.255.255", 4),
            ("::1", 6),
            ("::2", 0),
            ("2001:db8:ffff::", 5),
            ("2001:db9::", 0),
        ] {
            assert_eq!(table.of(ip.parse().unwrap()), value, "{ip}");
        }
        assert_eq!(networks(&[("0.0.0.0/0", 1)]).of("0.0.0.0".parse().unwrap()), 1);
        assert_eq!(networks(&[("::/0", 1)]).of("ffff::".parse().unwrap()), 1);
    }

    proptest! {
        #[test]
        fn a_lookup_is_what_looking_at_each_network_gives(
            nets in prop::collection::vec((any::<u8>(), 0_u8..=8, any::<u8>()), 0..12),
            asked: u8,
        ) {
            let ip = |low: u8| std::net::Ipv4Addr::new(192, 0, 2, low);
            let net = |low, len| ipnet::Ipv4Net::new(ip(low), 24 + len).unwrap().trunc();
            let said = nets.iter().map(|&(low, len, value)| (IpNet::V4(net(low, len)), value));
            let table = Networks::new(said, 0);
            let holding = nets.iter().filter(|(low, len, _)| net(*low, *len).contains(&ip(asked)));
            // Of equal ones `max_by_key` takes the last.
            let longest = holding.max_by_key(|(_, len, _)| *len);
            let expected = longest.map_or(0, |(_, _, value)| *value);
            prop_assert_eq!(table.of(ip(asked).into()), expected);
        }
    }
}
