//! What stands beside addresses: other records of a pool, names that are flattened, wildcards, the apex.

use super::*;

#[test]
fn what_cannot_go_along_with_addresses_is_refused_line_by_line() {
    let zone = r#"
[pools.p]
endpoints = [{ name = "p", ipv4 = "192.0.2.3" }]
extra = """
@ 60 TXT "fine but for its TTL"
_443._tcp SRV 1 1 443 @
@ A 192.0.2.4
@ CNAME two.a.example.
@ NS two.a.example.
@ DNSKEY 256 3 13 AA==
@ CH TXT "chaos"
@ MX ten mail
$INCLUDE more.inc
"""
[pools.empty]
endpoints = [{ name = "p", ipv4 = "192.0.2.4" }]
extra = "; nothing"
[pools.much]
endpoints = [{ name = "p", ipv4 = "192.0.2.5" }]
extra = '''
$GENERATE 1-50 @ TXT "0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890123456 $"
$GENERATE 1-9 @ TYPE6530$ \# 1 00
'''
"#;
    assert_eq!(
        told(zone),
        "\
warning 5:1: a TTL means nothing in `extra`: the record's own `ttl` holds
6:1: `extra` stands at the name of the record that answers the pool
    = write `@`; for another name (`_443._tcp.www`) make a record of it with the same members: records with one `cohort` and `sticky = \"client\"` choose alike
7:1: A cannot stand in `extra`
    = addresses are endpoints: they have a verdict and a weight
8:1: CNAME cannot stand in `extra`
    = a name with addresses is no alias (RFC 1034 §3.6.2)
9:1: NS cannot stand in `extra`
    = who serves a name is the same for all: write it in `static`
10:1: DNSKEY cannot stand in `extra`
    = what signs a zone is not chosen by client
11:1: CH cannot stand in `extra`
    = write IN, or nothing
12:6: `ten` is not a number up to 65535
    = write it as in `MX 10 mail.example.com.`
13:10: cannot read `zones/more.inc`: `extra` stands by itself
17:9: the `extra` of pool `empty` holds no record
    = write one, as in `@ TXT \"canary\"`, or leave it out
20:9: the `extra` of pool `much` has 10 types
    = 8 is the most: make records of their own of some
20:9: the `extra` of pool `much` is 5050 bytes of data
    = 4096 is the most: it would not fit into an answer, and every region has a copy
"
    );
}

#[test]
fn what_goes_along_with_addresses_stands_beside_no_cname_and_nothing_static() {
    let zone = r#"
[pools.p]
endpoints = [{ name = "p", ipv4 = "192.0.2.3", ipv6 = "2001:db8::3" }]
extra = "@ MX 10 mail"
[pools.out]
endpoints = [{ name = "o", cname = "www.example.org" }]
[records.far]
policy = "failover"
members = ["p", "out"]
"#;
    assert_eq!(
        told(zone),
        "\
7:10: `far` answers a CNAME and also has `extra` records
    = a CNAME must be alone at its name (RFC 1034 §3.6.2): use pools of addresses, or leave `extra` out
"
    );
    let zone = r#"
[pools.p]
endpoints = [{ name = "p", ipv4 = "192.0.2.3", ipv6 = "2001:db8::3" }]
extra = "@ MX 10 mail"
[records.ns]
policy = "weighted"
members = [{ pool = "p", weight = 3 }, { pool = "one", weight = 1 }]
"#;
    let head = HEAD.replace("A 192.0.2.53", "MX 10 mail").replace("[\"ns.", "[\"ns.b.");
    let said = lines(&sources(&format!("{head}{zone}")));
    for told in [
        "`ns.a.example` has a static MX and also one from a pool's `extra`\n    = remove the static",
        "`one` has no MX: 25 % of MX get NODATA\n    = put MX records into the `extra` of every pool",
    ] {
        assert!(said.contains(told), "{said}");
    }
}

#[test]
fn names_are_flattened_at_the_apex_and_where_a_record_says_so() {
    let compiled = good(
        r#"
[pools.out]
endpoints = [{ name = "o", cname = "www.example.org" }]
[records."@"]
policy = "failover"
members = ["out"]
[records.flat]
policy = "weighted"
members = ["one", { cname = "Other.example.org." }]
flatten = true
[records.alias]
policy = "failover"
members = ["out"]
"#,
    );
    let snapshot = &compiled.snapshot;
    let names: Vec<_> = snapshot.aliases.iter().map(|alias| alias.name.to_string()).collect();
    assert_eq!(names, ["other.example.org", "www.example.org"]);
    let has_cname = |id| snapshot.plan(record(&compiled, id).plan).has_cname;
    assert!(!has_cname("a.example/@") && !has_cname("a.example/flat"));
    assert!(has_cname("a.example/alias"));
    let report = compiled.report.to_string();
    let line =
        "flattened www.example.org, in a.example/@: its addresses are looked up by this server";
    assert!(report.contains(line) && report.contains("without the clients' networks"), "{report}");
}

#[test]
fn what_cannot_be_flattened_is_told() {
    let many: Vec<_> =
        (0..65).map(|n| format!("{{ name = \"n{n}\", cname = \"n{n}.example.org\" }}")).collect();
    let zone = format!(
        "[pools.many]\nendpoints = [{}]\n[records.flat]\npolicy = \"failover\"\n\
         members = [\"many\"]\nflatten = true\n\
         [records.self]\npolicy = \"failover\"\nmembers = [{{ cname = \"self.a.example\" }}]\n\
         flatten = true\n\
         [records.none]\npolicy = \"failover\"\nmembers = [\"one\", \"two\"]\nflatten = true\n",
        many.join(", ")
    );
    assert_eq!(
        told(&zone),
        "\
3:10: `flat` flattens 65 names
    = 64 is the most: each is looked up all the time
7:10: `self.a.example` points to the record itself
    = a CNAME must lead somewhere else
warning 14:11: `flatten` means nothing here: no member is a CNAME
"
    );
}

#[test]
fn wildcards_and_the_apex_are_steered_under_their_own_names() {
    let table = "policy = \"failover\"\nmembers = [\"one\", \"two\"]\n";
    let names = ["@", "*.cdn", "deep.a.example."];
    let compiled = good(&names.map(|name| format!("[records.\"{name}\"]\n{table}")).concat());
    let owners: Vec<String> =
        compiled.snapshot.records.iter().map(|record| record.owner.to_string()).collect();
    assert_eq!(owners, ["a.example", "*.cdn.a.example", "deep.a.example"]);
}
