//! Record data as people read it in `explain`: the common types as zone files have them, every
//! other as RFC 3597 §5 says. Knows no zone; what it is given was validated when it was loaded.

use crate::wire::{Name, Rdatas, types::Rtype};
use std::{
    fmt::Write,
    net::{Ipv4Addr, Ipv6Addr},
};

/// The data of each record of `rdatas`, in order.
pub(super) fn texts(rdatas: &Rdatas, apex: Option<&Name>) -> Vec<String> {
    rdatas.iter(apex).map(|rdata| text(rdatas.rtype(), &rdata)).collect()
}

fn text(rtype: Rtype, rdata: &[u8]) -> String {
    known(rtype, rdata).unwrap_or_else(|| generic(rdata))
}

fn known(rtype: Rtype, rdata: &[u8]) -> Option<String> {
    match rtype {
        Rtype::A => Some(Ipv4Addr::from(<[u8; 4]>::try_from(rdata).ok()?).to_string()),
        Rtype::AAAA => Some(Ipv6Addr::from(<[u8; 16]>::try_from(rdata).ok()?).to_string()),
        Rtype::CNAME | Rtype::NS | Rtype::PTR | Rtype::DNAME => name(rdata),
        Rtype::MX => {
            let (preference, exchange) = rdata.split_at_checked(2)?;
            let preference = u16::from_be_bytes(preference.try_into().ok()?);
            Some(format!("{preference} {}", name(exchange)?))
        }
        Rtype::SRV => {
            let (numbers, target) = rdata.split_at_checked(6)?;
            let number = |n: &[u8]| u16::from_be_bytes([n[0], n[1]]).to_string();
            let numbers: Vec<String> = numbers.chunks_exact(2).map(number).collect();
            Some(format!("{} {}", numbers.join(" "), name(target)?))
        }
        Rtype::TXT | Rtype::SPF => strings(rdata),
        Rtype::SOA => soa(rdata),
        _ => None,
    }
}

fn name(wire: &[u8]) -> Option<String> {
    let name = Name::from_wire(wire).ok()?;
    Some(if name.is_root() { ".".to_owned() } else { format!("{name}.") })
}

/// Character strings in quotes, what is not printable as `\DDD` (RFC 1035 §5.1).
fn strings(mut rdata: &[u8]) -> Option<String> {
    let mut out = Vec::new();
    while let Some((&len, rest)) = rdata.split_first() {
        let (string, rest) = rest.split_at_checked(len.into())?;
        let mut quoted = String::from("\"");
        for &byte in string {
            match byte {
                b'"' | b'\\' => quoted.extend(['\\', byte as char]),
                0x20..=0x7e => quoted.push(byte as char),
                _ => write!(quoted, "\\{byte:03}").ok()?,
            }
        }
        out.push(quoted + "\"");
        rdata = rest;
    }
    Some(out.join(" "))
}

/// Two names and five numbers (RFC 1035 §3.3.13).
fn soa(rdata: &[u8]) -> Option<String> {
    let mname = label_end(rdata)?;
    let rname = mname + label_end(&rdata[mname..])?;
    let numbers = rdata.get(rname..)?.chunks_exact(4);
    let numbers = numbers.map(|n| u32::from_be_bytes([n[0], n[1], n[2], n[3]]).to_string());
    let numbers: Vec<String> = numbers.collect();
    Some(format!(
        "{} {} {}",
        name(&rdata[..mname])?,
        name(&rdata[mname..rname])?,
        numbers.join(" ")
    ))
}

/// Length of the uncompressed name that `wire` begins with.
fn label_end(wire: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        match usize::from(*wire.get(at)?) {
            0 => return Some(at + 1),
            len => at += 1 + len,
        }
    }
}

fn generic(rdata: &[u8]) -> String {
    let hex: String = rdata.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\\# {} {hex}", rdata.len()).trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_reads_as_in_a_zone_file() {
        let cases: [(Rtype, &[u8], &str); 7] = [
            (Rtype::A, &[192, 0, 2, 1], "192.0.2.1"),
            (Rtype::MX, b"\0\x0a\x04mail\x02io\0", "10 mail.io."),
            (Rtype::TXT, b"\x03a\"b\x01\x07", r#""a\"b" "\007""#),
            (Rtype::NS, b"\0", "."),
            (Rtype::SRV, b"\0\0\0\x05\x01\xbb\x01a\0", "0 5 443 a."),
            (
                Rtype::SOA,
                b"\x01a\0\x01b\0\0\0\0\x01\0\0\0\x02\0\0\0\x03\0\0\0\x04\0\0\0\x05",
                "a. b. 1 2 3 4 5",
            ),
            (Rtype(65280), &[0xab], "\\# 1 ab"),
        ];
        for (rtype, rdata, wanted) in cases {
            assert_eq!(text(rtype, rdata), wanted);
        }
        assert_eq!(text(Rtype::A, &[1]), "\\# 1 01", "what cannot be read is shown all the same");
    }
}
