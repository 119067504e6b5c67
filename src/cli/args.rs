//! The command line as a whole: which commands there are, and what `--help` teaches first.

use super::{
    api::ApiArgs,
    apply::ApplyArgs,
    audit::AuditArgs,
    check::CheckArgs,
    completions::CompletionsArgs,
    debug::DebugArgs,
    delegation::DelegationArgs,
    drill::DrillArgs,
    events::EventsArgs,
    explain::ExplainArgs,
    geoip::GeoipArgs,
    get::GetArgs,
    hand::{
        confirm::ConfirmArgs,
        drain::{DrainArgs, UndrainArgs},
        failover::{ApproveArgs, FailbackArgs, FailoverArgs, RejectArgs},
        force::ForceArgs,
        hold::{HoldArgs, UnholdArgs},
        overrides::OverridesArgs,
        pin::{PinArgs, UnpinArgs},
        weight::WeightArgs,
    },
    health::HealthArgs,
    man::ManArgs,
    output::OutputArgs,
    plan::PlanArgs,
    query::QueryArgs,
    reload::{ReloadArgs, RollbackArgs},
    rollout::RolloutArgs,
    serve::{DemoArgs, ServeArgs},
    simulate::SimulateArgs,
    status::StatusArgs,
    token::TokenArgs,
};
use clap::{Parser, Subcommand};

const TOUR: &str = "\
First steps:
  tradewind demo                             three regions on this machine, and what to try
  tradewind check -C /etc/tradewind          read the files, say all that is wrong with them
  tradewind serve -C /etc/tradewind          answer
  tradewind plan                             what your edits would change, and for whom
  tradewind explain www.gtm.example.com --client 203.0.113.7
                                             why this client gets what it gets

Every command that prints data takes --json. `tradewind COMMAND --help` has examples.

Exit codes: 0 well · 1 failed or degraded · 2 usage · 3 files invalid · 4 conflict ·
5 server not reachable · 6 refused by a safety rule · 10 changes pending · 20 drill FAIL · 21 ABORTED";

/// A self-hosted global traffic manager: authoritative DNS that steers clients over regions by
/// latency, geography, weight and health.
#[derive(Parser, Debug)]
#[command(name = "tradewind", version, after_help = TOUR, max_term_width = 100)]
pub(super) struct Cli {
    #[command(flatten)]
    pub output: OutputArgs,
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand, Debug)]
pub(super) enum Command {
    Serve(ServeArgs),
    Demo(DemoArgs),
    Check(CheckArgs),
    Plan(PlanArgs),
    Apply(ApplyArgs),
    Simulate(SimulateArgs),
    Reload(ReloadArgs),
    Rollback(RollbackArgs),
    Status(StatusArgs),
    Health(HealthArgs),
    Explain(ExplainArgs),
    Events(EventsArgs),
    Audit(AuditArgs),
    Query(QueryArgs),
    Delegation(DelegationArgs),
    Geoip(GeoipArgs),
    Drain(DrainArgs),
    Undrain(UndrainArgs),
    Force(ForceArgs),
    Weight(WeightArgs),
    Failover(FailoverArgs),
    Failback(FailbackArgs),
    Approve(ApproveArgs),
    Reject(RejectArgs),
    Hold(HoldArgs),
    Unhold(UnholdArgs),
    Pin(PinArgs),
    Unpin(UnpinArgs),
    Confirm(ConfirmArgs),
    Overrides(OverridesArgs),
    Rollout(RolloutArgs),
    Get(GetArgs),
    Api(ApiArgs),
    Debug(DebugArgs),
    Man(ManArgs),
    Completions(CompletionsArgs),
    Drill(DrillArgs),
    Token(TokenArgs),
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound_and_every_command_has_help() {
        let mut cli = Cli::command();
        cli.clone().debug_assert();
        cli.build();
        for command in cli.get_subcommands().filter(|command| command.get_name() != "help") {
            assert!(command.get_about().is_some(), "{}", command.get_name());
            assert!(command.get_after_help().is_some(), "{} has examples", command.get_name());
        }
    }

    /// What a command does, as far as every one of its kind has the same options.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Does {
        /// Tells something once.
        Tells,
        /// Tells how something stands: it can be watched.
        Stands,
        /// Changes what a running server does.
        Changes,
        /// Begins or ends a drill, which has its own plan and reasons.
        Drills,
        /// Runs a server, or writes what no server knows of.
        Else,
    }
    use Does::{Changes, Drills, Else, Stands, Tells};

    /// Every command: a new one belongs here, and then has what its kind has.
    const COMMANDS: &[(&str, Does)] = &[
        ("api openapi", Else),
        ("apply", Changes),
        ("approve", Changes),
        ("audit", Tells),
        ("audit verify", Tells),
        ("check", Tells),
        ("completions", Else),
        ("confirm", Changes),
        ("debug bundle", Else),
        ("delegation", Tells),
        ("demo", Else),
        ("drain", Changes),
        ("drill abort", Drills),
        ("drill history", Tells),
        ("drill list", Tells),
        ("drill plan", Tells),
        ("drill report", Tells),
        ("drill run", Drills),
        ("drill watch", Tells),
        ("events", Tells),
        ("explain", Tells),
        ("failback", Changes),
        ("failover", Changes),
        ("force", Changes),
        ("geoip build", Else),
        ("geoip lookup", Tells),
        ("get", Tells),
        ("health", Stands),
        ("hold", Changes),
        ("man", Else),
        ("overrides", Stands),
        ("pin", Changes),
        ("plan", Tells),
        ("query", Tells),
        ("reject", Changes),
        ("reload", Changes),
        ("rollback", Changes),
        ("rollout abort", Drills),
        ("rollout finish", Drills),
        ("rollout list", Tells),
        ("rollout pause", Drills),
        ("rollout plan", Tells),
        ("rollout promote", Drills),
        ("rollout resume", Drills),
        ("rollout retry", Drills),
        ("rollout start", Drills),
        ("rollout status", Stands),
        ("rollout undo", Drills),
        ("serve", Else),
        ("simulate", Tells),
        ("status", Stands),
        ("token new", Else),
        ("undrain", Changes),
        ("unhold", Changes),
        ("unpin", Changes),
        ("weight", Changes),
    ];

    /// `command` and those below it that do something by themselves.
    fn walk(command: &clap::Command, path: &str, found: &mut Vec<(String, Vec<String>)>) {
        for below in command.get_subcommands().filter(|below| below.get_name() != "help") {
            let path = format!("{path} {}", below.get_name()).trim().to_owned();
            if !below.is_subcommand_required_set() {
                let options = below.get_arguments().filter_map(|arg| arg.get_long());
                found.push((path.clone(), options.map(str::to_owned).collect()));
            }
            walk(below, &path, found);
        }
    }

    #[test]
    fn every_command_has_the_options_of_its_kind() {
        let mut cli = Cli::command();
        cli.build();
        let mut found = Vec::new();
        walk(&cli, "", &mut found);
        found.sort();
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        let listed: Vec<&str> = COMMANDS.iter().map(|(name, _)| *name).collect();
        assert_eq!(names, listed, "all of them, in order");
        for ((name, options), (_, does)) in found.iter().zip(COMMANDS) {
            let wanted: &[&str] = match does {
                Tells => &["json", "color"],
                Stands => &["json", "color", "watch"],
                Changes => &["json", "color", "dry-run", "reason", "as"],
                Drills => &["json", "color"],
                Else => &["color"],
            };
            for option in wanted {
                assert!(options.iter().any(|has| has == option), "{name} has no --{option}");
            }
        }
    }

    #[test]
    fn commands_read_as_the_manual_writes_them() {
        for line in [
            "serve -C /etc/tradewind --ready-file /run/ready",
            "serve --log-format json",
            "demo",
            "demo kill us-east-1 -C /tmp/x",
            "check --json",
            "plan",
            "plan ./review -C /etc/tradewind --weights clients.csv -o plan.json --json",
            "apply",
            "apply plan.json --yes --wait",
            "apply --yes --wait 5m --break-glass --reason x",
            "simulate --down region:us-east-1 --drain pool:a/b --bias nrt=-5ms",
            "simulate --file changes.toml --weights observed",
            "reload --force",
            "rollback",
            "rollback 7",
            "status --json -C x",
            "explain a.example --client 192.0.2.1",
            "explain a.example AAAA --client 192.0.2.0/24 --what-if region:x=down --offline",
            "events --since 7",
            "audit --since 1d --who ana --target region:us --json -C x",
            "audit verify --file state.redb -C x",
            "delegation a.example --verify",
            "geoip lookup 192.0.2.1",
            "drain region:us-east-1 --over 5m --for 30m --reason x --wait",
            "drain pool:a/b --at +10m --dry-run --json -C x",
            "undrain id:7",
            "force check:web auto",
            "weight record:a/www canary=20 --at 2026-11-23T02:00Z",
            "weight endpoint:a/b/c reset",
            "failover record:www.a --to dub --as ana",
            "failback policy:a/b",
            "approve record:a/b",
            "reject id:3",
            "hold record:a/b --for 1h",
            "unhold record:a/b",
            "pin --break-glass --reason x",
            "unpin",
            "confirm 7",
            "confirm --falls",
            "overrides --json",
            "rollout start www --reason x --even-if-degraded",
            "rollout status",
            "rollout status www --watch --json -C x",
            "rollout promote www --full",
            "rollout finish www",
            "rollout list",
            "weight record:a/www canary=2.5%",
            "get records",
            "get endpoints a/* --json -C x",
            "api openapi",
            "overrides --json --watch",
            "approve --watch",
            "status -w --color never",
            "health dub --watch",
            "debug bundle -o x.tar.gz -C y",
            "drain region:us --node ns2",
            "reload --node here",
            "man /tmp/x",
            "completions bash",
            "drill list",
            "drill plan region-loss --json",
            "drill run region-loss --yes --mode shadow -C x",
            "drill watch",
            "drill abort -C x",
            "drill report region-loss --run 20261128T161449Z",
            "drill report --verify x.jsonl",
            "drill history region-loss",
            "token new ci --role operate --for 90d",
            "token new ci --role admin --forever --json",
            "geoip build --source x --version 1 --licence CC0 --out . a.mmdb b.mmdb",
        ] {
            let words = std::iter::once("tradewind").chain(line.split(' '));
            if let Err(error) = Cli::try_parse_from(words) {
                panic!("{line}: {error}");
            }
        }
        for line in [
            "",
            "demo kill",
            "explain a.example",
            "rollback seven",
            "geoip lookup x",
            "drain",
            "force x maybe",
            "weight x y=-1",
            "pin --for x",
            "token new ci --role operate",
            "token new a/b --role read --forever",
        ] {
            let words = std::iter::once("tradewind").chain(line.split_whitespace());
            assert!(Cli::try_parse_from(words).is_err(), "{line}");
        }
    }
}
