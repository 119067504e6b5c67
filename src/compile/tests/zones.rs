//! Zones from one load to the next: the last good version, what is not made again, serials.

use super::*;

#[test]
fn a_zone_that_does_not_compile_keeps_its_last_good_version() {
    let record = "[records.www]\npolicy = \"failover\"\nmembers = [\"one\"]\n";
    let before = sources(&format!("{HEAD}{record}"));
    let mut memory = Memory::default();
    let first = compiled(&before, &BTreeMap::new(), &mut memory).unwrap();
    let mut after = sources(&format!("{HEAD}{record}tll = \"5s\"\n"));
    let other = Sources::in_memory([("zones/b.example.zone", PLAIN)]);
    after.zones.extend(other.zones);
    let second = compiled(&after, &first.accepted, &mut memory).unwrap();
    assert_eq!(second.held, [Arc::from(Path::new("zones/a.example.toml"))]);
    assert!(second.problems.has_errors());
    assert_eq!(second.snapshot.zones.len(), 2);
    assert_eq!(second.snapshot.records.len(), 1);
    assert_eq!(
        second.accepted[Path::new("zones/a.example.toml")],
        before.zones[Path::new("zones/a.example.toml")]
    );
    // Without a last good version its apex stays, with nothing to say.
    let third = compiled(&after, &BTreeMap::new(), &mut Memory::default()).unwrap();
    assert!(third.snapshot.zones[0].zone.is_none());
    assert_eq!(third.snapshot.zones[0].apex.to_string(), "a.example");
    assert_eq!(third.accepted.len(), 1);
}

#[test]
fn an_unchanged_zone_and_its_maps_are_not_made_again() {
    let zone = format!("{HEAD}[records.www]\npolicy = \"latency\"\nmembers = [\"one\", \"two\"]\n");
    let sources = sources(&zone);
    let mut memory = Memory::default();
    let first = compiled(&sources, &BTreeMap::new(), &mut memory).unwrap();
    let second = compiled(&sources, &first.accepted, &mut memory).unwrap();
    assert!(Arc::ptr_eq(&first.snapshot.maps[0], &second.snapshot.maps[0]));
    let zone_of = |compiled: &Compiled| compiled.snapshot.zones[0].zone.clone().unwrap();
    assert!(Arc::ptr_eq(&zone_of(&first), &zone_of(&second)));
}

#[test]
fn two_files_of_one_zone_are_refused() {
    let mut sources = sources(&format!(
        "{HEAD}[records.www]\npolicy = \"failover\"\nmembers = [\"one\", \"two\"]\n"
    ));
    let other = Sources::in_memory([("zones/a.example.zone", PLAIN)]);
    sources.zones.extend(other.zones);
    assert_eq!(
        lines(&sources),
        "zones/a.example.zone: this zone is defined in zones/a.example.toml too\n    \
         = a zone has one file: move one of them out of zones/\n"
    );
}

#[test]
fn rfc1982_serials_go_forward_round_and_round() {
    let served = |sources: &Sources, last: u32| {
        let serials = HashMap::from([(Name::parse("a.example").unwrap(), last)]);
        let memory = &mut Memory::default();
        compiled_after(&serials, sources, &BTreeMap::new(), memory).unwrap()
    };
    let serial = |compiled: &Compiled| compiled.snapshot.zones[0].zone.as_ref().unwrap().serial();
    let own = sources(&format!("soa = {{ serial = 5 }}\n{HEAD}"));
    for (last, now) in [(4, 5), (5, 5), (7, 7), (u32::MAX, 5), (3_000_000_000, 5)] {
        assert_eq!(serial(&served(&own, last)), now, "after {last}");
    }
    let plain = Sources::in_memory([("tradewind.toml", SERVER), ("zones/a.example.zone", PLAIN)]);
    let warns = |last| served(&plain, last).problems.into_iter().map(|p| p.message).next();
    assert_eq!((warns(1), warns(u32::MAX)), (None, None));
    let expected = "its serial, 1, lies behind 2, which was served last";
    assert_eq!(warns(2).as_deref(), Some(expected));
}
