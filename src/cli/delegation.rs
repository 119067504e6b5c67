//! `tradewind delegation`: what the parent zone must say for a zone of ours to be found, and
//! whether it does.

mod judge;
mod verify;

use super::{
    Exit,
    folder::FolderArgs,
    output::{Out, Paint},
    parse,
};
use crate::clock::Clock;
use clap::Args;
use hickory_proto::{ProtoError, rr::Name};
use judge::Finding;
use serde_json::{Value, json};
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};
use verify::Verifier;

/// TTL of the lines for the parent, in seconds: what we give our own NS records (DESIGN §5, TTL).
const TTL: u32 = 3600;

const EXAMPLES: &str = "\
Examples:
  tradewind delegation gtm.example.com
      The lines to put into the zone example.com.
  tradewind delegation gtm.example.com --verify
      Asks the parent's servers and each of ours, over UDP and TCP.
  tradewind delegation gtm.example.com --verify --parent 192.0.2.1
      The same before the world is told: asks that server as the parent.

Exit codes: 0 well · 1 something is wrong · 3 the files do not load";

/// Print the NS and glue lines for the parent zone, and check them.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct DelegationArgs {
    /// The zone, as it is named in zones/
    #[arg(value_parser = parse::name)]
    pub zone: Name,
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
    /// Ask the parent and each listed server, and say what is wrong
    #[arg(long)]
    pub verify: bool,
    /// A server of the parent zone [default: found through the system's resolver]
    #[arg(long, value_name = "ADDR[:PORT]", requires = "verify", value_parser = parse::server)]
    pub parent: Option<SocketAddr>,
    /// Where the listed servers listen, for a rehearsal; the world always asks on 53
    #[arg(long, value_name = "PORT", default_value_t = 53, requires = "verify")]
    pub port: u16,
    /// How long to wait for a reply, in seconds; a silent server is asked three times
    #[arg(long, value_name = "SECONDS", default_value = "2", requires = "verify", value_parser = parse::timeout)]
    pub timeout: Duration,
}

/// What our files say about the zone's servers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelegationFacts {
    /// The zone's apex.
    pub zone: Name,
    /// Its servers and their addresses; none for a server outside the zone, whose addresses
    /// stand elsewhere.
    pub ns: Vec<(Name, Vec<IpAddr>)>,
}

impl DelegationFacts {
    /// Facts from names as text, absolute with or without the last dot.
    ///
    /// # Errors
    /// When a name is none.
    pub fn new<'a>(
        zone: &str,
        ns: impl IntoIterator<Item = (&'a str, Vec<IpAddr>)>,
    ) -> Result<Self, ProtoError> {
        let absolute = |text: &str| {
            let mut name = Name::from_ascii(text)?;
            name.set_fqdn(true);
            Ok::<_, ProtoError>(name)
        };
        let ns = ns.into_iter().map(|(name, addresses)| Ok((absolute(name)?, addresses)));
        Ok(DelegationFacts { zone: absolute(zone)?, ns: ns.collect::<Result<_, ProtoError>>()? })
    }

    /// Whether the parent must carry addresses for `server`: without them nobody could ask it
    /// for its own address (RFC 9471 §2.1).
    fn needs_glue(&self, server: &Name) -> bool {
        self.zone.zone_of(server)
    }

    /// The records for the parent: all NS, then the glue.
    fn lines(&self) -> Vec<Line> {
        let line =
            |owner: &Name, rtype, data: String| Line { owner: owner.to_ascii(), rtype, data };
        let servers = self.ns.iter().map(|(name, _)| line(&self.zone, "NS", name.to_ascii()));
        let glue =
            self.ns.iter().filter(|(name, _)| self.needs_glue(name)).flat_map(|(name, all)| {
                all.iter().map(move |address| match address {
                    IpAddr::V4(v4) => line(name, "A", v4.to_string()),
                    IpAddr::V6(v6) => line(name, "AAAA", v6.to_string()),
                })
            });
        servers.chain(glue).collect()
    }
}

/// One line for the parent's zone file.
struct Line {
    owner: String,
    rtype: &'static str,
    data: String,
}

/// Prints the lines, and with `--verify` what is wrong with them in the world.
pub fn run(
    args: &DelegationArgs,
    facts: &DelegationFacts,
    clock: &dyn Clock,
    out: &mut Out,
) -> Exit {
    let findings = args.verify.then(|| {
        let verifier =
            Verifier { clock, facts, parent: args.parent, port: args.port, timeout: args.timeout };
        verifier.findings()
    });
    if out.wants_json() {
        out.schema(&json(facts, findings.as_deref()));
    } else {
        print_lines(facts, out);
        if let Some(findings) = &findings {
            print_findings(findings, out);
        }
    }
    match findings {
        Some(findings) if !findings.is_empty() => Exit::Failed,
        _ => Exit::Well,
    }
}

fn print_lines(facts: &DelegationFacts, out: &mut Out) {
    let heading = format!("; for the parent zone of {}", facts.zone.to_ascii());
    let heading = out.paint(Paint::Faint, heading);
    out.line(heading);
    let lines = facts.lines();
    let width = lines.iter().map(|line| line.owner.len()).max().unwrap_or(0);
    for Line { owner, rtype, data } in lines {
        out.line(format_args!("{owner:width$}  {TTL}  IN  {rtype:4}  {data}"));
    }
}

fn print_findings(findings: &[Finding], out: &mut Out) {
    if findings.is_empty() {
        let verdict = out.paint(Paint::Good, "well");
        return out.line(format_args!("; {verdict}: parent and servers agree with our files"));
    }
    for finding in findings {
        let wrong = out.paint(Paint::Bad, "wrong");
        out.line(format_args!("; {wrong}: {}: {}", finding.about, finding.problem));
        if let Some(hint) = finding.hint {
            out.line(format_args!(";        hint: {hint}"));
        }
    }
}

fn json(facts: &DelegationFacts, findings: Option<&[Finding]>) -> Value {
    let lines = facts.lines().into_iter().map(
        |line| json!({ "name": line.owner, "ttl": TTL, "type": line.rtype, "data": line.data }),
    );
    let findings = findings.map(|all| {
        let each =
            all.iter().map(|f| json!({ "about": f.about, "problem": f.problem, "hint": f.hint }));
        each.collect::<Vec<_>>()
    });
    json!({
        "zone": facts.zone.to_ascii(),
        "lines": lines.collect::<Vec<_>>(),
        "verified": findings.is_some(),
        "wrong": findings.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::output::tests::Page, clock::SystemClock};
    use clap::Parser;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        delegation: DelegationArgs,
    }

    fn facts() -> DelegationFacts {
        let address = |text: &str| text.parse().unwrap();
        DelegationFacts::new(
            "gtm.example.com",
            [
                ("ns1.gtm.example.com", vec![address("192.0.2.53"), address("2001:db8::53")]),
                ("ns2.example.net.", vec![address("198.51.100.53")]),
            ],
        )
        .unwrap()
    }

    fn print(json: bool) -> String {
        let args = Cli::parse_from(["delegation", "gtm.example.com"]).delegation;
        let page = Page::default();
        let mut out = Out::into_writers(json, page.clone(), Page::default());
        let exit = run(&args, &facts(), &SystemClock::default(), &mut out);
        assert_eq!(exit, Exit::Well);
        page.text()
    }

    #[test]
    fn the_parent_gets_every_ns_and_glue_for_servers_inside_the_zone_only() {
        assert_eq!(
            print(false),
            "; for the parent zone of gtm.example.com.\n\
             gtm.example.com.      3600  IN  NS    ns1.gtm.example.com.\n\
             gtm.example.com.      3600  IN  NS    ns2.example.net.\n\
             ns1.gtm.example.com.  3600  IN  A     192.0.2.53\n\
             ns1.gtm.example.com.  3600  IN  AAAA  2001:db8::53\n"
        );
    }

    #[test]
    fn options_fit_together_and_help_teaches_by_examples() {
        use clap::CommandFactory;
        let mut command = Cli::command();
        command.clone().debug_assert();
        let help = command.render_help().to_string();
        assert!(help.contains("--verify --parent 192.0.2.1"), "{help}");
        assert!(Cli::try_parse_from(["delegation", "x.example", "--port", "5300"]).is_err());
    }

    #[test]
    fn json_says_the_same_and_that_nothing_was_verified() {
        let value: Value = serde_json::from_str(&print(true)).unwrap();
        assert_eq!(value["lines"].as_array().unwrap().len(), 4);
        assert_eq!(value["lines"][3]["type"], "AAAA");
        assert_eq!(value["verified"], false);
    }
}
