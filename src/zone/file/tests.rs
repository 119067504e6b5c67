//! RFC 1035 text as operators write it, well and badly.

use super::*;
use crate::zone::problem::Severity;
use proptest::prelude::*;
use std::collections::HashMap;
use std::fmt::Write as _;

/// Reads `files["main"]` with origin `example.` and shows each record and problem on a line.
fn show_files(files: &HashMap<&str, &str>, default_ttl: Option<Ttl>) -> String {
    let loader = |path: &Path| {
        let text = path.to_str().and_then(|path| files.get(path));
        let text = text.map(|text| -> Text<'_> { Box::new(text.as_bytes()) });
        text.ok_or(io::Error::from(io::ErrorKind::NotFound))
    };
    let mut shown = String::new();
    let source = Source::held(Path::new("main").into(), 1, files["main"]);
    let origin = Name::parse("example").unwrap();
    let problems = read(source, &loader, &origin, default_ttl, &mut |record| {
        let data: Vec<_> = record
            .rdata
            .iter()
            .map(|byte| match byte {
                0x21..=0x7e => char::from(*byte).to_string(),
                other => format!("\\{other}"),
            })
            .collect();
        let Record { owner, rtype, class, ttl, at, .. } = &record;
        assert!(*class == Rclass::IN || at.line > 0);
        writeln!(shown, "{at} {owner} {} {class} {rtype} {}", ttl.as_secs(), data.concat())
            .unwrap();
    });
    for problem in problems {
        assert_eq!(problem.severity, Severity::Error);
        writeln!(shown, "! {problem}").unwrap();
    }
    shown
}

fn show(text: &str) -> String {
    show_files(&HashMap::from([("main", text)]), Some(Ttl::from_secs(60)))
}

/// The records of `text`, without place and problems.
fn records(text: &str) -> Vec<String> {
    let shown = show(text);
    assert!(!shown.contains("! main"), "{shown}");
    shown.lines().map(|line| line.split_once(' ').unwrap().1.to_owned()).collect()
}

#[test]
fn rfc1035_5_1_owners_ttls_and_classes_in_any_order() {
    let text = "$TTL 1h\n@ IN A 192.0.2.1\nwww 5 IN A 192.0.2.2\n IN 6 A 192.0.2.3\n\tA 192.0.2.4 ; x\nABS.org. 7 A 192.0.2.5\n";
    let expected = [
        r"example 3600 IN A \192\0\2\1",
        r"www.example 5 IN A \192\0\2\2",
        r"www.example 6 IN A \192\0\2\3",
        r"www.example 3600 IN A \192\0\2\4",
        r"abs.org 7 IN A \192\0\2\5",
    ];
    assert_eq!(records(text), expected);
}

#[test]
fn rfc1035_5_1_parentheses_strings_and_escapes() {
    let text =
        "@ SOA ns1 Host\\.Master ( 1 ; serial\n 1h 2m\n 1w1d 30 )\nt TXT \"a ; b\" c\\\"d \\065\n";
    let expected = [
        "example 60 IN SOA \\3ns1\\7example\\0\\11Host.Master\\7example\\0\
         \\0\\0\\0\\1\\0\\0\\14\\16\\0\\0\\0x\\0\\10\\140\\0\\0\\0\\0\\30",
        "t.example 60 IN TXT \\5a\\32;\\32b\\3c\"d\\1A",
    ];
    assert_eq!(records(text), expected);
}

#[test]
fn at_sign_in_data_is_the_origin_except_in_strings() {
    let expected = [
        r"a.example 60 IN MX \0\5\7example\0",
        r"a.example 60 IN NS \7example\0",
        r"a.example 60 IN TXT \1@",
        r"a.example 60 IN CNAME \0",
        r"a.example 60 IN NS \2b.\1c\0",
    ];
    let text = "a MX 5 @\n NS (@)\n TXT @\n CNAME .\n NS b\\..c.\n";
    assert_eq!(records(text), expected);
}

#[test]
fn rfc2308_4_ttl_comes_from_the_directive_else_from_the_record_before() {
    let files =
        HashMap::from([("main", "a 7 A 192.0.2.1\nb A 192.0.2.1\n$TTL 9\nc A 192.0.2.1\n")]);
    let ttls: Vec<_> =
        show_files(&files, None).lines().map(|l| l.split(' ').nth(2).unwrap().to_owned()).collect();
    assert_eq!(ttls, ["7", "7", "9"]);
    let files = HashMap::from([("main", "@ SOA a b 1 2 3 4 5\nb A 192.0.2.1\n")]);
    let shown = show_files(&files, None);
    assert!(shown.contains("example 5 IN SOA"), "{shown}");
    assert!(shown.contains("! main:2:3: this record has no TTL"), "{shown}");
}

#[test]
fn rfc3597_generic_form_is_read_for_every_type() {
    let expected = [
        r"a.example 60 IN TYPE65280 \190\239",
        r"a.example 60 IN A \192\0\2\1",
        r"a.example 60 IN URI \0\1\0\2x",
        r"a.example 60 IN TYPE65281 ",
    ];
    let text = "a TYPE65280 \\# 2 beef\n TYPE1 \\# 4 c0 00 0201\n URI \\# 5 0001000278\n TYPE65281 \\# 0\n";
    assert_eq!(records(text), expected);
}

#[test]
fn generic_form_of_a_known_type_must_be_valid_data() {
    for bad in [
        "A \\# 3 c00002",
        "MX \\# 5 0001c00000",
        "NS \\# 2 0100",
        "SVCB \\# 1 00",
        "LOC \\# 1 00",
        "EUI48 \\# 5 0000000000",
        "TYPE65280 \\# 3 beef",
    ] {
        let shown = show(&format!("a {bad}\n"));
        assert!(shown.starts_with("! main:1:"), "{bad}: {shown}");
    }
}

#[test]
fn types_without_a_text_form_are_refused_with_the_way_out() {
    let mut problems = Vec::new();
    let text = "a TYPE65280 beef\nb 1 WKS 192.0.2.1 TCP smtp\n";
    let source = Source::held(Path::new("z").into(), 10, text);
    let loader = |_: &Path| Err(io::ErrorKind::NotFound.into());
    problems.extend(read(source, &loader, &Name::root(), Some(Ttl::from_secs(1)), &mut |_| ()));
    let shown: Vec<_> = problems.iter().map(ToString::to_string).collect();
    let expected = [
        "z:10:3: the data of `TYPE65280` cannot be written as text here",
        "z:11:5: `WKS` is not a record type",
    ];
    assert_eq!(shown, expected);
    assert!(problems[0].help.as_ref().unwrap().contains(r"`TYPE65280 \# "));
}

#[test]
fn types_that_no_zone_holds_are_refused() {
    for rtype in ["OPT", "TKEY", "TSIG", "AXFR", "ANY", "NXNAME", "TYPE0"] {
        let expected = format!("! main:1:3: no zone can hold records of type `{rtype}`\n");
        assert_eq!(show(&format!("a {rtype} \\# 0\n")), expected);
    }
}

#[test]
fn common_types_are_read() {
    let text = r#"
@ CAA 0 issue "ca.example.net"
_s._tcp SRV 1 2 53 ns1
h HTTPS 1 . alpn="h2,h3" port=443 ipv4hint=192.0.2.1
s SVCB 0 @
n NAPTR 100 10 "u" "E2U+sip" "!^.*$!sip:a@b!" .
d DS 1 13 2 ( 3f2b3f2b3f2b3f2b3f2b3f2b3f2b3f2b
  3f2b3f2b3f2b3f2b3f2b3f2b3f2b3f2b )
t TLSA 3 1 1 00ff
f SSHFP 4 2 00ff
p PTR host
r RP mail text
x TXT "Grüße"
y AAAA 2001:db8::1
"#;
    assert_eq!(records(text).len(), 12);
    let txt = &records("x TXT \"ü\" u\u{308}\n")[0];
    assert_eq!(txt, r"x.example 60 IN TXT \2\195\188\3u\204\136");
}

#[test]
fn every_broken_line_is_reported_and_the_others_are_read() {
    let text = "a A 192.0.2.256\nb A 192.0.2.1 x\nc FOO 1\nd MX ten mail\ne MX 10\nf..g A 192.0.2.1\n\
                h NS a..b\ni TXT \"open\nj 99999999999 A 192.0.2.1\nk ANY x\nl 1h30 A 192.0.2.1\n\
                $BOGUS\n$TTL\n$ORIGIN a. b.\nm MX 10 (\n  mail x\n )\nn\no ) A\nbücher A 192.0.2.1\nz A 192.0.2.9\n";
    let shown = show(text);
    let expected = r"main:21 z.example 60 IN A \192\0\2\9
! main:1:5: `192.0.2.256` is not an IPv4 address
! main:2:15: the data should end before this
! main:3:3: `FOO` is not a record type
! main:4:6: `ten` is not a number up to 65535
! main:5:6: the data ends too early
! main:6:1: `f..g` is not a name: a label of the name is empty (two dots in a row, or one in front)
! main:7:6: `a..b` is not a name: a label of the name is empty (two dots in a row, or one in front)
! main:8:7: the quote opened here is not closed on this line
! main:9:3: `99999999999` is not a time such as `3600` or `1h30m`
! main:10:3: no zone can hold records of type `ANY`
! main:11:3: `1h30` is not a time such as `3600` or `1h30m`
! main:12:1: `$BOGUS` is not a directive
! main:13:1: `$TTL` needs an argument
! main:14:12: `b.` is one word too many
! main:16:8: the data should end before this
! main:18:2: the entry ends before a record type
! main:19:3: this parenthesis closes nothing
! main:20:1: `bücher` is not a name: `ü` cannot stand in a name; write `\DDD`, or the xn-- form of an international name
";
    assert_eq!(shown, expected);
}

#[test]
fn a_first_line_without_owner_is_explained() {
    let shown = show("  www A 192.0.2.1\n");
    assert!(shown.contains("! main:1:3: `www` is not a record type"), "{shown}");
    let shown = show("  A 192.0.2.1\n");
    assert!(shown.contains("no owner stands above it"), "{shown}");
}

#[test]
fn include_restores_origin_and_owner() {
    let files = HashMap::from([
        ("main", "a A 192.0.2.1\n$INCLUDE sub/x.inc in.example.\n A 192.0.2.2\nb A 192.0.2.3\n"),
        (
            "sub/x.inc",
            " A 192.0.2.4\nc A 192.0.2.5\n$ORIGIN deep.example.\n$INCLUDE y.inc ; beside me\n",
        ),
        ("sub/y.inc", "d A 192.0.2.6\n$TTL 5\n"),
    ]);
    let shown = show_files(&files, Some(Ttl::from_secs(60)));
    let expected = r"main:1 a.example 60 IN A \192\0\2\1
sub/x.inc:1 a.example 60 IN A \192\0\2\4
sub/x.inc:2 c.in.example 60 IN A \192\0\2\5
sub/y.inc:1 d.deep.example 60 IN A \192\0\2\6
main:3 a.example 5 IN A \192\0\2\2
main:4 b.example 5 IN A \192\0\2\3
";
    assert_eq!(shown, expected);
}

#[test]
fn include_loops_depth_and_missing_files_are_refused() {
    let names: Vec<_> = (0..=9).map(|n| format!("f{n}")).collect();
    let texts: Vec<_> = (1..=10).map(|n| format!("$INCLUDE f{n}\n")).collect();
    let mut files: HashMap<&str, &str> =
        names.iter().map(String::as_str).zip(texts.iter().map(String::as_str)).collect();
    files.insert("main", "$INCLUDE f0\n$INCLUDE loop\n$INCLUDE nowhere\n");
    files.insert("loop", "$INCLUDE main\n");
    let shown = show_files(&files, None);
    assert!(shown.contains("! f7:1:10: includes are nested deeper than 8"), "{shown}");
    assert!(shown.contains("! loop:1:10: `main` includes itself"), "{shown}");
    assert!(shown.contains("! main:3:10: cannot read `nowhere`:"), "{shown}");
}

#[test]
fn what_a_text_can_make_of_itself_is_bounded() {
    let (outer, inner) = ("$INCLUDE b\n".repeat(40), "$INCLUDE c\n".repeat(40));
    let files = HashMap::from([("main", outer.as_str()), ("b", inner.as_str()), ("c", "")]);
    let shown = show_files(&files, None);
    assert!(shown.starts_with("! b:"), "{shown}");
    assert!(shown.contains(":10: more than 1000 files are included"), "{shown}");
    let mut made = 0;
    let text = "$GENERATE 1-65536 x 1 A 192.0.2.1\n".repeat(17);
    let source = Source::held(Path::new("main").into(), 1, &text);
    let loader = |_: &Path| Err(io::ErrorKind::NotFound.into());
    let problems = read(source, &loader, &Name::root(), None, &mut |_| made += 1);
    assert_eq!((made, problems.len()), (1 << 20, 1));
    assert_eq!(problems[0].to_string(), "main:17:11: more than 1048576 records are generated");
}

#[test]
fn generate_writes_a_record_for_each_number() {
    let text = "$GENERATE 1-2 h-$ 5 IN A 192.0.2.$ ; $x\n$GENERATE 10-30/20 h-$ MX \"0 .\"\n$GENERATE 1-1 t TXT \"a $\"\n\
                $GENERATE 1-3 ${0,2,d} CNAME ${253,0,d}\n$GENERATE 5 x A 1\n$GENERATE 1-2 x A 192.0.2.25$\n$GENERATE 254-256 y A 192.0.2.$\n";
    let expected = r"main:1 h-1.example 5 IN A \192\0\2\1
main:1 h-2.example 5 IN A \192\0\2\2
main:2 h-10.example 60 IN MX \0\0\0
main:2 h-30.example 60 IN MX \0\0\0
main:3 t.example 60 IN TXT \3a\321
main:4 01.example 60 IN CNAME \3254\7example\0
main:4 02.example 60 IN CNAME \3255\7example\0
main:4 03.example 60 IN CNAME \3256\7example\0
main:6 x.example 60 IN A \192\0\2\251
main:6 x.example 60 IN A \192\0\2\252
main:7 y.example 60 IN A \192\0\2\254
main:7 y.example 60 IN A \192\0\2\255
! main:5:11: `5` is not a range such as `1-10` or `0-100/2`
! main:7:11: `192.0.2.256` is not an IPv4 address, in the generated `y A 192.0.2.256`
";
    assert_eq!(show(text), expected);
}

#[test]
fn carriage_returns_and_byte_order_mark_are_tolerated() {
    let text = "\u{feff}a A 192.0.2.1\r\n  TXT \"x\" (\r\n y )\r\n$ORIGIN b.\r\n@ MX 1 @\r\n";
    let expected =
        [r"a.example 60 IN A \192\0\2\1", r"a.example 60 IN TXT \1x\1y", r"b 60 IN MX \0\1\1b\0"];
    assert_eq!(records(text), expected);
}

#[test]
fn a_file_that_is_no_zone_file_stops_after_a_thousand_problems() {
    let text = "x y z\n".repeat(5_000);
    assert_eq!(show(&text).lines().count(), PROBLEMS_MAX + 1);
}

proptest! {
    #[test]
    fn reading_never_panics(text in "(?s)(.|[\\\\\"();@$.\n\r\t ]|A|IN|\\\\#|\\$GENERATE 1-2 |TXT ){0,60}") {
        show(&text);
    }

    #[test]
    fn reading_data_of_any_type_never_panics(
        rtype in prop::sample::select(vec![
            "A", "NS", "SOA", "MX", "TXT", "SRV", "NAPTR", "DS", "DNSKEY", "RRSIG", "NSEC", "NSEC3",
            "NSEC3PARAM", "SVCB", "HTTPS", "CAA", "TLSA", "SSHFP", "IPSECKEY", "ZONEMD", "HINFO",
            "OPENPGPKEY", "RP", "MINFO", "TYPE1000", "CDS", "CDNSKEY", "AAAA", "LOC", "APL", "HIP",
            "AMTRELAY", "CSYNC", "EUI48", "NID", "NSAP", "URI", "DSYNC", "TALINK",
        ]),
        data in "([0-9]{1,3}|[a-z.]{1,6}|1:|-00|mandatory=|\"[ -!#-\\[\\]-~]{0,9}\"|\\\\[0-9]{1,3}|\\\\#|[=\"(),;\\\\@]|é| |\n){0,24}",
    ) {
        show(&format!("x {rtype} {data}\n"));
    }
}
