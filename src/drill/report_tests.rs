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

/// A region lost after 3 s, found out after 5 s, taken back after 10 s, back after 12.5 s.
fn journal(budgets: &[(&str, f64)]) -> Vec<Entry> {
    let at = |ms, what| Entry { ms, what };
    let head = Head {
        drill: "x".into(),
        mode: "live".into(),
        stops: vec!["answers.empty > 0".into()],
        budgets: budgets.iter().map(|(name, most)| ((*name).to_owned(), *most)).collect(),
        ..Head::default()
    };
    let verdict = Seen { kind: "verdict".into(), down: Some(true), ..Seen::default() };
    let published = Seen { kind: "published".into(), took_ms: Some(4.0), ..Seen::default() };
    vec![
        at(0.0, What::Began(Box::new(head))),
        row(2, None, Some(2_990.0)),
        at(
            3_000.0,
            What::Injected {
                step: "cut".into(),
                action: "probe.fault".into(),
                target: Some("region:us".into()),
                said: "probes of region:us are refused".into(),
                until_ms: 10_000.0,
                overrides: Vec::new(),
                keys: Vec::new(),
                disrupts: true,
            },
        ),
        at(4_000.0, What::FirstFailedProbe { step: "cut".into() }),
        at(5_000.0, What::Event(verdict)),
        at(5_001.0, What::Event(published)),
        row(4, None, Some(4_995.0)),
        row(5, Some((5_002.0, 5_990.0)), Some(5_001.5)),
        at(9_000.0, What::Stops { values: vec![Some(0.0)] }),
        at(10_000.0, What::Over { step: "cut".into() }),
        at(10_001.0, What::RolledBack { took_ms: 1.0, besides: Vec::new() }),
        row(12, Some((12_000.0, 12_500.0)), None),
        at(14_000.0, What::Back { last_off_ms: Some(12_500.0), deviates: None }),
    ]
}

fn ended(mut entries: Vec<Entry>) -> Vec<Entry> {
    let computed = report(&entries).unwrap();
    let (verdict, sentence) = (computed.verdict.to_string(), computed.sentence);
    entries.push(Entry { ms: 15_000.0, what: What::Ended { verdict, sentence } });
    entries
}

#[test]
fn times_are_counted_from_the_injection_and_budgets_have_margins() {
    let report =
        report(&journal(&[("detect", 2_500.0), ("recover", 3_000.0), ("lost_queries", 0.0)]));
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
    let over = report(&journal(&[("detect", 1_000.0), ("recover", 1.0)])).unwrap();
    assert_eq!(over.verdict, Verdict::Fail);
    let said = "detect came to 2.00 s, over its budget of 1.00 s; 1 more budgets were not kept";
    assert_eq!(over.sentence, said);
    let mut never = journal(&[("detect", 1_000.0)]);
    never.retain(|entry| !matches!(&entry.what, What::Event(_)));
    let never = report(&never).unwrap();
    assert_eq!(never.sentence, "detect never came; its budget is 1.00 s");
}

#[test]
fn what_does_not_come_back_is_a_failure() {
    let mut entries = journal(&[]);
    entries.pop();
    assert_eq!(report(&entries).unwrap().verdict, Verdict::Fail);
    let deviates = Some("api: no reply".to_owned());
    entries.push(Entry { ms: 1e4, what: What::Back { last_off_ms: None, deviates } });
    let failed = report(&entries).unwrap();
    assert_eq!(failed.sentence, "the steady state did not come back: api: no reply");
}

#[test]
fn an_abort_or_a_crash_is_no_failure_of_what_was_tested() {
    let mut entries = journal(&[("detect", 1.0)]);
    let why = "stopped by `answers.empty > 0` after 4.00 s (it was 3)";
    entries.push(Entry { ms: 9_000.0, what: What::Aborted { why: why.into() } });
    let aborted = report(&entries).unwrap();
    assert_eq!(aborted.verdict, Verdict::Aborted);
    assert!(aborted.sentence.starts_with(why), "{}", aborted.sentence);
    entries.push(Entry { ms: 9_000.0, what: What::Crashed { cleaned: Vec::new() } });
    assert!(report(&entries).unwrap().sentence.starts_with("the server ended"));
}

#[test]
fn a_verdict_that_does_not_follow_is_found_out() {
    let sound = ended(journal(&[("detect", 2_500.0)]));
    assert_eq!(verify(&sound).unwrap().0, Verdict::Pass);
    assert!(verify(&sound[..sound.len() - 1]).unwrap_err().contains("has no end"));
    let mut forged = ended(journal(&[("detect", 1_000.0)]));
    let sentence = report(&sound).unwrap().sentence;
    forged.pop();
    let verdict = "PASS".to_owned();
    forged.push(Entry { ms: 15_000.0, what: What::Ended { verdict, sentence } });
    let why = verify(&forged).unwrap_err();
    assert!(why.contains("the journal says PASS") && why.contains("comes to FAIL"), "{why}");
    assert_eq!(trend(&sound).unwrap().measures["detect"], 2_000.0);
}

#[test]
fn times_read_as_people_say_them() {
    for (ms, text) in
        [(0.25, "0.25 ms"), (312.4, "312 ms"), (2_040.0, "2.04 s"), (95e3, "1 m 35 s")]
    {
        assert_eq!(time(ms), text);
    }
}
