//! Journals and the verdicts that follow from them.

use super::*;
use crate::drill::journal::Seen;

fn row(second: u32, off: Option<(f64, f64)>, last_old_ms: Option<f64>) -> Entry {
    let row = Row {
        second,
        asked: 100,
        answered: 100,
        old: u64::from(last_old_ms.is_some()),
        old_ttl_s: 30,
        last_old_ms,
        first_off_ms: off.map(|(first, _)| first),
        last_off_ms: off.map(|(_, last)| last),
        ..Row::default()
    };
    Entry { ms: f64::from(second + 2) * 1e3, what: What::Second(row) }
}

/// The file of a drill with these budgets.
fn file(budgets: &[(&str, f64)]) -> String {
    let line = |(name, most): &(&str, f64)| match Measure::ALL.iter().find(|(_, n, _)| n == name) {
        Some((.., true)) => format!("{name} = \"{:.0}us\"\n", most * 1e3),
        _ => format!("{name} = {most:.0}\n"),
    };
    let budgets: String = budgets.iter().map(line).collect();
    format!(
        "[drill]\nname = \"x\"\nmode = \"live\"\nmax_duration = \"1m\"\n\
         [[steady]]\nname = \"s\"\nquery = {{ name = \"a.example\" }}\n\
         [[step]]\nid = \"cut\"\naction = \"probe.fault\"\ntarget = \"region:us\"\n\
         params = {{ kind = \"refuse\" }}\nfor = \"7s\"\n\
         [[stop]]\nwhen = \"answers.empty > 0\"\n[expect]\n{budgets}"
    )
}

/// A region lost after 3 s, found out after 5 s, taken back after 10 s, back after 12.5 s.
fn journal(budgets: &[(&str, f64)]) -> Vec<Entry> {
    let at = |ms, what| Entry { ms, what };
    let text = file(budgets);
    let head = Head {
        drill: "x".into(),
        mode: "live".into(),
        sha256: sha256(&text),
        text,
        stops: vec!["answers.empty > 0".into()],
        budgets: budgets.iter().map(|(name, most)| ((*name).to_owned(), *most)).collect(),
        ..Head::default()
    };
    let verdict = Seen { kind: "verdict".into(), down: Some(true), ..Seen::default() };
    let published = Seen { kind: "published".into(), took_ms: Some(4.0), ..Seen::default() };
    let mut entries = vec![
        at(0.0, What::Began(Box::new(head))),
        injected("cut", 3_000.0, true),
        at(4_000.0, What::FirstFailedProbe { step: "cut".into() }),
        at(5_000.0, What::Event(verdict)),
        at(5_001.0, What::Event(published)),
        at(9_000.0, What::Stops { values: vec![Some(0.0)] }),
        at(10_000.0, What::Over { step: "cut".into() }),
        at(10_001.0, What::RolledBack { took_ms: 1.0, besides: Vec::new() }),
    ];
    entries.extend((0..14).map(|second| match second {
        2 => row(2, None, Some(2_990.0)),
        4 => row(4, None, Some(4_995.0)),
        5 => row(5, Some((5_002.0, 5_990.0)), Some(5_001.5)),
        12 => row(12, Some((12_000.0, 12_500.0)), None),
        other => row(other, None, None),
    }));
    entries.push(at(14_000.0, What::Back { last_off_ms: Some(12_500.0), deviates: None }));
    entries
}

fn injected(step: &str, ms: f64, disrupts: bool) -> Entry {
    let what = What::Injected {
        step: step.into(),
        action: "probe.fault".into(),
        target: Some("region:us".into()),
        said: "probes of region:us are refused".into(),
        until_ms: 10_000.0,
        overrides: Vec::new(),
        keys: Vec::new(),
        disrupts,
        awaits_probe: disrupts,
    };
    Entry { ms, what }
}

fn ended(mut entries: Vec<Entry>) -> Vec<Entry> {
    let computed = concluded(&entries).unwrap();
    let (verdict, sentence) = (computed.verdict.to_string(), computed.sentence);
    entries.push(Entry { ms: 15_000.0, what: What::Ended { verdict, sentence } });
    entries
}

#[test]
fn times_are_counted_from_the_injection_and_budgets_have_margins() {
    let report =
        concluded(&journal(&[("detect", 2_500.0), ("recover", 3_000.0), ("lost_queries", 0.0)]));
    let report = report.unwrap();
    assert_eq!(report.verdict, Verdict::Pass, "{}", report.sentence);
    let since = |name: &str| {
        report.timeline.iter().find(|point| point.name == name).unwrap().since_injected_ms
    };
    for (name, ms) in [
        ("first failed probe", 1_000.0),
        ("detected", 2_000.0),
        ("published", 2_001.0),
        ("first changed answer", 2_002.0),
        ("last old answer", 2_001.5),
        ("restored", 7_000.0),
        ("recovered", 9_500.0),
    ] {
        assert_eq!(since(name), Some(ms), "{name}");
    }
    let line = |name: &str| report.budgets.iter().find(|line| line.name == name).unwrap();
    assert_eq!((line("detect").margin, line("detect").kept), (Some(500.0), Some(true)));
    assert_eq!((line("swap").measured, line("swap").kept), (Some(4.0), None));
    assert_eq!(line("recover").measured, Some(2_500.0));
    assert_eq!(report.stops[0].most, Some(0.0));
}

#[test]
fn a_budget_that_is_too_small_or_never_met_is_a_failure() {
    let over = concluded(&journal(&[("detect", 1_000.0), ("recover", 1.0)])).unwrap();
    assert_eq!(over.verdict, Verdict::Fail);
    let said = "detect came to 2.00 s, over its budget of 1.00 s; 1 more budgets were not kept";
    assert_eq!(over.sentence, said);
    let mut never = journal(&[("detect", 1_000.0)]);
    never.retain(|entry| !matches!(&entry.what, What::Event(_)));
    let never = concluded(&never).unwrap();
    assert_eq!(never.sentence, "detect never came; its budget is 1.00 s");
}

#[test]
fn what_does_not_come_back_is_a_failure() {
    let mut entries = journal(&[]);
    entries.pop();
    assert_eq!(concluded(&entries).unwrap().verdict, Verdict::Fail);
    let deviates = Some("api: no reply".to_owned());
    entries.push(Entry { ms: 1e4, what: What::Back { last_off_ms: None, deviates } });
    let failed = concluded(&entries).unwrap();
    assert_eq!(failed.sentence, "the steady state did not come back: api: no reply");
}

#[test]
fn an_abort_or_a_crash_is_no_failure_of_what_was_tested() {
    let mut entries = journal(&[("detect", 1.0)]);
    let why = "stopped by `answers.empty > 0` after 4.00 s (it was 3)";
    entries.push(Entry { ms: 9_000.0, what: What::Aborted { why: why.into(), left: Vec::new() } });
    let aborted = concluded(&entries).unwrap();
    assert_eq!(aborted.verdict, Verdict::Aborted);
    assert!(aborted.sentence.starts_with(why), "{}", aborted.sentence);
    entries.push(Entry { ms: 9_000.0, what: What::Crashed { cleaned: Vec::new() } });
    assert!(concluded(&entries).unwrap().sentence.starts_with("the server ended"));
}

#[test]
fn a_verdict_that_does_not_follow_is_found_out() {
    let sound = ended(journal(&[("detect", 2_500.0)]));
    assert_eq!(verify(&sound).unwrap().0, Verdict::Pass);
    assert!(verify(&sound[..sound.len() - 1]).unwrap_err().contains("has no end"));
    let mut forged = ended(journal(&[("detect", 1_000.0)]));
    let sentence = concluded(&sound).unwrap().sentence;
    forged.pop();
    let verdict = "PASS".to_owned();
    forged.push(Entry { ms: 15_000.0, what: What::Ended { verdict, sentence } });
    let why = verify(&forged).unwrap_err();
    assert!(why.contains("the journal says PASS") && why.contains("comes to FAIL"), "{why}");
    assert_eq!(trend(&sound).unwrap().measures["detect"], 2_000.0);
}

#[test]
fn a_verdict_is_checked_against_the_file_and_every_second() {
    let sound = ended(journal(&[("detect", 2_500.0)]));
    let of = |change: &dyn Fn(&mut Vec<Entry>)| {
        let mut entries = sound.clone();
        change(&mut entries);
        verify(&entries).unwrap_err()
    };
    let head = |change: fn(&mut Head)| {
        move |entries: &mut Vec<Entry>| {
            let What::Began(head) = &mut entries[0].what else { panic!() };
            change(head);
        }
    };
    let wider = of(&head(|head| head.budgets.extend([("detect".into(), 9_000.0)])));
    assert!(wider.contains("budgets are not those"), "{wider}");
    let dropped = of(&head(|head| head.stops.clear()));
    assert!(dropped.contains("stop conditions are not those"), "{dropped}");
    let edited = of(&head(|head| head.text = head.text.replace("2500000us", "9s")));
    assert!(edited.contains("SHA-256"), "{edited}");
    let cut = of(&|entries| {
        entries.retain(|entry| !matches!(&entry.what, What::Second(row) if row.second == 7));
    });
    assert!(cut.contains("second 7 is missing"), "{cut}");
}

#[test]
fn nothing_passes_that_was_not_seen() {
    let without = |is: fn(&What) -> bool| {
        let mut entries = journal(&[("lost_queries", 0.0), ("recover", 3_000.0)]);
        entries.retain(|entry| !is(&entry.what));
        let report = concluded(&entries).unwrap();
        assert_eq!(report.verdict, Verdict::Fail);
        report.sentence
    };
    let unasked = without(|what| matches!(what, What::Second(_)));
    assert!(unasked.starts_with("recover never came"), "{unasked}");
    let idle = without(|what| matches!(what, What::FirstFailedProbe { .. }));
    assert_eq!(idle, "step `cut` had no effect: no probe met it");
    let unseen = without(|what| matches!(what, What::Stops { .. }));
    assert!(unseen.starts_with("`answers.empty > 0` never had a value"), "{unseen}");
    let mut kept = journal(&[]);
    let What::Injected { action, .. } = &mut kept[1].what else { panic!() };
    *action = "state.lost".into();
    let kept = concluded(&kept).unwrap();
    assert_eq!(kept.sentence, "step `cut` had no effect: the state database was never lost");

    let mut slowed = journal(&[]);
    slowed[2].what = What::FirstSlowedProbe { step: "cut".into() };
    assert_eq!(concluded(&slowed).unwrap().verdict, Verdict::Pass);
    let mut confirmed = journal(&[]);
    let What::Injected { action, .. } = &mut confirmed[1].what else { panic!() };
    *action = "breaker".into();
    for (falls, is_seen) in [(None, false), (Some(0), false), (Some(2), true)] {
        let seen = Seen { kind: "breaker".into(), released: falls, ..Seen::default() };
        confirmed.push(Entry { ms: 5_500.0, what: What::Event(seen) });
        let sentence = concluded(&confirmed).unwrap().sentence;
        let idle = sentence == "step `cut` had no effect: the breaker held no fall back";
        assert_eq!(idle, !is_seen, "{falls:?}: {sentence}");
    }
}

#[test]
fn the_end_of_another_step_ends_nothing() {
    let mut entries = journal(&[]);
    entries.insert(1, injected("places", 1_000.0, false));
    entries.insert(3, Entry { ms: 4_500.0, what: What::Over { step: "places".into() } });
    entries.push(row(14, Some((1_500.0, 1_500.0)), None));
    let points = Points::of(&entries);
    assert_eq!((points.injected, points.detected), (Some(3_000.0), Some(5_000.0)));
    assert_eq!((points.restored, points.first_changed), (Some(10_000.0), Some(5_002.0)));
}

#[test]
fn what_still_runs_has_no_verdict_whatever_is_missing() {
    let mut entries = journal(&[("recover", 3_000.0), ("first_change", 1_000.0)]);
    entries.truncate(4);
    let running = report(&entries).unwrap();
    assert_eq!((running.verdict, running.is_over), (Verdict::Running, false));
    assert!(running.budgets.iter().all(|line| line.kept.is_none()), "{:?}", running.budgets);
    assert_eq!(trend(&entries), None);
    let ended = report(&ended(entries)).unwrap();
    assert_eq!((ended.verdict, ended.is_over), (Verdict::Fail, true));
}

#[test]
fn a_run_that_broke_says_of_what() {
    let mut entries = journal(&[]);
    let why = "its journal can no longer be written: disk full";
    entries.push(Entry { ms: 9_000.0, what: What::Broke { why: why.into() } });
    let broke = concluded(&entries).unwrap();
    assert_eq!((broke.verdict, &*broke.sentence), (Verdict::Aborted, why));
}

#[test]
fn times_read_as_people_say_them() {
    for (ms, text) in
        [(0.25, "0.25 ms"), (312.4, "312 ms"), (2_040.0, "2.04 s"), (95e3, "1 m 35 s")]
    {
        assert_eq!(time(ms), text);
    }
}
