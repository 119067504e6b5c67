//! `tradewind explain`: why a client gets what it gets, as an indented account.

use super::{
    Exit, completions, files,
    folder::FolderArgs,
    output::{Out, Paint},
    server::{Server, encoded},
};
use crate::{
    admin::{
        explain::{Ask, explain, percent},
        schema::{DrawnBy, Explanation, Place, Steered, StepMark},
        suppose::calm,
    },
    snapshot::Snapshot,
};
use clap::Args;
use clap_complete::ArgValueCompleter;

const EXAMPLES: &str = "\
Examples:
  tradewind explain www.gtm.example.com --client 203.0.113.7
      Where the client is, every candidate kept or dropped and why, the exact share of each
      answer, which one a sticky name gives this client, TTL and ECS scope.
  tradewind explain api.gtm.example.com AAAA --client 2001:db8:1::/48
      The same for a client network, as resolvers send it.
  tradewind explain app.gtm.example.com --client 203.0.113.7 --what-if region:us-east-1=down
      What would be answered then. Also endpoint:NAME and pool:NAME, with * for anything, and
      =up, =degraded, =drained; may be given several times.
  tradewind explain shop.gtm.example.com --client 203.0.113.7 --offline
      From the files alone, without a server, as if all were up.

The running server answers, by the functions that answer its packets.

Exit codes: 0 explained · 1 a supposition matches nothing · 2 not a name, type or address ·
3 the files do not load (--offline) · 5 no server answers";

/// Why a client gets what it gets.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ExplainArgs {
    /// The name
    #[arg(add = ArgValueCompleter::new(completions::owners))]
    pub name: String,
    /// The record type
    #[arg(value_name = "TYPE", default_value = "A")]
    pub rtype: String,
    /// The client: an address, or the network a resolver sends for it
    #[arg(long, value_name = "ADDR|PREFIX")]
    pub client: String,
    /// Suppose that something is down, e.g. endpoint:iad-1=down
    #[arg(long, value_name = "WHAT=STATE")]
    pub what_if: Vec<String>,
    /// From the files alone, as if all were up
    #[arg(long)]
    pub offline: bool,
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
}

/// Explains what `args` ask.
pub fn run(args: &ExplainArgs, out: &mut Out) -> Exit {
    let what_if = args.what_if.iter().map(String::as_str);
    let ask = match Ask::read(&args.name, &args.rtype, &args.client, what_if) {
        Ok(ask) => ask,
        Err(error) => {
            out.error(error, None);
            return Exit::Usage;
        }
    };
    let said = if args.offline { offline(args, &ask, out) } else { online(args, out) };
    match said {
        Ok(said) if out.wants_json() => {
            out.schema(&said);
            Exit::Well
        }
        Ok(said) => {
            print(&said, out);
            Exit::Well
        }
        Err(exit) => exit,
    }
}

fn online(args: &ExplainArgs, out: &mut Out) -> Result<Explanation, Exit> {
    let path = format!(
        "/v1/explain?name={}&type={}&client={}&what_if={}",
        encoded(&args.name),
        encoded(&args.rtype),
        encoded(&args.client),
        encoded(&args.what_if.join(",")),
    );
    Server::of(args.folder.path(), out).get(&path).map_err(|error| error.tell(out))
}

fn offline(args: &ExplainArgs, ask: &Ask, out: &mut Out) -> Result<Explanation, Exit> {
    let (folder, compiled) = files::compiled(args.folder.path(), out)?;
    let snapshot: Snapshot = compiled.snapshot;
    explain(&calm(snapshot), Some(&folder.locations), ask).map_err(|error| {
        out.error(error, None);
        Exit::Failed
    })
}

fn print(said: &Explanation, out: &mut Out) {
    let sentence = out.paint(Paint::Strong, &said.sentence);
    out.line(sentence);
    for note in &said.notes {
        out.line(format_args!("({note})"));
    }
    out.line("");
    field("client", &said.client, out);
    if !said.supposed.is_empty() {
        field("supposed", said.supposed.join(", "), out);
    }
    if let Some(zone) = &said.zone {
        field("zone", zone, out);
    }
    if let Some(owner) = &said.owner {
        field("owner", owner, out);
    }
    for record in &said.records {
        field("record", record, out);
    }
    if let Some(steered) = &said.steering {
        print_steering(steered, out);
    }
}

fn field(name: &str, value: impl std::fmt::Display, out: &mut Out) {
    let name = out.paint(Paint::Faint, format_args!("{name:<9}"));
    out.line(format_args!("{name} {value}"));
}

fn print_steering(steered: &Steered, out: &mut Out) {
    field("record", &steered.record, out);
    if let Some(place) = &steered.place {
        print_place(place, out);
    }
    let mut heading = "why";
    for step in &steered.steps {
        let (sign, paint) = match (step.mark, out.wants_colour()) {
            (StepMark::Kept, true) => ("✔ ", Some(Paint::Good)),
            (StepMark::Kept, false) => ("+ ", None),
            (StepMark::Dropped, true) => ("✘ ", Some(Paint::Bad)),
            (StepMark::Dropped, false) => ("- ", None),
            (StepMark::Note, _) => ("", None),
        };
        let indent = "  ".repeat(step.depth.into());
        let colon = if step.name.is_empty() { "" } else { ": " };
        let line = format!("{indent}{sign}{}{colon}{}", step.name, step.why);
        let line = paint.map_or_else(|| line.clone(), |paint| out.paint(paint, &line));
        field(heading, line, out);
        heading = "";
    }
    let mut heading = "shares";
    for member in &steered.members {
        let indent = "  ".repeat(member.depth.into());
        let (share, name, weight) = (percent(member.share), &member.name, member.weight);
        field(heading, format_args!("{indent}{share:>8}  {name} (weight {weight})"), out);
        heading = "";
    }
    print_answers(steered, out);
}

fn print_place(place: &Place, out: &mut Out) {
    let Place { prefix, class, classes, .. } = place;
    let known = if place.known { "" } else { ", in no database: the default class" };
    field("map row", format_args!("{prefix} → class {class} of {classes}{known}"), out);
    let database = place.database.as_deref().unwrap_or("no database");
    let location = match (&place.location, &place.location_prefix) {
        (Some(location), Some(prefix)) => format!("{location} (all of {prefix})"),
        _ => "not known".to_owned(),
    };
    field("location", format_args!("{location}, says {database}"), out);
    if !place.networks.is_empty() {
        field("networks", place.networks.join(", "), out);
    }
}

fn print_answers(steered: &Steered, out: &mut Out) {
    let mut heading = "answers";
    for answer in &steered.answers {
        let records = match &answer.records[..] {
            [] => "(no data)".to_owned(),
            records => records.join(", "),
        };
        let endpoint = answer.endpoint.as_deref().unwrap_or("");
        let region = answer.region.as_deref().map_or_else(String::new, |r| format!(" in {r}"));
        let mine = if answer.this_client { "  ← this client" } else { "" };
        let share = percent(answer.share);
        let line = format!("{share:>8}  {records}  {endpoint}{region}{mine}");
        let line = if answer.this_client { out.paint(Paint::Good, line) } else { line };
        field(heading, line, out);
        heading = "";
    }
    let drawn = match (steered.draw.by, &steered.draw.network) {
        (DrawnBy::Nothing, _) => "there is only one answer".to_owned(),
        (DrawnBy::Chance, _) => "by chance, for each query anew".to_owned(),
        (DrawnBy::Client, network) => format!(
            "sticky: all of {} is given {}",
            network.as_deref().unwrap_or("this network"),
            match &steered.draw.path[..] {
                [] => "this endpoint".to_owned(),
                path => path.join(" → "),
            }
        ),
    };
    field("draw", drawn, out);
    field("ttl", format_args!("{} s: {}", steered.ttl_s, steered.ttl_why), out);
    field("scope", format_args!("/{}: {}", steered.scope, steered.scope_why), out);
    field("basis", &steered.basis, out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::tests::Page;

    /// The account of the repository's example files.
    fn account(name: &str, client: &str, what_if: &[&str]) -> String {
        let args = ExplainArgs {
            name: name.to_owned(),
            rtype: "A".to_owned(),
            client: client.to_owned(),
            what_if: what_if.iter().map(|&text| text.to_owned()).collect(),
            offline: true,
            folder: FolderArgs { dir: Some(env!("CARGO_MANIFEST_DIR").into()) },
        };
        let (page, errors) = (Page::default(), Page::default());
        let mut out = Out::into_writers(false, page.clone(), errors.clone());
        assert_eq!(run(&args, &mut out), Exit::Well, "{}", errors.text());
        page.text()
    }

    #[test]
    fn an_account_shows_the_way_from_the_client_to_its_answer() {
        let said = account("app.gtm.example.com", "192.0.2.9", &["pool:iad=down"]);
        assert_eq!(
            said,
            "\
app.gtm.example.com A: this client gets 198.51.100.10 for 5 s

client    192.0.2.9
supposed  pool:iad=down
zone      gtm.example.com
record    gtm.example.com/app
why         - iad: no endpoint is up
              - iad-1: down: supposed
            + dub: available
              + dub-1: up: as if it were
shares       100 %  dub-1 (weight 1)
answers      100 %  198.51.100.10  gtm.example.com/dub/dub-1 in eu-west-1  ← this client
draw      there is only one answer
ttl       5 s: shortened from 30s: gtm.example.com/iad/iad-1 has a failing probe
scope     /0: the answer does not depend on the client
basis     healthy
"
        );
    }

    #[test]
    fn an_account_of_a_sticky_name_names_the_network_and_its_member() {
        let said = account("beta.gtm.example.com", "203.0.113.77", &[]);
        assert!(said.contains("sticky: all of 203.0.113.0/24 is given"), "{said}");
        assert_eq!(said.matches("← this client").count(), 1, "{said}");
    }
}
