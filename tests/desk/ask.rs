//! Queries written as text: `NAME TYPE`, then words that change it.

use std::net::{IpAddr, Ipv4Addr};
use tradewind::{
    telemetry::Via,
    wire::types::{Rclass, Rtype},
};

/// A query in the making. The words: `tcp`, `rd`, `ad`, `cd`, `edns=SIZE`, `do`, `ecs=ADDRESS/PREFIX`,
/// `cookie=HEX`, `nsid` (each of the last five sends EDNS), `class=CH`, `from=ADDRESS`.
#[derive(Clone)]
pub struct Ask {
    pub id: u16,
    pub name: Vec<u8>,
    pub qtype: Rtype,
    pub qclass: Rclass,
    pub recursion_desired: bool,
    /// AD and CD as they stand in the fourth byte.
    pub dnssec_flags: u8,
    pub from: IpAddr,
    pub via: Via,
    /// Payload size, TTL field and options.
    pub edns: Option<(u16, u32, Vec<u8>)>,
}

impl Ask {
    pub fn new(text: &str) -> Ask {
        let mut words = text.split_whitespace();
        let mut ask = Ask {
            id: 0x1d0f,
            name: wire_name(words.next().unwrap()),
            qtype: words.next().unwrap().parse().unwrap(),
            qclass: Rclass::IN,
            recursion_desired: false,
            dnssec_flags: 0,
            from: Ipv4Addr::new(192, 0, 2, 200).into(),
            via: Via::Udp,
            edns: None,
        };
        words.for_each(|word| ask.apply(word));
        ask
    }

    fn apply(&mut self, word: &str) {
        match word.split_once('=').unwrap_or((word, "")) {
            ("tcp", _) => self.via = Via::Tcp,
            ("rd", _) => self.recursion_desired = true,
            ("ad", _) => self.dnssec_flags |= 0x20,
            ("cd", _) => self.dnssec_flags |= 0x10,
            ("edns", size) => self.edns().0 = size.parse().unwrap(),
            ("do", _) => self.edns().1 |= 0x8000,
            ("ecs", net) => self.edns().2.extend(ecs(net)),
            ("nsid", _) => self.edns().2.extend([0, 3, 0, 0]),
            ("cookie", hex) => {
                let pairs = hex.as_bytes().chunks(2).map(|pair| str::from_utf8(pair).unwrap());
                let bytes = pairs.map(|pair| u8::from_str_radix(pair, 16).unwrap());
                let bytes: Vec<u8> = bytes.collect();
                self.edns().2.extend([0, 10, 0, bytes.len() as u8]);
                self.edns().2.extend(bytes);
            }
            ("class", class) => self.qclass = class.parse().unwrap(),
            ("from", from) => self.from = from.parse().unwrap(),
            _ => panic!("what does `{word}` mean?"),
        }
    }

    fn edns(&mut self) -> &mut (u16, u32, Vec<u8>) {
        self.edns.get_or_insert((1232, 0, Vec::new()))
    }

    /// How long the reply may be.
    pub fn limit(&self) -> usize {
        match (self.via, &self.edns) {
            (Via::Tcp, _) => 65_535,
            (Via::Udp, None) => 512,
            (Via::Udp, Some((size, ..))) => usize::from(*size).clamp(512, 1232),
        }
    }

    /// The packet as it goes over the wire.
    pub fn packet(&self) -> Vec<u8> {
        let mut packet = self.id.to_be_bytes().to_vec();
        packet.extend([u8::from(self.recursion_desired), self.dnssec_flags, 0, 1, 0, 0, 0, 0, 0]);
        packet.push(self.edns.is_some().into());
        packet.extend(&self.name);
        packet.extend(self.qtype.0.to_be_bytes());
        packet.extend(self.qclass.0.to_be_bytes());
        if let Some((size, ttl, options)) = &self.edns {
            packet.extend(opt(*size, *ttl, options));
        }
        packet
    }
}

/// An OPT record.
pub fn opt(size: u16, ttl: u32, options: &[u8]) -> Vec<u8> {
    let mut record = vec![0, 0, 41];
    record.extend(size.to_be_bytes());
    record.extend(ttl.to_be_bytes());
    record.extend((options.len() as u16).to_be_bytes());
    record.extend(options);
    record
}

/// The option of a client's network, `address/prefix`, cut after the prefix's last byte.
fn ecs(net: &str) -> Vec<u8> {
    let (address, prefix) = net.split_once('/').unwrap();
    let (address, prefix): (IpAddr, u8) = (address.parse().unwrap(), prefix.parse().unwrap());
    let (family, octets) = match address {
        IpAddr::V4(v4) => (1, v4.octets().to_vec()),
        IpAddr::V6(v6) => (2, v6.octets().to_vec()),
    };
    let octets = &octets[..usize::from(prefix.div_ceil(8))];
    let mut option = vec![0, 8, 0, 4 + octets.len() as u8, 0, family, prefix, 0];
    option.extend(octets);
    option
}

/// A name without escapes in wire form, letters as they are.
pub fn wire_name(text: &str) -> Vec<u8> {
    let labels = text.split('.').filter(|label| !label.is_empty());
    let mut wire: Vec<u8> =
        labels.flat_map(|label| [&[label.len() as u8], label.as_bytes()].concat()).collect();
    wire.push(0);
    wire
}
