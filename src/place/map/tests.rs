//! The map against a slow obvious model, and the cases worth naming.

use super::*;
use crate::place::{Location, table::tests::table};
use proptest::prelude::*;
use std::{cell::RefCell, convert::Infallible};

/// A map whose classes are the second letter of a country (XA is 0), or 100 + the index of the
/// longest network; 50 by default.
fn by_country(table: Option<&LocationTable>, nets: &[&str]) -> ClientMap {
    let nets: Vec<IpNet> = nets.iter().map(|net| net.parse().unwrap()).collect();
    build(table, &nets)
}

fn build(table: Option<&LocationTable>, nets: &[IpNet]) -> ClientMap {
    let Ok(map) =
        ClientMap::build::<Infallible>(table, nets, &mut |l, s| Ok(class(l, s)), Class(50));
    map
}

fn class(location: Option<&Location>, stack: &[u32]) -> Class {
    let country = || location.and_then(|l| l.country).expect("no net, so a place");
    match stack.first() {
        Some(net) => Class(100 + *net as u16),
        None => Class(u16::from(country().as_str().as_bytes()[1] - b'A')),
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn mask(classes: &[u16]) -> ClassMask {
    classes.iter().map(|class| Class(*class)).collect()
}

fn scope(map: &ClientMap, client: &str, same: &[u16]) -> u8 {
    map.scope(&map.lookup(ip(client)), &mask(same))
}

#[test]
fn longest_network_beats_location() {
    let table = table(&[("10.0.0.0/8", "XA"), ("2001:db8::/32", "XB")]);
    let map = by_country(
        Some(&table),
        &["10.1.0.0/16", "10.1.2.0/25", "2001:db8:0:1::/64", "2001:db8::1/128", "172.16.0.0/12"],
    );
    for (client, want) in [
        ("10.0.0.1", 0),
        ("10.1.0.1", 100),
        ("10.1.2.127", 101),
        ("10.1.2.128", 100),
        ("2001:db8:ffff::", 1),
        ("2001:db8:0:1::7", 102),
        ("2001:db8::1", 103),
        ("2001:db8::2", 1),
        ("172.20.0.0", 104),
        ("192.0.2.1", 50),
        ("::ffff:10.1.2.3", 101),
        ("2002:0a01:0203::", 101),
    ] {
        let hit = map.lookup(ip(client));
        assert_eq!((hit.class, hit.known), (Class(want), want != 50), "{client}");
    }
}

#[test]
fn a_scope_is_the_widest_with_one_answer_and_unknown_space_joins() {
    let table = table(&[("10.0.0.0/9", "XA"), ("10.128.0.0/9", "XB"), ("64.0.0.0/8", "XC")]);
    let map = by_country(Some(&table), &[]);
    assert_eq!(scope(&map, "10.0.0.1", &[0]), 9);
    assert_eq!(scope(&map, "10.200.0.1", &[0, 1]), 2);
    // Unknown space up to, not over, what another answer holds.
    assert_eq!(scope(&map, "64.0.0.1", &[2]), 2);
    assert_eq!(scope(&map, "192.0.2.1", &[50]), 1);
    assert_eq!(scope(&map, "11.0.0.1", &[50]), 8);
    // Never 0, though everything shares the answer.
    assert_eq!(scope(&map, "10.0.0.1", &[0, 1, 2, 50]), 1);
    let row = |client| map.row(&map.lookup(ip(client))).to_string();
    assert_eq!((row("10.3.0.1"), row("192.0.2.1")), ("10.0.0.0/9".into(), "128.0.0.0/1".into()));
}

#[test]
fn hidden_ipv4_gets_the_scope_of_ipv4_in_the_length_of_ipv6() {
    let table = table(&[("10.0.0.0/9", "XA"), ("10.128.0.0/9", "XB")]);
    let map = by_country(Some(&table), &[]);
    assert_eq!(scope(&map, "2002:0a00:0001::", &[0]), 16 + 9);
    assert_eq!(scope(&map, "::ffff:10.0.0.1", &[0]), 96 + 9);
    let net = map.lookup_net(ip("2002:0a00:0100::"), 40);
    assert_eq!((net.class, map.scope(&net, &mask(&[0]))), (Class(0), 25));
    // Too wide to say which IPv4 it means.
    let wide = map.lookup_net(ip("2002::"), 16);
    assert_eq!((wide.class, wide.known), (Class(50), false));
    assert_eq!(map.scope(&wide, &mask(&[50])), 128);
}

#[test]
fn an_ipv6_scope_never_covers_hidden_ipv4_with_other_answers() {
    let table = table(&[("10.0.0.0/8", "XA"), ("2001:db8::/32", "XB"), ("2a00::/12", "XB")]);
    let map = by_country(Some(&table), &[]);
    // 2000::/4 would hold 6to4 (2002::/16) and Teredo (2001::/32).
    assert_eq!(scope(&map, "2a00::1", &[1]), 5);
    assert_eq!(scope(&map, "2001:db8::1", &[1]), 21);
    // All the same answer: nothing to keep apart.
    assert_eq!(scope(&map, "2a00::1", &[0, 1]), 1);
}

#[test]
fn what_is_finer_than_a_compiled_leaf_goes_to_the_majority() {
    let table = table(&[
        ("10.0.0.0/26", "XA"),
        ("10.0.0.64/26", "XB"),
        ("10.0.0.128/27", "XB"),
        ("2001:db8::/64", "XA"),
    ]);
    let map = by_country(Some(&table), &[]);
    assert_eq!(map.lookup(ip("10.0.0.1")).class, Class(1));
    assert_eq!(map.lookup(ip("10.0.0.255")).class, Class(1));
    assert_eq!(map.lookup(ip("2001:db8:0:ff::")).class, Class(0));
    assert_eq!(map.lookup(ip("2001:db8:0:100::")).class, Class(50));
}

#[test]
fn the_maker_is_asked_once_for_each_location_and_stack() {
    let table = table(&[("10.0.0.0/16", "XA"), ("10.2.0.0/16", "XA"), ("2001:db8::/32", "XA")]);
    let nets: Vec<IpNet> =
        ["10.0.0.0/8", "10.0.0.0/24", "10.2.0.0/24"].map(|n| n.parse().unwrap()).into();
    let asked = RefCell::new(Vec::new());
    let mut class_of = |location: Option<&Location>, stack: &[u32]| {
        let place = location.map(ToString::to_string);
        asked.borrow_mut().push((place, stack.to_vec()));
        Ok::<_, Infallible>(Class(0))
    };
    let Ok(_) = ClientMap::build(Some(&table), &nets, &mut class_of, Class(0));
    let mut asked = asked.into_inner();
    asked.sort();
    let place = || Some("XA".to_owned());
    let want = [
        (None, vec![0]),
        (place(), vec![]),
        (place(), vec![0]),
        (place(), vec![1, 0]),
        (place(), vec![2, 0]),
    ];
    assert_eq!(asked, want);
}

#[test]
fn an_error_of_the_maker_ends_the_build() {
    let table = table(&[("10.0.0.0/16", "XA")]);
    let built = ClientMap::build(Some(&table), &[], &mut |_, _| Err("no"), Class(0));
    assert_eq!(built.unwrap_err(), "no");
}

/// A network inside 10.0.0.0/16, of some length.
fn network(lens: std::ops::RangeInclusive<u8>) -> impl Strategy<Value = Ipv4Net> {
    (any::<u16>(), lens).prop_map(|(low, len)| {
        let ip = Ipv4Addr::from_bits(10 << 24 | u32::from(low));
        Ipv4Net::new(ip, len).unwrap().trunc()
    })
}

/// Disjoint networks with a country each: later ones only where earlier ones left room.
fn rows() -> impl Strategy<Value = Vec<(Ipv4Net, &'static str)>> {
    let country = prop::sample::select(vec!["XA", "XB", "XC"]);
    prop::collection::vec((network(16..=24), country), 0..40).prop_map(|rows| {
        let mut kept: Vec<(Ipv4Net, &str)> = Vec::new();
        for (net, country) in rows {
            let apart =
                |other: &(Ipv4Net, &str)| !other.0.contains(&net) && !net.contains(&other.0);
            if kept.iter().all(apart) {
                kept.push((net, country));
            }
        }
        kept.sort();
        kept
    })
}

/// The class by looking at everything there is; None where nothing is known.
fn slow_class(rows: &[(Ipv4Net, &str)], nets: &[Ipv4Net], ip: Ipv4Addr) -> Option<Class> {
    let inside = nets.iter().enumerate().filter(|(_, net)| net.contains(&ip));
    let longest = inside.max_by_key(|(index, net)| (net.prefix_len(), *index));
    if let Some((index, _)) = longest {
        return Some(Class(100 + index as u16));
    }
    let row = rows.iter().find(|(net, _)| net.contains(&ip))?;
    Some(Class(u16::from(row.1.as_bytes()[1] - b'A')))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn lookup_and_scope_equal_the_slow_model(
        rows in rows(),
        nets in prop::collection::vec(network(14..=28), 0..8),
        same in prop::collection::vec(0u16..3, 0..3),
        probes in prop::collection::vec(any::<u16>(), 64),
    ) {
        let text: Vec<(String, &str)> = rows.iter().map(|(net, at)| (net.to_string(), *at)).collect();
        let text: Vec<(&str, &str)> = text.iter().map(|(net, at)| (net.as_str(), *at)).collect();
        let table = table(&text);
        let wide: Vec<IpNet> = nets.iter().map(|net| IpNet::V4(*net)).collect();
        let map = build(Some(&table), &wide);

        // Nothing in the model is finer than /28: 16,384 classes are the whole of 10.0.0.0/14.
        let cells: Vec<Option<Class>> = (0..1u32 << 14)
            .map(|cell| slow_class(&rows, &nets, Ipv4Addr::from_bits(10 << 24 | cell << 4)))
            .collect();
        for low in probes {
            let ip = 10 << 24 | u32::from(low);
            let hit = map.lookup(Ipv4Addr::from_bits(ip).into());
            let want = cells[(ip << 14 >> 18) as usize];
            prop_assert_eq!(hit.class, want.unwrap_or(Class(50)));
            prop_assert_eq!(hit.known, want.is_some());

            let mut same: ClassMask = same.iter().map(|class| Class(*class)).collect();
            same.insert(hit.class);
            let fits = |len: &u8| {
                let net = Ipv4Net::new(Ipv4Addr::from_bits(ip), *len).unwrap();
                (0u32..).zip(&cells).all(|(cell, class)| {
                    let here = net.contains(&Ipv4Addr::from_bits(10 << 24 | cell << 4));
                    !here || class.is_none_or(|class| same.contains(class))
                })
            };
            let widest = (1..=28).find(fits).unwrap();
            prop_assert_eq!(map.scope(&hit, &same), widest);
        }
    }

    #[test]
    fn no_known_ipv6_client_inside_a_scope_has_another_answer(
        lens in prop::collection::vec((0usize..8, 3u8..=128), 1..12),
        clients in prop::collection::vec((0usize..8, any::<u16>()), 24),
        extra in 100u16..112,
    ) {
        // Nets and clients crowd around the places where IPv4 hides.
        let tops: [u128; 8] = [
            0x2001 << 112,
            0x2001_0db8 << 96,
            0x2002_0a00_0001 << 80,
            0x2003 << 112,
            0x0064_ff9b << 96 | 10 << 24,
            0xffff_0a00_0000,
            0x2a00 << 112,
            0x2001_0db8_0000_0001 << 64,
        ];
        let nets: Vec<IpNet> = lens
            .iter()
            .map(|(top, len)| Ipv6Net::new(Ipv6Addr::from_bits(tops[*top]), *len).unwrap().trunc().into())
            .collect();
        let table = table(&[("10.0.0.0/9", "XA"), ("2001:db8::/33", "XB"), ("2a00::/12", "XC")]);
        let map = build(Some(&table), &nets);
        let clients: Vec<Ipv6Addr> = clients
            .iter()
            .map(|(top, low)| Ipv6Addr::from_bits(tops[*top] | u128::from(*low) << (low % 112)))
            .collect();
        for client in &clients {
            let hit = map.lookup((*client).into());
            let same = mask(&[hit.class.0, extra]);
            let scope = Ipv6Net::new(*client, map.scope(&hit, &same)).unwrap();
            for other in clients.iter().filter(|other| scope.contains(*other)) {
                let other = map.lookup((*other).into());
                prop_assert!(!other.known || same.contains(other.class), "{scope} {other:?}");
            }
        }
    }
}
