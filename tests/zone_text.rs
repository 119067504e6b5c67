//! Data of every type as text: read as BIND, Knot and NSD read it, and written so that BIND reads
//! it back.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs, io,
    net::{SocketAddr, UdpSocket},
    path::Path,
    process::Command,
};
use support::{
    DEADLINE, dns, free_address,
    peers::{Authority, Program},
    scratch::Scratch,
    tool,
};
use tradewind::{
    wire::{Name, types::Rtype},
    zone::{Source, rdata_text, read},
};

const ZONE: &str = "text.test";
const HEAD: &str =
    "$TTL 300\n@ SOA ns.else.example. host.else.example. 1 2 3 4 5\n@ NS ns.else.example.\n";

/// Records without owner, most from the RFCs, each with the peers that have its type, or form, in
/// their version of today: BIND 9.18, Knot 3.2, NSD 4.6. Names in data lie outside the zone, so
/// that no reply compresses them.
const RECORDS: &[(&str, &str)] = &[
    ("BKN", "A 192.0.2.1"),
    ("BKN", "AAAA 2001:DB8::1"),
    ("N", "MD a.example."),
    ("N", "MF a.example."),
    ("BKN", "CNAME Target.Example."),
    ("BN", "MB a.example."),
    ("BN", "MG a.example."),
    ("BN", "MR a.example."),
    ("BKN", "PTR Host.Example."),
    ("BKN", r#"HINFO "INTEL \"x\"" Linux"#),
    ("BKN", "MINFO a.example.org. b.other.com."),
    ("BKN", "MX 10 Mail.Example.org."),
    ("BKN", r#"TXT "a \"b\" \; c" d\032e "" \000\255"#),
    ("BKN", "RP louie.trantor.umd.edu. LAM1.people.example."),
    ("BKN", "AFSDB 1 Jack.Example."),
    ("BN", r#"X25 "311061700956""#),
    ("BN", r#"ISDN "150862028003217" 004"#),
    ("BN", r#"ISDN "isdn-address""#),
    ("BKN", "RT 10 relay.example."),
    ("BN", "NSAP 0x47.0005.80.005a00.0000.0001.e133.ffffff000161.00"),
    ("BKN", "KEY 256 3 8 AwEAAQ=="),
    ("BN", "PX 10 ab.net2.it. O-ab.PRMD-net2.ADMDb.C-de."),
    ("B", "GPOS -32.6882 116.8652 10.0"),
    ("BKN", "LOC 42 21 54 N 71 06 18 W -24m 30m"),
    ("BKN", "LOC 52 14 05.25 N 00 08 50.001 E 10.15m 0.00m 5.5m 90000000.00m"),
    ("BKN", "LOC 90 S 180 W -100000"),
    ("BKN", "LOC 32 7 19 S 116 2 25 E 42849672.95m"),
    ("B", "EID e32c6f78163a9348"),
    ("B", "NIMLOC 32251a030067"),
    ("BKN", "SRV 0 65535 5060 Sip.Example."),
    ("BKN", r#"NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:info\\@example!" ."#),
    ("BKN", "KX 10 kx.example."),
    ("BKN", "CERT PKIX 12345 RSASHA256 MxFcby9k/yvedMfQgKzhH5er0Mu/vILz45IkskceFGgiWCn/"),
    ("BKN", "CERT 253 0 0 aHR0cA=="),
    ("BKN", "DNAME Other.Example."),
    ("BKN", "APL 1:192.168.32.0/21 !1:192.168.38.0/28 2:ff00::/8 1:0.0.0.0/0"),
    ("BKN", "DS 60485 RSASHA1 1 2BB183AF5F22588179A53B0A98631FAD1A292118"),
    ("BKN", "SSHFP 4 2 123456789abcdef67890123456789abcdef67890123456789abcdef123456789"),
    ("BKN", "IPSECKEY 10 1 2 192.0.2.38 AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ=="),
    ("BKN", "IPSECKEY 10 0 2 . AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ=="),
    ("BKN", "IPSECKEY 10 2 2 2001:0DB8:0:8002::2000:1 AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGv"),
    ("BKN", "IPSECKEY 10 3 2 Mygateway.Example. AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ=="),
    ("B", "RRSIG A RSASHA1 3 86400 20030322173103 20030220173103 2642 Example.Com. oJB1W6WNGv+l"),
    ("B", "NSEC Host.example.com. A MX RRSIG NSEC TYPE1234"),
    ("BKN", "DNSKEY 257 3 13 mdsswUyr3DPW132mOi8V9xESWE8jTo0dxCjjnopKl+GqJxpVXckHAeF+KkxLbxIL"),
    ("BKN", "DHCID AAIBY2/AuCccgoJbsaxcQc9TUapptP69lOjxfNuVAA2kjEA="),
    ("B", "NSEC3 1 1 12 aabbccdd 2t7b4g4vsa5smi47k61mv5bv1a22bojr MX DNSKEY NS SOA NSEC3PARAM"),
    ("B", "NSEC3 1 0 0 - 2vptu5timamqttgl4luu9kg21e0aor3s"),
    ("B", "NSEC3PARAM 1 0 12 aabbccdd"),
    ("B", "NSEC3PARAM 1 0 0 -"),
    ("BKN", "TLSA 3 1 1 0C72AC70B745AC19998811B131D662C9AC69DBDBE7CB23E5B514B56664C5D3D6"),
    ("BKN", "SMIMEA 0 0 1 d2abde240d7cd3ee6b4b28c54df034b97983a1d16e8a410e4561cb106618e971"),
    (
        "B",
        "HIP 2 200100107B1A74DF365639CC39F1D578 AwEAAbdxyhNuSutc5EMzxTs9LBPCIkOFH8cIvM4p \
           rvs1.example.com. RVS2.example.com.",
    ),
    ("B", r#"NINFO "a" b"#),
    ("B", "RKEY 0 0 5 AwEAAQ=="),
    ("B", "TALINK a.example. ."),
    ("BKN", "CDS 0 0 0 00"),
    ("BKN", "CDNSKEY 0 3 0 AA=="),
    ("BKN", "OPENPGPKEY aGVsbG8gd29ybGQ="),
    ("BKN", "CSYNC 66 3 A NS AAAA"),
    (
        "BKN",
        "ZONEMD 2018031500 1 1 FEBE3D4CE2EC2FFA4BA99D46CD69D6D29711E55217057BEE\
             7EB1A7B641A47BA7FED2DD5B97AE499FAFA4F22C6BD647DE",
    ),
    ("BKN", "SVCB 0 foo.example."),
    ("BKN", "SVCB 1 foo.example. port=53"),
    ("BKN", r#"SVCB 16 foo.example.org. alpn="f\\\\oo\\,bar,h2""#),
    ("BKN", r"SVCB 16 foo.example.org. alpn=f\\\092oo\092,bar,h2"),
    ("BKN", "SVCB 16 foo.example.org. alpn=h2,h3-19 mandatory=ipv4hint,alpn ipv4hint=192.0.2.1"),
    ("BKN", r#"SVCB 1 foo.example.com. key667="hello\210qoo""#),
    ("BKN", r#"SVCB 1 foo.example.com. ipv6hint="2001:db8::1,2001:db8::53:1""#),
    ("BN", "SVCB 1 . alpn=h2 no-default-alpn dohpath=/dns-query{?dns}"),
    ("BKN", r"SVCB 1 . key9999=z key29=\0011"),
    (
        "BKN",
        "SVCB 1 . ech=AEj+DQBEAQAgACAdd+scUi0IYFsXnUIU7ko2Nd9+F8M26pAGZVpz/KrWPgAEAAEAAWQV\
             ZWNoLXNpdGVzLmV4YW1wbGUubmV0AAA=",
    ),
    ("", "SVCB 1 . ohttp tls-supported-groups=29,23"),
    ("BKN", r#"HTTPS 1 . alpn="h2,h3" ipv4hint=192.0.2.1,192.0.2.2 port=8443"#),
    ("", "DSYNC CDS NOTIFY 5359 cds-scanner.example."),
    ("", "HHIT aGVsbG8="),
    ("", "BRID aGVsbG8="),
    ("BKN", r#"SPF "v=spf1 -all""#),
    ("BKN", "NID 10 0014:4fff:ff20:ee64"),
    ("BKN", "L32 10 10.1.2.0"),
    ("BKN", "L64 10 2001:0DB8:1140:1000"),
    ("BKN", "LP 10 l64-subnet1.example.com."),
    ("BKN", "EUI48 00-00-5e-00-53-2A"),
    ("BKN", "EUI64 00-00-5e-ef-10-00-00-2a"),
    ("BKN", r#"URI 10 1 "ftp://ftp1.example.com/public""#),
    ("BKN", r#"CAA 0 issue "ca1.example.net; policy=ev""#),
    ("BKN", "CAA 128 tbs Unknown"),
    ("BKN", r#"CAA 0 issue """#),
    ("B", r#"AVC "app-name:WOLFGANG|app-class:OAM""#),
    ("B", "AMTRELAY 10 0 1 203.0.113.15"),
    ("B", "AMTRELAY 128 1 0 ."),
    ("B", "AMTRELAY 10 0 2 2001:db8::15"),
    ("B", "AMTRELAY 128 1 3 Amtrelays.Example.com."),
    ("B", r#"RESINFO qnamemin exterr=15-17 "infourl=https://resolver.example.com/guide""#),
    ("B", "WALLET BTC address"),
    ("", "CLA TCP-v4-v6"),
    ("B", "TA 60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118"),
    ("BN", "DLV 60485 5 1 2BB183AF5F22588179A53B0A98631FAD1A292118"),
    ("BKN", r"TYPE65280 \# 4 0a 000001"),
    ("BKN", r"TYPE16 \# 4 0361 6263"),
];

/// The zone of those records that `peer` has; the owner says which record it is.
fn zone(peer: char) -> String {
    let records = RECORDS.iter().enumerate();
    let known = records.filter(|(_, (peers, _))| peers.contains(peer));
    known.fold(HEAD.to_owned(), |mut text, (number, (_, record))| {
        writeln!(text, "r{number} {record}").unwrap();
        text
    })
}

/// Type and data of each record by the number in its owner's name.
type Data = BTreeMap<usize, (u16, Vec<u8>)>;

fn number(owner: &[u8]) -> Option<usize> {
    let label = owner.get(1..=usize::from(*owner.first()?))?;
    str::from_utf8(label).ok()?.strip_prefix('r')?.parse().ok()
}

/// What we read in `text`.
fn ours(text: &str) -> Data {
    let loader = |_: &Path| Err(io::ErrorKind::NotFound.into());
    let mut data = Data::new();
    let source = Source::held(Path::new("zone").into(), 1, text);
    let problems = read(source, &loader, &Name::parse(ZONE).unwrap(), None, &mut |record| {
        if let Some(number) = number(record.owner.as_wire()) {
            data.insert(number, (record.rtype.0, record.rdata.into()));
        }
    });
    assert_eq!(problems, []);
    data
}

/// What BIND reads in `text`: its dump of a zone has data as it goes over the wire.
fn by_bind(text: &str) -> Option<Data> {
    let program = tool("named-compilezone")?;
    let folder = Scratch::new();
    let (file, dump) = (folder.write("zone", text), folder.path().join("dump"));
    let mut command = Command::new(program);
    for check in ["-i", "-n", "-m", "-M", "-r", "-S", "-T", "-k"] {
        command.args([check, if check == "-i" { "none" } else { "ignore" }]);
    }
    let output = command.args(["-F", "raw", "-o"]).arg(&dump).arg(ZONE).arg(file).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    let dump = fs::read(dump).unwrap();
    // Behind 24 octets of header stand sets: length of all, class, type, covered type, TTL, count,
    // owner; then the data of each record; names and data behind their length of two octets.
    let (mut rest, mut data) = (&dump[24..], Data::new());
    while let Some((length, _)) = rest.split_first_chunk::<4>() {
        let (set, behind) = rest.split_at(u32::from_be_bytes(*length) as usize);
        let counted = |at: usize| {
            let length = usize::from(u16::from_be_bytes([set[at], set[at + 1]]));
            &set[at + 2..at + 2 + length]
        };
        let owner = counted(18);
        if let Some(number) = number(owner) {
            let rtype = u16::from_be_bytes([set[6], set[7]]);
            data.insert(number, (rtype, counted(20 + owner.len()).to_vec()));
        }
        rest = behind;
    }
    Some(data)
}

/// The data of the first record that `server` answers.
fn answered(server: SocketAddr, owner: &str, rtype: u16) -> Option<Vec<u8>> {
    let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
    socket.set_read_timeout(Some(DEADLINE)).unwrap();
    let query = dns::message(owner, rtype.into());
    socket.send_to(&query, server).unwrap();
    let mut reply = [0; 512];
    let length = socket.recv(&mut reply).unwrap();
    // Behind the question stand a pointer to its name, type, class and TTL.
    let (_, rest) = reply[..length].split_at_checked(query.len() + 10)?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    Some(rest.get(..u16::from_be_bytes(*length).into())?.to_vec())
}

fn served(program: Program, host: u8, peer: char) -> Option<Data> {
    let address = free_address([127, 0, 78, host].into());
    let authority = Authority::start(program, address, ZONE, &zone(peer))?;
    let asked = ours(&zone(peer)).into_iter().map(|(number, (rtype, _))| {
        let data = answered(authority.address, &format!("r{number}.{ZONE}"), rtype);
        (number, (rtype, data.unwrap_or_default()))
    });
    Some(asked.collect())
}

/// All records that are not the same, by their text.
#[track_caller]
fn assert_same(ours: &Data, theirs: &Data) {
    assert_alike(ours, theirs, |ours, theirs| ours == theirs);
}

#[track_caller]
fn assert_alike(ours: &Data, theirs: &Data, is_alike: impl Fn(&[u8], &[u8]) -> bool) {
    let differs = |number: &usize| match (ours.get(number), theirs.get(number)) {
        (Some(ours), Some(theirs)) => ours.0 != theirs.0 || !is_alike(&ours.1, &theirs.1),
        (ours, theirs) => ours.is_some() || theirs.is_some(),
    };
    let show = |data: Option<&(u16, Vec<u8>)>| data.map(|(_, data)| format!("{data:02x?}"));
    let differing = (0..RECORDS.len()).filter(differs).map(|number| {
        let (us, them) = (show(ours.get(&number)), show(theirs.get(&number)));
        format!("{}\n  ours   {us:?}\n  theirs {them:?}\n", RECORDS[number].1)
    });
    let differing: String = differing.collect();
    assert!(differing.is_empty(), "{differing}");
}

#[test]
fn data_of_every_type_is_read_as_bind_reads_it() {
    let text = zone('B');
    let Some(theirs) = by_bind(&text) else { return };
    assert!(theirs.len() > 75);
    assert_same(&ours(&text), &theirs);
}

#[test]
fn data_of_every_type_is_read_as_knot_and_nsd_read_it() {
    for (program, host, peer) in [(Program::Knot, 1, 'K'), (Program::Nsd, 2, 'N')] {
        let Some(theirs) = served(program, host, peer) else { return };
        assert!(theirs.len() > 55);
        // Knot keeps names of the older types in lower case (RFC 4034 §6.2).
        assert_alike(&ours(&zone(peer)), &theirs, <[u8]>::eq_ignore_ascii_case);
    }
}

#[test]
fn what_we_write_of_every_type_bind_reads_back() {
    let data = ours(&zone('B'));
    let text = data.iter().fold(HEAD.to_owned(), |mut text, (number, (rtype, data))| {
        let rtype = Rtype(*rtype);
        writeln!(text, "r{number} {rtype} {}", rdata_text(rtype, data)).unwrap();
        text
    });
    let Some(theirs) = by_bind(&text) else { return };
    assert_same(&data, &theirs);
}
