//! A sampled answer as a line of JSON: the form is a promise, and `v` its version.

use super::{Shown, opt};
use crate::{
    telemetry::Via,
    wire::{
        types::{Rclass, Rcode, Rtype},
        write_name,
    },
};
use jiff::Timestamp;
use serde::Serialize;
use std::net::IpAddr;

/// The version of the form: one more whenever a field goes or means something else.
const VERSION: u32 = 1;
/// Where the question begins (RFC 1035 §4.1.1).
const QUESTION: usize = 12;

/// Types that are counted by their names; all others together, so that nobody makes series up.
const TYPES: [(Rtype, &str); 15] = [
    (Rtype::A, "A"),
    (Rtype::AAAA, "AAAA"),
    (Rtype::ANY, "ANY"),
    (Rtype::CNAME, "CNAME"),
    (Rtype::DNSKEY, "DNSKEY"),
    (Rtype::DS, "DS"),
    (Rtype::HTTPS, "HTTPS"),
    (Rtype::MX, "MX"),
    (Rtype::NAPTR, "NAPTR"),
    (Rtype::NS, "NS"),
    (Rtype::PTR, "PTR"),
    (Rtype::SOA, "SOA"),
    (Rtype::SRV, "SRV"),
    (Rtype::SVCB, "SVCB"),
    (Rtype::TXT, "TXT"),
];

/// What `query` is counted as by its type.
pub(super) fn qtype(query: &[u8]) -> &'static str {
    let asked = question(query).map(|question| question.rtype);
    let known = TYPES.iter().find(|(rtype, _)| Some(*rtype) == asked);
    known.map_or("other", |(_, name)| name)
}

/// What stands on a line. A field that says nothing is left out.
#[derive(Debug, Serialize)]
struct Line<'s> {
    v: u32,
    /// When the query came in.
    at: String,
    proto: &'static str,
    client: IpAddr,
    port: u16,
    /// The network that the sender spoke for, if it was believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    ecs: Option<String>,
    /// How many bits of it the answer is for.
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<u8>,
    id: u16,
    /// The name asked for, its letters as they came; none if there was no question to be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    rtype: Option<String>,
    /// RD of the query; AA and TC of the reply.
    flags: Vec<&'static str>,
    /// None when there was no reply.
    #[serde(skip_serializing_if = "Option::is_none")]
    rcode: Option<String>,
    query_bytes: usize,
    reply_bytes: usize,
    /// From the receipt of its batch to the reply.
    us: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    zone: Option<&'s str>,
    /// The steered record, the region answered, and on what grounds.
    #[serde(skip_serializing_if = "Option::is_none")]
    record: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    region: Option<&'s str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    basis: Option<&'static str>,
}

/// `shown` as a line, its end included.
pub(super) fn of(shown: &Shown) -> Vec<u8> {
    let Shown { sample, at, answer, .. } = shown;
    let (query, reply) = (sample.query(), sample.reply());
    let question = question(query);
    let line = Line {
        v: VERSION,
        at: Timestamp::try_from(*at).unwrap_or_default().to_string(),
        proto: match sample.via {
            Via::Udp => "udp",
            Via::Tcp => "tcp",
        },
        client: sample.from.ip(),
        port: sample.from.port(),
        ecs: sample.subnet.map(|(ip, len)| format!("{ip}/{len}")),
        scope: scope(reply).filter(|_| sample.subnet.is_some()),
        id: query.first_chunk().map_or(0, |id| u16::from_be_bytes(*id)),
        name: question.as_ref().map(|question| question.name.clone()),
        class: question.as_ref().map(|question| question.class.to_string()),
        rtype: question.as_ref().map(|question| question.rtype.to_string()),
        flags: flags(query, reply),
        rcode: rcode(reply),
        query_bytes: sample.query_len(),
        reply_bytes: sample.reply_len(),
        us: sample.took.as_nanos() as f64 / 1e3,
        zone: answer.as_ref().map(|answer| &*answer.zone),
        record: answer.as_ref().map(|answer| &*answer.record),
        region: answer.as_ref().map(|answer| &*answer.region).filter(|region| !region.is_empty()),
        basis: sample.counted.map(|counted| counted.reason.label()),
    };
    // Neither a map with odd keys nor a fallible type is in it.
    let mut line = serde_json::to_vec(&line).unwrap_or_default();
    line.push(b'\n');
    line
}

struct Question {
    name: String,
    rtype: Rtype,
    class: Rclass,
}

/// The first question of `query`.
fn question(query: &[u8]) -> Option<Question> {
    let mut name = String::new();
    let rest = write_name(query.get(QUESTION..)?, &mut name).ok()?;
    let &[a, b, c, d] = rest.first_chunk()?;
    Some(Question {
        name,
        rtype: Rtype(u16::from_be_bytes([a, b])),
        class: Rclass(u16::from_be_bytes([c, d])),
    })
}

fn flags(query: &[u8], reply: &[u8]) -> Vec<&'static str> {
    let bits = |message: &[u8]| message.get(2).copied().unwrap_or_default();
    let (asked, said) = (bits(query), bits(reply));
    let flags = [("rd", asked & 0x01), ("aa", said & 0x04), ("tc", said & 0x02)];
    flags.into_iter().filter(|(_, bit)| *bit != 0).map(|(name, _)| name).collect()
}

fn rcode(reply: &[u8]) -> Option<String> {
    let low = u16::from(reply.get(3)? & 0x0f);
    let high = opt::find(reply).ok().flatten().map_or(0, |opt| u16::from(opt.rcode));
    Some(Rcode(high << 4 | low).to_string())
}

/// The scope in the ECS option of `reply`.
fn scope(reply: &[u8]) -> Option<u8> {
    let ecs = opt::find(reply).ok()??.ecs?;
    reply.get(ecs)?.get(3).copied()
}
