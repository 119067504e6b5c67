//! One zone with a name for every way an answer comes about, and a query for each.

use super::{Server, UNLIMITED, steered_zone};
use std::fmt::Write;

/// What is asked, and how. All names but `refused` are in the zone of [`medley`].
pub const QUERIES: &[(&str, &str)] = &[
    ("static", "www.example A edns=1232"),
    ("no data", "www.example TXT edns=1232"),
    ("nxdomain", "nothing.example A edns=1232"),
    ("wildcard", "any.wild.example A edns=1232"),
    ("referral", "www.sub.example A edns=1232"),
    ("cname chain", "c1.example A edns=1232"),
    ("dname", "www.old.example A edns=1232"),
    ("any", "www.example ANY edns=1232"),
    ("weighted", "weighted.example A edns=1232"),
    ("sticky 2", "sticky-2.example A edns=1232"),
    ("sticky 8", "sticky-8.example A edns=1232"),
    ("sticky 64", "sticky-64.example A edns=1232"),
    ("geo", "geo.example A from=193.0.6.139"),
    ("geo ecs", "geo.example A ecs=193.0.6.0/24"),
    ("geo ecs v6", "geo.example AAAA ecs=2001:67c:2e8::/48"),
    ("latency ecs", "latency.example A ecs=133.11.0.0/24"),
    ("nested", "nested.example A ecs=193.0.6.0/24"),
    ("nested sticky", "nested-sticky.example A ecs=193.0.6.0/24"),
    ("multivalue", "multivalue.example A edns=1232"),
    ("steered cname", "alias.example A ecs=193.0.6.0/24"),
    ("cname to steered", "to-weighted.example A edns=1232"),
    ("steered wildcard", "any.all.example A edns=1232"),
    ("steered no data", "geo.example TXT ecs=193.0.6.0/24"),
    ("truncated", "large.example A"),
    ("refused", "www.example.org A edns=1232"),
    ("transfer", "example AXFR edns=1232"),
    ("other class", "www.example A class=CH"),
];

const FIXED: &str = "
www A 192.0.2.80
*.wild A 192.0.2.81
sub NS ns.sub
ns.sub A 192.0.2.54
c1 CNAME c2
c2 CNAME c3
c3 CNAME www
to-weighted CNAME weighted
old DNAME new
www.new A 192.0.2.82
$GENERATE 1-100 large A 192.0.2.$
";

const STEERED: &str = r#"
[pools.stable]
region = "us-east-1"
endpoints = [{ name = "s-1", ipv4 = "192.0.2.10" }, { name = "s-2", ipv4 = "192.0.2.11" }]
[pools.canary]
region = "us-east-1"
endpoints = [{ name = "c-1", ipv4 = "192.0.2.20" }]
[pools.us]
region = "us-east-1"
endpoints = [{ name = "us-1", ipv4 = "192.0.2.30", ipv6 = "2001:db8:1::1" }]
[pools.eu]
region = "eu-west-1"
endpoints = [{ name = "eu-1", ipv4 = "192.0.2.40", ipv6 = "2001:db8:2::1" }]
[pools.ap]
region = "ap-northeast-1"
endpoints = [{ name = "ap-1", ipv4 = "192.0.2.50", ipv6 = "2001:db8:3::1" }]
[pools.elsewhere]
endpoints = [{ name = "e-1", cname = "nested.example" }, { name = "e-2", cname = "geo.example" }]
[policies.split]
policy = "weighted"
members = [{ pool = "eu", weight = 70 }, { pool = "stable", weight = 20 }, { pool = "canary", weight = 10 }]
[records.weighted]
policy = "weighted"
members = [{ pool = "stable", weight = 90 }, { pool = "canary", weight = 10 }]
[records."*.all"]
policy = "weighted"
members = [{ pool = "stable", weight = 90 }, { pool = "canary", weight = 10 }]
[records.geo]
policy = "geo"
rules = [
  { match = ["country:JP", "continent:OC"], use = ["ap"] },
  { match = ["continent:EU"], use = ["eu"] },
  { match = ["*"], use = ["us"] },
]
[records.latency]
policy = "latency"
members = ["us", "eu", "ap"]
tie = "10ms"
[records.nested]
policy = "geo"
rules = [{ match = ["continent:EU"], use = ["split"] }, { match = ["*"], use = ["us"] }]
[records.nested-sticky]
policy = "geo"
rules = [{ match = ["continent:EU"], use = ["split"] }, { match = ["*"], use = ["us"] }]
sticky = "client"
[records.multivalue]
policy = "multivalue"
members = ["stable", "canary", "us", "eu", "ap"]
[records.alias]
policy = "weighted"
members = ["elsewhere"]
"#;

/// What is asked of a server with everything on, beside the [`QUERIES`]: it knows this cookie, and
/// has a name.
pub const STRANGERS: &[(&str, &str)] = &[
    ("new cookie", "www.example A from=198.51.100.100 cookie=2464c4abcf10c957"),
    (
        "valid cookie",
        "www.example A from=198.51.100.100 cookie=2464c4abcf10c957010000005cf79f111f8130c3eee29480",
    ),
    (
        "forged cookie",
        "www.example A from=198.51.100.100 cookie=2464c4abcf10c957010000005cf79f111f8130c3eee29481",
    ),
    ("nsid", "www.example A nsid"),
    ("version", "version.bind TXT class=CH"),
    ("counted", "nothing.example A edns=1232"),
    ("exempt", "nothing.example A edns=1232 from=10.1.2.3"),
    ("denied", "www.example A edns=1232 from=10.2.0.1"),
    ("not trusted", "geo.example A ecs=193.0.6.0/24 from=203.0.113.7"),
];

/// What the file of such a server says; over the limit everything slips.
pub const ALL_ON: &str = "
[server]
cookies = { secret_file = 'secrets/first' }
nsid = 'ns1'
version = 'none of yours'
ecs = { trusted = ['192.0.2.0/24'] }
[rrl]
per_second = 1
slip = 1
errors_per_second = 1
exempt = ['10.0.0.0/8']
[access]
deny = ['10.2.0.0/16']
";
/// When the cookies of [`STRANGERS`] were made.
pub const COOKIES_MADE: u32 = 1_559_731_985;

/// The server that the [`QUERIES`] are for.
pub fn medley() -> Server {
    made(UNLIMITED)
}

/// The file of its zone.
pub fn zone() -> String {
    steered_zone(FIXED, &steered())
}

/// The same server, whose own file says `told`.
pub fn made(told: &str) -> Server {
    Server::steered_and_told(told, FIXED, &steered())
}

fn steered() -> String {
    let mut steered = STEERED.to_owned();
    for count in [2, 8, 64] {
        let members =
            (0..count).map(|i| format!("{{ ipv4 = '203.0.113.{i}', weight = {} }}", i + 1));
        let members = members.collect::<Vec<_>>().join(", ");
        let record = format!("[records.sticky-{count}]\npolicy = 'weighted'\nsticky = 'client'");
        writeln!(steered, "{record}\nmembers = [{members}]").unwrap();
    }
    steered
}
