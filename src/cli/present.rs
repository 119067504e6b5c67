//! Records and messages as people (RFC 1035 text) and machines (JSON) read them.

use crate::{wire::types::Rtype, zone::rdata_text};
use hickory_proto::{
    op::{Edns, Message, Metadata, ResponseCode},
    rr::{
        RData, Record, RecordType,
        rdata::opt::{EdnsCode, EdnsOption},
    },
    serialize::binary::{BinEncodable, BinEncoder, NameEncoding},
};
use serde_json::{Value, json};
use std::fmt::Write;

/// The option code of Extended DNS Errors (RFC 8914 §2).
const EDE: u16 = 15;

/// `NOERROR`, `NXDOMAIN`, … as dig prints them.
pub(super) fn rcode(code: ResponseCode) -> String {
    match code {
        ResponseCode::Unknown(code) => format!("RCODE{code}"),
        known => format!("{known:?}").to_uppercase(),
    }
}

/// `A`, `MX`, …, and `TYPE65280` (RFC 3597 §5).
pub(super) fn rtype(rtype: RecordType) -> String {
    Rtype(rtype.into()).to_string()
}

/// The header's flags in dig's order.
pub(super) fn flags(header: &Metadata) -> String {
    let flags = [
        (true, "qr"),
        (header.authoritative, "aa"),
        (header.truncation, "tc"),
        (header.recursion_desired, "rd"),
        (header.recursion_available, "ra"),
        (header.authentic_data, "ad"),
        (header.checking_disabled, "cd"),
    ];
    let set: Vec<_> = flags.iter().filter(|f| f.0).map(|f| f.1).collect();
    set.join(" ")
}

/// One record as a zone file has it.
pub(super) fn record(record: &Record) -> String {
    let owner = record.name.to_ascii();
    let rtype = rtype(record.record_type());
    format!("{owner} {} IN {rtype} {}", record.ttl, rdata(&record.data))
}

/// Record data as a zone file has it: through its wire form, since hickory writes many types in
/// ways of its own.
pub(super) fn rdata(data: &RData) -> String {
    let mut wire = Vec::new();
    let mut encoder = BinEncoder::new(&mut wire);
    encoder.set_name_encoding(NameEncoding::Uncompressed);
    match data.emit(&mut encoder) {
        Ok(()) => rdata_text(Rtype(data.record_type().into()), &wire),
        Err(_) => data.to_string(),
    }
}

/// A character string in quotes, bytes that are not printable as `\DDD` (RFC 1035 §5.1).
fn quoted(text: &[u8]) -> String {
    let mut out = String::from("\"");
    for &byte in text {
        match byte {
            b'"' | b'\\' => out.extend(['\\', byte as char]),
            0x20..=0x7e => out.push(byte as char),
            // Writing to a String cannot fail.
            _ => drop(write!(out, "\\{byte:03}")),
        }
    }
    out.push('"');
    out
}

/// What the OPT record says, in one line.
pub(super) fn edns(edns: &Edns) -> String {
    let mut out = format!("EDNS version {}, udp {}", edns.version(), edns.max_payload());
    if edns.flags().dnssec_ok {
        out.push_str(", do");
    }
    for (code, option) in &edns.options().options {
        let _ = match option {
            EdnsOption::Subnet(ecs) => write!(
                out,
                "; ECS {}/{} scope /{}",
                ecs.addr(),
                ecs.source_prefix(),
                ecs.scope_prefix()
            ),
            EdnsOption::NSID(id) => write!(out, "; NSID {}", quoted(id.as_ref())),
            EdnsOption::Unknown(EDE, data) => write!(out, "; {}", extended_error(data)),
            _ => write!(out, "; option {}", u16::from(*code)),
        };
    }
    out
}

/// INFO-CODE and EXTRA-TEXT (RFC 8914 §2).
fn extended_error(data: &[u8]) -> String {
    match data.split_first_chunk() {
        Some((code, [])) => format!("EDE {}", u16::from_be_bytes(*code)),
        Some((code, text)) => format!("EDE {} {}", u16::from_be_bytes(*code), quoted(text)),
        None => "EDE without a code".to_owned(),
    }
}

/// A message for machines.
pub(super) fn message_json(message: &Message) -> Value {
    let section = |records: &[Record]| records.iter().map(record_json).collect::<Vec<_>>();
    let subnet = message.edns.as_ref().and_then(|edns| edns.option(EdnsCode::Subnet));
    let ecs = match subnet {
        Some(EdnsOption::Subnet(ecs)) => json!({
            "network": format!("{}/{}", ecs.addr(), ecs.source_prefix()),
            "scope": ecs.scope_prefix(),
        }),
        _ => Value::Null,
    };
    json!({
        "id": message.metadata.id,
        "rcode": rcode(message.metadata.response_code),
        "flags": flags(&message.metadata).split(' ').collect::<Vec<_>>(),
        "ecs": ecs,
        "answer": section(&message.answers),
        "authority": section(&message.authorities),
        "additional": section(&message.additionals),
    })
}

fn record_json(record: &Record) -> Value {
    json!({
        "name": record.name.to_ascii(),
        "ttl": record.ttl,
        "type": rtype(record.record_type()),
        "data": rdata(&record.data),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::rr::rdata::{NULL, TXT};

    #[test]
    fn strings_are_quoted_and_escaped() {
        let txt = TXT::from_bytes(vec![b"a \"b\" \\", b"\x00\xff"]);
        assert_eq!(rdata(&RData::TXT(txt)), r#""a \"b\" \\" "\000\255""#);
    }

    #[test]
    fn unknown_types_and_codes_are_written_as_numbers() {
        let code = RecordType::Unknown(65_280);
        let rdata = NULL::with(vec![0xab, 1]);
        assert_eq!(super::rdata(&RData::Unknown { code, rdata }), r"\# 2 ab01");
        let rdata = NULL::new();
        assert_eq!(super::rdata(&RData::Unknown { code, rdata }), r"\# 0");
        let (code, rdata) = (RecordType::Unknown(108), NULL::with(vec![0, 0, 0x5e, 0, 0x53, 1]));
        assert_eq!(super::rdata(&RData::Unknown { code, rdata }), "00-00-5e-00-53-01");
        assert_eq!(rtype(code), "EUI48");
        let code = RecordType::Unknown(65_280);
        assert_eq!(rtype(code), "TYPE65280");
        assert_eq!(rcode(ResponseCode::Unknown(3_000)), "RCODE3000");
        assert_eq!(rcode(ResponseCode::NXDomain), "NXDOMAIN");
    }

    #[test]
    fn extended_errors_are_read() {
        assert_eq!(extended_error(&[0, 14]), "EDE 14");
        assert_eq!(extended_error(b"\x00\x0enot yet"), r#"EDE 14 "not yet""#);
        assert_eq!(extended_error(&[0]), "EDE without a code");
    }
}
