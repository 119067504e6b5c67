//! IPv4 hidden in IPv6: mapped addresses, NAT64, 6to4 and Teredo (DESIGN §5, Client identity).
//!
//! A client behind one of these is where its IPv4 address is. Knows the four layouts and
//! nothing of tables or maps.

use ipnet::{IpNet, Ipv4Net};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// One way to hide IPv4 in IPv6: below `prefix/prefix_len`, the bits after `hidden_after` are
/// the IPv4 address.
pub(super) struct Hiding {
    prefix: u128,
    prefix_len: u8,
    hidden_after: u8,
    inverted: bool,
}

impl Hiding {
    /// First address and length of the network it fills.
    pub(super) fn network(&self) -> (u128, u8) {
        (self.prefix, self.prefix_len)
    }
}

pub(super) const HIDINGS: [Hiding; 4] = [
    // ::ffff:0:0/96, IPv4-mapped (RFC 4291 §2.5.5.2).
    Hiding { prefix: 0xffff << 32, prefix_len: 96, hidden_after: 96, inverted: false },
    // 64:ff9b::/96, the well-known NAT64 prefix (RFC 6052 §2.1).
    Hiding { prefix: 0x0064_ff9b << 96, prefix_len: 96, hidden_after: 96, inverted: false },
    // 2002::/16, 6to4: the gateway's address follows (RFC 3056 §2).
    Hiding { prefix: 0x2002 << 112, prefix_len: 16, hidden_after: 16, inverted: false },
    // 2001::/32, Teredo: the client's address stands last, inverted (RFC 4380 §4).
    Hiding { prefix: 0x2001_0000 << 96, prefix_len: 32, hidden_after: 96, inverted: true },
];

/// A client network as the maps see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folded {
    /// The address, IPv4 where it hid one.
    pub ip: IpAddr,
    /// How many of its bits are known.
    pub len: u8,
    /// What to add to a scope found for `ip` to speak of the address as it came.
    pub shift: u8,
}

/// `ip`, or the IPv4 address hidden in it.
pub fn fold(ip: IpAddr) -> IpAddr {
    fold_net(ip, if ip.is_ipv4() { 32 } else { 128 }).ip
}

/// The same for a client known by its first `len` bits only, as ECS gives it. A network too
/// wide to hold any bit of the IPv4 address stays what it is.
#[inline]
pub fn fold_net(ip: IpAddr, len: u8) -> Folded {
    if let IpAddr::V6(v6) = ip {
        let bits = v6.to_bits();
        // All four lie in 0000::/8, 2001::/16 or 2002::/16; most clients do not.
        if matches!(bits >> 112, 0 | 0x64 | 0x2001 | 0x2002) {
            return fold_bits(v6, bits, len);
        }
    }
    Folded { ip, len, shift: 0 }
}

fn fold_bits(v6: Ipv6Addr, bits: u128, len: u8) -> Folded {
    let hit = HIDINGS.iter().find(|hiding| {
        let below = (bits ^ hiding.prefix) >> (128 - u32::from(hiding.prefix_len)) == 0;
        below && len > hiding.hidden_after
    });
    match hit {
        None => Folded { ip: v6.into(), len, shift: 0 },
        Some(hiding) => {
            let shift = hiding.hidden_after;
            let hidden = (bits >> (96 - u32::from(shift))) as u32;
            let v4 = if hiding.inverted { !hidden } else { hidden };
            Folded { ip: Ipv4Addr::from_bits(v4).into(), len: (len - shift).min(32), shift }
        }
    }
}

/// A rule's network as the maps see it.
pub fn fold_rule(net: IpNet) -> IpNet {
    let folded = fold_net(net.network(), net.prefix_len());
    match folded.ip {
        IpAddr::V4(v4) => Ipv4Net::new(v4, folded.len).map_or(net, |v4| v4.trunc().into()),
        IpAddr::V6(_) => net.trunc(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_ipv4_is_found_in_all_four_forms() {
        let cases = [
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("64:ff9b::192.0.2.1", "192.0.2.1"),
            ("2002:c000:201:5::7", "192.0.2.1"),
            ("2001:0:4136:e378:8000:63bf:3fff:fdfe", "192.0.2.1"),
            ("192.0.2.1", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("64:ff9b:1::192.0.2.1", "64:ff9b:1::192.0.2.1"),
            ("::192.0.2.1", "::192.0.2.1"),
        ];
        for (given, want) in cases {
            let given: IpAddr = given.parse().unwrap();
            assert_eq!(fold(given).to_string().parse(), want.parse::<IpAddr>());
        }
    }

    #[test]
    fn networks_fold_only_when_they_hold_some_of_the_ipv4_address() {
        let cases = [
            ("2002:c000:200::/40", "192.0.2.0", 24, 16),
            ("2002:c000:201::/56", "192.0.2.1", 32, 16),
            ("2002::/16", "2002::", 16, 0),
            ("::ffff:192.0.2.0/120", "192.0.2.0", 24, 96),
            ("64:ff9b::/96", "64:ff9b::", 96, 0),
            ("2001:0:4136::/56", "2001:0:4136::", 56, 0),
        ];
        for (given, ip, len, shift) in cases {
            let net: IpNet = given.parse().unwrap();
            let ip: IpAddr = ip.parse().unwrap();
            let got = fold_net(net.addr(), net.prefix_len());
            assert_eq!(got, Folded { ip, len, shift }, "{given}");
        }
    }

    #[test]
    fn rules_fold_like_the_clients_they_match() {
        let rule = |text: &str| fold_rule(text.parse().unwrap()).to_string();
        assert_eq!(rule("2002:c000:200::/40"), "192.0.2.0/24");
        assert_eq!(rule("2001:db8::/32"), "2001:db8::/32");
        assert_eq!(rule("2000::/3"), "2000::/3");
    }
}
