//! Judges by trade: zonemaster and dnsviz, who look for whatever may be wrong with a delegation
//! and the zone behind it, find nothing.
//!
//! They start at the root and want port 53 and addresses that a name server on the Internet could
//! have. So each test runs itself again in a network of its own, which holds nothing but a
//! loopback interface: there NSD is the root and all above our zones, and no packet can leave.

#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use serde_json::Value;
use std::{net::SocketAddr, process::Command};
use support::{
    alone::{is_alone, output},
    peers::{Authority, Program},
    scratch::Scratch,
    server::Server,
};

/// Where NSD is, and where we are. In networks of different holders, as is good practice.
const PARENT: &str = "11.0.7.1";
const OURS: [&str; 4] = ["11.0.1.53", "12.0.2.53", "2400:1::53", "2600:2::53"];

const ROOT: &str = "$TTL 86400
@ IN SOA ns.nic.test. hostmaster.example.test. 1 14400 7200 1209600 3600
@ IN NS ns.nic.test.
test IN NS ns.nic.test.
ns.nic.test. IN A 11.0.7.1
";
const TEST: &str = "$TTL 86400
@ IN SOA ns.nic hostmaster.example 1 14400 7200 1209600 3600
@ IN NS ns.nic
ns.nic IN A 11.0.7.1
example IN NS ns.example
ns.example IN A 11.0.7.1
";
const EXAMPLE: &str = "$TTL 86400
@ IN SOA ns hostmaster 1 14400 7200 1209600 3600
@ IN NS ns
@ IN MX 10 mail
mail IN A 11.0.7.25
ns IN A 11.0.7.1
";
/// The delegation of each of our zones, below `example.test`, and what each begins with.
const DELEGATION: &str = "ZONE IN NS ns1.ZONE
ZONE IN NS ns2.ZONE
ns1.ZONE IN A 11.0.1.53
ns1.ZONE IN AAAA 2400:1::53
ns2.ZONE IN A 12.0.2.53
ns2.ZONE IN AAAA 2600:2::53
";
const NAME_SERVERS: &str = "ns1 86400 IN A 11.0.1.53
ns1 86400 IN AAAA 2400:1::53
ns2 86400 IN A 12.0.2.53
ns2 86400 IN AAAA 2600:2::53
@ 86400 IN MX 10 mail.example.test.
";
const PLAIN: &str = "@ 86400 IN SOA ns1 hostmaster.example.test. 2026112801 14400 3600 1209600 3600
@ 86400 IN NS ns1
@ 86400 IN NS ns2
www 300 IN A 13.0.3.1
*.wild 300 IN CNAME www
old 300 IN DNAME wild
";
const STEERED: &str = r#"
[pools.west]
endpoints = [{ name = "west-1", ipv4 = "13.0.3.1", ipv6 = "2400:3::1" }]
[pools.east]
endpoints = [{ name = "east-1", ipv4 = "14.0.4.1" }]
[records."@"]
policy = "geo"
rules  = [{ match = ["continent:EU"], use = ["east"] }, { match = ["*"], use = ["west"] }]
[records."*.app"]
policy  = "weighted"
members = [{ pool = "west", weight = 9 }, { pool = "east", weight = 1 }]
"#;
const ZONES: [&str; 2] = ["gtm.example.test", "plain.example.test"];

/// What zonemaster remarks that is not ours to answer for: who lends an address names it, in a
/// zone of theirs. (Of networks and autonomous systems, which it looks up elsewhere, it does not
/// speak when there is nobody to ask.)
const NOT_OURS: &str = "NAMESERVER_IP_WITHOUT_REVERSE";

/// The parents and we, in a network of our own.
struct World {
    folder: Scratch,
    _parent: Authority,
    _ours: Server,
}

impl World {
    /// `None` for whom there is nothing to do: the test `name` ran, or was skipped.
    fn build(name: &str, tool: &str) -> Option<Self> {
        support::tool(tool)?;
        support::tool("nsd")?;
        let addresses = OURS.iter().chain([&PARENT]);
        let prepare: Vec<_> = addresses.map(|ip| format!("ip address add {ip} dev lo")).collect();
        if !is_alone(name, &prepare) {
            return None;
        }
        let delegations =
            ZONES.map(|zone| DELEGATION.replace("ZONE", zone.trim_end_matches(".example.test")));
        let example = EXAMPLE.to_owned() + &delegations.concat();
        let zones = [(".", ROOT), ("test", TEST), ("example.test", &example)];
        let parent = SocketAddr::new(PARENT.parse().unwrap(), 53);
        let parent = Authority::serve(Program::Nsd, parent, &zones)?;
        let listen = OURS.map(|ip| SocketAddr::new(ip.parse().unwrap(), 53).to_string());
        let steered = format!(
            "zone = \"{}\"\nns = [\"ns1.gtm.example.test\", \"ns2.gtm.example.test\"]\nttl = \"30s\"\n\
             soa = {{ rname = \"hostmaster.example.test\" }}\nstatic = '''\n{NAME_SERVERS}'''\n{STEERED}",
            ZONES[0]
        );
        let ours = Server::start(Scratch::with(&[
            ("tradewind.toml", &format!("[server]\nlisten = {listen:?}\nstate = \"state\"\n")),
            (&format!("zones/{}.toml", ZONES[0]), &steered),
            (&format!("zones/{}.zone", ZONES[1]), &(PLAIN.to_owned() + NAME_SERVERS)),
        ]));
        Some(World { folder: Scratch::new(), _parent: parent, _ours: ours })
    }
}

#[test]
fn zonemaster_finds_nothing() {
    let Some(world) = World::build("zonemaster_finds_nothing", "zonemaster-cli") else { return };
    let hints =
        world.folder.write("hints", ". 9 IN NS ns.nic.test.\nns.nic.test. 9 IN A 11.0.7.1\n");
    for zone in ZONES {
        let mut command = Command::new("zonemaster-cli");
        command.args(["--no-progress", "--json", "--level", "INFO", zone, "--hints"]).arg(&hints);
        let text = output(&mut command);
        let found: Vec<Value> = serde_json::from_str(&text).unwrap();
        assert!(found.len() > 50, "it hardly looked: {text}");
        let faults: Vec<_> = found
            .iter()
            .filter(|it| ["WARNING", "ERROR", "CRITICAL"].map(Value::from).contains(&it["level"]))
            .filter(|it| it["tag"] != NOT_OURS)
            .collect();
        assert!(faults.is_empty(), "{zone}: {faults:#?}");
    }
}

#[test]
fn dnsviz_finds_nothing() {
    let Some(world) = World::build("dnsviz_finds_nothing", "dnsviz") else { return };
    let root = format!(".+:ns.nic.test={PARENT}");
    for zone in ZONES {
        let mut probe = Command::new("dnsviz");
        // The ancestry from the root on, EDNS put to the test, and names in it of all kinds.
        probe.args(["probe", "-A", "-a", ".", "-E", "-x", &root, zone]);
        probe
            .args(["www", "a.app", "b.wild", "c.old", "none"].map(|name| format!("{name}.{zone}")));
        let probed = world.folder.write("probed", &output(&mut probe));
        let mut grok = Command::new("dnsviz");
        let found = output(grok.args(["grok", "-r"]).arg(&probed));
        let verdicts: Value = serde_json::from_str(&found).unwrap();
        assert_eq!(verdicts[format!("{zone}.")]["status"], "NOERROR", "{zone}");
        for fault in ["\"errors\"", "\"warnings\""] {
            assert!(!found.contains(fault), "{zone}: {found}");
        }
    }
}
