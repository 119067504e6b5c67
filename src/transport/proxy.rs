//! The PROXY protocol, version 2: what a load balancer says in front of a query about where it
//! really comes from.
//!
//! [`parse`] is pure; [`Proxies`] says from whom a header is taken. A trusted proxy must send
//! one, in front of each datagram and once on each connection: whether there is one is never
//! guessed, as the protocol demands (§2). From anybody else nothing is parsed. Must not know
//! what the query says, nor what is made of its source.

use ipnet::IpNet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

/// What every header begins with. As a DNS message it would be a query of an opcode nobody uses.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Signature, version and command, family and transport, length of what follows.
const FIXED_LEN: usize = SIGNATURE.len() + 4;
/// The longest header taken, on a stream too: dnsdist sends 512 bytes at most unless told
/// otherwise, and the protocol wants 536 to be enough for everybody (§2.2).
pub const HEADER_MAX: usize = 1_024;

/// Two addresses and two ports.
const V4_LEN: usize = 12;
const V6_LEN: usize = 36;

/// A whole header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// How many bytes it takes: the query follows.
    pub len: usize,
    /// Who asks; none when the proxy speaks for itself (LOCAL), or says that it does not know.
    pub source: Option<SocketAddr>,
}

/// Why there is no header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderProblem {
    /// It may become one when more has come.
    #[error("the PROXY header is not all there")]
    Incomplete,
    /// It never will.
    #[error("malformed PROXY header")]
    Malformed,
}

/// Reads the header that `bytes` begin with. TLVs behind the addresses are skipped unread.
///
/// # Errors
/// When it is not all there, or is none that we know: another version, command, family or
/// transport, longer than [`HEADER_MAX`], or too short for the addresses it claims to hold.
pub fn parse(bytes: &[u8]) -> Result<Header, HeaderProblem> {
    if bytes.iter().zip(&SIGNATURE).any(|(byte, signed)| byte != signed) {
        return Err(HeaderProblem::Malformed);
    }
    let (fixed, rest) = bytes.split_first_chunk::<FIXED_LEN>().ok_or(HeaderProblem::Incomplete)?;
    let [.., command, family, l0, l1] = *fixed;
    let body_len = usize::from(u16::from_be_bytes([l0, l1]));
    let len = FIXED_LEN + body_len;
    if len > HEADER_MAX {
        return Err(HeaderProblem::Malformed);
    }
    let Some(body) = rest.get(..body_len) else { return Err(HeaderProblem::Incomplete) };
    match command {
        // LOCAL: the proxy's own query; whatever else the header holds is skipped (§2.2).
        0x20 => Ok(Header { len, source: None }),
        0x21 => source(family, body).map(|source| Header { len, source }),
        _ => Err(HeaderProblem::Malformed),
    }
}

/// The source address of a header's body. Its transport is how the client came to the proxy, not
/// how the proxy came to us, so it only has to be one that exists.
fn source(family: u8, body: &[u8]) -> Result<Option<SocketAddr>, HeaderProblem> {
    let source = match (family >> 4, family & 0xf) {
        // AF_UNSPEC: the proxy does not know.
        (0, 0..=2) => return Ok(None),
        (1, 1..=2) => body.first_chunk::<V4_LEN>().map(|&[a, b, c, d, _, _, _, _, p0, p1, ..]| {
            SocketAddr::new(Ipv4Addr::new(a, b, c, d).into(), u16::from_be_bytes([p0, p1]))
        }),
        (2, 1..=2) => body.first_chunk::<V6_LEN>().and_then(|body| {
            let (address, rest) = body.split_first_chunk::<16>()?;
            let [p0, p1] = *rest.get(16..)?.first_chunk()?;
            // A proxy that listens on both families at once writes IPv4 so; lists and limits know
            // it as what it is.
            let address = IpAddr::from(Ipv6Addr::from(*address)).to_canonical();
            Some(SocketAddr::new(address, u16::from_be_bytes([p0, p1])))
        }),
        _ => None,
    };
    source.map(Some).ok_or(HeaderProblem::Malformed)
}

/// The proxies that are trusted to say where a query comes from.
#[derive(Clone, Debug, Default)]
pub struct Proxies(Arc<[IpNet]>);

impl Proxies {
    /// Trusts the addresses in `networks`.
    pub fn within(networks: impl IntoIterator<Item = IpNet>) -> Self {
        Proxies(networks.into_iter().collect())
    }

    /// Whether what comes from `address` begins with a header. Without proxies, as nearly
    /// always, this is one look at a length.
    #[inline]
    pub(super) fn trust(&self, address: IpAddr) -> bool {
        !self.0.is_empty() && self.holds(address.to_canonical())
    }

    fn holds(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(&address))
    }

    /// Takes the header off the datagram in `buf[..len]`, which came from `from`: moves the query
    /// to the front and returns its length and who asks.
    ///
    /// # Errors
    /// When a trusted proxy sent none, or a broken one: nobody may be answered then.
    #[inline]
    pub(super) fn strip(
        &self,
        buf: &mut [u8],
        len: usize,
        from: SocketAddr,
    ) -> Result<(usize, SocketAddr), HeaderProblem> {
        if !self.trust(from.ip()) {
            return Ok((len, from));
        }
        let header = parse(buf.get(..len).unwrap_or_default())?;
        buf.copy_within(header.len..len, 0);
        Ok((len - header.len, header.source.unwrap_or(from)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A header of version 2 by its last four fields.
    fn header(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
        let len = (body.len() as u16).to_be_bytes();
        [&SIGNATURE[..], &[command, family], &len, body].concat()
    }

    const V4: [u8; V4_LEN] = [192, 0, 2, 7, 192, 0, 2, 53, 0x12, 0x34, 0, 53];

    fn v6() -> [u8; V6_LEN] {
        let mut body = [0; V6_LEN];
        body[..4].copy_from_slice(&[0x20, 0x01, 0x0d, 0xb8]);
        body[15] = 7;
        body[32..34].copy_from_slice(&[0x12, 0x34]);
        body
    }

    /// 192.0.2.7 as an IPv6 socket sees it.
    fn mapped() -> [u8; V6_LEN] {
        let mut body = v6();
        body[..16].copy_from_slice(&Ipv4Addr::new(192, 0, 2, 7).to_ipv6_mapped().octets());
        body
    }

    #[test]
    fn the_source_is_read_whatever_it_came_over_and_tlvs_are_skipped() {
        let tlvs = [&V4[..], &[0x04, 0, 3, 1, 2, 3, 0xff]].concat();
        for (bytes, source) in [
            (header(0x21, 0x11, &V4), Some("192.0.2.7:4660")),
            (header(0x21, 0x12, &V4), Some("192.0.2.7:4660")),
            (header(0x21, 0x21, &v6()), Some("[2001:db8::7]:4660")),
            (header(0x21, 0x22, &v6()), Some("[2001:db8::7]:4660")),
            (header(0x21, 0x21, &mapped()), Some("192.0.2.7:4660")),
            (header(0x21, 0x11, &tlvs), Some("192.0.2.7:4660")),
            (header(0x21, 0x00, &[]), None),
            (header(0x20, 0x00, &[]), None),
            (header(0x20, 0xff, &V4), None),
        ] {
            let source = source.map(|source| source.parse().unwrap());
            let whole = Ok(Header { len: bytes.len(), source });
            assert_eq!(parse(&bytes), whole);
            assert_eq!(parse(&[&bytes[..], b"query"].concat()), whole);
            for cut in 0..bytes.len() {
                assert_eq!(parse(&bytes[..cut]), Err(HeaderProblem::Incomplete), "{cut}");
            }
        }
    }

    #[test]
    fn what_is_no_header_of_version_2_is_refused() {
        for (what, bytes) in [
            ("version 1", b"PROXY TCP4 192.0.2.7 192.0.2.53 1 53\r\n".to_vec()),
            ("a query", b"\0\x01\0\0\0\x01\0\0\0\0\0\0\0\0\x01\0\x01".to_vec()),
            ("version 3", header(0x31, 0x11, &V4)),
            ("a command", header(0x22, 0x11, &V4)),
            ("a transport", header(0x21, 0x13, &V4)),
            ("a unix socket", header(0x21, 0x31, &[0; 216])),
            ("a family", header(0x21, 0x41, &[0; 216])),
            ("too short for IPv4", header(0x21, 0x11, &V4[..V4_LEN - 1])),
            ("too short for IPv6", header(0x21, 0x21, &v6()[..V6_LEN - 1])),
            ("too long", header(0x21, 0x11, &[0; HEADER_MAX - FIXED_LEN + 1])),
        ] {
            assert_eq!(parse(&bytes), Err(HeaderProblem::Malformed), "{what}");
        }
        assert!(parse(&header(0x21, 0x11, &[0; HEADER_MAX - FIXED_LEN])).is_ok());
    }

    #[test]
    fn a_datagram_loses_its_header_and_only_a_trusted_ones() {
        let proxies = Proxies::within(["127.0.0.0/8".parse().unwrap()]);
        let sent = [&header(0x21, 0x11, &V4)[..], b"query"].concat();
        let strip = |proxies: &Proxies, from: &str| {
            let mut buf = sent.clone();
            let stripped = proxies.strip(&mut buf, sent.len(), from.parse().unwrap());
            stripped.map(|(len, source)| (buf[..len].to_vec(), source.to_string()))
        };
        let (query, client) = (b"query".to_vec(), "192.0.2.7:4660".to_owned());
        assert_eq!(strip(&proxies, "127.0.0.9:99"), Ok((query.clone(), client.clone())));
        assert_eq!(strip(&proxies, "[::ffff:127.0.0.9]:99"), Ok((query, client)));
        let other = "192.0.2.9:99";
        assert_eq!(strip(&proxies, other), Ok((sent.clone(), other.to_owned())));
        assert_eq!(strip(&Proxies::default(), other), Ok((sent.clone(), other.to_owned())));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic_or_reach_past_them(
            command in 0x1e_u8..0x24, family: u8, body: Vec<u8>, cut in 0_usize..2_000,
        ) {
            let mut bytes = header(command, family, &body);
            bytes.truncate(cut);
            if let Ok(header) = parse(&bytes) {
                prop_assert!(header.len <= bytes.len() && header.len <= HEADER_MAX);
            }
        }
    }
}
