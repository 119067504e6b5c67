//! Hooks against real servers and programs.

use super::*;
use crate::{
    clock::Moment,
    config::hooks::HookWay,
    control::event::{EventKind, Stamp},
    verdict::Standing,
};
use std::{net::SocketAddr, os::unix::fs::PermissionsExt, time::SystemTime};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

const FAST: Pace = Pace { first: Duration::from_millis(5), most: Duration::from_millis(20) };

/// Hooks over a journal, and what they had recorded.
struct Bench {
    hooks: Hooks,
    journal: SharedJournal,
    recorded: mpsc::UnboundedReceiver<Change>,
    dir: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        let (changes, recorded) = mpsc::unbounded_channel();
        let (journal, dir) = (SharedJournal::default(), tempfile::tempdir().unwrap());
        let memory = Memory::default();
        let hooks = Hooks::new(dir.path(), journal.clone(), changes, FAST, memory);
        Bench { hooks, journal, recorded, dir }
    }

    fn happens(&self, to: Standing) {
        let verdict = EventKind::Verdict {
            slot: "z/p/e".into(),
            address: "192.0.2.1".into(),
            from: Standing::Up,
            to,
            reason: "refused 3/3".into(),
            decided: Moment(1),
        };
        let stamp = Stamp { at: Moment(1), wall: SystemTime::UNIX_EPOCH, swap: 1, who: None };
        self.journal.record_all(stamp, vec![verdict]);
    }

    /// The next thing a hook had written down.
    async fn recorded(&mut self) -> (String, bool) {
        match self.recorded.recv().await {
            Some(Change::Record(EventKind::Hook { what, well, .. })) => (what.to_string(), well),
            other => panic!("{other:?}"),
        }
    }

    async fn until(&self, done: impl Fn(&HookLine) -> bool) -> HookLine {
        loop {
            if let Some(line) = self.hooks.state().into_iter().find(&done) {
                return line;
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn hook(way: HookWay) -> HookDef {
    let on = vec!["alarm".to_owned()];
    HookDef { name: "pager".into(), on, way, timeout: Duration::from_secs(5), retries: 3 }
}

fn webhook(at: SocketAddr) -> HookWay {
    HookWay::Url { url: format!("http://{at}/hook"), token_file: Some("token".into()) }
}

/// A server that answers with these statuses in turn; the requests it was sent.
async fn server(statuses: &'static [u16]) -> (SocketAddr, mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, requests) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        for status in statuses.iter().cycle() {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = Vec::new();
            let is_whole = |request: &[u8]| {
                let text = String::from_utf8_lossy(request).to_lowercase();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
                let length = head.split("content-length: ").nth(1).unwrap_or("0");
                body.len() >= length.lines().next().unwrap().parse::<usize>().unwrap()
            };
            while !is_whole(&request) {
                let mut part = [0; 4_096];
                let read = stream.read(&mut part).await.unwrap();
                request.extend(&part[..read]);
            }
            let _ = seen.send(String::from_utf8(request).unwrap());
            let reply = format!(
                "HTTP/1.1 {status} -\r\nLocation: http://{address}/else\r\nContent-Length: 0\r\n\
                 Connection: close\r\n\r\n"
            );
            stream.write_all(reply.as_bytes()).await.unwrap();
        }
    });
    (address, requests)
}

#[tokio::test]
async fn a_webhook_is_told_again_until_it_takes_it_and_only_of_what_it_asked_for() {
    let (bench, (at, mut requests)) = (Bench::new(), server(&[503, 503, 204]).await);
    std::fs::write(bench.dir.path().join("token"), "secret-token\n").unwrap();
    bench.hooks.update(&[hook(webhook(at))]);
    bench.happens(Standing::Up);
    bench.happens(Standing::Down);
    let line = bench.until(|line| line.delivered == 1).await;
    assert_eq!((line.failed, line.last_error.as_deref()), (0, Some("status 503")));
    for _ in 0..3 {
        let request = requests.recv().await.unwrap();
        assert!(request.starts_with("POST /hook HTTP/1.1"), "{request}");
        assert!(request.contains("authorization: Bearer secret-token"), "{request}");
        let told: serde_json::Value =
            serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
        assert_eq!((&told["incident"], &told["alarm"]), (&2.into(), &true.into()));
        assert_eq!(told["events"][0]["to"], "down");
    }
    assert!(requests.try_recv().is_err(), "what went up is no alarm");
}

#[tokio::test]
async fn a_webhook_that_refuses_or_sends_elsewhere_is_given_up_at_once_and_told() {
    let (mut bench, (at, mut requests)) = (Bench::new(), server(&[404, 302, 200]).await);
    std::fs::write(bench.dir.path().join("token"), "secret-token\n").unwrap();
    bench.hooks.update(&[hook(webhook(at))]);
    bench.happens(Standing::Down);
    assert_eq!(bench.recorded().await, ("incident 1 was not delivered: status 404".into(), false));
    bench.happens(Standing::Down);
    bench.until(|line| line.failed == 2).await;
    bench.happens(Standing::Down);
    assert_eq!(bench.recorded().await, ("works again".into(), true));
    for _ in 0..3 {
        assert!(
            requests.recv().await.unwrap().starts_with("POST /hook "),
            "no redirect is followed"
        );
    }
}

#[tokio::test]
async fn no_webhook_reaches_cloud_metadata() {
    let mut bench = Bench::new();
    let url = "http://169.254.169.254/latest".to_owned();
    bench.hooks.update(&[hook(HookWay::Url { url, token_file: None })]);
    bench.happens(Standing::Down);
    let (what, well) = bench.recorded().await;
    assert!(!well && what.contains("no address that may be connected to"), "{what}");
}

fn script(bench: &Bench, text: &str) -> HookWay {
    let path = bench.dir.path().join("program");
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o700)).unwrap();
    HookWay::Exec(vec![path.to_str().unwrap().to_owned(), "an argument".to_owned()])
}

#[tokio::test]
async fn a_program_reads_the_incident_and_its_failures_are_tried_again() {
    let bench = Bench::new();
    // It fails once, then works.
    let way = script(
        &bench,
        "test -e once || { touch once; echo not yet >&2; exit 3; }\n\
         cat > read.json; echo \"$1 $TRADEWIND_HOOK $TRADEWIND_ALARM\" > told",
    );
    bench.hooks.update(&[hook(way)]);
    bench.happens(Standing::Down);
    let line = bench.until(|line| line.delivered == 1).await;
    assert!(line.last_error.is_some_and(|error| error.contains("not yet")));
    let read = |name: &str| std::fs::read_to_string(bench.dir.path().join(name)).unwrap();
    assert_eq!(read("told"), "an argument pager true\n");
    let told: serde_json::Value = serde_json::from_str(&read("read.json")).unwrap();
    assert_eq!(told["count"], 1);
}

#[tokio::test]
async fn a_program_that_hangs_is_killed_with_all_it_started() {
    let mut bench = Bench::new();
    let way = script(&bench, "sleep 600 & echo $! > child; wait");
    let def = HookDef { timeout: Duration::from_millis(300), retries: 0, ..hook(way) };
    bench.hooks.update(&[def]);
    bench.happens(Standing::Down);
    let (what, _) = bench.recorded().await;
    assert!(what.contains("still ran after 300ms"), "{what}");
    let child = std::fs::read_to_string(bench.dir.path().join("child")).unwrap();
    let stat = std::path::PathBuf::from(format!("/proc/{}/stat", child.trim()));
    // A killed one may wait to be taken away by whoever adopted it.
    while std::fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn a_hook_that_stays_goes_on_and_one_that_left_ends() {
    let bench = Bench::new();
    let way = script(&bench, "cat > /dev/null");
    bench.hooks.update(&[hook(way.clone())]);
    bench.happens(Standing::Down);
    bench.until(|line| line.delivered == 1).await;
    bench.hooks.update(&[hook(way)]);
    assert_eq!(bench.hooks.state()[0].delivered, 1, "the same hook");
    bench.hooks.update(&[]);
    assert!(bench.hooks.state().is_empty());
}

#[tokio::test]
async fn a_program_that_says_much_before_it_reads_is_heard_out() {
    let bench = Bench::new();
    let way =
        script(&bench, "head -c 300000 /dev/zero >&2 || exit 9; cat > read.json; echo well >&2");
    bench.hooks.update(&[hook(way)]);
    bench.happens(Standing::Down);
    let line = bench.until(|line| line.delivered + line.failed == 1).await;
    assert_eq!((line.delivered, line.last_error), (1, None));
}

#[tokio::test]
async fn a_hook_that_is_edited_goes_on_where_it_was() {
    let bench = Bench::new();
    let slow = script(&bench, "cat > /dev/null; test -e go || exit 1");
    let def = HookDef { retries: 10_000, ..hook(slow) };
    bench.hooks.update(std::slice::from_ref(&def));
    bench.happens(Standing::Down);
    bench.happens(Standing::Down);
    bench.until(|line| line.last_error.is_some()).await;
    std::fs::write(bench.dir.path().join("go"), "").unwrap();
    bench.hooks.update(&[HookDef { retries: 9_999, ..def }]);
    let line = bench.until(|line| line.delivered == 2).await;
    assert_eq!((line.failed, line.missed), (0, 0));
}

/// It was told up to the first event of the run before, and the ring has gone on since.
#[tokio::test]
async fn what_is_gone_before_a_hook_could_be_told_is_counted_and_told() {
    let mut bench = Bench::new();
    let way = script(&bench, "cat > /dev/null");
    bench.hooks.memory.note("pager", Mark { seq: 1, boot: 0 });
    let stamp = Stamp { at: Moment(1), wall: SystemTime::UNIX_EPOCH, swap: 1, who: None };
    let calm = EventKind::Demo { region: "us".into(), up: true };
    bench.journal.record_all(stamp, vec![calm; crate::control::journal::RING + 10]);
    bench.hooks.update(&[hook(way)]);
    let said = "9 events were gone before it could be told of them";
    assert_eq!(bench.recorded().await, (said.into(), false));
    assert_eq!(bench.until(|_| true).await.missed, 9);
}

#[tokio::test]
async fn an_alarm_beyond_the_first_twenty_events_is_one() {
    let (bench, (at, mut requests)) = (Bench::new(), server(&[204]).await);
    std::fs::write(bench.dir.path().join("token"), "secret-token\n").unwrap();
    bench.hooks.update(&[hook(webhook(at))]);
    let mut events = vec![EventKind::Demo { region: "us".into(), up: true }; 30];
    events.push(EventKind::Refused { cause: "SIGHUP".into(), errors: 1 });
    let stamp = Stamp { at: Moment(1), wall: SystemTime::UNIX_EPOCH, swap: 1, who: None };
    bench.journal.record_all(stamp, events);
    let request = requests.recv().await.unwrap();
    let told: serde_json::Value =
        serde_json::from_str(request.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!((&told["alarm"], &told["count"]), (&true.into(), &31.into()));
}

#[test]
fn pauses_double_up_to_the_most_and_half_of_them_is_chance() {
    let (pace, mut dice) = (Pace::default(), Dice::seeded(1));
    for (failures, most) in [(1, 1.0), (2, 2.0), (4, 8.0), (7, 60.0), (99, 60.0)] {
        let pause = pace.pause(failures, &mut dice).as_secs_f64();
        assert!((most / 2.0..=most).contains(&pause), "{pause} after {failures}");
    }
}
