//! EDNS: what the OPT record of a query says (RFC 6891): the network of the client which a
//! resolver asks for (ECS, RFC 7871), its cookie (RFC 7873), whether it wants our name (NSID,
//! RFC 5001) and to know how long a connection may be idle (RFC 7828).
//!
//! Reads the options we know; all others are skipped. Must not know what an answer makes of
//! them: they are checked for form and kept.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use super::types::OptionCode;

/// The smallest UDP payload anybody must take; smaller sizes count as this (RFC 6891 §6.2.3).
pub const UDP_MIN: usize = 512;
/// What we advertise, and the most we send over UDP, so that nothing fragments (RFC 9715 §3.1).
pub const UDP_MAX: usize = 1232;

/// The DO bit in the OPT record's TTL (RFC 3225 §3).
const DNSSEC_OK: u32 = 0x8000;

/// An EDNS option, or the list of them, whose form is wrong: FORMERR.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed EDNS option")]
pub struct MalformedOption;

/// What a query's OPT record says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// The largest UDP reply the client takes, 512 at the least.
    pub udp_size: u16,
    /// The version the client speaks; we speak 0.
    pub version: u8,
    /// Whether the client wants DNSSEC records; echoed.
    pub dnssec_ok: bool,
    /// The network of the client behind the resolver, if the resolver told.
    pub ecs: Option<Ecs>,
    /// The client's cookie.
    pub cookie: Option<Cookie>,
    /// Whether the client wants to know which server answers.
    pub nsid: bool,
    /// The edns-tcp-keepalive option, if the query had it.
    pub keepalive: Option<Keepalive>,
}

/// What a query says by the edns-tcp-keepalive option (RFC 7828 §3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keepalive {
    /// It asks: without data.
    Asked,
    /// With data, as no query may have it (§3.2.1); what it says does not matter.
    Malformed,
}

/// How long a connection may be idle, in units of 100 ms (RFC 7828 §3.1): at most 6,553.5 s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IdleTime(u16);

impl IdleTime {
    /// A tenth of a second.
    const UNIT_MILLIS: u128 = 100;

    /// The whole units within `time`, so that nobody is promised more; of more than there can
    /// be, the most.
    pub fn within(time: Duration) -> Self {
        IdleTime(u16::try_from(time.as_millis() / Self::UNIT_MILLIS).unwrap_or(u16::MAX))
    }

    /// The option's data.
    pub(super) fn wire(self) -> [u8; 2] {
        self.0.to_be_bytes()
    }
}

impl Edns {
    /// From the fixed fields of an OPT record, which keep the payload size where others have
    /// the class, and version and flags in the TTL. The options are still to be read.
    #[inline]
    pub(super) fn from_fixed(class: u16, ttl: u32) -> Self {
        Edns {
            udp_size: class.max(UDP_MIN as u16),
            version: (ttl >> 16) as u8,
            dnssec_ok: ttl & DNSSEC_OK != 0,
            ecs: None,
            cookie: None,
            nsid: false,
            keepalive: None,
        }
    }

    /// Takes over what `options` say, all of it or nothing. Of several of one kind the first
    /// counts (RFC 7873 §5.2).
    #[inline]
    pub(super) fn read_options(&mut self, options: &[u8]) -> Result<(), MalformedOption> {
        let read = self.read_each(options);
        if read.is_err() {
            (self.ecs, self.cookie, self.nsid, self.keepalive) = (None, None, false, None);
        }
        read
    }

    #[inline]
    fn read_each(&mut self, mut options: &[u8]) -> Result<(), MalformedOption> {
        while !options.is_empty() {
            let ([c0, c1, l0, l1], rest) = options.split_first_chunk().ok_or(MalformedOption)?;
            let len = usize::from(u16::from_be_bytes([*l0, *l1]));
            let (data, rest) = rest.split_at_checked(len).ok_or(MalformedOption)?;
            match OptionCode(u16::from_be_bytes([*c0, *c1])) {
                OptionCode::ECS if self.ecs.is_none() => self.ecs = Some(Ecs::parse(data)?),
                OptionCode::COOKIE if self.cookie.is_none() => {
                    self.cookie = Some(Cookie::parse(data)?);
                }
                OptionCode::NSID => self.nsid = true,
                OptionCode::KEEPALIVE if self.keepalive.is_none() => {
                    self.keepalive = Some(match data {
                        [] => Keepalive::Asked,
                        _ => Keepalive::Malformed,
                    });
                }
                _ => {}
            }
            options = rest;
        }
        Ok(())
    }

    /// The TTL field of our own OPT record: version 0, DO as the client had it, all other
    /// flags clear, and the upper eight bits of the rcode.
    #[inline]
    pub(super) fn reply_ttl(&self, rcode_high: u8) -> u32 {
        u32::from(rcode_high) << 24 | if self.dnssec_ok { DNSSEC_OK } else { 0 }
    }
}

/// A client's network as a resolver tells it (RFC 7871 §6). Only well-formed ones exist: the
/// prefix fits the family and no bit of the address is set behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ecs {
    /// Family, source prefix, scope prefix (0) and address, filled up with zeros.
    data: [u8; 4 + 16],
    /// How long `data` is on the wire.
    len: u8,
}

impl Ecs {
    /// Checks the option's data (RFC 7871 §6, §7.1.2). Family 0 is accepted with an empty
    /// prefix: it names no network in no family, and is how `dig +subnet=0` opts out; BIND
    /// takes it too. Every other family but IPv4 and IPv6 is malformed, as the RFC says.
    #[inline]
    fn parse(option: &[u8]) -> Result<Self, MalformedOption> {
        let ([f0, f1, source_prefix, scope], address) =
            option.split_first_chunk().ok_or(MalformedOption)?;
        let longest = match u16::from_be_bytes([*f0, *f1]) {
            0 => 0,
            1 => 32,
            2 => 128,
            _ => return Err(MalformedOption),
        };
        let spare_bits = (address.len() * 8).wrapping_sub(usize::from(*source_prefix));
        if *scope != 0 || *source_prefix > longest || spare_bits >= 8 {
            return Err(MalformedOption);
        }
        if address.last().is_some_and(|last| last & ((1 << spare_bits) - 1) != 0) {
            return Err(MalformedOption);
        }
        let mut data = [0; 4 + 16];
        data.get_mut(..option.len()).ok_or(MalformedOption)?.copy_from_slice(option);
        Ok(Ecs { data, len: option.len() as u8 })
    }

    /// How many leading bits of the address the resolver tells; 0 when its client opted out.
    #[inline]
    pub fn source_prefix(&self) -> u8 {
        self.data[2]
    }

    /// The network's first address: all bits behind the prefix are zero. Unspecified IPv4 when
    /// no family was named.
    #[inline]
    pub fn address(&self) -> IpAddr {
        let [_, family, _, _, address @ ..] = self.data;
        match (family, address) {
            (2, octets) => Ipv6Addr::from(octets).into(),
            (_, [a, b, c, d, ..]) => Ipv4Addr::new(a, b, c, d).into(),
        }
    }

    /// The option's data in the reply: family, source prefix and address as they came, with
    /// our `scope` (RFC 7871 §7.2.1).
    #[inline]
    #[expect(clippy::indexing_slicing, reason = "`len` bytes of `data` were written")]
    pub(super) fn echo(&mut self, scope: u8) -> &[u8] {
        self.data[3] = scope;
        &self.data[..usize::from(self.len)]
    }

    /// How long the whole option is in the reply, its code and length included: as it came.
    #[inline]
    pub(super) fn wire_len(&self) -> usize {
        4 + usize::from(self.len)
    }
}

/// A client's cookie, and the one a server gave it, if that came along (RFC 7873 §4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cookie {
    /// What the client chose for us; echoed.
    pub client: [u8; 8],
    /// What it had from a server at this address. One of another length than ours is not ours:
    /// it stands here as zeros, whose version 0 nobody makes (RFC 9018 §4.1).
    pub server: Option<[u8; 16]>,
}

impl Cookie {
    /// Checks the option's length: 8 bytes of the client's, then nothing or 8 to 32 of a
    /// server's (RFC 7873 §5.2.2).
    #[inline]
    fn parse(option: &[u8]) -> Result<Self, MalformedOption> {
        let (client, server) = option.split_first_chunk().ok_or(MalformedOption)?;
        let server = match server.len() {
            0 => None,
            8..=32 => Some(server.try_into().unwrap_or([0; 16])),
            _ => return Err(MalformedOption),
        };
        Ok(Cookie { client: *client, server })
    }
}

/// Which server this is (RFC 5001 §2.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nsid(Box<[u8]>);

impl Nsid {
    /// The longest: enough for a host's name, short enough to fit beside any question and every
    /// other option in the 512 bytes that a reply has at the least.
    pub const MAX: usize = 128;

    /// `bytes`, if they are not too many.
    pub fn new(bytes: &[u8]) -> Option<Self> {
        (bytes.len() <= Nsid::MAX).then(|| Nsid(bytes.into()))
    }

    /// As it is on the wire.
    #[inline]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(options: &[u8]) -> Result<Edns, MalformedOption> {
        let mut edns = Edns::from_fixed(1232, 0);
        edns.read_options(options).map(|()| edns)
    }

    fn ecs(data: &[u8]) -> Result<Option<Ecs>, MalformedOption> {
        read(&[&[0, 8, 0, data.len() as u8], data].concat()).map(|edns| edns.ecs)
    }

    fn cookie(len: u8) -> Result<Option<Cookie>, MalformedOption> {
        let data: Vec<u8> = (1..=len).collect();
        read(&[&[0, 10, 0, len], &data[..]].concat()).map(|edns| edns.cookie)
    }

    #[test]
    fn cookies_have_the_lengths_of_rfc_7873() {
        for len in 0..=48 {
            let well = matches!(len, 8 | 16..=40);
            assert_eq!(cookie(len).is_ok(), well, "{len}");
        }
        let client = [1, 2, 3, 4, 5, 6, 7, 8];
        assert_eq!(cookie(8), Ok(Some(Cookie { client, server: None })));
        let server = std::array::from_fn(|i| 9 + i as u8);
        assert_eq!(cookie(24), Ok(Some(Cookie { client, server: Some(server) })));
        assert_eq!(cookie(40), Ok(Some(Cookie { client, server: Some([0; 16]) })));
    }

    #[test]
    fn a_name_is_asked_for_by_the_option_alone() {
        assert!(!read(&[]).unwrap().nsid);
        assert!(read(&[0, 3, 0, 0]).unwrap().nsid);
    }

    #[test]
    fn fixed_fields_are_taken_from_class_and_ttl() {
        let edns = Edns::from_fixed(4096, 0x0001_8000);
        assert_eq!((edns.udp_size, edns.version, edns.dnssec_ok), (4096, 1, true));
        let edns = Edns::from_fixed(0, 0x0000_7fff);
        assert_eq!((edns.udp_size, edns.version, edns.dnssec_ok), (512, 0, false));
    }

    #[test]
    fn client_networks_are_read() {
        let cases: [(&[u8], &str, u8); 6] = [
            (&[0, 1, 24, 0, 192, 0, 2], "192.0.2.0", 24),
            (&[0, 1, 32, 0, 192, 0, 2, 255], "192.0.2.255", 32),
            (&[0, 1, 20, 0, 10, 1, 0xf0], "10.1.240.0", 20),
            (&[0, 1, 0, 0], "0.0.0.0", 0),
            (&[0, 2, 56, 0, 0x20, 1, 0xd, 0xb8, 0, 1, 2], "2001:db8:1:200::", 56),
            (&[0, 0, 0, 0], "0.0.0.0", 0),
        ];
        for (data, address, source_prefix) in cases {
            let ecs = ecs(data).unwrap().unwrap();
            assert_eq!(ecs.address(), address.parse::<IpAddr>().unwrap());
            assert_eq!(ecs.source_prefix(), source_prefix);
        }
    }

    #[test]
    fn every_malformed_client_network_is_refused() {
        let cases: [(&str, &[u8]); 12] = [
            ("no data", &[]),
            ("no prefixes", &[0, 1, 24]),
            ("source over 32", &[0, 1, 33, 0, 192, 0, 2, 1, 0]),
            (
                "source over 128",
                &[0, 2, 129, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0],
            ),
            ("address too short", &[0, 1, 24, 0, 192, 0]),
            ("address missing", &[0, 1, 24, 0]),
            ("address too long", &[0, 1, 24, 0, 192, 0, 2, 0]),
            ("address without a prefix", &[0, 1, 0, 0, 0]),
            ("bits behind the prefix", &[0, 1, 20, 0, 10, 1, 0xf1]),
            ("scope in a query", &[0, 1, 24, 24, 192, 0, 2]),
            ("unknown family", &[0, 3, 0, 0]),
            ("family 0 with a prefix", &[0, 0, 8, 0, 10]),
        ];
        for (what, data) in cases {
            assert_eq!(ecs(data), Err(MalformedOption), "{what}");
        }
    }

    #[test]
    fn unknown_options_are_skipped_and_overruns_refused() {
        let unknown = [0, 99, 0, 8, 1, 2, 3, 4, 5, 6, 7, 8, 0xff, 0xff, 0, 0];
        let subnet = [0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2];
        let other = [0, 8, 0, 7, 0, 1, 24, 0, 198, 51, 100];
        assert_eq!(read(&unknown), Ok(Edns::from_fixed(1232, 0)));
        let first = read(&subnet);
        assert!(first.is_ok_and(|edns| edns.ecs.is_some()));
        assert_eq!(read(&[&unknown[..], &subnet, &other].concat()), first);
        for cut in 1..subnet.len() {
            assert_eq!(read(&subnet[..cut]), Err(MalformedOption), "{cut}");
        }
    }

    #[test]
    fn keepalive_is_asked_for_without_data() {
        let asked = |option: &[u8]| read(option).unwrap().keepalive;
        assert_eq!(asked(&[]), None);
        assert_eq!(asked(&[0, 11, 0, 0]), Some(Keepalive::Asked));
        assert_eq!(asked(&[0, 11, 0, 2, 0, 100]), Some(Keepalive::Malformed));
        assert_eq!(asked(&[0, 11, 0, 1, 9]), Some(Keepalive::Malformed));
        assert_eq!(IdleTime::within(Duration::from_millis(10_050)).wire(), [0, 100]);
    }

    #[test]
    fn no_idle_time_is_more_than_the_option_can_say() {
        let wire = |millis| IdleTime::within(Duration::from_millis(millis)).wire();
        assert_eq!(wire(99), [0, 0]);
        assert_eq!(wire(6_553_500), [0xff, 0xff]);
        assert_eq!(wire(10_000_000), [0xff, 0xff]);
    }

    proptest! {
        #[test]
        fn what_is_echoed_reads_back(prefix in 0u8..=128, v6: bool, bits: u128, scope: u8) {
            let (family, longest) = if v6 { (2, 128) } else { (1, 32) };
            let prefix = prefix.min(longest);
            let kept = bits & u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
            let address = &kept.to_be_bytes()[..usize::from(prefix).div_ceil(8)];
            let data = [&[0, family, prefix, 0], address].concat();
            let mut ecs = ecs(&data).unwrap().unwrap();
            prop_assert_eq!(ecs.wire_len(), 4 + data.len());
            prop_assert_eq!(ecs.echo(scope), &[&data[..3], &[scope], address].concat()[..]);
            prop_assert_eq!(ecs.echo(0), &data[..]);
        }

        #[test]
        fn options_never_panic(options: Vec<u8>) {
            let _ = read(&options);
        }
    }
}
