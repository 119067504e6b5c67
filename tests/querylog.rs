//! Sampled answers are shown: as lines of JSON in a file, and as dnstap to readers that are not
//! ours; addresses are cut where the operator wants it, and nobody who reads holds up an answer.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use hickory_proto::rr::RecordType;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};
use support::{
    await_some, dns,
    process::Process,
    scratch::Scratch,
    server::Server,
    stream::{Stream, frame},
    tool,
};
use tradewind::clock::{Clock, SystemClock};

const SERVER: &str = "[server]\nlisten = [\"127.0.0.1:0\"]\nadmin = \"127.0.0.1:0\"\n\
    nsid = \"here\"\n[regions.eu]\ncloud = \"aws:eu-west-1\"\n";
const ZONE: &str = r#"
zone   = "example"
ns     = ["ns1.example"]
check  = "none"
static = "ns1 60 IN A 127.0.0.53"
[pools.near]
region = "eu"
endpoints = [{ name = "n", ipv4 = "192.0.2.1" }]
[pools.far]
endpoints = [{ name = "f", ipv4 = "192.0.2.2" }]
[records.www]
policy = "geo"
rules = [
  { match = ["subnet:203.0.113.0/24"], use = ["near"] },
  { match = ["*"], use = ["far"] },
]
"#;
const FILE: &str = "run/queries.jsonl";

fn serve(querylog: &str) -> Server {
    let server = format!("{SERVER}[querylog]\n{querylog}");
    Server::start(Scratch::with(&[("tradewind.toml", &server), ("zones/example.toml", ZONE)]))
}

/// Has another `[querylog]` take effect.
fn reload(server: &Server, querylog: &str) {
    server.folder.write("tradewind.toml", &format!("{SERVER}[querylog]\n{querylog}"));
    assert_eq!(server.reload()["accepted"], true);
}

fn ask(server: &Server, name: &str, client: &str) {
    dns::ask(server.udp(), name, RecordType::A, client);
}

/// Waits for as many lines in `file`.
fn lines(file: &Path, count: usize) -> Vec<Value> {
    await_some(&format!("{count} lines in {}", file.display()), || {
        let text = fs::read_to_string(file).ok()?;
        let lines: Vec<Value> =
            text.lines().map_while(|line| serde_json::from_str(line).ok()).collect();
        (lines.len() >= count).then_some(lines)
    })
}

/// The fields of `line`, without those that differ from run to run.
fn steady(line: &Value) -> Value {
    let mut line = line.clone();
    let fields = line.as_object_mut().unwrap();
    let at: jiff::Timestamp = fields.remove("at").unwrap().as_str().unwrap().parse().unwrap();
    let now = jiff::Timestamp::try_from(SystemClock::default().wall()).unwrap();
    let age = now.duration_since(at).as_secs();
    assert!((0..3_600).contains(&age), "{at} is not now");
    let took = fields.remove("us").unwrap().as_f64().unwrap();
    assert!(took > 0.0 && took < 1e7, "{took}");
    assert!(fields.remove("port").unwrap().as_u64().unwrap() > 0);
    fields.remove("id");
    line
}

#[test]
fn sampled_answers_become_lines_of_json() {
    let server = serve("sample = \"1/1\"\nfile = \"run/queries.jsonl\"");
    let file = server.folder.path().join(FILE);
    ask(&server, "www.example", "203.0.113.0/24");
    ask(&server, "WWW.example", "");
    ask(&server, "none.example", "");
    let lines = lines(&file, 3);
    assert_eq!(
        steady(&lines[0]),
        serde_json::json!({
            "v": 1, "proto": "udp", "client": "127.0.0.1", "ecs": "203.0.113.0/24", "scope": 23,
            "name": "www.example.", "class": "IN", "type": "A", "flags": ["aa"],
            "rcode": "NOERROR", "query_bytes": 51, "reply_bytes": 67,
            "zone": "example", "record": "www.example", "region": "eu", "basis": "healthy",
        })
    );
    assert_eq!(lines[1]["name"], "WWW.example.", "as it was asked");
    assert_eq!(lines[1].get("region"), None, "the other pool is in none");
    assert_eq!(lines[2]["rcode"], "NXDOMAIN");
    assert_eq!(lines[2].get("record"), None, "nobody steers it");
}

#[test]
fn a_reload_cuts_addresses_opens_the_file_anew_and_stops_it() {
    let on = "sample = \"1/1\"\nfile = \"run/queries.jsonl\"\n";
    let server = serve(on);
    let file = server.folder.path().join(FILE);
    ask(&server, "www.example", "203.0.113.0/24");
    lines(&file, 1);
    let away = server.folder.path().join("away.jsonl");
    fs::rename(&file, &away).unwrap();
    reload(&server, &format!("{on}anonymize = {{ v4 = 16, v6 = 32 }}"));
    let line = await_some("a line of the new file", || {
        ask(&server, "www.example", "203.0.113.0/24");
        let text = fs::read_to_string(&file).ok()?;
        serde_json::from_str::<Value>(text.lines().next()?).ok()
    });
    assert_eq!((&line["client"], &line["ecs"]), (&"127.0.0.0".into(), &"203.0.0.0/16".into()));
    assert_eq!(lines(&away, 1).len(), 1, "the old one was let go");
    reload(&server, "sample = 0");
    let sampled = || server.metric("tradewind_querylog_sampled_total ");
    // A thread learns of it with its next batch.
    await_some("no more samples", || {
        let before = sampled();
        (0..5).for_each(|_| ask(&server, "www.example", ""));
        (sampled() == before).then_some(())
    });
}

#[test]
fn a_file_that_cannot_be_written_costs_samples_and_no_answer() {
    let server = serve("sample = \"1/1\"\nfile = \"tradewind.toml/queries.jsonl\"");
    ask(&server, "www.example", "");
    await_some("the loss to be counted", || {
        (server.metric("tradewind_querylog_lost_total{at=\"file\"}") > 0.0).then_some(())
    });
    assert!(server.log().contains("the query log cannot be written"), "{}", server.log());
}

/// A reader of dnstap: fstrm_capture, which is not ours.
fn capture(program: &Path, socket: &Path, into: &Path) -> Process {
    let mut command = Command::new(program);
    command.args(["-t", "protobuf:dnstap.Dnstap", "-u"]).arg(socket).arg("-w").arg(into);
    Process::start(&command, &into.with_extension("log"))
}

/// What `program` makes of the frames in `file`.
fn read(program: &Path, args: &[&str], file: &Path) -> String {
    let done = Command::new(program).args(args).arg(file).output().unwrap();
    let said = String::from_utf8_lossy(&done.stdout).into_owned();
    assert!(done.status.success(), "{said}{}", String::from_utf8_lossy(&done.stderr));
    said
}

/// How often each value of `key` stands in YAML.
fn values(yaml: &str, key: &str) -> BTreeMap<String, usize> {
    let mut values = BTreeMap::new();
    for line in yaml.lines() {
        if let Some(value) = line.trim_start().strip_prefix(key) {
            let value = value.trim().trim_matches('"');
            *values.entry(value.to_owned()).or_default() += 1;
        }
    }
    values
}

fn tools() -> Option<[PathBuf; 3]> {
    Some([tool("fstrm_capture")?, tool("dnstap-ldns")?, tool("dnstap-read")?])
}

#[test]
fn dnstap_is_read_by_readers_that_are_not_ours() {
    let Some([fstrm_capture, dnstap_ldns, dnstap_read]) = tools() else { return };
    let server = serve("sample = \"1/1\"\ndnstap = \"run/dnstap.sock\"");
    // Nobody reads yet: answers do not wait, and what is sampled is lost.
    ask(&server, "www.example", "");
    await_some("a loss for want of a reader", || {
        (server.metric("tradewind_querylog_lost_total{at=\"dnstap\"}") >= 2.0).then_some(())
    });
    let folder = server.folder.path();
    let (socket, frames) = (folder.join("run/dnstap.sock"), folder.join("frames"));
    let mut reader = capture(&fstrm_capture, &socket, &frames);
    await_some("the reader to be found", || server.log().contains("dnstap is read").then_some(()));
    for _ in 0..20 {
        ask(&server, "www.example", "203.0.113.0/24");
    }
    let mut stream = Stream::connect(server.tcp());
    stream.send(&frame(&dns::message("ns1.example", RecordType::A)));
    stream.next().unwrap();
    // The end of the server is that of the stream; the reader has all of it by then.
    let scratch = server.folder_after_stop();
    assert!(reader.terminate().success(), "{}", reader.log());
    let yaml = read(&dnstap_ldns, &["-y", "-r"], &frames);
    let of = |key| values(&yaml, key);
    let count = |all: &[(&str, usize)]| {
        all.iter().map(|(value, count)| ((*value).to_owned(), *count)).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(of("type: "), count(&[("MESSAGE", 42), ("AUTH_QUERY", 21), ("AUTH_RESPONSE", 21)]));
    assert_eq!(of("socket_protocol: "), count(&[("UDP", 40), ("TCP", 2)]));
    assert_eq!(of("query_address: "), count(&[("127.0.0.1", 42)]));
    assert_eq!(of("identity: "), count(&[("here", 42)]));
    let quick = read(&dnstap_read, &[], &frames);
    assert_eq!(quick.lines().count(), 42, "{quick}");
    assert!(quick.contains("www.example/IN/A"), "{quick}");
    drop(scratch);
}

#[test]
fn a_reader_that_comes_back_is_found_and_sees_addresses_cut() {
    let Some([fstrm_capture, dnstap_ldns, _]) = tools() else { return };
    let cut = "anonymize = { v4 = 16, v6 = 32 }";
    let server = serve(&format!("sample = \"1/1\"\ndnstap = \"run/dnstap.sock\"\n{cut}"));
    let folder = server.folder.path().to_owned();
    let socket = folder.join("run/dnstap.sock");
    let found = || server.log().matches("dnstap is read").count();
    let mut first = capture(&fstrm_capture, &socket, &folder.join("first"));
    await_some("the reader to be found", || (found() == 1).then_some(()));
    first.terminate();
    // What is written to it now fails; only then is another looked for.
    let mut second = capture(&fstrm_capture, &socket, &folder.join("second"));
    await_some("the next one to be found", || {
        ask(&server, "www.example", "203.0.113.0/24");
        (found() == 2).then_some(())
    });
    ask(&server, "www.example", "203.0.113.0/24");
    let scratch = server.folder_after_stop();
    assert!(second.terminate().success(), "{}", second.log());
    let yaml = read(&dnstap_ldns, &["-y", "-r"], &folder.join("second"));
    assert!(values(&yaml, "query_address: ").keys().eq(["127.0.0.0"]), "{yaml}");
    assert!(!yaml.contains("203.0.113"), "{yaml}");
    drop(scratch);
}
