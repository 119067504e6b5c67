//! Each type's data from text to wire and back, by chance, and beside the reader of others.

use super::*;
use crate::zone::text::Entry;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};

/// How many data of each type are tried.
const TRIES: u32 = 64;

fn origin() -> Name {
    Name::parse("origin.example").unwrap()
}

fn read_text(rtype: Rtype, text: &str) -> Result<Vec<u8>, Refusal> {
    read(rtype, Entry { text, line: 0 }.tokens(), &origin(), 0)
}

/// Signatures and hashed denials stand in signed zones only, where `tests/conformance` has no place
/// for made-up ones.
#[test]
fn rfc4034_3_2_rrsig_and_rfc5155_3_3_nsec3() {
    let rrsig = "0001050300015180 3e7c9dd7 3e5510d7 0a52 00 a09d";
    for (rtype, text, expected) in [
        (Rtype::RRSIG, "A RSASHA1 3 86400 20030322173103 20030220173103 2642 . oJ 0=", rrsig),
        (Rtype::RRSIG, "TYPE1 5 3 1d 1048354263 1045762263 2642 . oJ0=", rrsig),
        (
            Rtype::NSEC3,
            "1 1 12 aabbccdd 04000000 A RRSIG",
            "01 01 000c 04 aabbccdd 05 0100000000 0006 400000000002",
        ),
        (Rtype::NSEC3, "1 0 0 - 04000000", "01 00 0000 00 05 0100000000"),
    ] {
        let hex: String =
            read_text(rtype, text).unwrap().iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(hex, expected.replace(' ', ""), "{text}");
    }
}

/// RFC 1876 §2 and RFC 3123 §4 leave other versions and families to come.
#[test]
fn what_only_later_rfcs_know_is_kept_as_it_is() {
    for (rtype, text) in
        [(Rtype::LOC, r"\# 2 01ff"), (Rtype::APL, r"\# 6 400010020a00"), (Rtype::NULL, r"\# 1 00")]
    {
        let data = read_text(rtype, text).unwrap();
        assert_eq!(rdata_text(rtype, &data), text);
    }
    let soa = read_text(Rtype::SOA, "a b 1 4294967295 2147483648 1w 1").unwrap();
    assert!(rdata_text(Rtype::SOA, &soa).ends_with(" 1 4294967295 2147483648 604800 1"));
}

/// Names with any octets and letters of both cases.
fn any_name() -> BoxedStrategy<Vec<u8>> {
    let octet = prop_oneof!["[a-zA-Z0-9-]".prop_map(|c| c.as_bytes()[0]), any::<u8>()];
    let label = prop::collection::vec(octet, 1..20);
    let names = prop::collection::vec(label, 0..5).prop_map(|labels| {
        let labels = labels.into_iter().map(|label| [&[label.len() as u8], &label[..]].concat());
        [labels.collect::<Vec<_>>().concat(), vec![0]].concat()
    });
    names.boxed()
}

fn octets(least: usize, most: usize) -> BoxedStrategy<Vec<u8>> {
    prop::collection::vec(any::<u8>(), least..=most).boxed()
}

/// Octets behind their number.
fn counted(least: usize, most: usize) -> BoxedStrategy<Vec<u8>> {
    octets(least, most).prop_map(|octets| [&[octets.len() as u8], &octets[..]].concat()).boxed()
}

fn many(of: BoxedStrategy<Vec<u8>>, least: usize, most: usize) -> BoxedStrategy<Vec<u8>> {
    prop::collection::vec(of, least..=most).prop_map(|parts| parts.concat()).boxed()
}

fn both(a: BoxedStrategy<Vec<u8>>, b: BoxedStrategy<Vec<u8>>) -> BoxedStrategy<Vec<u8>> {
    (a, b).prop_map(|(a, b)| [a, b].concat()).boxed()
}

/// A kind and a gateway of that kind, with `between` between them.
fn any_gateway(between: usize) -> BoxedStrategy<Vec<u8>> {
    let of = |kind: u8, gateway: BoxedStrategy<Vec<u8>>| {
        both(both(Just(vec![kind]).boxed(), octets(between, between)), gateway)
    };
    prop_oneof![of(0, octets(0, 0)), of(1, octets(4, 4)), of(2, octets(16, 16)), of(3, any_name())]
        .boxed()
}

fn any_types() -> BoxedStrategy<Vec<u8>> {
    let types = prop::collection::btree_set(any::<u16>(), 0..20);
    let few = prop::collection::btree_set(1u16..300, 0..20);
    prop_oneof![types, few]
        .prop_map(|types| {
            let mut blocks = std::collections::BTreeMap::<u8, [u8; 32]>::new();
            for rtype in types {
                let [block, low] = rtype.to_be_bytes();
                blocks.entry(block).or_default()[usize::from(low / 8)] |= 0x80 >> (low % 8);
            }
            let blocks = blocks.into_iter().map(|(block, bits)| {
                let length = bits.iter().rposition(|bits| *bits != 0).unwrap() + 1;
                [&[block, length as u8], &bits[..length]].concat()
            });
            blocks.collect::<Vec<_>>().concat()
        })
        .boxed()
}

fn any_loc() -> BoxedStrategy<Vec<u8>> {
    let size = (1u8..=9, 0u8..=9).prop_map(|(digit, exponent)| digit << 4 | exponent);
    let size = prop_oneof![Just(0), size];
    let angle =
        |most: u32| (0..=2 * most * 3_600_000).prop_map(move |a| (1 << 31) - most * 3_600_000 + a);
    let sizes = [size.clone(), size.clone(), size];
    (sizes, angle(90), angle(180), any::<u32>())
        .prop_map(|(sizes, latitude, longitude, altitude)| {
            let places = [latitude, longitude, altitude].map(u32::to_be_bytes);
            [&[0], &sizes[..], &places.concat()].concat()
        })
        .boxed()
}

fn any_apl() -> BoxedStrategy<Vec<u8>> {
    let item = |family: u8, most: u8| {
        (0..=8 * most, any::<bool>(), octets(0, most.into())).prop_map(
            move |(prefix, not, mut kept)| {
                while kept.last() == Some(&0) {
                    kept.pop();
                }
                let length = kept.len() as u8 | if not { 0x80 } else { 0 };
                [&[0, family, prefix, length], &kept[..]].concat()
            },
        )
    };
    many(prop_oneof![item(1, 4), item(2, 16)].boxed(), 0, 4)
}

fn any_params() -> BoxedStrategy<Vec<u8>> {
    let value = |key: u16| match key {
        1 => many(counted(1, 9), 1, 3),
        2 | 8 => octets(0, 0),
        3 => octets(2, 2),
        4 => many(octets(4, 4), 1, 3),
        5 => octets(1, 60),
        6 => many(octets(16, 16), 1, 3),
        7 => "/[ -~é]{0,20}\\{\\?dns\\}".prop_map(String::into_bytes).boxed(),
        9 => many(octets(2, 2), 1, 3),
        _ => octets(0, 30),
    };
    let key = prop_oneof![1u16..=9, 10u16..65_535];
    let params = prop::collection::btree_set(key, 0..6).prop_flat_map(move |keys| {
        let values: Vec<_> = keys.iter().map(|key| value(*key)).collect();
        (Just(keys), values, any::<bool>())
    });
    params
        .prop_map(|(keys, values, mandatory)| {
            let mut params: Vec<(u16, Vec<u8>)> = keys.into_iter().zip(values).collect();
            // The key that demands an alpn.
            if params.iter().all(|(key, _)| *key != 1) {
                params.retain(|(key, _)| *key != 2);
            }
            if mandatory && !params.is_empty() {
                let keys = params.iter().step_by(2).flat_map(|(key, _)| key.to_be_bytes());
                params.insert(0, (0, keys.collect()));
            }
            let params = params.into_iter().map(|(key, value)| {
                [&key.to_be_bytes()[..], &(value.len() as u16).to_be_bytes(), &value].concat()
            });
            params.collect::<Vec<_>>().concat()
        })
        .boxed()
}

fn any_field(field: Field) -> BoxedStrategy<Vec<u8>> {
    match field {
        Number(count) => octets(count, count),
        Named8(_) => octets(1, 1),
        Named16(_) | Type => octets(2, 2),
        Ttl => {
            (0..=crate::units::Ttl::MAX.as_secs()).prop_map(|ttl| ttl.to_be_bytes().into()).boxed()
        }
        Span | Time | Ipv4 => octets(4, 4),
        Ipv6 => octets(16, 16),
        Host => any_name(),
        Str => counted(0, 255),
        MaybeString => many(counted(0, 20), 0, 1),
        Strings => many(counted(0, 255), 1, 4),
        Tag => "[a-zA-Z0-9]{1,20}"
            .prop_map(|tag| [&[tag.len() as u8], tag.as_bytes()].concat())
            .boxed(),
        Text(least) => octets(least, 400),
        Hex | Base64 | Nsap => octets(1, 80),
        MaybeBase64 => octets(0, 80),
        Salt => counted(0, 255),
        Hash => counted(1, 40),
        Types => any_types(),
        Eui(count) => octets(count, count),
        Node => octets(8, 8),
        Hip => (octets(1, 20), octets(1, 80), any::<u8>(), many(any_name(), 0, 3))
            .prop_map(|(tag, key, algorithm, servers)| {
                let [high, low] = (key.len() as u16).to_be_bytes();
                [&[tag.len() as u8, algorithm, high, low], &tag[..], &key, &servers].concat()
            })
            .boxed(),
        Gateway => unreachable!("a gateway stands apart from its kind: see any_data"),
        Relay => (any::<bool>(), any_gateway(0))
            .prop_map(|(discovery, mut relay)| {
                relay[0] |= if discovery { 0x80 } else { 0 };
                relay
            })
            .boxed(),
        Loc => any_loc(),
        Apl => any_apl(),
        Params => any_params(),
    }
}

/// Data that `rtype` allows.
fn any_data(rtype: Rtype) -> BoxedStrategy<Vec<u8>> {
    if rtype == Rtype::IPSECKEY {
        return both(both(octets(1, 1), any_gateway(1)), octets(0, 80));
    }
    let (fields, _) = layout(rtype).unwrap();
    fields.iter().map(|field| any_field(*field)).reduce(both).unwrap()
}

/// Tries `promise` with data of every type that has a text form.
fn for_every_type(promise: impl Fn(Rtype, Vec<u8>) -> Result<(), TestCaseError>) {
    for (rtype, ..) in LAYOUTS {
        let config = Config { cases: TRIES, failure_persistence: None, ..Config::default() };
        let tried = TestRunner::new(config).run(&any_data(*rtype), |data| promise(*rtype, data));
        tried.unwrap_or_else(|error| panic!("{rtype}: {error}"));
    }
}

#[test]
fn the_table_is_sorted() {
    assert!(LAYOUTS.is_sorted_by(|a, b| a.0 < b.0));
}

#[test]
fn the_example_of_every_type_is_sound() {
    let is_placeholder = |word: &str| {
        let is_name = |b: u8| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'-';
        word.len() > 2
            && word.starts_with(|c: char| c.is_ascii_uppercase())
            && word.bytes().all(is_name)
    };
    for (rtype, _, form) in LAYOUTS {
        if !form.split(' ').any(is_placeholder) {
            let read = read_text(*rtype, form);
            assert!(read.is_ok(), "{rtype} {form}: {read:?}");
        }
    }
}

#[test]
fn what_is_written_reads_back_for_every_type() {
    for_every_type(|rtype, data| {
        let text = rdata_text(rtype, &data);
        prop_assert!(!text.starts_with(r"\#"), "{text}");
        prop_assert_eq!(read_text(rtype, &text), Ok(data), "{}", text);
        Ok(())
    });
}

#[test]
fn rfc3597_5_every_type_reads_its_generic_form() {
    for_every_type(|rtype, data| {
        let hex = data_encoding::HEXLOWER.encode(&data);
        let text = format!(r"\# {} {hex}", data.len());
        prop_assert_eq!(read_text(rtype, &text), Ok(data));
        Ok(())
    });
}

#[test]
fn data_that_is_not_its_types_is_refused_and_shown_all_the_same() {
    for_every_type(|rtype, data| {
        // A piece of good data is often bad, a changed octet sometimes.
        for (cut, flip) in
            [(data.len() / 2, 0), (data.len().saturating_sub(1), 0), (data.len(), 0x80)]
        {
            let mut data = data[..cut].to_vec();
            if let Some(octet) = data.get_mut(cut / 3) {
                *octet ^= flip;
            }
            let text = rdata_text(rtype, &data);
            match text.starts_with(r"\#") {
                // Other versions of the one and families of the other have no text.
                true if matches!(rtype, Rtype::LOC | Rtype::APL) => {}
                true => prop_assert!(read_text(rtype, &text).is_err(), "{text}"),
                false => prop_assert_eq!(read_text(rtype, &text), Ok(data), "{}", text),
            }
        }
        Ok(())
    });
}

/// What NLnet Labs' `domain` makes of a text; nothing of a type whose text it does not know.
fn by_domain(rtype: Rtype, text: &str) -> Option<Vec<u8>> {
    use domain::base::{iana::Rtype as Number, rdata::ComposeRecordData};
    use domain::zonefile::inplace::{Entry, Zonefile};
    let mut file = Zonefile::new();
    let line = format!("$ORIGIN origin.example.\n. 0 IN {} {text}\n", Number::from_int(rtype.0));
    file.extend_from_slice(line.as_bytes());
    let Ok(Some(Entry::Record(record))) = file.next_entry() else { return None };
    let mut wire = Vec::new();
    record.data().compose_rdata(&mut wire).unwrap();
    Some(wire)
}

#[test]
fn another_reader_of_zone_text_reads_the_same() {
    let read_by_both = std::cell::RefCell::new(std::collections::BTreeSet::new());
    for_every_type(|rtype, data| {
        // It takes no `9` and no `z` in names of parameters, and takes escapes in values once.
        if matches!(rtype, Rtype::SVCB | Rtype::HTTPS) {
            return Ok(());
        }
        let text = rdata_text(rtype, &data);
        if let Some(theirs) = by_domain(rtype, &text) {
            prop_assert_eq!(theirs, data, "{}", text);
            read_by_both.borrow_mut().insert(rtype);
        }
        Ok(())
    });
    let read_by_both = read_by_both.into_inner();
    assert!(read_by_both.len() >= 30, "{read_by_both:?}");
}

#[track_caller]
fn refused(cases: &[(Rtype, &str, &str)]) {
    for (rtype, text, expected) in cases {
        let refusal = read_text(*rtype, text).unwrap_err();
        assert_eq!(format!("{}: {}", refusal.offset, refusal.message), *expected, "{rtype} {text}");
        assert!(refusal.help.is_some(), "{rtype} {text}");
    }
}

#[test]
fn complaints_point_at_the_word_and_say_what_should_stand_there() {
    refused(&[
        (Rtype::MX, "ten mail", "0: `ten` is not a number up to 65535"),
        (Rtype::MX, "65536 mail", "0: `65536` is not a number up to 65535"),
        (Rtype::MX, "10", "0: the data ends too early"),
        (Rtype::MX, "10 mail x", "8: the data should end before this"),
        (Rtype::A, "::1", "0: `::1` is not an IPv4 address"),
        (Rtype::NS, "", "0: the data ends too early"),
        (
            Rtype::TXT,
            r"a \25",
            r"2: `\` must be followed by a character, or by three digits up to 255",
        ),
        (
            Rtype::TXT,
            r"a \256",
            r"2: `\` must be followed by a character, or by three digits up to 255",
        ),
        (Rtype::DS, "1 FOO 2 00", "2: `FOO` is not a number up to 255"),
        (Rtype::DS, "1 13 2 0g", "7: `0g` is not base 16"),
        (Rtype::DS, "1 13 2 00 0", "10: base 16 ends in the middle of an octet"),
        (Rtype::DS, "1 13 2", "5: the data ends too early"),
        (Rtype::CERT, "PKIX 0 0 AB==A", "9: base 64 ends in the middle of an octet"),
        (Rtype::CAA, "0 is-sue x", "2: `is-sue` is not a tag of letters and digits"),
        (Rtype::URI, "1 1 \"\"", "4: this may not be empty"),
        (Rtype::NSEC, "a A FOO", "4: `FOO` is not a record type"),
        (
            Rtype::RRSIG,
            "A 13 1 60 20261301000000",
            "10: `20261301000000` is not a time such as `20260131235959`",
        ),
        (Rtype::EUI48, "00-00-5e-00-53", "0: `00-00-5e-00-53` is not an EUI-48 identifier"),
        (Rtype::EUI48, "0-00-5e-00-53-2a", "0: `0-00-5e-00-53-2a` is not an EUI-48 identifier"),
        (Rtype::NID, "10 1:2:3", "3: `1:2:3` is not four groups such as `2001:db8:1:2`"),
        (
            Rtype::APL,
            "1:192.0.2.0/33",
            "0: `1:192.0.2.0/33` is not a prefix such as `1:192.0.2.0/24`",
        ),
        (Rtype::LOC, "91 N 0 E 0m", "0: `91` is not part of an angle"),
        (Rtype::LOC, "90 0 0.001 N 0 E 0m", "11: `N` is not `N` or `S` behind an angle up to 90°"),
        (Rtype::LOC, "90 30 N 0 E 0m", "6: `N` is not `N` or `S` behind an angle up to 90°"),
        (Rtype::LOC, "0 N 180 0 1 W 0m", "12: `W` is not `E` or `W` behind an angle up to 180°"),
        (Rtype::SOA, "a b 1 7102w 1 1 1", "6: `7102w` is not a time up to 4294967295 seconds"),
        (
            Rtype::SOA,
            "a b 1 1 1 1 2147483648",
            "12: `2147483648` is more than 2147483647 seconds (RFC 2181 §8)",
        ),
        (Rtype::APL, r"\# 5 0003010200", "0: this is not valid data for `APL`"),
        (Rtype::LOC, r"\# 2 0012", "0: this is not valid data for `LOC`"),
        (Rtype::LOC, "1 E 0 E 0m", "2: `E` is not part of an angle"),
        (Rtype::LOC, "1 N 0 E 0km", "8: `0km` is not an altitude in metres"),
        (Rtype::IPSECKEY, "10 4 2 . AA==", "5: its type must be 0, 1, 2 or 3"),
        (Rtype::IPSECKEY, "10 0 2 a AA==", "7: `a` is not `.`, as its type 0 demands"),
        (Rtype::AMTRELAY, "10 2 0 .", "3: `2` is not a number up to 1"),
        (Rtype(65280), "x", "0: the data of `TYPE65280` cannot be written as text here"),
        (Rtype(65280), r"\# 3 beef", r"3: 3 octets are announced, but 2 follow"),
        (Rtype::MX, r"\# 2 beef", "0: this is not valid data for `MX`"),
    ]);
    let long = "x".repeat(256);
    refused(&[(Rtype::TXT, &long, "0: this is longer than 255 octets")]);
    let much = "00".repeat(65_536);
    refused(&[(Rtype::OPENPGPKEY, &much, "0: this OPENPGPKEY record is larger than 65535 octets")]);
}

#[test]
fn rfc9460_2_2_parameters_are_unique_known_and_complete() {
    let is_bad = |params: &str| {
        let refusal = read_text(Rtype::SVCB, &format!("1 . {params}")).unwrap_err();
        assert!(refusal.help.is_some(), "{params}");
        assert_eq!(refusal.offset, 4, "{params}: {}", refusal.message);
    };
    for params in [
        "alpn",
        "alpn=",
        "alpn=,h2",
        "port=65536",
        "port",
        "ipv4hint=",
        "ipv4hint=192.0.2.1,",
        "ipv6hint=192.0.2.1",
        "ech=",
        "ech=x",
        "no-default-alpn",
        "ohttp=x",
        "dohpath=/x",
        "dohpath={?dns}",
        "mandatory=alpn",
        "mandatory=mandatory",
        "mandatory=",
        "key65535=x",
        "key065=x",
        "key65536=x",
        "ALPN=h2",
        "foo=1",
        "key3=x",
        "tls-supported-groups=",
        "mandatory=port,port port=1",
        "\"\"",
    ] {
        is_bad(params);
    }
    let twice = read_text(Rtype::SVCB, "1 . port=1 key3=\\000\\002").unwrap_err();
    assert_eq!((twice.offset, twice.message.as_str()), (11, "`key3` stands twice"));
    let lone = read_text(Rtype::SVCB, "1 . port=1 no-default-alpn").unwrap_err();
    assert_eq!(lone.message, "`alpn` is needed, but not there");
}
