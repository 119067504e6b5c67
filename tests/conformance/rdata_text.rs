//! What the data of each type looks like in a zone file and on the wire, by the RFC that says so.

use crate::desk::Server;

/// The data that is answered for a `record` (type and data as a zone file has them), in base 16.
fn answered(record: &str) -> String {
    let mut server = Server::zone("example", &format!("x {record}"));
    let (rtype, _) = record.split_once(' ').unwrap();
    let reply = server.ask(&format!("x.example {rtype} tcp"));
    // Behind header and question: a pointer to the owner, type, class, TTL, length.
    let at = 12 + b"\x01x\x07example\0".len() + 4 + 10;
    let (length, data) = reply[at..].split_first_chunk().unwrap();
    let data = &data[..u16::from_be_bytes(*length).into()];
    data.iter().map(|octet| format!("{octet:02x}")).collect()
}

/// Compares the data of each record with groups of digits.
#[track_caller]
pub fn check(cases: &[(&str, &str)]) {
    for (record, data) in cases {
        assert_eq!(answered(record), data.replace(' ', ""), "{record}");
    }
}

/// `host.example.`, its letters as written.
const HOST: &str = "04486f7374 07 6578616d706c65 00";

#[track_caller]
fn check_host(record: &str, before: &str) {
    check(&[(record, &format!("{before} {HOST}"))]);
}

#[test]
fn rfc1183_1_afsdb() {
    check_host("AFSDB 1 Host", "0001");
}

#[test]
fn rfc1183_2_rp() {
    check(&[("RP Host.example. .", &format!("{HOST} 00"))]);
}

#[test]
fn rfc1183_3_x25_isdn_and_rt() {
    check(&[
        ("X25 311", "03 333131"),
        ("ISDN 1508", "04 31353038"),
        ("ISDN 1 004", "0131 03303034"),
    ]);
    check_host("RT 10 Host", "000a");
}

#[test]
fn rfc1706_5_nsap() {
    check(&[("NSAP 0x47.0005.80", "47000580")]);
}

#[test]
fn rfc1712_3_gpos() {
    check(&[("GPOS -32.7 116.9 10", "05 2d33322e37 05 3131362e39 02 3130")]);
}

#[test]
fn rfc1876_2_loc() {
    check(&[
        ("LOC 42 21 54 N 71 06 18 W -24m 30m", "00 33 16 13 89172dd0 70be15f0 00988d20"),
        (
            "LOC 52 22 23.000 N 4 53 32.000 E -2.00m 0.00m 10000m 10m",
            "00 00 16 13 8b3cf018 810cbce0 009895b8",
        ),
        ("LOC 0 N 0 E 0", "00 12 16 13 80000000 80000000 00989680"),
    ]);
}

#[test]
fn rfc2163_4_px() {
    check(&[("PX 10 Host .", &format!("000a {HOST} 00"))]);
}

#[test]
fn rfc2230_3_kx() {
    check_host("KX 10 Host", "000a");
}

#[test]
fn rfc3123_4_apl() {
    check(&[
        ("APL 1:192.168.32.0/21 !1:192.168.38.0/28", "0001 15 03 c0a820 0001 1c 83 c0a826"),
        ("APL 1:224.0.0.0/4 2:FF00:0:0:0:0:0:0:0/8", "0001 04 01 e0 0002 08 01 ff"),
    ]);
}

#[test]
fn rfc4025_3_ipseckey() {
    let key = "010351537986ed35533b6064478eeeb27b5bd74dae149b6e81ba3a0521af82ab7801";
    let text = "AQNRU3mG7TVTO2BkR47usntb102uFJtugbo6BSGvgqt4AQ==";
    check(&[
        (&format!("IPSECKEY 10 1 2 192.0.2.38 {text}"), &format!("0a 01 02 c0000226 {key}")),
        (&format!("IPSECKEY 10 0 2 . {text}"), &format!("0a 00 02 {key}")),
        (&format!("IPSECKEY 10 3 2 Host {text}"), &format!("0a 03 02 {HOST} {key}")),
    ]);
}

#[test]
fn rfc4034_4_2_nsec() {
    let bitmap = "0006 400100000003 041b 000000000000000000000000000000000000000000000000000020";
    check(&[("NSEC Host A MX RRSIG NSEC TYPE1234", &format!("{HOST} {bitmap}"))]);
}

#[test]
fn rfc4255_3_2_sshfp() {
    check(&[("SSHFP 2 1 123456789abcdef678", "02 01 123456789abcdef678")]);
}

#[test]
fn rfc4398_2_2_cert() {
    check(&[
        ("CERT PKIX 12345 RSASHA256 AAECAw==", "0001 3039 08 00010203"),
        ("CERT 254 0 0 AA EC Aw==", "00fe 0000 00 00010203"),
    ]);
}

#[test]
fn rfc4701_3_6_dhcid() {
    check(&[(
        "DHCID ( AAIBY2/AuCccgoJbsaxcQc9TUapptP69l OjxfNuVAA2kjEA= )",
        "000201636fc0b8271c82825bb1ac5c41cf5351aa69b4febd94e8f17cdb95000da48c40",
    )]);
}

#[test]
fn rfc6742_2_ilnp() {
    check(&[
        ("NID 10 0014:4fff:ff20:ee64", "000a 00144fffff20ee64"),
        ("L64 10 2001:db8:1140:1000", "000a 20010db811401000"),
        ("L32 10 10.1.2.0", "000a 0a010200"),
    ]);
    check_host("LP 10 Host", "000a");
}

#[test]
fn rfc7043_3_2_and_4_2_eui() {
    check(&[
        ("EUI48 00-00-5e-00-53-2a", "00005e00532a"),
        ("EUI64 00-00-5E-EF-10-00-00-2A", "00005eef1000002a"),
    ]);
}

#[test]
fn rfc7477_2_1_csync() {
    check(&[
        ("CSYNC 66 3 A NS AAAA", "00000042 0003 0004 60000008"),
        ("CSYNC 1 0", "00000001 0000"),
    ]);
}

#[test]
fn rfc7553_4_4_uri() {
    check(&[("URI 10 1 \"ftp://a/b\"", "000a 0001 6674703a2f2f612f62")]);
}

#[test]
fn rfc7929_2_3_openpgpkey() {
    check(&[("OPENPGPKEY AAEC Aw==", "00010203")]);
}

#[test]
fn rfc8005_6_hip() {
    let record = "HIP 2 200100107B1A74DF365639CC39F1D578 AAECAw== Host .";
    check(&[(record, &format!("10 02 0004 200100107b1a74df365639cc39f1d578 00010203 {HOST} 00"))]);
}

#[test]
fn rfc8078_4_the_delete_forms_of_cds_and_cdnskey() {
    check(&[("CDS 0 0 0 00", "0000 00 00 00"), ("CDNSKEY 0 3 0 AA==", "0000 03 00 00")]);
}

#[test]
fn rfc8162_2_smimea() {
    check(&[("SMIMEA 3 1 1 00 ff", "03 01 01 00ff")]);
}

#[test]
fn rfc8659_4_1_1_caa() {
    check(&[
        ("CAA 128 issue \"ca; x=1\"", "80 05 6973737565 63613b20783d31"),
        ("CAA 0 issue \"\"", "00 05 6973737565"),
    ]);
}

#[test]
fn rfc8777_4_3_amtrelay() {
    check(&[("AMTRELAY 10 0 1 203.0.113.15", "0a 01 cb00710f"), ("AMTRELAY 128 1 0 .", "80 80")]);
    check_host("AMTRELAY 128 1 3 Host", "80 83");
}

#[test]
fn rfc8976_2_3_zonemd() {
    check(&[("ZONEMD 2018031500 1 1 00 ff", "7848b78c 01 01 00ff")]);
}

#[test]
fn rfc9606_5_resinfo() {
    check(&[("RESINFO qnamemin exterr=15", "08 716e616d656d696e 09 6578746572723d3135")]);
}

#[test]
fn rfc9859_2_dsync() {
    check_host("DSYNC CDS NOTIFY 5359 Host", "003b 01 14ef");
}
