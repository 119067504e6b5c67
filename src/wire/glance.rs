//! A glance at a packet that is not read yet: where most of them have what it is worth to know early.
//!
//! Nothing found here is believed, and nothing is decided by it. Must not become a second parser.

use super::query::{HEADER_LEN, skip_name, u16_at};
use super::types::{OptionCode, Rtype};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Options in front of the client's network that are passed over: a cookie and another.
const PASSED: usize = 2;
/// Type and class of a question.
const QUESTION_FIXED: usize = 4;

/// The client's network (RFC 7871 §6) of a query whose first record is OPT, as nearly all have it;
/// its first address, whatever bits are set in it.
#[inline]
pub fn subnet(packet: &[u8]) -> Option<IpAddr> {
    let at = skip_name(packet, HEADER_LEN)? + QUESTION_FIXED;
    let (fixed, mut options) = packet.get(at..)?.split_first_chunk::<11>()?;
    // Its owner is the root: one byte, 0.
    if fixed[0] != 0 || u16_at(fixed, 1) != Rtype::OPT.0 {
        return None;
    }
    for _ in 0..=PASSED {
        let (head, rest) = options.split_first_chunk::<4>()?;
        let (option, others) = rest.split_at_checked(usize::from(u16_at(head, 2)))?;
        if u16_at(head, 0) == OptionCode::ECS.0 {
            let (head, address) = option.split_first_chunk::<4>()?;
            return match u16_at(head, 0) {
                1 => Some(Ipv4Addr::from(filled_up(address)).into()),
                2 => Some(Ipv6Addr::from(filled_up(address)).into()),
                _ => None,
            };
        }
        options = others;
    }
    None
}

/// The first bytes of an address, and zeros where it is cut short.
fn filled_up<const N: usize>(bytes: &[u8]) -> [u8; N] {
    std::array::from_fn(|i| bytes.get(i).copied().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Query;
    use proptest::prelude::*;

    const QUESTION: &[u8] = b"\x12\x34\0\0\0\x01\0\0\0\0\0\x01\x01a\0\0\x01\0\x01";

    fn with_options(options: &[u8]) -> Vec<u8> {
        let len = (options.len() as u16).to_be_bytes();
        [QUESTION, b"\0\0\x29\x04\xd0\0\0\0\0", &len, options].concat()
    }

    #[test]
    fn the_network_is_found_where_the_parser_finds_it() {
        let cases: [&[u8]; 4] = [
            b"\0\x08\0\x07\0\x01\x18\0\xc0\0\x02",
            b"\0\x08\0\x0a\0\x02\x30\0\x20\x01\x0d\xb8\0\x01",
            b"\0\x0a\0\x0812345678\0\x08\0\x05\0\x01\x08\0\x0a",
            b"\0\x0a\0\x0812345678\0\x03\0\0\0\x08\0\x05\0\x01\x08\0\x0a",
        ];
        for options in cases {
            let packet = with_options(options);
            let mut query = Query::default();
            query.parse(&packet).unwrap();
            let parsed = query.edns.unwrap().ecs.unwrap().address();
            assert_eq!(subnet(&packet), Some(parsed), "{options:?}");
        }
    }

    #[test]
    fn nothing_is_found_where_there_is_nothing() {
        let unknown = b"\0\x08\0\x05\0\x03\x08\0\x0a";
        for packet in [QUESTION.to_vec(), with_options(b""), with_options(unknown)] {
            assert_eq!(subnet(&packet), None, "{packet:?}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_may_be_glanced_at(bytes: Vec<u8>, options: Vec<u8>) {
            let _ = (subnet(&bytes), subnet(&with_options(&options)));
        }
    }
}
