//! Where the fuzzer begins: an example of every kind, from what other tests ask and write.

use crate::desk::{
    self, Ask,
    ask::{opt, wire_name},
    medley, signed,
};
use serde_json::json;
use std::fs;

#[path = "../support/mmdb_writer.rs"]
mod mmdb_writer;

/// A name, and the bytes.
type Seed = (String, Vec<u8>);

/// The seeds of each door.
pub fn all() -> [(&'static str, Vec<Seed>); 7] {
    [
        ("files", files()),
        ("mmdb", databases()),
        ("names", names()),
        ("options", options()),
        ("packet", packets()),
        ("proxy", proxies()),
        ("zone", zones()),
    ]
}

fn named<'s, B: Into<Vec<u8>>>(seeds: impl IntoIterator<Item = (&'s str, B)>) -> Vec<Seed> {
    seeds.into_iter().map(|(name, bytes)| (name.to_owned(), bytes.into())).collect()
}

/// Each query of the medley, and packets that are refused, ignored or broken in a way of their own.
fn packets() -> Vec<Seed> {
    let queries = [medley::QUERIES, medley::STRANGERS, signed::QUERIES].concat();
    let mut seeds = named(queries.iter().map(|(name, query)| (*name, Ask::new(query).packet())));
    let plain = || Ask::new("www.example A").packet();
    let with = |changes: &[(usize, u8)]| {
        let mut packet = plain();
        changes.iter().for_each(|(at, byte)| packet[*at] = *byte);
        packet
    };
    let and = |additionals: u8, records: &[&[u8]]| {
        let mut packet = with(&[(11, additionals)]);
        records.iter().for_each(|record| packet.extend(*record));
        packet
    };
    let tsig = [&wire_name("key")[..], &[0, 250, 0, 255, 0, 0, 0, 0, 0, 0]].concat();
    seeds.extend(named([
        ("a reply", with(&[(2, 0x80)])),
        ("a notify", with(&[(2, 4 << 3)])),
        ("an update", with(&[(2, 5 << 3)])),
        ("no question", plain()[..12].iter().map(|b| if *b == 1 { 0 } else { *b }).collect()),
        ("two questions", [&with(&[(5, 2)])[..], &plain()[12..]].concat()),
        ("cut short", plain()[..20].to_vec()),
        ("a header cut short", plain()[..11].to_vec()),
        ("a pointer as question", [&plain()[..12], &[0xc0, 12, 0, 1, 0, 1]].concat()),
        ("two opts", and(2, &[&opt(1_232, 0, &[]), &opt(512, 0, &[])])),
        ("a later version", and(1, &[&opt(1_232, 1 << 16, &[])])),
        ("an opt below a name", and(1, &[b"\x01a", &opt(1_232, 0, &[])])),
        ("a small payload", and(1, &[&opt(1, 0, &[])])),
        ("a large payload", and(1, &[&opt(65_535, 0x8000, &[])])),
        ("a signed query", and(1, &[&tsig])),
        ("a longest name", Ask::new(&format!("{}example A", "a.".repeat(123))).packet()),
        ("upper case", Ask::new("WwW.eXample A").packet()),
    ]));
    seeds
}

fn option(code: u8, data: &[u8]) -> Vec<u8> {
    [&[0, code, 0, data.len() as u8], data].concat()
}

fn options() -> Vec<Seed> {
    let [ecs, cookie, keepalive, nsid] = [8, 10, 11, 3];
    let v4 = option(ecs, &[0, 1, 24, 0, 193, 0, 6]);
    named([
        ("none", Vec::new()),
        ("client network v4", v4.clone()),
        ("client network v6", option(ecs, &[0, 2, 48, 0, 0x20, 1, 6, 0x7c, 2, 0xe8])),
        ("client network opted out", option(ecs, &[0, 1, 0, 0])),
        ("client network of no family", option(ecs, &[0, 0, 0, 0])),
        ("client network with a scope", option(ecs, &[0, 1, 24, 24, 193, 0, 6])),
        ("client network too long", option(ecs, &[0, 1, 33, 0, 193, 0, 6, 1, 1])),
        ("client network twice", [&v4[..], &v4].concat()),
        ("half a cookie", option(cookie, b"12345678")),
        ("a cookie", option(cookie, b"12345678\x01\0\0\0\x5c\xf7\x9f\x11abcdefgh")),
        ("a cookie cut short", option(cookie, b"1234567")),
        ("a cookie of an odd length", option(cookie, b"123456789012345")),
        ("a cookie too long", option(cookie, &[7; 41])),
        ("keepalive", option(keepalive, &[])),
        ("keepalive with a time", option(keepalive, &[0, 100])),
        ("nsid", option(nsid, &[])),
        ("padding", option(12, &[0; 64])),
        ("unknown", option(200, b"whatever")),
        ("an overrun", vec![0, 8, 0xff, 0xff, 0, 1]),
        ("several", [&v4[..], &option(cookie, b"12345678"), &option(nsid, &[])].concat()),
    ])
}

fn names() -> Vec<Seed> {
    let long = |label: &str, count: usize| label.repeat(count);
    named([
        ("the root", b".".to_vec()),
        ("the origin", b"@".to_vec()),
        ("relative", b"www".to_vec()),
        ("absolute", b"WWW.Example.ORG.".to_vec()),
        ("escapes", br"a\.b.\064\.\\.\255\000\;".to_vec()),
        ("a bad escape", br"a\25".to_vec()),
        ("an escape too large", br"a\256".to_vec()),
        ("an empty label", b"a..b".to_vec()),
        ("a longest label", long("a", 63).into_bytes()),
        ("a label too long", long("a", 64).into_bytes()),
        ("a longest name", long("a.", 127).into_bytes()),
        ("a name too long", long("a.", 128).into_bytes()),
        ("international", "bücher.example".as_bytes().to_vec()),
        ("wire", wire_name("www.example.org")),
        ("wire of the root", vec![0]),
        ("wire with odd bytes", b"\x03a.b\x02\\\"\x01\0\x01\xff\0".to_vec()),
        ("wire of a longest name", wire_name(&long("a.", 127))),
        ("wire of a name too long", [&wire_name(&long("a.", 127))[..254], b"\x01b\0"].concat()),
        ("wire with a pointer", vec![1, b'a', 0xc0, 0]),
        ("wire of a strange type", vec![0x41, 0]),
        ("wire cut short", vec![5, b'a']),
    ])
}

fn proxies() -> Vec<Seed> {
    let header = |command: u8, family: u8, body: &[u8]| {
        let front = b"\r\n\r\n\0\r\nQUIT\n";
        [&front[..], &[command, family, 0, body.len() as u8], body].concat()
    };
    let v4 = [192, 0, 2, 7, 192, 0, 2, 53, 0x12, 0x34, 0, 53];
    let tlvs = [&v4[..], &[0x04, 0, 3, 1, 2, 3]].concat();
    named([
        ("v4", header(0x21, 0x11, &v4)),
        (
            "v4 datagram",
            [&header(0x21, 0x12, &v4)[..], &Ask::new("www.example A").packet()].concat(),
        ),
        ("v6", header(0x21, 0x21, &[1; 36])),
        ("tlvs", header(0x21, 0x11, &tlvs)),
        ("its own", header(0x20, 0, &[])),
        ("unknown source", header(0x21, 0, &[])),
        ("a unix socket", header(0x21, 0x31, &[0; 216])),
        ("too short for v4", header(0x21, 0x11, &v4[..11])),
        ("another version", header(0x31, 0x11, &v4)),
        ("cut short", header(0x21, 0x11, &v4)[..20].to_vec()),
        ("the first version", b"PROXY TCP4 192.0.2.7 192.0.2.53 1 53\r\n".to_vec()),
    ])
}

fn databases() -> Vec<Seed> {
    use mmdb_writer::{Database, country_code};
    let nested = json!({
        "city": { "geoname_id": 1, "names": { "en": "Amsterdam" } },
        "continent": { "code": "EU" },
        "country": { "iso_code": "NL" },
        "location": { "latitude": 52.37, "longitude": 4.89 },
        "subdivisions": [{ "iso_code": "NH" }],
    });
    let whole = Database::v6()
        .with("192.0.2.0/24", country_code("NL"))
        .with("2001:db8::/32", nested.clone())
        .with("2001:db8:1::/48", country_code("JP"))
        .bytes();
    named([
        ("v4", Database::v4().with("192.0.2.0/24", country_code("US")).bytes()),
        ("v6", whole.clone()),
        ("nested", Database::v4().with("10.0.0.0/8", nested).bytes()),
        ("systems", {
            let record = json!({ "autonomous_system_number": 64_496 });
            Database::v4().with("128.0.0.0/1", record).bytes()
        }),
        ("no locations", Database::v4().with("10.0.0.0/8", json!({ "proxy": "yes" })).bytes()),
        ("cut short", whole[..whole.len() / 2].to_vec()),
        ("nothing", Vec::new()),
    ])
}

/// What no zone file lacks.
const HEAD: &str = "$TTL 1h\n@ SOA ns1 host 1 2h 15m 2w 5m\n@ NS ns1\nns1 A 192.0.2.53\n";

fn zones() -> Vec<Seed> {
    let zone = |text: &str| format!("{HEAD}{text}").into_bytes();
    let bulk = format!("bulk TXT {}", "\"0123456789\" ".repeat(100));
    named([
        ("plain", zone("www A 192.0.2.1\n  AAAA 2001:db8::1\n")),
        ("directives", zone("$ORIGIN sub\n$TTL 5m\na A 192.0.2.1\n$ORIGIN example.\n")),
        ("includes", zone("$INCLUDE other.zone sub\n$INCLUDE example.zone\n")),
        ("generated", zone("$GENERATE 1-20/2 h${0,3,x} A 192.0.2.$\n$GENERATE 1-3 $ PTR h-$\n")),
        ("generated badly", zone("$GENERATE 20-1 h$ A 1\n$GENERATE 1-2 h${0,9,q} A 192.0.2.1\n")),
        ("parentheses and comments", zone("a TXT ( \"x;y\" ; z\n  \"b\\\"c\" \\100 )\n")),
        ("an open parenthesis", zone("a TXT (\n")),
        ("an open quote", zone("a TXT \"b\n")),
        (
            "crlf and a mark",
            [b"\xef\xbb\xbf", &zone("a A 192.0.2.1\r\nb A 192.0.2.2\r\n")[..]].concat(),
        ),
        (
            "cuts",
            zone("sub NS ns.sub\nns.sub A 192.0.2.2\nsub DS 1 8 2 ABCD\nbelow.sub A 192.0.2.3\n"),
        ),
        ("aliases", zone("c CNAME d\nd CNAME c\ne DNAME f\n*.w CNAME ns1\n")),
        ("conflicts", zone("c CNAME d\nc A 192.0.2.1\nd 5 A 192.0.2.1\nd 6 A 192.0.2.2\n")),
        ("outside", zone("www.example.org. A 192.0.2.1\n")),
        ("no soa", "@ NS ns1\n".into()),
        ("bulk", zone(&bulk)),
        (
            "mail and services",
            zone("@ MX 10 mail\n_s._tcp SRV 0 1 443 www\n@ CAA 0 issue \"ca.example\"\n"),
        ),
        (
            "service bindings",
            zone(
                "@ HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.1 ech=AAAA port=443\n\
                 s SVCB 0 www\nt SVCB 1 . mandatory=alpn alpn=\"a\\\\,b\" key667=\"\\001x\"\n",
            ),
        ),
        (
            "places and numbers",
            zone(
                "l LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m\n\
                 u URI 10 1 \"ftp://ftp.example/\"\ne EUI48 00-00-5e-00-53-2a\n\
                 i NAPTR 1 2 \"u\" \"E2U\" \"!x!y!\" .\na APL 1:192.0.2.0/24 !2:2001:db8::/32\n",
            ),
        ),
        (
            "keys",
            zone(
                "@ DNSKEY 257 3 13 AAAA\n@ CDS 0 0 0 00\n@ CERT PKIX 1 8 AAAA\n\
                 s SSHFP 1 1 0123456789abcdef0123456789abcdef01234567\n\
                 _443._tcp TLSA 3 1 1 ABCD\no OPENPGPKEY AAAA\nc CSYNC 66 3 A NS AAAA\n",
            ),
        ),
        ("signatures", {
            let rrsig = "RRSIG A 13 2 3600 20300101000000 20200101000000 1 example. AAAA";
            zone(&format!("ns1 {rrsig}\n@ NSEC ns1 SOA NS RRSIG NSEC\n@ NSEC3PARAM 1 0 0 -\n"))
        }),
        ("unknown types", zone("a TYPE65280 \\# 3 010203\nb A \\# 4 c0000201\nc TYPE1 \\# 2 00\n")),
        (
            "a proof",
            zone("@ NSEC3PARAM 1 0 0 -\n0123456789ABCDEFGHIJKLMNOPQRSTUV NSEC3 1 1 0 AB 2123 A\n"),
        ),
        ("no zone at all", b"<!DOCTYPE html><html>&amp;</html>\0\xff\n".to_vec()),
    ])
}

fn files() -> Vec<Seed> {
    let read = |path: &str| fs::read_to_string(path).unwrap();
    let server = read("tradewind.toml");
    let zone = |text: &str| format!("{}\n==> zones/example.toml <==\n{text}", desk::SERVER);
    let record = |text: &str| {
        zone(&desk::steered_zone(
            "www A 192.0.2.1",
            &format!(
                "[pools.a]\nregion = 'us-east-1'\nendpoints = [{{ ipv4 = '192.0.2.2' }}]\n\
                 [pools.b]\nendpoints = [{{ name = 'b', cname = 'b.example.net' }}]\n{text}"
            ),
        ))
    };
    named([
        ("the example server", server.clone()),
        (
            "the example checks",
            format!("\n==> healthchecks/web.toml <==\n{}", read("healthchecks/web.toml")),
        ),
        (
            "weighted",
            record("[records.r]\npolicy = 'weighted'\nmembers = [{ pool = 'a', weight = 3 }]\n"),
        ),
        (
            "geo",
            record(
                "[records.r]\npolicy = 'geo'\nsticky = 'client'\nrules = [\n\
                 { match = ['country:JP', 'subnet:192.0.2.0/24'], use = ['b'] },\n\
                 { match = ['*'], use = ['a'] }]\n",
            ),
        ),
        (
            "failover",
            record(
                "[records.r]\npolicy = 'failover'\nmembers = ['a', 'b']\nfailback = 'after'\n\
                 failback_delay = '10s'\nttl = { max = '30s', min = '5s' }\n",
            ),
        ),
        ("latency", record("[records.r]\npolicy = 'latency'\nmembers = ['a']\ntie = '10ms'\n")),
        ("an unknown pool", record("[records.r]\npolicy = 'weighted'\nmembers = ['c']\n")),
        ("an unknown key", record("[records.r]\npolice = 'weighted'\n")),
        (
            "a loop",
            record("[policies.p]\npolicy = 'weighted'\nmembers = ['p']\n[records.r]\nuse = 'p'\n"),
        ),
        ("limits", format!("{}{}", desk::SERVER, medley::ALL_ON)),
        ("two tables alike", "[server]\nlisten = []\n[server]\nlisten = []\n".to_owned()),
        ("no toml", "[server\nlisten = = \u{e9}\n".to_owned()),
        ("zone text", format!("\n==> zones/example.zone <==\n{HEAD}")),
        ("zone text that is none", format!("\n==> zones/example.zone <==\n{HEAD}a A b\n")),
        ("hooks", "[hooks.h]\nurl = 'http://127.0.0.1/'\non = ['*']\n".to_owned()),
        (
            "drivel",
            "schema = 2\n[regions.x]\nat = [91.0, 'a']\n[defaults]\nttl = '-1s'\n".to_owned(),
        ),
    ])
}
