//! Whom words stand for, how they are read, and how they are written.

use super::*;

#[test]
fn targets_stand_for_what_their_names_say() {
    for (text, names) in [
        ("region:eu", "spare/x1 g.example/dub/d1"),
        (
            "region:*",
            "spare/x1 g.example/stable/s1 g.example/stable/s2 g.example/canary/c1 g.example/dub/d1",
        ),
        ("pool:g.example/stable", "g.example/stable/s1 g.example/stable/s2"),
        ("pool:stable", "g.example/stable/s1 g.example/stable/s2"),
        ("pool:spare", "spare/x1"),
        (
            "pool:g.example/*",
            "g.example/stable/s1 g.example/stable/s2 g.example/canary/c1 g.example/dub/d1",
        ),
        ("endpoint:g.example/stable/s2", "g.example/stable/s2"),
        ("endpoint:*/stable/*", "g.example/stable/s1 g.example/stable/s2"),
        ("endpoint:spare/x1", "spare/x1"),
        ("endpoint:s1", "g.example/stable/s1"),
        ("check:other", "g.example/dub/d1"),
        ("record:g.example/www", ""),
        ("pool:a/b/c", ""),
    ] {
        let mut found: Vec<&str> = Box::leak(slots(text).into_boxed_str()).split(' ').collect();
        let mut wanted: Vec<&str> = names.split(' ').collect();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "{text}");
    }
    let failovers = |text: &str| -> Vec<String> {
        let found = target(text).failovers(&FILES);
        found.iter().map(|id| FILES.failovers[id.index()].name.to_string()).collect()
    };
    assert_eq!(failovers("record:g.example/app"), ["g.example/app"]);
    assert_eq!(failovers("record:app.g.example"), ["g.example/app"]);
    assert_eq!(failovers("policy:g.example/pair"), ["g.example/pair"]);
    assert_eq!(failovers("policy:pair"), ["g.example/pair"]);
    assert_eq!(failovers("record:g.example/*"), ["g.example/app"]);
    assert!(failovers("record:g.example/www").is_empty());
    assert_eq!(target("policy:g.example/split").nodes(&FILES).len(), 1);
    assert_eq!(target("record:*").nodes(&FILES).len(), 5);
}

#[test]
fn whoever_slips_is_told_what_was_probably_meant() {
    let say = |text: &str| {
        let read = Target::read(text, &FILES).and_then(|target| target.check(&FILES));
        read.unwrap_err().to_string()
    };
    assert_eq!(say("us"), "`us` does not say what it is; did you mean region:us?");
    assert_eq!(
        say("stabel"),
        "`stabel` does not say what it is; did you mean pool:stabel?"
            .replace("pool:stabel", "pool:g.example/stable")
    );
    assert_eq!(say("regoin:us"), "there is no kind `regoin`; did you mean region:us?");
    assert_eq!(
        say("pool:stabel"),
        "`pool:stabel` matches nothing; did you mean pool:g.example/stable?"
    );
    assert_eq!(say("region:mars"), "`region:mars` matches nothing");
    assert_eq!(say("region:"), "`region:` names no region");
    let twice = ZONE.replace("g.example", "h.example");
    let both = compiled(SERVER, &[ZONE, &twice]);
    let check = |text: &str| Target::read(text, &both).unwrap().check(&both);
    assert!(
        matches!(check("pool:stable"), Err(TargetError::Ambiguous { those, .. }) if those.len() == 2)
    );
    assert_eq!(check("pool:*/stable"), Ok(()));
    assert_eq!(check("pool:spare"), Ok(()));
}

#[test]
fn durations_and_words_survive_a_shell() {
    for (text, quoted) in [
        ("region:us-east-1", "region:us-east-1"),
        ("pool:*/x", "'pool:*/x'"),
        ("it's", r"'it'\''s'"),
        ("", "''"),
    ] {
        assert_eq!(words::quoted(text), quoted);
    }
    for ms in [0, 1, 999, 1_000, 61_001, 3_600_000, 90_061_005] {
        let text = words::short(Duration::from_millis(ms));
        let read = crate::config::parse_duration(&text).unwrap();
        assert_eq!(read, Duration::from_millis(ms), "{text}");
    }
}
