//! Questions in and replies out of bytes, by code of the test's own that is quick enough for
//! millions and takes any name.

use std::fmt;

/// A name in wire form, lower case.
type Name = Vec<u8>;

pub const NS: u16 = 2;
pub const CNAME: u16 = 5;
pub const SOA: u16 = 6;
pub const TXT: u16 = 16;
pub const DNAME: u16 = 39;
pub const ANY: u16 = 255;
const OPT: u16 = 41;

pub const NOERROR: u16 = 0;
pub const SERVFAIL: u16 = 2;
pub const YXDOMAIN: u16 = 6;

/// A question and how it is put.
#[derive(Clone)]
pub struct Question {
    /// In wire form, in the case it is asked in.
    pub name: Vec<u8>,
    pub rtype: u16,
    /// The payload size offered with EDNS; without, it is 512.
    pub payload: Option<u16>,
}

impl Question {
    pub fn new(text: &str, rtype: &str, payload: Option<u16>) -> Self {
        let rtype = match rtype {
            "A" => 1,
            "NS" => NS,
            "CNAME" => CNAME,
            "SOA" => SOA,
            "MX" => 15,
            "TXT" => TXT,
            "AAAA" => 28,
            "SRV" => 33,
            "DNAME" => DNAME,
            "DS" => 43,
            "ANY" => ANY,
            other => other.trim_start_matches("TYPE").parse().unwrap(),
        };
        Question { name: wire(text), rtype, payload }
    }

    /// How long the reply may be.
    pub fn limit(&self) -> usize {
        self.payload.unwrap_or(512).into()
    }

    pub fn packet(&self, id: u16) -> Vec<u8> {
        let mut packet = id.to_be_bytes().to_vec();
        packet.extend([0, 0, 0, 1, 0, 0, 0, 0, 0, self.payload.is_some().into()]);
        packet.extend(&self.name);
        packet.extend(self.rtype.to_be_bytes());
        packet.extend([0, 1]);
        if let Some(payload) = self.payload {
            packet.extend([0, 0, 41]);
            packet.extend(payload.to_be_bytes());
            packet.extend([0; 6]);
        }
        packet
    }
}

impl fmt::Debug for Question {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} type {} payload {:?}", show(&self.name), self.rtype, self.payload)
    }
}

/// The wire form of a name with `\DDD` in it, in its letter case.
pub fn wire(text: &str) -> Vec<u8> {
    let mut wire = Vec::new();
    for label in text.split('.').filter(|label| !label.is_empty()) {
        let start = wire.len();
        wire.push(0);
        let mut rest = label.as_bytes();
        while let [first, after @ ..] = rest {
            (rest, _) = match (first, after) {
                (b'\\', [a, b, c, after @ ..]) => {
                    let number = [a, b, c].map(|digit| u16::from(digit - b'0'));
                    let byte = number[0] * 100 + number[1] * 10 + number[2];
                    (after, wire.push(u8::try_from(byte).unwrap()))
                }
                _ => (after, wire.push(*first)),
            };
        }
        wire[start] = u8::try_from(wire.len() - start - 1).unwrap();
    }
    wire.push(0);
    wire
}

/// A record; what says nothing is taken out of it: letter case and compression.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    pub owner: Name,
    pub rtype: u16,
    pub ttl: u32,
    pub rdata: Vec<u8>,
}

impl Record {
    /// Its octets, uncompressed.
    pub fn size(&self) -> usize {
        self.owner.len() + 10 + self.rdata.len()
    }

    pub fn is_alias(&self) -> bool {
        matches!(self.rtype, CNAME | DNAME)
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Record { owner, rtype, ttl, rdata } = self;
        write!(f, "{} {ttl} {rtype} ", show(owner))?;
        match *rtype {
            NS | CNAME | DNAME => f.write_str(&show(rdata)),
            _ => write!(f, "{}", rdata.escape_ascii()),
        }
    }
}

/// All of a reply that is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    pub rcode: u16,
    pub authoritative: bool,
    pub truncated: bool,
    /// CNAMEs and DNAMEs, which lead from one to the next, in their order.
    pub aliases: Vec<Record>,
    pub answers: Vec<Record>,
    pub authority: Vec<Record>,
    pub additional: Vec<Record>,
    /// Whether it holds an OPT record.
    pub edns: bool,
    /// QR set and RA, AD and Z clear, opcode 0, and the question to its letters.
    pub in_form: bool,
}

impl Reply {
    /// Reads a whole reply to `question`; `None` if it is malformed.
    pub fn read(packet: &[u8], question: &Question) -> Option<Self> {
        let mut reader = Reader { packet, at: 12 };
        let count = |at: usize| Some(u16::from_be_bytes([*packet.get(at)?, *packet.get(at + 1)?]));
        let [flags, low] = [*packet.get(2)?, *packet.get(3)?];
        let asked = question.packet(0);
        let asked = &asked[12..12 + question.name.len() + 4];
        let in_form = flags & 0xf8 == 0x80 && low & 0xf0 == 0 && count(4)? == 1;
        let in_form = in_form && packet[12..].starts_with(asked);
        reader.at += asked.len();
        let mut edns = None;
        let sections = [count(6)?, count(8)?, count(10)?];
        let mut records = [const { Vec::new() }; 3];
        for (section, count) in records.iter_mut().zip(sections) {
            for _ in 0..count {
                let record = reader.record()?;
                match record.rtype {
                    OPT => edns = Some(record.ttl),
                    _ => section.push(record),
                }
            }
        }
        let [answers, mut authority, mut additional] = records;
        let (aliases, mut answers): (Vec<_>, Vec<_>) =
            answers.into_iter().partition(Record::is_alias);
        answers.sort();
        authority.sort();
        additional.sort();
        (reader.at == packet.len()).then_some(Reply {
            rcode: u16::from(low & 15) | (edns.unwrap_or(0) >> 24 << 4) as u16,
            authoritative: flags & 4 != 0,
            truncated: flags & 2 != 0,
            aliases,
            answers,
            authority,
            additional,
            edns: edns.is_some(),
            in_form,
        })
    }

    /// Every record, in no order.
    pub fn records(&self) -> impl Iterator<Item = &Record> {
        [&self.aliases, &self.answers, &self.authority, &self.additional].into_iter().flatten()
    }
}

struct Reader<'p> {
    packet: &'p [u8],
    at: usize,
}

impl Reader<'_> {
    fn bytes<const N: usize>(&mut self) -> Option<[u8; N]> {
        let bytes = self.packet.get(self.at..)?.first_chunk().copied();
        self.at += N;
        bytes
    }

    /// A name; pointers go backwards only (RFC 1035 §4.1.4).
    fn name(&mut self) -> Option<Name> {
        let (mut name, mut at, mut end) = (Vec::new(), self.at, None);
        loop {
            match *self.packet.get(at)? {
                0 => break,
                len @ 1..64 => {
                    let label = self.packet.get(at..=at + usize::from(len))?;
                    name.extend(label.to_ascii_lowercase());
                    at += label.len();
                }
                high @ 192.. => {
                    let low = *self.packet.get(at + 1)?;
                    end.get_or_insert(at + 2);
                    let to = usize::from(high & 63) << 8 | usize::from(low);
                    at = (to < at).then_some(to)?;
                }
                _ => return None,
            }
        }
        self.at = end.unwrap_or(at + 1);
        name.push(0);
        (name.len() <= 255).then_some(name)
    }

    fn record(&mut self) -> Option<Record> {
        let owner = self.name()?;
        let [rtype, class] = [self.bytes()?, self.bytes()?].map(u16::from_be_bytes);
        let ttl = u32::from_be_bytes(self.bytes()?);
        let end = usize::from(u16::from_be_bytes(self.bytes()?)) + self.at;
        // How many bytes stand before the names, how many names there are.
        let (before, names) = match rtype {
            NS | CNAME | DNAME => (0, 1),
            SOA => (0, 2),
            15 => (2, 1),
            33 => (6, 1),
            _ => (0, 0),
        };
        let mut rdata = self.packet.get(self.at..self.at + before)?.to_vec();
        self.at += before;
        for _ in 0..names {
            rdata.extend(self.name()?);
        }
        rdata.extend(self.packet.get(self.at..end)?);
        self.at = end;
        (rtype == OPT || class == 1).then_some(Record { owner, rtype, ttl, rdata })
    }
}

/// A name as text.
pub fn show(mut wire: &[u8]) -> String {
    let mut text = String::new();
    while let [len, rest @ ..] = wire
        && *len > 0
    {
        let (label, rest) = rest.split_at(usize::from(*len).min(rest.len()));
        text += &format!("{}.", label.escape_ascii());
        wire = rest;
    }
    text
}
