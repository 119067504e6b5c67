//! A small MMDB writer for tests: any tree of prefixes, 24-bit records, no pointers.

#![allow(dead_code, reason = "each program that includes this uses a part of it")]

use ipnet::IpNet;
use serde_json::{Value, json};

/// A database under construction.
pub(crate) struct Database {
    v6: bool,
    kind: &'static str,
    version: u64,
    /// Seconds since 1970.
    built: u64,
    /// `[left, right]` of each node.
    nodes: Vec<[Slot; 2]>,
    data: Vec<u8>,
}

#[derive(Clone, Copy)]
enum Slot {
    Empty,
    Node(u32),
    Data(u32),
}

/// A flat record, as ip-location-db writes them.
pub(crate) fn country_code(code: &str) -> Value {
    json!({ "country_code": code })
}

impl Database {
    pub(crate) fn v4() -> Self {
        Database {
            v6: false,
            kind: "Test",
            version: 2,
            built: 1_780_000_000,
            nodes: vec![[Slot::Empty; 2]],
            data: Vec::new(),
        }
    }
    /// IPv4 networks go to `::/96`, where readers look for them.
    pub(crate) fn v6() -> Self {
        let v6 = true;
        Database { v6, ..Self::v4() }
    }
    /// The same, built so many seconds after 1970.
    pub(crate) fn built(self, built: u64) -> Self {
        Database { built, ..self }
    }
    /// The same, in another version of the format.
    pub(crate) fn version(self, version: u64) -> Self {
        Database { version, ..self }
    }
    /// Adds `record` for `net`; wider networks first.
    pub(crate) fn with(mut self, net: &str, record: Value) -> Self {
        let (bits, len) = match net.parse().unwrap() {
            IpNet::V4(n) if self.v6 => (u128::from(n.network().to_bits()), n.prefix_len() + 96),
            IpNet::V4(n) => (u128::from(n.network().to_bits()) << 96, n.prefix_len()),
            IpNet::V6(n) => (n.network().to_bits(), n.prefix_len()),
        };
        let at = self.data.len() as u32;
        value(&mut self.data, &record);
        let mut node = 0;
        for depth in 0..len {
            let side = (bits >> (127 - depth) & 1) as usize;
            if depth == len - 1 {
                self.nodes[node][side] = Slot::Data(at);
                break;
            }
            let next = match self.nodes[node][side] {
                Slot::Node(next) => next,
                wider => {
                    self.nodes.push([wider; 2]);
                    let next = self.nodes.len() as u32 - 1;
                    self.nodes[node][side] = Slot::Node(next);
                    next
                }
            };
            node = next as usize;
        }
        self
    }
    /// The finished file.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let count = self.nodes.len() as u32;
        let mut out = Vec::new();
        for slot in self.nodes.iter().flatten() {
            let record = match slot {
                Slot::Empty => count,
                Slot::Node(node) => *node,
                Slot::Data(at) => count + 16 + at,
            };
            out.extend(&record.to_be_bytes()[1..]);
        }
        out.extend([0; 16]);
        out.extend(&self.data);
        out.extend(b"\xab\xcd\xefMaxMind.com");
        self.metadata(&mut out);
        out
    }
    /// Readers insist on the width of each number here.
    fn metadata(&self, out: &mut Vec<u8>) {
        const U16: u8 = 5;
        const U32: u8 = 6;
        const U64: u8 = 9;
        let numbers: [(&str, u8, u64); 6] = [
            ("binary_format_major_version", U16, self.version),
            ("binary_format_minor_version", U16, 0),
            ("build_epoch", U64, self.built),
            ("ip_version", U16, if self.v6 { 6 } else { 4 }),
            ("node_count", U32, self.nodes.len() as u64),
            ("record_size", U16, 24),
        ];
        let texts = json!({
            "database_type": self.kind,
            "description": { "en": "a test" },
            "languages": ["en"],
        });
        let texts = texts.as_object().unwrap();
        control(out, 7, numbers.len() + texts.len());
        for (key, kind, number) in numbers {
            value(out, &Value::from(key));
            unsigned(out, kind, number);
        }
        for (key, text) in texts {
            value(out, &Value::from(key.as_str()));
            value(out, text);
        }
    }
}

/// Writes one value as the MMDB data section has it.
fn value(out: &mut Vec<u8>, given: &Value) {
    match given {
        Value::String(text) => {
            control(out, 2, text.len());
            out.extend(text.as_bytes());
        }
        Value::Number(n) => match n.as_u64() {
            Some(n) => unsigned(out, 6, n),
            None => {
                control(out, 3, 8);
                out.extend(n.as_f64().unwrap().to_be_bytes());
            }
        },
        Value::Array(list) => {
            control(out, 11, list.len());
            list.iter().for_each(|entry| value(out, entry));
        }
        Value::Object(map) => {
            control(out, 7, map.len());
            for (key, entry) in map {
                value(out, &Value::String(key.clone()));
                value(out, entry);
            }
        }
        Value::Bool(_) | Value::Null => panic!("no test writes {given}"),
    }
}

/// An unsigned number of type 5 (16 bits), 6 (32) or 9 (64), without leading zeros.
fn unsigned(out: &mut Vec<u8>, kind: u8, number: u64) {
    let bytes = number.to_be_bytes();
    let zeros = number.leading_zeros() as usize / 8;
    control(out, kind, 8 - zeros);
    out.extend(&bytes[zeros..]);
}

/// Type and size; types above 7 need a second byte.
fn control(out: &mut Vec<u8>, kind: u8, size: usize) {
    assert!(size < 285, "sizes of one byte more are enough for tests");
    let short = size.min(29) as u8;
    if kind > 7 {
        out.extend([short, kind - 7]);
    } else {
        out.push(kind << 5 | short);
    }
    if size >= 29 {
        out.push((size - 29) as u8);
    }
}
