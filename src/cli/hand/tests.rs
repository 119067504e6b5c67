//! What is typed is what is meant, and an undo can be typed as it was printed.

use super::{super::args, When};
use crate::{
    admin::schema::hand::HandRequest,
    control::hand::{
        Command, Hand, Override,
        testkit::{at, snapshot},
        words,
    },
};
use clap::Parser;
use std::time::Duration;

/// The words of a command line, as a POSIX shell takes them.
fn words_of(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quoted, mut is_word) = (Vec::new(), String::new(), false, false);
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            '\'' => (quoted, is_word) = (!quoted, true),
            '\\' if !quoted => word.extend(chars.next()),
            ' ' if !quoted => {
                if is_word {
                    words.push(std::mem::take(&mut word));
                }
                is_word = false;
            }
            c => {
                word.push(c);
                is_word = true;
            }
        }
    }
    words.push(word);
    words
}

/// What a command line asks of the server.
fn request(line: &str) -> HandRequest {
    use args::Command as C;
    let cli = args::Cli::try_parse_from(words_of(line)).unwrap_or_else(|e| panic!("{line}: {e}"));
    match &cli.command {
        C::Drain(args) => args.request(),
        C::Undrain(args) => args.request(),
        C::Force(args) => args.request(),
        C::Weight(args) => args.request(),
        C::Failover(args) => args.request(),
        C::Failback(args) => args.request(),
        C::Hold(args) => args.request(),
        C::Unhold(args) => args.request(),
        C::Pin(args) => args.request(),
        C::Unpin(args) => args.request(),
        _ => panic!("{line}"),
    }
}

fn command(line: &str) -> Command {
    let request = request(line);
    Command {
        wish: request.wish().unwrap_or_else(|why| panic!("{line}: {why}")),
        who: "ana".into(),
        reason: request.reason.as_deref().map(Into::into),
        begins: request
            .starts_in_ms
            .map(|ms| crate::control::hand::command::Begins::After(Duration::from_millis(ms))),
        lasts: request.for_ms.map(Duration::from_millis),
        break_glass: request.break_glass,
        dry_run: false,
        even_if_unknown: false,
        if_version: None,
        instead_of: None,
        for_whom: Vec::new(),
    }
}

const MADE: [&str; 17] = [
    "tradewind drain region:us",
    "tradewind drain region:us --over 5m --for 1h",
    "tradewind drain 'pool:*' --at +10m --for 30m",
    "tradewind drain endpoint:s1 --reason \u{27}it\\\u{27}\u{27}s hot; rm -rf\u{27}",
    "tradewind force region:us up",
    "tradewind force 'endpoint:*/stable/*' down --reason=-x",
    "tradewind force check:web up",
    "tradewind weight 'record:g.example/www*' canary=20",
    "tradewind weight record:g.example/www canary=30",
    "tradewind weight record:g.example/www stable=7",
    "tradewind weight endpoint:s1 3",
    "tradewind weight policy:split dub=2",
    "tradewind failover record:app.g.example --to dub",
    "tradewind failover 'record:g.example/*' --to dub",
    "tradewind hold policy:pair",
    "tradewind hold policy:pair --for 5s",
    "tradewind pin --reason \u{27}two words\u{27}",
];

/// What counts of overrides: numbers and times of making do not.
fn plain(hand: &Hand) -> Vec<String> {
    let text = |one: &Override| {
        let Override { target, action, reason, begins, until, .. } = one;
        format!("{target:?} {action:?} {reason:?} {begins:?} {until:?}")
    };
    hand.overrides().iter().map(text).collect()
}

#[test]
fn every_undo_can_be_typed_as_it_was_printed() {
    let files = snapshot();
    let tell = |hand: &Hand, line: &str| {
        let planned = hand.planned(&command(line), &files, at(0));
        planned.unwrap_or_else(|why| panic!("{line}: {why}"))
    };
    let mut hand = Hand::default();
    // Twice, so that some undo has to name its override by number.
    for line in MADE.iter().chain(&MADE) {
        let made = tell(&hand, line);
        let undone = tell(&made.hand, &made.undo[0]);
        assert_eq!(undone.hand.overrides(), hand.overrides(), "{line}; {}", made.undo[0]);
        // And what takes that back.
        let again = tell(&undone.hand, &undone.undo[0]);
        assert_eq!(plain(&again.hand), plain(&made.hand), "{}", undone.undo[0]);
        hand = made.hand;
    }
    for one in hand.overrides() {
        let gone = tell(&hand, &words::undo(one, &hand)).removed;
        assert_eq!(gone.iter().map(|gone| gone.id).collect::<Vec<_>>(), [one.id]);
    }
}

#[test]
fn times_are_read_as_people_write_them() {
    let when = |text: &str| text.parse::<When>();
    assert_eq!(when("+10m"), Ok(When::After(Duration::from_secs(600))));
    for text in ["2026-11-23T02:00Z", "2026-11-23T02:00:00+01:00", "02:00Z", "23:59"] {
        assert_eq!(when(text), Ok(When::At(text.into())));
    }
    for text in ["10m", "24:00", "2:00", "02:60", "tomorrow", "+", "2026-11-23"] {
        assert!(when(text).is_err(), "{text}");
    }
}
