//! The room as a whole, against real servers on loopback: who is probed when, what is told, and
//! what a reload does to it. Times are asserted from the moments of reports; outer bounds are
//! generous, since the machine may be busy.

use super::{
    judge::stable_hash,
    testkit::{self, OK, PATIENCE, Reply, Server, UNAVAILABLE},
    *,
};
use crate::{
    checkplan::{Check, CheckKind, CheckPlan, Leaky, Mode, ProbeAddress, Target},
    clock::{Clock, Moment, SystemClock},
    ids::SlotId,
    verdict::{Sight, Standing},
};
use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::sync::mpsc;

const INTERVAL: Duration = Duration::from_millis(400);
const TIMEOUT: Duration = Duration::from_millis(200);
const UP: Sight = Sight { standing: Standing::Up, failing: false };

/// The machine's clock, which a test can set forward as a pause of the process would.
#[derive(Default)]
struct Pausable(SystemClock, AtomicU64);

impl Clock for Pausable {
    fn now(&self) -> Moment {
        Moment(self.0.now().0 + self.1.load(Ordering::SeqCst))
    }
    fn wall(&self) -> SystemTime {
        self.0.wall()
    }
}

/// A checker, its clock and what it told.
struct Bench {
    clock: Arc<Pausable>,
    checker: Checker,
    reports: mpsc::UnboundedReceiver<HealthReport>,
    answers: mpsc::UnboundedReceiver<(Arc<str>, Moment)>,
}

impl Bench {
    fn new() -> Bench {
        Self::with(Limits::default())
    }

    fn with(limits: Limits) -> Bench {
        let clock = Arc::new(Pausable::default());
        let (tell, answers) = mpsc::unbounded_channel();
        let heard = Box::new(move |key: &Arc<str>, at| {
            let _ = tell.send((Arc::clone(key), at));
        });
        let settings = Settings {
            clock: Arc::clone(&clock) as _,
            seed: 7,
            extra_roots: Vec::new(),
            limits,
            heard,
        };
        let (sink, reports) = mpsc::unbounded_channel();
        let checker = Checker::start(settings, move |report| {
            let _ = sink.send(report);
        });
        Bench { clock, checker: checker.unwrap(), reports, answers }
    }

    fn plan(&self, targets: &[&Target]) {
        self.checker.update(&plan_of(targets), &|_| None);
    }

    async fn first_round(&self) {
        tokio::time::timeout(PATIENCE, self.checker.first_round())
            .await
            .expect("every target gets a first result");
    }

    async fn report(&mut self) -> HealthReport {
        tokio::time::timeout(PATIENCE, self.reports.recv())
            .await
            .expect("a report comes")
            .expect("the checker lives")
    }

    async fn answer(&mut self) -> (Arc<str>, Moment) {
        tokio::time::timeout(PATIENCE, self.answers.recv())
            .await
            .expect("an answer comes")
            .expect("the checker lives")
    }

    async fn report_of(&mut self, standing: Standing) -> HealthReport {
        loop {
            let report = self.report().await;
            if report.sight.standing == standing {
                return report;
            }
        }
    }

    fn state(&self, target: &Target) -> TargetState {
        let mut states = self.checker.states().into_iter();
        states.find(|state| state.key == target.key).unwrap()
    }

    async fn until(&self, target: &Target, mut what: impl FnMut(TargetState) -> bool) {
        let reached = async {
            while !what(self.state(target)) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(PATIENCE, reached).await.expect("the state comes about");
    }
}

fn plan_of(targets: &[&Target]) -> CheckPlan {
    CheckPlan {
        targets: targets.iter().copied().cloned().collect(),
        deny: vec!["127.0.0.66/32".parse().unwrap()],
        ..CheckPlan::default()
    }
}

fn http(address: SocketAddr) -> Target {
    let kind = CheckKind::Http(testkit::http_check());
    every(INTERVAL, TIMEOUT, testkit::target(ProbeAddress::Ip(address), kind, TIMEOUT))
}

fn every(interval: Duration, timeout: Duration, target: Target) -> Target {
    with(target, |check| (check.interval, check.timeout) = (interval, timeout))
}

fn with(target: Target, change: impl FnOnce(&mut Check)) -> Target {
    let mut check = Check::clone(&target.check);
    change(&mut check);
    Target { check: Arc::new(check), ..target }
}

/// A target whose first regular probe is more than 20 s away from the start of the clock.
fn seldom(target: Target) -> Target {
    let minute = Duration::from_secs(60);
    let mut target = every(minute, Duration::from_secs(10), target);
    let key = (0..)
        .map(|n| format!("{}#{n}", target.key))
        .find(|key| stable_hash(key) % 60_000_000_000 > 20_000_000_000);
    target.key = key.unwrap().into();
    target
}

/// What a busy machine may add to the bounds.
const SLACK: Duration = Duration::from_millis(500);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_server_falls_in_time_and_rises_again() {
    for (at, dead, why) in [
        ("127.0.0.2:0", UNAVAILABLE, "status 503 3/3"),
        ("127.0.0.3:0", Reply::Hang, "timeout after 200ms 3/3"),
        ("127.0.0.4:0", Reply::Reset, "reset 3/3"),
    ] {
        let server = Server::http(at, OK).await;
        let target = http(server.address);
        let mut bench = Bench::new();
        bench.plan(&[&target]);
        let first = bench.report().await;
        assert_eq!((first.was, first.sight), (Standing::Unknown, UP));
        assert!(first.reason.starts_with("200 in "), "{}", first.reason);

        server.answer(dead);
        let death = bench.clock.now();
        let failing = bench.report().await;
        assert_eq!((failing.sight.standing, failing.sight.failing), (Standing::Up, true));
        let down = bench.report_of(Standing::Down).await;
        assert_eq!((&*down.reason, down.was), (why, Standing::Up));
        let took = down.at.since(death);
        assert!(took <= target.check.worst_case_detection() + SLACK, "{took:?} for {why}");
        assert_eq!(bench.checker.current(&target.key), Some(down));

        server.answer(OK);
        let alive = bench.clock.now();
        let up = bench.report().await;
        assert_eq!((up.was, up.sight), (Standing::Down, UP));
        let took = up.at.since(alive);
        assert!(took <= INTERVAL * 3 + SLACK, "{took:?} to rise");
    }
}

#[tokio::test]
async fn a_closed_port_is_down_after_the_first_result() {
    let server = Server::http("127.0.0.5:0", OK).await;
    let target = http(server.address);
    drop(server);
    tokio::task::yield_now().await;
    let mut bench = Bench::new();
    bench.plan(&[&target]);
    let report = bench.report().await;
    assert_eq!(report.sight.standing, Standing::Down);
    assert_eq!(&*report.reason, "refused, first result");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_targets_get_their_first_probe_at_once() {
    let server = Server::http("127.0.0.6:0", OK).await;
    let targets: Vec<_> = (0..100)
        .map(|n| Target { key: format!("target {n}").into(), ..seldom(http(server.address)) })
        .collect();
    let bench = Bench::new();
    bench.first_round().await;
    let start = bench.clock.now();
    bench.plan(&targets.iter().collect::<Vec<_>>());
    bench.first_round().await;
    for state in bench.checker.states() {
        let first = state.last_probe.unwrap();
        assert_eq!(state.sight, UP);
        assert!(first.at.since(start) <= Duration::from_millis(200) + SLACK);
    }
}

#[tokio::test]
async fn fifty_reloads_send_no_extra_probe_and_keep_the_verdict() {
    let server = Server::http("127.0.0.7:0", OK).await;
    let mut kept = seldom(http(server.address));
    let mut bench = Bench::new();
    bench.plan(&[&kept]);
    let verdict = bench.report().await;
    for reload in 0..50 {
        // Another probe goes out and comes back between any two reloads.
        let other = Server::http("127.0.0.8:0", OK).await;
        let added = http(other.address);
        kept.slots = vec![SlotId(reload)];
        kept.label = format!("zone/pool/renamed-{reload}").into();
        bench.plan(&[&added, &kept]);
        assert_eq!(bench.report().await.key, added.key);
        assert_eq!(bench.checker.states().len(), 2);
        assert_eq!(bench.checker.current(&kept.key).as_ref(), Some(&verdict));
        bench.plan(&[&kept]);
        assert_eq!(bench.checker.current(&added.key), None);
    }
    assert_eq!(server.seen().connections, 1);
    let state = bench.state(&kept);
    assert_eq!((state.probes_total, &*state.label), (1, "zone/pool/renamed-49"));
}

#[tokio::test]
async fn removed_targets_and_a_dropped_checker_hang_up_at_once() {
    let server = Server::http("127.0.0.9:0", Reply::Hang).await;
    let (a, b) = (seldom(http(server.address)), {
        let mut check = testkit::http_check();
        check.path = "/b".into();
        let kind = CheckKind::Http(check);
        seldom(testkit::target(ProbeAddress::Ip(server.address), kind, TIMEOUT))
    });
    let start = SystemClock::default();
    let bench = Bench::new();
    bench.plan(&[&a, &b]);
    server.wait(|seen| seen.connections == 2).await;
    bench.plan(&[&b]);
    server.wait(|seen| seen.abandoned == 1).await;
    drop(bench);
    server.wait(|seen| seen.abandoned == 2).await;
    assert!(start.now().since(Moment(0)) < a.check.timeout, "it was not the time-out");
}

#[tokio::test]
async fn the_first_round_does_not_wait_for_targets_that_left() {
    let server = Server::http("127.0.0.10:0", Reply::Hang).await;
    let target = seldom(http(server.address));
    let bench = Bench::new();
    bench.plan(&[&target]);
    server.wait(|seen| seen.connections == 1).await;
    let round = bench.checker.first_round();
    bench.plan(&[]);
    tokio::time::timeout(PATIENCE, round).await.unwrap();
    assert!(bench.checker.states().is_empty());
}

#[tokio::test]
async fn hung_targets_delay_nobody() {
    let hung = Server::http("127.0.0.11:0", Reply::Hang).await;
    let alive = Server::http("127.0.0.12:0", OK).await;
    let mut targets: Vec<_> = (0..40)
        .map(|n| Target { key: format!("hung {n}").into(), ..seldom(http(hung.address)) })
        .collect();
    let last = every(INTERVAL, Duration::from_secs(10), http(alive.address));
    targets.push(last.clone());
    let mut bench = Bench::with(Limits { starting: 4, waiting: 64 });
    bench.plan(&targets.iter().collect::<Vec<_>>());
    let report = bench.report().await;
    assert_eq!((&report.key, report.sight), (&last.key, UP));
}

#[tokio::test]
async fn a_fault_that_is_cleared_while_a_probe_hangs_by_it_fails_nobody() {
    let alive = Server::http("127.0.0.11:0", OK).await;
    // The first probe alone tells; nothing but the clearing can end it in time.
    let target = every(Duration::from_secs(60), Duration::from_secs(30), http(alive.address));
    let mut bench = Bench::new();
    let keys = [Arc::clone(&target.key)].into();
    let fault = Fault::new("drill x".into(), keys, FaultKind::Hang, Moment(u64::MAX));
    let fault = Arc::new(fault);
    bench.checker.inject(Arc::clone(&fault));
    bench.plan(&[&target]);
    tokio::time::sleep(Duration::from_millis(200)).await;
    bench.checker.clear(&fault);
    let report = bench.report().await;
    assert_eq!((&report.key, report.sight), (&target.key, UP));
    assert_eq!(fault.first_met(), None);
}

#[tokio::test]
async fn a_probe_that_a_fault_made_slow_has_met_it() {
    let alive = Server::http("127.0.0.11:0", OK).await;
    let target = http(alive.address);
    let mut bench = Bench::new();
    let (keys, slow) =
        ([Arc::clone(&target.key)].into(), FaultKind::Slow(Duration::from_millis(5)));
    let fault = Arc::new(Fault::new("drill x".into(), keys, slow, Moment(u64::MAX)));
    bench.checker.inject(Arc::clone(&fault));
    assert_eq!(fault.first_met(), None);
    bench.plan(&[&target]);
    assert_eq!(bench.report().await.sight, UP);
    assert!(fault.first_met().is_some());
}

#[tokio::test]
async fn a_pause_of_the_checker_is_void_and_shows() {
    let server = Server::http("127.0.0.13:0", OK).await;
    let target = http(server.address);
    let mut bench = Bench::new();
    bench.plan(&[&target]);
    assert_eq!(bench.report().await.sight, UP);
    for pause in 1..=5 {
        bench.clock.1.fetch_add(6_000_000_000, Ordering::SeqCst);
        bench.until(&target, |state| state.voids_total >= pause).await;
    }
    bench.until(&target, |state| state.impaired.is_none()).await;
    assert_eq!(bench.checker.impairment(), None);
    assert!(bench.reports.try_recv().is_err(), "nothing changed");
    assert_eq!(bench.state(&target).failures_total, 0);
}

#[tokio::test]
async fn a_host_that_cannot_be_looked_up_is_unknown_and_the_checker_impaired() {
    let (name, port) = ("no-such-host.invalid".into(), 80);
    let address = ProbeAddress::Host { name, port };
    let target = testkit::target(address, CheckKind::Tcp, Duration::from_secs(10));
    let bench = Bench::new();
    bench.plan(&[&target]);
    bench.first_round().await;
    assert_eq!(bench.checker.current(&target.key), None);
    assert_eq!(bench.state(&target).sight.standing, Standing::Unknown);
    let impairment = bench.checker.impairment().unwrap();
    assert_eq!(impairment.targets, 1);
    assert!(impairment.reason.starts_with("lookup failed: no-such-host.invalid: "));
}

#[tokio::test]
async fn a_host_is_probed_at_the_address_it_has() {
    let server = Server::http("127.0.0.14:0", OK).await;
    let address = ProbeAddress::Host {
        name: server.address.ip().to_string().into(),
        port: server.address.port(),
    };
    let kind = CheckKind::Http(testkit::http_check());
    let mut bench = Bench::new();
    bench.plan(&[&testkit::target(address, kind, Duration::from_secs(10))]);
    assert_eq!(bench.report().await.sight, UP);
    assert!(server.seen().request.contains("\r\nhost: 127.0.0.14\r\n"));
}

#[tokio::test]
async fn a_denied_address_is_never_connected_to() {
    let server = Server::http("127.0.0.66:0", OK).await;
    let mut bench = Bench::new();
    bench.plan(&[&http(server.address)]);
    let report = bench.report().await;
    assert_eq!(report.sight.standing, Standing::Down);
    assert_eq!(&*report.reason, "127.0.0.66 is never probed, first result");
    assert_eq!(server.seen().connections, 0);
}

#[tokio::test]
async fn while_armed_every_answer_is_told_and_hastened_targets_give_theirs_at_once() {
    let (mut bench, up) = (Bench::new(), Server::http("127.0.0.29:0", OK).await);
    let far = seldom(http(up.address));
    bench.plan(&[&far]);
    bench.first_round().await;
    assert!(bench.answers.try_recv().is_err(), "nobody has asked to be told");
    let before = bench.clock.now();
    assert!(!bench.checker.answered_since(before, ""));
    bench.checker.arm_witness(true);
    bench.checker.call_witnesses(std::slice::from_ref(&far.key));
    let (key, at) = bench.answers.recv().await.unwrap();
    assert_eq!(key, far.key);
    assert!(at > before && bench.checker.answered_since(before, ""));
    assert!(!bench.checker.answered_since(before, &far.key), "not for itself");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_loses_a_third_falls_where_the_check_is_leaky_and_nowhere_else() {
    const LOSSY: Reply = Reply::InTurn(&[OK, UNAVAILABLE, OK]);
    let (a, b) =
        (Server::http("127.0.0.15:0", LOSSY).await, Server::http("127.0.0.16:0", LOSSY).await);
    let plain = with(http(a.address), |check| check.fast_recheck = None);
    let leaky = with(http(b.address), |check| {
        check.fast_recheck = None;
        check.leaky = Some(Leaky { failures: 4, reset_after: 10 });
    });
    let mut bench = Bench::new();
    bench.plan(&[&plain, &leaky]);
    let down = bench.report_of(Standing::Down).await;
    assert_eq!((&down.key, &*down.reason), (&leaky.key, "status 503, leaky 4/4"));
    assert!(down.answered, "a wrong status needs no witness");
    bench.until(&plain, |state| state.failures_total >= 4).await;
    assert_eq!(bench.state(&plain).sight.standing, Standing::Up);
    let errors = bench.state(&plain).errors;
    assert_eq!((errors.len(), &*errors[0].what), (1, "status 503"));
}

#[tokio::test]
async fn a_slow_server_is_degraded() {
    let server = Server::http("127.0.0.17:0", Reply::Dribble(Duration::from_millis(1))).await;
    let slow = with(http(server.address), |check| {
        check.timeout = INTERVAL / 4 * 3;
        check.max_latency = Some(Duration::from_millis(5));
    });
    let mut bench = Bench::new();
    bench.plan(&[&slow]);
    let degraded = bench.report_of(Standing::Degraded).await;
    assert!(degraded.reason.starts_with("slow: 200 in "), "{}", degraded.reason);
    assert!(degraded.reason.ends_with(" 3/3"), "{}", degraded.reason);
    assert!(bench.state(&slow).latency.quantile(0.5) > Some(Duration::from_millis(5)));
}

#[tokio::test]
async fn what_is_only_observed_says_up_and_what_it_would_be() {
    let server = Server::http("127.0.0.18:0", UNAVAILABLE).await;
    let target = with(http(server.address), |check| check.mode = Mode::Observe);
    let mut bench = Bench::new();
    bench.plan(&[&target]);
    let report = bench.report().await;
    let (sight, reason) = report.effect();
    assert_eq!((report.sight.standing, sight), (Standing::Down, UP));
    assert_eq!(&*reason, "observed only, would be down: status 503, first result");
}

#[tokio::test]
async fn an_armed_witness_hears_every_answer_and_guards_when_they_are_called() {
    let server = Server::http("127.0.0.19:0", UNAVAILABLE).await;
    let closed = Server::http("127.0.0.20:0", OK).await.address;
    let target = every(INTERVAL, TIMEOUT, http(server.address));
    let mut bench = Bench::new();
    bench.plan(&[&target]);
    bench.report_of(Standing::Down).await;
    assert!(bench.answers.try_recv().is_err(), "nobody listens yet");
    let since = bench.clock.now();
    bench.checker.arm_witness(true);
    // A bad answer is one: whoever gives it can be reached.
    let (key, at) = bench.answer().await;
    assert!(key == target.key && at > since);
    assert!(bench.checker.answered_since(since, "somebody else"));
    assert!(!bench.checker.answered_since(since, &target.key), "nobody is its own witness");
    bench.until(&target, |state| state.last_probe.is_some_and(|probe| probe.at > since)).await;
    let failures = bench.checker.failures();
    assert!(failures.iter().all(|(key, began)| *key == target.key && *began > since));

    let plan = CheckPlan { guards: vec![closed], ..plan_of(&[]) };
    bench.checker.update(&plan, &|_| None);
    bench.checker.call_witnesses(&[]);
    let guard = format!("guard:{closed}");
    while *bench.answer().await.0 != *guard {}
    assert!(bench.checker.answered_since(since, &target.key), "that it refuses is an answer");
    bench.checker.arm_witness(false);
}

#[tokio::test]
async fn a_void_probe_is_no_failure_of_a_target_that_failed_before() {
    let server = Server::http("127.0.0.22:0", UNAVAILABLE).await;
    let target = http(server.address);
    let mut bench = Bench::new();
    bench.plan(&[&target]);
    bench.report_of(Standing::Down).await;
    bench.checker.arm_witness(true);
    // Every jump of the clock makes one void; what fails between them is counted.
    let (before, mut told) = (bench.state(&target).failures_total, 0);
    for _ in 0..5 {
        let voids = bench.state(&target).voids_total;
        bench.clock.1.fetch_add(6_000_000_000, Ordering::SeqCst);
        bench.until(&target, |state| state.voids_total > voids).await;
        assert!(bench.state(&target).failures > 0, "it counts as failing all the while");
        told += bench.checker.failures().len() as u64;
    }
    let failed = bench.state(&target).failures_total - before;
    assert!(told <= failed, "{told} were told and {failed} failed");
}

#[tokio::test]
async fn heartbeats_that_stay_away_are_missed_once_more_when_somebody_asks() {
    let address = ProbeAddress::Pushed("zone/pool/endpoint".into());
    let kind = CheckKind::Push { stale_after: Duration::from_millis(300) };
    let target = testkit::target(address, kind, Duration::from_millis(50));
    let mut bench = Bench::new();
    bench.plan(&[&target]);
    let down = bench.report_of(Standing::Down).await;
    let missed = down.first_failure.unwrap();
    assert!(down.at.since(missed) >= Duration::from_millis(100), "it began to fail before it fell");
    bench.checker.arm_witness(true);
    let since = bench.clock.now();
    assert!(bench.checker.failures().is_empty(), "nothing more is expected of it by itself");
    bench.checker.hasten(std::slice::from_ref(&target.key));
    let (key, at) = bench.answer().await;
    assert!(key == target.key && at.since(since) >= Duration::from_millis(200));
    let failures = bench.checker.failures();
    assert!(failures.len() == 1 && failures[0].1 > since, "{failures:?}");
}

#[tokio::test]
async fn a_name_that_others_do_not_share_the_fate_of_fails_after_three_intervals() {
    let server = Server::http("127.0.0.21:0", OK).await;
    let host = |name: &str| {
        let address = ProbeAddress::Host { name: name.into(), port: server.address.port() };
        every(INTERVAL, TIMEOUT, testkit::target(address, CheckKind::Tcp, TIMEOUT))
    };
    let (lost, found) = (host("no-such-host.invalid"), host("localhost"));
    let mut bench = Bench::new();
    // Alone it may be our resolver that has failed.
    bench.plan(&[&lost]);
    let begun = bench.clock.now();
    bench
        .until(&lost, |state| {
            state.last_probe.is_some_and(|probe| probe.at.since(begun) > INTERVAL * 4)
        })
        .await;
    assert_eq!(bench.state(&lost).sight.standing, Standing::Unknown);
    assert_eq!(bench.checker.impairment().map(|impairment| impairment.targets), Some(1));

    bench.plan(&[&lost, &found]);
    let down = loop {
        let report = bench.report().await;
        if report.key == lost.key {
            break report;
        }
    };
    assert_eq!(down.sight.standing, Standing::Down);
    assert!(down.reason.starts_with("lookup failed: no-such-host.invalid: "), "{}", down.reason);
    assert!(!down.answered && bench.checker.impairment().is_none());
}
