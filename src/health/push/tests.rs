//! Heartbeats on simulated time; what a paused process makes of them is in `health/tests.rs`.

use super::*;
use crate::checkplan::Mode;

const SECOND: Duration = Duration::from_secs(1);

fn check(hold_down: Option<Duration>) -> Arc<Check> {
    Arc::new(Check {
        name: "beats".into(),
        kind: CheckKind::Push { stale_after: SECOND * 30 },
        interval: SECOND * 10,
        timeout: SECOND * 3,
        fall: 3,
        rise: 2,
        fast_recheck: None,
        leaky: None,
        max_latency: None,
        hold_down,
        mode: Mode::Act,
    })
}

/// Plays a script of `SECOND what`, where what is up, degraded, down or look; the changes as
/// `SECOND standing: reason`.
fn play(hold_down: Option<Duration>, saved: Option<Standing>, script: &str) -> Vec<String> {
    let saved = saved.map(|standing| Stood { standing, damped: None });
    let mut heartbeats = Heartbeats::new(check(hold_down), Moment(0), saved);
    let changes = script.split(", ").filter_map(|step| {
        let (second, what) = step.split_once(' ').unwrap();
        let at = Moment(0).after(SECOND * second.parse().unwrap());
        let change = match what {
            "up" => heartbeats.beat(Beat::Up, at, at),
            "degraded" => heartbeats.beat(Beat::Degraded, at, at),
            "down" => heartbeats.beat(Beat::Down, at, at),
            _ => heartbeats.expire(at, at),
        }?;
        assert!(change.first_failure.is_none() || change.sight.standing == Standing::Down);
        assert_eq!(change.answered, what == "down");
        Some(format!("{second} {}: {}", change.sight.standing.word(), change.reason))
    });
    changes.collect()
}

#[test]
fn heartbeats_and_their_absence_decide() {
    for (script, expected) in [
        ("0 look, 29 look", &[][..]),
        ("30 look", &["30 down: no heartbeat for 30s"]),
        ("5 up, 15 up", &["5 up: heartbeat"]),
        ("5 up, 34 look", &["5 up: heartbeat"]),
        ("5 up, 35 look, 65 look", &["5 up: heartbeat", "35 down: no heartbeat for 30s"]),
        ("5 up, 6 down", &["5 up: heartbeat", "6 down: says down"]),
        ("5 down", &["5 down: says down"]),
        ("5 down, 15 up", &["5 down: says down"]),
        ("5 down, 15 up, 25 up", &["5 down: says down", "25 up: heartbeat"]),
        ("5 down, 15 up, 16 down, 25 up", &["5 down: says down"]),
        ("5 down, 15 up, 46 up", &["5 down: says down"]),
        ("5 down, 15 up, 25 degraded", &["5 down: says down", "25 degraded: says degraded"]),
        (
            "5 up, 6 degraded, 7 up",
            &["5 up: heartbeat", "6 degraded: says degraded", "7 up: heartbeat"],
        ),
    ] {
        assert_eq!(play(None, None, script), expected, "{script}");
    }
}

#[test]
fn a_burst_of_heartbeats_is_one() {
    let script = "5 down, 15 up, 16 up, 17 up, 18 up, 19 up";
    assert_eq!(play(None, None, script), ["5 down: says down"]);
    assert_eq!(play(None, None, &format!("{script}, 20 up")).len(), 2);
}

#[test]
fn a_saved_standing_is_told_again_and_counts_on() {
    assert_eq!(play(None, Some(Standing::Up), "5 up, 15 up"), ["5 up: heartbeat"]);
    let script = "5 up, 15 up";
    assert_eq!(play(None, Some(Standing::Down), script), ["5 down: heartbeat", "15 up: heartbeat"]);
}

#[test]
fn a_flapping_sender_is_held_down() {
    let script = "0 up, 1 down, 11 up, 21 up, 31 up, 32 down, 42 up, 91 up, 92 up";
    assert_eq!(
        play(Some(SECOND * 30), None, script),
        [
            "0 up: heartbeat",
            "1 down: says down",
            "31 up: heartbeat",
            "32 down: says down, held down for 60s: flapping",
        ],
    );
    assert_eq!(play(Some(SECOND * 30), None, "0 up, 1 down, 26 up, 32 up").len(), 3);
}
