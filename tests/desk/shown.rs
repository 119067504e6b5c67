//! Replies as lines of text, by way of hickory-proto.

use hickory_proto::{
    op::{Edns, Message, MessageType},
    rr::{RData, Record, rdata::opt::EdnsOption},
};
use tradewind::wire::types::Rtype;

/// A reply as text: rcode and flags, a line for each record with its section in front, and OPT
/// with what is in it. Silence has no lines.
pub fn show(reply: &[u8]) -> Vec<String> {
    if reply.is_empty() {
        return Vec::new();
    }
    let message = Message::from_vec(reply).unwrap_or_else(|e| panic!("{e}: {reply:02x?}"));
    let head = &message.metadata;
    assert_eq!(head.message_type, MessageType::Response);
    assert!(!head.recursion_available && !head.authentic_data && !head.checking_disabled);
    assert_eq!(reply[3] & 0x40, 0, "the reserved bit");
    let mut first = rcode(u16::from(head.response_code)).to_owned();
    for (flag, is_set) in [(" aa", head.authoritative), (" tc", head.truncation)] {
        first += if is_set { flag } else { "" };
    }
    let sections =
        [("an", &message.answers), ("au", &message.authorities), ("ad", &message.additionals)];
    let records = sections.into_iter().flat_map(|(section, records)| {
        records.iter().map(move |record| format!("{section} {}", show_record(record)))
    });
    [first].into_iter().chain(records).chain(message.edns.as_ref().map(show_opt)).collect()
}

fn rcode(rcode: u16) -> String {
    tradewind::wire::types::Rcode(rcode).to_string()
}

fn show_record(record: &Record) -> String {
    let (name, ttl, rtype) = (&record.name, record.ttl, u16::from(record.record_type()));
    let rtype = Rtype(rtype);
    let data = match &record.data {
        RData::Unknown { rdata, .. } if rtype == Rtype::DNAME => dotted(&rdata.anything),
        // Of DNSSEC what can be compared: what is covered, what comes next; hashes stand in owners.
        RData::Unknown { rdata, .. } if rtype == Rtype::RRSIG => covered(&rdata.anything),
        RData::Unknown { rdata, .. } if rtype == Rtype::NSEC => dotted(&rdata.anything),
        RData::Unknown { .. } if matches!(rtype, Rtype::NSEC3 | Rtype::DNSKEY) => "…".into(),
        RData::Unknown { rdata, .. } => hex(&rdata.anything),
        data => data.to_string(),
    };
    format!("{name} {ttl} {rtype} {data}")
}

/// The type that a signature covers, and how many labels its name has.
fn covered(rdata: &[u8]) -> String {
    format!("{} {}", Rtype(u16::from_be_bytes([rdata[0], rdata[1]])), rdata[3])
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An uncompressed name.
fn dotted(mut wire: &[u8]) -> String {
    let mut text = String::new();
    while let Some((&len, rest)) = wire.split_first().filter(|(len, _)| **len > 0) {
        let (label, behind) = rest.split_at(len.into());
        text += &format!("{}.", label.escape_ascii());
        wire = behind;
    }
    text
}

fn show_opt(edns: &Edns) -> String {
    let mut text = format!("opt {}", edns.max_payload());
    assert_eq!((edns.version(), edns.flags().z), (0, 0));
    text += if edns.flags().dnssec_ok { " do" } else { "" };
    for (code, option) in edns.options().as_ref() {
        text += &match option {
            EdnsOption::Subnet(ecs) => {
                format!(" ecs={}/{}/{}", ecs.addr(), ecs.source_prefix(), ecs.scope_prefix())
            }
            EdnsOption::Unknown(10, data) => format!(" cookie={}", hex(data)),
            EdnsOption::NSID(nsid) => format!(" nsid={}", hex(nsid.as_ref())),
            EdnsOption::Unknown(15, data) => {
                format!(" ede={}", u16::from_be_bytes([data[0], data[1]]))
            }
            _ => format!(" {}", u16::from(*code)),
        };
    }
    text
}
