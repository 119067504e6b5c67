//! Every mistake in a drill is told, with its place; the ready drills have none.

use super::*;
use crate::config::{Sources, sources::SERVER_FILE};

fn told(text: &str) -> Vec<String> {
    let sources = Sources::in_memory([(SERVER_FILE, ""), ("drills/x.toml", text)]);
    let mut problems = Problems::default();
    let def = read(&Path::new("drills/x.toml").into(), text, &mut problems);
    assert_eq!(def.is_some(), !problems.has_errors());
    problems.sort();
    problems.iter().map(|problem| problem.line(&sources)).collect()
}

#[test]
fn all_mistakes_are_told_at_once_with_what_was_meant() {
    let text = r#"[drill]
name = "a/b"
mode = "observe"
max_duration = "2h"
need_ack = true
windows = { allow = ["monday"] }
[[steady]]
name = "s"
query = { name = "x.example", rate = "5000/s", clients = ["nobody"] }
[[step]]
id = "one"
action = "node.stop"
[[step]]
id = "two"
action = "probe.fault"
target = "region:eu"
for = "1m"
[[step]]
id = "three"
action = "checker.isolate"
target = "region:eu"
for = "1m"
[[stop]]
when = "answers.emty > 0"
[expect]
detct = "5s"
lost_queries = "none"
"#;
    let wanted = [
        "drills/x.toml:2:8: a name cannot contain '/'",
        "drills/x.toml:3:8: mode `observe` is not in this version",
        "drills/x.toml:4:16: `max_duration` is above zero and at most 1h",
        "drills/x.toml:5:1: unknown key `need_ack`; did you mean `needs_ack`?",
        "drills/x.toml:6:22: `monday` is not a window",
        "drills/x.toml:9:38: `5000/s` is not a rate",
        "drills/x.toml:9:59: `nobody` is not a client",
        "drills/x.toml:12:10: action `node.stop` is not in this version",
        "drills/x.toml:15:10: this action has no `params`",
        "drills/x.toml:21:1: `target` does not belong to a step",
        "drills/x.toml:24:8: nothing is called `answers.emty`; did you mean `answers.empty`?",
        "drills/x.toml:26:1: unknown key `detct`; did you mean `detect`?",
        "drills/x.toml:27:16: this is a string; write a whole number, 0 to 4294967295",
    ];
    assert_eq!(told(text), wanted);
}

#[test]
fn a_file_that_is_no_drill_says_how_to_make_one() {
    assert_eq!(told("schema = 1\n"), ["drills/x.toml: there is no [drill]"]);
    let nothing = "[drill]\nname = \"x\"\nmode = \"live\"\nmax_duration = \"1m\"\n";
    assert_eq!(told(nothing), ["drills/x.toml:1:1: this drill does nothing"]);
}

#[test]
fn clients_are_told_as_resolvers_tell_them() {
    let text = "[drill]\nname = \"x\"\nmode = \"live\"\nmax_duration = \"1m\"\n\
        [[steady]]\nname = \"s\"\nquery = { name = \"a.example\", clients = [\"203.0.113.7\", \
        \"2001:db8:1:2::3\", \"ecs:198.51.100.0/25\"] }\n\
        [[step]]\nid = \"a\"\naction = \"geo.bad\"\nfor = \"1s\"\n";
    let def = read(&Path::new("drills/x.toml").into(), text, &mut Problems::default()).unwrap();
    let clients: Vec<String> = def.steady[0].clients.iter().map(ToString::to_string).collect();
    assert_eq!(clients, ["203.0.113.0/24", "2001:db8:1::/56", "198.51.100.0/25"]);
    assert!(def.needs_ack && def.min_regions == 2);
}
