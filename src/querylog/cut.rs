//! Clients' addresses, cut to as many bits as the operator wants kept: wherever they stand, an IPv4
//! address in an IPv6 one too.

use super::opt;
use crate::{config::querylog::Cut, place::fold_net, telemetry::Sample};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Where the address begins in an ECS option: behind family, source and scope (RFC 7871 §6).
const ADDRESS: usize = 4;
/// The address families IPv4 and IPv6 (IANA).
const IPV4: [u8; 2] = [0, 1];
const IPV6: [u8; 2] = [0, 2];

/// Cuts every address in `sample`; whether its messages may be shown. A message that cannot be
/// read to its end may hold an address that was not found.
pub(super) fn sample(sample: &mut Sample, cut: Cut) -> bool {
    sample.from = SocketAddr::new(address(sample.from.ip(), cut), sample.from.port());
    sample.subnet = sample.subnet.map(|(ip, len)| (address(ip, cut), len.min(bits(ip, cut))));
    let query = message(sample.query_mut(), cut);
    message(sample.reply_mut(), cut) && query
}

/// How many bits of `ip` are kept: of one with an IPv4 address hidden in it (6to4, NAT64, mapped,
/// Teredo) no more than of either.
fn bits(ip: IpAddr, cut: Cut) -> u8 {
    if ip.is_ipv4() {
        return cut.v4;
    }
    let folded = fold_net(ip, 128);
    if folded.ip.is_ipv4() { cut.v6.min(folded.shift + cut.v4) } else { cut.v6 }
}

fn address(ip: IpAddr, cut: Cut) -> IpAddr {
    let kept = u32::from(bits(ip, cut));
    match ip {
        IpAddr::V4(v4) => {
            let mask = u32::MAX.checked_shl(32 - kept).unwrap_or(0);
            Ipv4Addr::from_bits(v4.to_bits() & mask).into()
        }
        IpAddr::V6(v6) => {
            let mask = u128::MAX.checked_shl(128 - kept).unwrap_or(0);
            Ipv6Addr::from_bits(v6.to_bits() & mask).into()
        }
    }
}

/// Cuts the client's network in `message`: its length stays, the bits cut are zero.
fn message(message: &mut [u8], cut: Cut) -> bool {
    if message.is_empty() {
        return true;
    }
    let Ok(found) = opt::find(message) else { return false };
    let Some(ecs) = found.and_then(|opt| message.get_mut(opt.ecs?)) else { return true };
    let kept = usize::from(match told(ecs) {
        Some(ip) => bits(ip, cut),
        None => 0,
    });
    for (i, byte) in ecs.iter_mut().skip(ADDRESS).enumerate() {
        let kept = kept.saturating_sub(8 * i).min(8);
        *byte &= !(0xff_u16 >> kept) as u8;
    }
    true
}

/// The address in an ECS option, whose end may be left out; none of a family that has no clients.
fn told(ecs: &[u8]) -> Option<IpAddr> {
    let mut octets = [0; 16];
    let address = ecs.get(ADDRESS..).unwrap_or_default();
    for (octet, told) in octets.iter_mut().zip(address) {
        *octet = *told;
    }
    let [a, b, c, d, ..] = octets;
    if ecs.starts_with(&IPV4) {
        Some(Ipv4Addr::new(a, b, c, d).into())
    } else {
        ecs.starts_with(&IPV6).then(|| Ipv6Addr::from(octets).into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_lose_what_is_not_kept() {
        for (ip, v4, v6, cut) in [
            ("192.0.2.129", 24, 48, "192.0.2.0"),
            ("192.0.2.129", 32, 48, "192.0.2.129"),
            ("192.0.2.129", 0, 48, "0.0.0.0"),
            ("2001:db8:1:2::3", 24, 48, "2001:db8:1::"),
            ("2001:db8:1:2::3", 24, 0, "::"),
            ("2001:db8:1:2::3", 24, 128, "2001:db8:1:2::3"),
            ("2002:c000:281:7::1", 24, 48, "2002:c000:200::"),
            ("::ffff:192.0.2.129", 24, 128, "::ffff:192.0.2.0"),
            ("64:ff9b::192.0.2.129", 24, 128, "64:ff9b::c000:200"),
        ] {
            assert_eq!(address(ip.parse().unwrap(), Cut { v4, v6 }).to_string(), cut);
        }
    }

    #[test]
    fn networks_in_messages_lose_it_too() {
        // A header with one additional record, which is OPT with one ECS option.
        let with = |family: u8, bits: u8, address: &[u8]| {
            let mut message = vec![0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
            let len = 4 + address.len() as u8;
            message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 4 + len]);
            message.extend([0, 8, 0, len, 0, family, bits, 0]);
            message.extend(address);
            message
        };
        let cut = Cut { v4: 20, v6: 32 };
        for (family, bits, address, expected) in [
            (1, 32, &[192, 0, 255, 7][..], &[192, 0, 240, 0][..]),
            (1, 16, &[192, 0], &[192, 0]),
            (2, 48, &[0x20, 1, 0xd, 0xb8, 0xff, 0xff], &[0x20, 1, 0xd, 0xb8, 0, 0]),
            (2, 48, &[0x20, 2, 192, 0, 255, 7], &[0x20, 2, 192, 0, 0, 0]),
            (3, 32, &[192, 0, 255, 7], &[0; 4]),
        ] {
            let mut cut_away = with(family, bits, address);
            assert!(message(&mut cut_away, cut));
            assert_eq!(cut_away, with(family, bits, expected));
        }
        let mut broken = with(1, 32, &[192, 0, 255, 7]);
        broken.pop();
        assert!(!message(&mut broken, cut), "what cannot be read may not be shown");
        assert!(message(&mut [], cut));
    }
}
