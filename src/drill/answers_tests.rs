//! What answers say, second by second.

use super::*;
use toml::Spanned;

const SECOND: u64 = 1_000_000_000;

fn book() -> Book {
    let region = |address: &str, region: &str| (address.to_owned(), Arc::from(region));
    Book {
        regions: [region("us", "us-east-1"), region("eu", "eu-west-1"), region("ap", "ap")].into(),
        hit: [String::from("us")].into(),
    }
}

/// Two lanes, one of which is answered from the region that is hit.
fn answers() -> Answers {
    let steady = SteadyDef {
        name: Spanned::new(0..0, "s".into()),
        qname: Spanned::new(0..0, "a.example".into()),
        aaaa: false,
        clients: Vec::new(),
        rate: Spanned::new(0..0, 10),
        rcode: "NOERROR".into(),
        region: None,
        min_records: 1,
    };
    let lane = |label: &str, usual: &str| Lane::new(0, label.into(), may(&[("a.example", usual)]));
    Answers::new(vec![steady], vec![lane("hit", "us"), lane("other", "eu")], book(), Moment(0))
}

/// What each of these names may own, one record each time.
fn may(owned: &[(&str, &str)]) -> May {
    let mut may = May::default();
    owned.iter().for_each(|(owner, record)| may.add(owner, vec![(*record).to_owned()]));
    may
}

fn answered(lane: usize, at_ms: u64, record: &str) -> Heard {
    chained(lane, at_ms, &[("a.example", record)])
}

/// Answered with a chain: each name and what it owns.
fn chained(lane: usize, at_ms: u64, links: &[(&str, &str)]) -> Heard {
    let owned = |record: &str| if record.is_empty() { Vec::new() } else { vec![record.to_owned()] };
    let link = |(owner, record): &(&str, &str)| Link {
        owner: (*owner).to_owned(),
        records: owned(record),
    };
    let links = links.iter().map(link).collect();
    let answer = Answer { rcode: "NOERROR".into(), links, ttl: 30 };
    let at = Moment(at_ms * 1_000_000);
    Heard { lane, asked: at, at, answer: Some(answer) }
}

#[test]
fn the_first_changed_and_the_last_old_answer_are_found() {
    let mut answers = answers();
    assert_eq!(answers.deviates().as_deref(), Some("hit was not answered"));
    answers.take(&answered(0, 100, "us"));
    answers.take(&answered(1, 100, "eu"));
    assert_eq!(answers.deviates(), None);
    answers.injected();
    for (at, record) in [(1_100, "us"), (1_200, "eu"), (2_050, "eu"), (3_000, "us")] {
        answers.take(&answered(0, at, record));
        assert_eq!(answers.is_back(), record == "us", "{at}");
    }
    let rows = answers.rows(Moment(4 * SECOND).after(SETTLED), false);
    let told: Vec<_> = rows.iter().map(|r| (r.second, r.asked, r.old, r.off)).collect();
    assert_eq!(told, [(0, 2, 1, 0), (1, 2, 1, 1), (2, 1, 0, 1), (3, 1, 1, 0)]);
    assert_eq!((rows[1].first_off_ms, rows[1].last_old_ms), (Some(1_200.0), Some(1_100.0)));
    assert_eq!((rows[2].last_off_ms, rows[1].old_ttl_s), (Some(2_050.0), 30));
    assert_eq!(rows.iter().map(|row| row.spurious).sum::<u64>(), 0);
    assert_eq!(answers.samples().len(), 2, "away and back");
}

#[test]
fn who_was_not_hit_may_not_move_and_nobody_to_and_fro() {
    let mut answers = answers();
    answers.take(&answered(0, 1, "us"));
    answers.take(&answered(1, 1, "eu"));
    answers.injected();
    for (lane, record, spurious) in
        [(0, "eu", 0), (0, "us", 0), (0, "eu", 1), (1, "eu", 1), (1, "ap", 2), (1, "ap", 2)]
    {
        answers.take(&answered(lane, 10, record));
        let row = &answers.rows[&0];
        assert_eq!(row.spurious, spurious, "{lane} {record}");
    }
}

#[test]
fn empty_wrong_and_lost_are_counted_apart() {
    let mut answers = answers();
    answers.take(&answered(0, 1, ""));
    answers.take(&answered(0, 2, "nobody"));
    let mut refused = answered(0, 3, "us");
    refused.answer.as_mut().unwrap().rcode = "REFUSED".into();
    answers.take(&refused);
    answers.take(&Heard { answer: None, ..answered(0, 4, "us") });
    assert_eq!(answers.counts(), Counts { empty: 1, wrong: 2, lost: 1 });
    answers.take(&answered(1, 5, "eu"));
    assert_eq!(answers.deviates().as_deref(), Some("hit: no reply"));
    let row = &answers.rows(Moment(0), true)[0];
    assert_eq!((row.asked, row.answered, row.lost), (5, 4, 1));
    assert_eq!(
        row.regions.keys().collect::<Vec<_>>(),
        ["(empty)", "(unknown)", "eu-west-1", "us-east-1"]
    );
}

#[test]
fn a_region_that_was_promised_must_answer() {
    let mut answers = answers();
    answers.steady[0].region = Some(Spanned::new(0..0, "us-east-1".into()));
    answers.take(&answered(0, 1, "us"));
    answers.take(&answered(1, 1, "eu"));
    let why = "other: answered from eu-west-1, not from us-east-1";
    assert_eq!(answers.deviates().as_deref(), Some(why));
}

#[test]
fn one_move_of_a_weighted_record_is_one_change_however_it_draws() {
    let mut answers = answers();
    answers.take(&answered(0, 1, "us"));
    answers.take(&answered(0, 2, "ap"));
    answers.injected();
    let now = |answers: &mut Answers, at_ms: u64, records: [&str; 2]| {
        let owned = records.map(|record| ("a.example", record));
        answers.may(0, may(&owned), Moment(at_ms * 1_000_000));
    };
    now(&mut answers, 5, ["ap", "eu"]);
    for record in ["eu", "ap", "eu", "ap"] {
        answers.take(&answered(0, 10, record));
        assert!(!answers.is_back(), "the next one may be another");
    }
    now(&mut answers, 15, ["us", "ap"]);
    answers.take(&answered(0, 14, "eu"));
    answers.take(&answered(0, 20, "us"));
    assert_eq!(answers.rows[&0].spurious, 0, "drawn from one World, the last one asked of it");
    assert!(answers.is_back());
    now(&mut answers, 25, ["ap", "eu"]);
    answers.take(&answered(0, 30, "eu"));
    assert_eq!(answers.rows[&0].spurious, 1, "moved to and fro");
}

#[test]
fn a_chain_is_judged_name_by_name() {
    let mut answers = answers();
    let usual = [("a.example", "a-us"), ("a-us", "us"), ("a-us", "ap")];
    answers.book.regions.extend(["a-us", "a-eu"].map(|name| (name.to_owned(), "r".into())));
    answers.lanes[0] = Lane::new(0, "hit".into(), may(&usual));
    answers.injected();
    let take = |answers: &mut Answers, links: &[(&str, &str)]| {
        answers.take(&chained(0, 10, links));
        let row = &answers.rows[&0];
        (row.off, row.spurious, row.wrong)
    };
    for end in ["us", "ap"] {
        assert_eq!(take(&mut answers, &[("a.example", "a-us"), ("a-us", end)]), (0, 0, 0));
    }
    assert_eq!(take(&mut answers, &[("a.example", "a-us"), ("a-us", "eu")]), (1, 0, 0));
    let away = [("a.example", "a-us"), ("a.example", "a-eu"), ("a-us", "us"), ("a-eu", "eu")];
    answers.may(0, may(&away), Moment(5_000_000));
    for (way, end, off) in [("a-eu", "eu", 2), ("a-us", "us", 2), ("a-eu", "eu", 3)] {
        let links = [("a.example", way), (way, end)];
        assert_eq!(take(&mut answers, &links), (off, 0, 0), "{way}: little by little");
    }
    let outside = [("a.example", "a-eu"), ("a-eu", "static"), ("static", "192.0.2.9")];
    assert_eq!(take(&mut answers, &outside).2, 1, "`static` is nobody's address");
    let elsewhere = [("a.example", "a-eu"), ("a-eu", "eu"), ("static", "192.0.2.9")];
    assert_eq!(take(&mut answers, &elsewhere).2, 1, "what is not steered may own anything");
}

#[test]
fn samples_are_bounded_over_the_whole_run() {
    let mut answers = answers();
    answers.take(&answered(0, 1, "us"));
    answers.injected();
    let mut told = 0;
    for round in 0..100 {
        answers.take(&answered(0, 10 + round, if round % 2 == 0 { "eu" } else { "us" }));
        told += answers.samples().len();
    }
    assert_eq!(told, SAMPLES);
}

#[test]
fn an_address_that_was_found_for_a_flattened_name_is_not_nobodys() {
    let mut answers = answers();
    let deviates = |answers: &mut Answers, at_ms: u64, record: &str| {
        answers.take(&answered(1, at_ms, "eu"));
        answers.take(&answered(0, at_ms, record));
        answers.deviates()
    };
    let found = |address: &str| Book {
        regions: [(address.to_owned(), Arc::from("us-east-1"))].into(),
        hit: [address.to_owned()].into(),
    };
    let strange = deviates(&mut answers, 100, "192.0.2.1");
    assert_eq!(strange.as_deref(), Some("hit: 192.0.2.1 is nobody's address"));
    answers.found(found("192.0.2.1"));
    assert_eq!(deviates(&mut answers, 300, "192.0.2.1"), None);
    // The lookup after that finds another one: what is under way is not nobody's either.
    answers.found(found("192.0.2.2"));
    assert_eq!(deviates(&mut answers, 500, "192.0.2.1"), None);
    assert_eq!(deviates(&mut answers, 500, "192.0.2.2"), None);
    assert_eq!(answers.counts().wrong, 1);
    let row = &answers.rows(Moment(9 * SECOND), false)[0];
    assert_eq!((row.regions.get("us-east-1"), row.old), (Some(&3), 3), "{row:?}");
}
