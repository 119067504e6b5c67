//! The operator's view of this room: what loads as written, and what the errors look like.

use super::{
    Problems, Sources, checks,
    guard::CookiesDef,
    querylog::{Cut, QueryLogDef},
    server, zone,
};
use std::{path::Path, sync::Arc, time::Duration};

/// Everything wrong with `text` read as `path`, as it is drawn.
fn drawn(path: &str, text: &str) -> String {
    let sources = Sources::in_memory([(path, text)]);
    let file: Arc<Path> = Path::new(path).into();
    let mut problems = Problems::default();
    if path.starts_with("zones/") {
        zone::read(&file, text, &mut problems);
    } else if path.starts_with("healthchecks/") {
        checks::read(&file, text, &mut problems);
    } else {
        server::read(&file, text, &mut problems);
    }
    problems.sort();
    problems.render(&sources, false)
}

/// The same as `line:column: message` lines, with `= help` where there is help.
fn lines(path: &str, text: &str) -> String {
    let sources = Sources::in_memory([(path, text)]);
    let file: Arc<Path> = Path::new(path).into();
    let mut problems = Problems::default();
    match path.split('/').next() {
        Some("zones") => drop(zone::read(&file, text, &mut problems)),
        Some("healthchecks") => drop(checks::read(&file, text, &mut problems)),
        _ => drop(server::read(&file, text, &mut problems)),
    }
    problems.sort();
    let line = |problem: &super::Problem| {
        let line = problem.line(&sources);
        let line = line.strip_prefix(path).unwrap_or(&line);
        let line = line.trim_start_matches(':');
        match &problem.help {
            Some(help) => format!("{line}\n    = {help}\n"),
            None => format!("{line}\n"),
        }
    };
    problems.iter().map(line).collect()
}

const SERVER: &str = r#"
schema = 1
[server]
listen = ["127.0.0.1:5300", "[::1]:5300"]
admin  = "127.0.0.1:8053"
state  = "state"
udp_threads = 2
cpu_affinity = [0, 2]
coalesce = "50us"
tcp = { clients = 2048, per_source = 64, idle = "30s" }
proxy = { trusted = ["192.0.2.0/28", "::1"] }
watch = true
control = "run/tradewind.sock"
nsid = "ns1"
[regions.us-east-1]
cloud = "aws:us-east-1"
[regions.frankfurt]
at = [50.11, 8.68]
[defaults]
ttl = "30s"
sticky_prefix = { v4 = 20 }
ecs = "ignore"
[rrl]
per_second = 200
exempt     = ["127.0.0.0/8", "::1"]
[health]
deny = ["169.254.0.0/16", "fe80::/10"]
[querylog]
sample = "1/100"
file = "run/queries.jsonl"
file_mib = 2
dnstap = "run/dnstap.sock"
anonymize = { v4 = 24, v6 = 48 }
[metrics]
records = ["gtm.example.com/*", "*/www"]
[pools.shared]
endpoints = [{ name = "s", ipv4 = "192.0.2.1" }]
"#;

#[test]
fn the_server_file_of_the_design_is_read() {
    assert_eq!(drawn("tradewind.toml", SERVER), "");
    let mut problems = Problems::default();
    let file: Arc<Path> = Path::new("tradewind.toml").into();
    let read = server::read(&file, SERVER, &mut problems).unwrap();
    assert_eq!(read.server.listen.map(|listed| listed.len()), Some(2));
    assert_eq!(read.server.udp_threads, Some(2));
    assert_eq!(read.server.cpu_affinity, [0, 2]);
    assert_eq!(read.server.coalesce, Some(Duration::from_micros(50)));
    let tcp = read.server.tcp;
    assert_eq!((tcp.clients, tcp.per_source), (Some(2_048), Some(64)));
    assert_eq!(tcp.idle, Some(Duration::from_secs(30)));
    assert_eq!(read.server.proxies.len(), 2);
    assert_eq!(read.regions.len(), 2);
    assert_eq!(read.health.deny.len(), 2);
    let prefix = read.defaults.sticky_prefix.unwrap().into_inner();
    assert_eq!((prefix.v4, prefix.v6), (20, 48));
    let querylog = QueryLogDef {
        one_in: 100,
        file: Some("run/queries.jsonl".into()),
        file_bytes: 2 << 20,
        dnstap: Some("run/dnstap.sock".into()),
        anonymize: Some(Cut { v4: 24, v6: 48 }),
    };
    assert_eq!(read.server.querylog, querylog);
    let wants = ["gtm.example.com/api", "a.example/www", "a.example/api"];
    assert_eq!(wants.map(|id| read.server.metrics.wants(id)), [true, true, false]);
    let empty = server::read(&file, "", &mut problems).unwrap();
    assert_eq!(empty.server.listen, None);
    assert_eq!(empty.server.querylog.one_in, 1_000);
    assert!(empty.server.metrics.wants("a.example/api"));
    assert!(problems.is_empty());
}

#[test]
fn a_share_of_answers_is_one_in_so_many() {
    for (written, complaint) in [
        ("\"1/1\"", ""),
        ("0", ""),
        (
            "\"1/0\"",
            "2:10: `1/0` is no share of answers\n    = write \"1/1000\" for one in a thousand, \"1/1\" for all, 0 for none\n",
        ),
        (
            "\"0.1%\"",
            "2:10: `0.1%` is no share of answers\n    = write \"1/1000\" for one in a thousand, \"1/1\" for all, 0 for none\n",
        ),
    ] {
        let text = format!("[querylog]\nsample = {written}\n");
        assert_eq!(lines("tradewind.toml", &text), complaint);
    }
    let text = "[querylog]\nsample = 5\nanonymize = { v4 = 33 }\ntap = \"x\"\n";
    let said = lines("tradewind.toml", text);
    let of_metrics = lines("tradewind.toml", "[metrics]\nrecords = [\"www\", \"a/[\"]\n");
    assert!(of_metrics.contains("2:12: `www` names no record"), "{of_metrics}");
    assert!(of_metrics.contains("2:19: `a/[` is not a pattern"), "{of_metrics}");
    for part in ["5 is out of range: 0 to 0", "33 is out of range", "has no `v6`", "`dnstap`"] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn what_no_processor_and_no_resolver_would_bear_is_refused() {
    let text = r#"
[server]
cpu_affinity = [1, 1024, 1]
coalesce = "5ms"
"#;
    assert_eq!(
        lines("tradewind.toml", text),
        "\
3:20: 1024 is out of range: 0 to 1023
3:26: processor 1 is listed twice
4:12: `coalesce` is 1us to 1ms
    = \"50us\" is what pays; leave `coalesce` out to answer at once
"
    );
}

#[test]
fn limits_of_tcp_that_help_nobody_are_refused() {
    let networks = vec!["\"192.0.2.1\""; 17].join(", ");
    let text = format!(
        "[server]\ntcp = {{ clients = 0, per_source = 99999, idle = \"100ms\", idel = 1 }}\n\
         proxy = {{ trusted = [{networks}] }}\n"
    );
    assert_eq!(
        lines("tradewind.toml", &text),
        "\
2:19: 0 is out of range: 1 to 16384
2:35: 99999 is out of range: 1 to 16384
2:49: `idle` is 1s to 1h
    = \"10s\" suits resolvers, which ask for more by edns-tcp-keepalive
2:58: unknown key `idel`; did you mean `idle`?
3:21: 17 networks of proxies are too many
    = each query is held against them: write at most 16
"
    );
    let proxy = "[server]\nproxy = {}\n";
    assert!(lines("tradewind.toml", proxy).contains("`trusted`"));
}

#[test]
fn what_guards_the_server_is_read() {
    let text = r#"
[server]
cookies = { secret_file = "secrets/cookies", require = true }
ecs = { trusted = ["192.0.2.0/24"] }
nsid = "0x6E7331"
version = "none of yours"
id = "ns1"
[rrl]
per_second = 50
slip = 3
window = "5s"
errors_per_second = 10
exempt = []
[access]
allow = ["10.0.0.0/8"]
deny = ["10.1.0.0/16"]
drop = ["10.1.2.3"]
"#;
    assert_eq!(drawn("tradewind.toml", text), "");
    let mut problems = Problems::default();
    let read = server::read(&Path::new("tradewind.toml").into(), text, &mut problems).unwrap();
    let CookiesDef::On { secret_file, require: true } = read.server.cookies else {
        panic!("{:?}", read.server.cookies);
    };
    assert_eq!(secret_file.unwrap().get_ref(), Path::new("secrets/cookies"));
    assert_eq!(read.server.ecs_trusted.map(|nets| nets.len()), Some(1));
    let told = read.server.identity;
    assert_eq!(told.nsid.as_deref(), Some(&b"ns1"[..]));
    assert_eq!((told.version.as_deref(), told.id.as_deref()), (Some("none of yours"), Some("ns1")));
    let rrl = read.rrl;
    assert_eq!((rrl.per_second, rrl.slip, rrl.errors_per_second), (Some(50), Some(3), Some(10)));
    assert_eq!((rrl.window, rrl.exempt), (Some(Duration::from_secs(5)), Some(Vec::new())));
    let access = read.access;
    let lists = [access.allow, access.deny, access.drop];
    assert_eq!(
        lists.map(|list| list[0].get_ref().to_string()),
        ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32"]
    );
}

#[test]
fn what_would_guard_nothing_is_refused() {
    let text = r#"
[server]
cookies = "on"
ecs = {}
nsid = "0x6E733"
[rrl]
per_second = 100001
window = "0s"
exempt = ["10.0.0.1/8"]
[access]
refuse = ["10.0.0.0/8"]
"#;
    assert_eq!(
        lines("tradewind.toml", text),
        "\
3:11: this is a string; write { secret_file = \"secrets/cookies\" } or \"off\"
4:7: `ecs` has no `trusted`
    = add `trusted = [\"192.0.2.0/24\"]`
5:8: `nsid` is 1 to 128 bytes
    = write a name such as \"ns1\", or bytes such as \"0x6e7331\"
7:14: 100001 is out of range: 0 to 100000
8:10: `window` is 1s to 60s
    = a whole window of replies may go out at once; \"1s\" is usual
9:11: `10.0.0.1/8` has bits beyond its length; the network is `10.0.0.0/8`
11:1: unknown key `refuse`
    = [access] may have `allow`, `deny`, `drop`
"
    );
}

#[test]
fn what_comes_later_is_refused_as_such() {
    let text = r#"
schema = 2
[server]
mode = "cluster"
[breaker]
share = 0.5
"#;
    assert_eq!(
        lines("tradewind.toml", text),
        "\
2:10: a schema other than 1 is not in this version
    = write `schema = 1`, or leave it out
4:1: `mode` is not in this version
    = leave it out
5:2: `breaker` does not belong to tradewind.toml
    = write it under [health]
"
    );
}

#[test]
fn peers_have_names_of_their_own_and_are_asked_over_tls() {
    let text = r#"
[server]
peers = [
  { name = "ns2", admin = "https://ns2.example.net:8053/", token_file = "secrets/ns2" },
  { name = "ns3", admin = "http://127.0.0.1:8053" },
  { name = "ns2", admin = "https://a.example" },
  { name = "here", admin = "https://b.example" },
  { name = "ns4", admin = "http://192.0.2.1:8053" },
  { name = "ns5", admin = "ns5.example.net" },
  { name = "ns6" },
]
"#;
    assert_eq!(
        lines("tradewind.toml", text),
        "\
6:12: this name is taken
    = `--node` must tell them from each other and from `here`
7:12: this name is taken
    = `--node` must tell them from each other and from `here`
8:27: only this machine itself may be asked without TLS: the token would be seen
    = write \"https://ns2.example.net:8053\"
9:27: this is no https:// address
    = write \"https://ns2.example.net:8053\"
10:3: a peer has no `admin`
    = add `admin = \"https://ns2.example.net:8053\"`
"
    );
}

#[test]
fn a_check_that_comes_later_is_refused_as_such() {
    let text = r#"
[a]
type = "grpc"
service = "x"
[b]
type = "htps"
mode = "observe"
[c]
type = "tcp"
port = 70000
path = "/"
"#;
    assert_eq!(
        lines("healthchecks/a.toml", text),
        "\
3:8: check type `grpc` is not in this version
    = this one has `http`, `https`, `tcp`, `push`
6:8: no such check type `htps`; did you mean `https`?
10:8: 70000 is out of range: 1 to 65535
11:1: `path` does not belong to check `c`
    = a tcp check only connects; `http` and `https` send a request
"
    );
}

#[test]
fn the_check_of_the_design_is_read() {
    let text = r#"
[web]
type     = "https"
port     = 443
path     = "/healthz"
host     = "www.example.com"
expect   = { status = ["200-299", 304], body_contains = "ok" }
interval = "10s"
timeout  = "3s"
fall     = 3
rise     = 2
fast_recheck = "off"
"#;
    let mut problems = Problems::default();
    let file: Arc<Path> = Path::new("healthchecks/web.toml").into();
    let read = checks::read(&file, text, &mut problems);
    assert!(problems.is_empty(), "{problems:?}");
    let status = read[0].status.as_ref().unwrap().get_ref();
    assert_eq!(status[1].get_ref(), &(304..=304));
    assert_eq!(read[0].fast_recheck.as_ref().unwrap().get_ref(), &checks::OffOr::Off);
}

#[test]
fn an_unknown_key_is_drawn_with_the_one_that_was_meant() {
    let text = "zone = \"a.example\"\ntll = \"30s\"\n[pools.x]\nregoin = \"eu\"\nendpoints = []\n";
    assert_eq!(
        drawn("zones/a.toml", text),
        r#"error: unknown key `tll`; did you mean `ttl`?
 --> zones/a.toml:2:1
  |
2 | tll = "30s"
  | ^^^

error: unknown key `regoin`; did you mean `region`?
 --> zones/a.toml:4:1
  |
4 | regoin = "eu"
  | ^^^^^^

"#
    );
}

#[test]
fn broken_toml_is_drawn_where_it_breaks() {
    assert_eq!(
        drawn("zones/a.toml", "zone = \"a.example\"\nttl = 30s\n"),
        r#"error: string values must be quoted, expected literal string
 --> zones/a.toml:2:7
  |
2 | ttl = 30s
  |       ^^^

"#
    );
}

#[test]
fn what_is_written_twice_is_said_once() {
    let text = "zone = \"a.example\"\nttl = \"5s\"\nttl = \"6s\"\n[records.www]\npolicy = \"geo\"\n\
                [records.app]\n[records.www]\npolicy = \"geo\"\nrules = []\n";
    assert_eq!(
        lines("zones/a.toml", text),
        "3:1: `ttl` is defined twice\n    = leave one\n\
         7:10: `www` is defined twice\n    = leave one, or give the other a name of its own\n"
    );
}

#[test]
fn a_word_that_is_no_string_is_told_the_words() {
    let text = "zone = \"a.example\"\nsticky = true\n";
    let told = "2:10: this is a boolean; write \"none\" or \"client\"\n";
    assert_eq!(lines("zones/a.toml", text), told);
}

const ZONE: &str = include_str!("tests/design_zone.toml");

#[test]
fn the_zone_of_the_design_is_read() {
    assert_eq!(drawn("zones/gtm.example.com.toml", ZONE), "");
    let mut problems = Problems::default();
    let file: Arc<Path> = Path::new("zones/gtm.example.com.toml").into();
    let read = zone::read(&file, ZONE, &mut problems).unwrap();
    let names: Vec<&str> =
        read.records.iter().map(|r| r.name.as_ref()).map(String::as_str).collect();
    assert_eq!(names, ["www", "app", "api", "shop", "@"]);
    let text = read.static_text.unwrap();
    assert!(ZONE[text.start.unwrap()..].starts_with("ns1  3600 IN A"));
    assert_eq!(read.pools.len(), 7);
}

#[test]
fn mistakes_in_a_zone_are_all_found_at_once() {
    let text = include_str!("tests/zone_mistakes.toml");
    assert_eq!(lines("zones/a.toml", text), include_str!("tests/zone_mistakes.txt"));
}

#[test]
fn a_record_is_named_like_a_domain_and_everything_else_like_an_id() {
    let table = "policy = \"failover\"\nmembers = [\"p\"]\n";
    let records = ["*", "*.cdn", "0/25", "@", "a.b"];
    let records = records.map(|name| format!("[records.\"{name}\"]\n{table}")).concat();
    let zone = format!("zone = \"a.example\"\n{records}");
    assert_eq!(lines("zones/a.toml", &zone), "");
    let zone = format!("zone = \"a.example\"\n[policies.\"*.p\"]\n{table}");
    assert_eq!(lines("zones/a.toml", &zone), "2:11: a name cannot contain '*'\n");
    let check = "[\"a/b\"]\ntype = \"tcp\"\n";
    assert_eq!(lines("healthchecks/a.toml", check), "1:2: a name cannot contain '/'\n");
    let region = "[regions.\"a b\"]\nat = [1, 2]\n";
    assert_eq!(lines("tradewind.toml", region), "1:10: a name cannot contain ' '\n");
}

proptest::proptest! {
    #[test]
    fn no_text_makes_reading_or_drawing_panic(
        cut in 0..ZONE.len(),
        len in 0_usize..40,
        put in "[a-z\"'{}\\[\\],=.#\\\\ü0-9 \n-]{0,12}",
    ) {
        let start = (cut..).find(|&at| ZONE.is_char_boundary(at)).unwrap();
        let end = (start + len..).find(|&at| at >= ZONE.len() || ZONE.is_char_boundary(at)).unwrap();
        let text = [&ZONE[..start], &put, ZONE.get(end..).unwrap_or("")].concat();
        for path in ["zones/a.toml", "healthchecks/a.toml", "tradewind.toml"] {
            drawn(path, &text);
        }
    }
}
