//! `tradewind events`: what happened to a running server, oldest first, and what happens next.
//!
//! Following is asking again for what came after the last event seen, each time waiting for it;
//! so a server that is restarted is followed on, and one that is away is waited for.

use super::{
    Exit,
    folder::FolderArgs,
    output::{Out, Paint},
    server::{Server, ServerError, encoded},
};
use crate::{
    admin::schema::EventLine,
    config::{hooks::EVENT_WORDS, nearest, parse_duration},
};
use clap::Args;
use std::{thread::sleep, time::Duration};

const EXAMPLES: &str = "\
Examples:
  tradewind events
      Loads, verdicts, failovers and what they did to answers, as far back as they are kept.
  tradewind events --since 1h --kind failover,verdict
      Those of the last hour, of two kinds. `--kind alarm` is whatever someone should look at.
  tradewind events --incident 1207
      All that was published together with event 1207, its summary first.
  tradewind events --since 120 --follow --json
      Those after number 120 and all that follow, a line of JSON each.

Exit codes: 0 well · 1 no such incident · 5 no server answers";

/// A server that does not answer while it is followed is asked again this often.
const AGAIN: Duration = Duration::from_secs(1);
/// Events that are shown before those that follow.
const TAIL: usize = 10;
/// How long the server may wait before it says that nothing happened, in seconds.
const WAIT: u64 = 30;

/// What happened to a running server.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct EventsArgs {
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Only events after this number, or not older than this: 120, 1h
    #[arg(long, value_name = "N|AGO", value_parser = read_since)]
    pub since: Option<String>,
    /// Only events of these kinds; `alarm` is all that someone should look at
    #[arg(long, value_name = "KIND", value_delimiter = ',', value_parser = read_kind)]
    pub kind: Vec<String>,
    /// Only the events that were published together with this one, the summary first
    #[arg(long, value_name = "N", conflicts_with = "since")]
    pub incident: Option<u64>,
    /// Go on with what happens from now on; without --since after the last ten
    #[arg(long, short, conflicts_with = "incident")]
    pub follow: bool,
}

fn read_since(text: &str) -> Result<String, String> {
    if text.parse::<u64>().is_err() {
        parse_duration(text).map_err(|_| "give a number, or how long ago: 30s, 5m, 1h, 2d")?;
    }
    Ok(text.to_owned())
}

fn read_kind(text: &str) -> Result<String, String> {
    if text == "alarm" || EVENT_WORDS.contains(&text) {
        return Ok(text.to_owned());
    }
    match nearest(text, EVENT_WORDS.iter().copied()) {
        Some(meant) => Err(format!("no such kind; did you mean `{meant}`?")),
        None => Err(format!("no such kind; there are: alarm, {}", EVENT_WORDS.join(", "))),
    }
}

/// Prints what happened, and with `--follow` what happens.
pub fn run(args: &EventsArgs, out: &mut Out) -> Exit {
    let server = Server::of(args.folder.path(), out);
    match args.follow {
        true => follow(&server, args, out),
        false => match kept(&server, args) {
            Ok(events) => show(args, events, out),
            Err(error) => error.tell(out),
        },
    }
}

/// Everything that is asked for, page by page.
fn kept(server: &Server, args: &EventsArgs) -> Result<Vec<EventLine>, ServerError> {
    let incident = match args.incident {
        // Whichever of its events was named.
        Some(named) => incident_of(server, named)?,
        None => None,
    };
    let mut all: Vec<EventLine> = Vec::new();
    loop {
        let last = all.last().map(|last| last.seq.to_string());
        let query = query(last.as_ref().or(args.since.as_ref()), args, incident, 0);
        let page: Vec<EventLine> = server.get(&query)?;
        if page.is_empty() {
            return Ok(all);
        }
        all.extend(page);
    }
}

/// The incident that event number `seq` is part of; if it is kept no more, whatever has its number.
fn incident_of(server: &Server, seq: u64) -> Result<Option<u64>, ServerError> {
    let after = seq.saturating_sub(1);
    let page: Vec<EventLine> = server.get(&format!("/v1/events?since={after}"))?;
    Ok(page.first().filter(|event| event.seq == seq).map(|event| event.incident).or(Some(seq)))
}

fn query(since: Option<&String>, args: &EventsArgs, incident: Option<u64>, wait: u64) -> String {
    let mut query = format!("/v1/events?wait={wait}");
    if let Some(since) = since {
        query.push_str(&format!("&since={}", encoded(since)));
    }
    if let Some(incident) = incident {
        query.push_str(&format!("&incident={incident}"));
    }
    if !args.kind.is_empty() {
        query.push_str(&format!("&kind={}", encoded(&args.kind.join(","))));
    }
    query
}

fn show(args: &EventsArgs, mut events: Vec<EventLine>, out: &mut Out) -> Exit {
    if args.incident.is_some() {
        // Stable: its other events stay in the order in which they happened.
        events.sort_by_key(|event| event.summary.is_none());
    }
    if out.wants_json() {
        out.list("events", &events);
        return Exit::Well;
    }
    if let (Some(incident), true) = (args.incident, events.is_empty()) {
        out.error(format_args!("no event {incident} is kept"), None);
        return Exit::Failed;
    }
    let mut before = None;
    for event in &events {
        let line = line(event, before, out);
        out.line(line);
        if let (Some(_), Some(summary)) = (args.incident, &event.summary) {
            let names = summary.names.join(", ");
            out.line(format_args!("{:>INDENT$}{names}", ""));
        }
        before = Some(event.incident);
    }
    Exit::Well
}

/// Where texts begin: number, time of day, offset.
const INDENT: usize = 7 + 2 + 24 + 2 + 13 + 2;

/// One event; those that belong to the incident of the one `before` are set in.
fn line(event: &EventLine, before: Option<u64>, out: &Out) -> String {
    let offset = format!("+{:.3}s", event.offset_ms / 1e3);
    let part = if before == Some(event.incident) { "  " } else { "" };
    let who = event.who.as_ref().map(|who| format!(" (by {who})")).unwrap_or_default();
    let line = format!("{:>7}  {}  {offset:>13}  {part}{}{who}", event.seq, event.at, event.text);
    if event.alarm { out.paint(Paint::Bad, line) } else { line }
}

/// Prints what happened and what happens until the reader goes away.
fn follow(server: &Server, args: &EventsArgs, out: &mut Out) -> Exit {
    let mut since = args.since.clone();
    let (mut before, mut answered, mut away) = (None, false, false);
    while !out.is_broken() {
        let wait = if answered { WAIT } else { 0 };
        let mut asked = query(since.as_ref(), args, None, wait);
        if since.is_none() {
            asked += &format!("&last={TAIL}");
        }
        let page: Vec<EventLine> = match server.get(&asked) {
            Ok(page) => page,
            Err(ServerError::NotReachable { .. }) if answered => {
                if !std::mem::replace(&mut away, true) {
                    out.complain("the server does not answer; waiting for it\n");
                }
                sleep(AGAIN);
                continue;
            }
            Err(error) => return error.tell(out),
        };
        if std::mem::take(&mut away) {
            out.complain("the server answers again\n");
        }
        answered = page.is_empty() || answered;
        for event in &page {
            match out.wants_json() {
                true => out.schema_line(event),
                false => {
                    let line = line(event, before, out);
                    out.line(line);
                }
            }
            before = Some(event.incident);
        }
        if let Some(last) = page.last() {
            (since, answered) = (Some(last.seq.to_string()), true);
        }
    }
    Exit::Well
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{admin::schema::IncidentSummary, cli::output::tests::Page};
    use std::io;

    fn event(seq: u64, incident: u64, text: &str) -> EventLine {
        let summary = text.starts_with("published").then(|| IncidentSummary {
            counts: [("verdict down".to_owned(), 1)].into(),
            names: vec!["z/a/1".to_owned()],
        });
        EventLine {
            seq,
            boot: 1,
            offset_ms: 12_345.0,
            at: "2026-11-22T12:01:07.120Z".into(),
            swap: 3,
            incident,
            event: "verdict".into(),
            alarm: false,
            text: text.into(),
            who: None,
            cause: None,
            subject: None,
            from: None,
            to: None,
            decided_ms: None,
            took_ms: None,
            summary,
        }
    }

    fn args(incident: Option<u64>) -> EventsArgs {
        let folder = FolderArgs::default();
        EventsArgs { folder, since: None, kind: Vec::new(), incident, follow: false }
    }

    fn shown(incident: Option<u64>, events: Vec<EventLine>) -> String {
        let data = Page::default();
        let mut out = Out::into_writers(false, data.clone(), io::sink());
        show(&args(incident), events, &mut out);
        data.text()
    }

    #[test]
    fn what_belongs_together_is_set_in_and_an_incident_has_its_summary_first() {
        let events = vec![
            event(7, 7, "z/a/1 up → down"),
            event(8, 7, "published: 1 plans"),
            event(9, 9, "loaded"),
        ];
        assert_eq!(
            shown(None, events.clone()),
            "      7  2026-11-22T12:01:07.120Z       +12.345s  z/a/1 up → down
      8  2026-11-22T12:01:07.120Z       +12.345s    published: 1 plans
      9  2026-11-22T12:01:07.120Z       +12.345s  loaded
"
        );
        assert_eq!(
            shown(Some(7), events[..2].to_vec()),
            "      8  2026-11-22T12:01:07.120Z       +12.345s  published: 1 plans
                                                  z/a/1
      7  2026-11-22T12:01:07.120Z       +12.345s    z/a/1 up → down
"
        );
    }

    #[test]
    fn slips_in_kinds_and_times_are_told() {
        assert!(read_kind("failvoer").unwrap_err().contains("did you mean `failover`?"));
        assert!(read_kind("zzzzzzzz").unwrap_err().contains("there are: alarm, loaded"));
        assert_eq!(read_kind("alarm").unwrap(), "alarm");
        assert!(read_since("soon").is_err() && read_since("1h").is_ok() && read_since("7").is_ok());
    }

    #[test]
    fn a_query_says_what_was_asked_for() {
        let mut args = args(None);
        args.kind = vec!["verdict".into(), "alarm".into()];
        let query = query(Some(&"1h".to_owned()), &args, Some(3), 30);
        assert_eq!(query, "/v1/events?wait=30&since=1h&incident=3&kind=verdict%2Calarm");
    }
}
