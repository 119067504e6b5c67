//! The client map at real size: lookups, scopes, compiling, and the embedded table's start; the
//! same with a City database.
//!
//! `CITY_DATABASE=…/GeoLite2-City.mmdb` names a real one; without it one is generated, a tenth as
//! large.

#![expect(clippy::unwrap_used, reason = "a bench may panic")]
#![expect(clippy::print_stdout, reason = "sizes stand beside the times")]

#[path = "../tests/support/mmdb_writer.rs"]
mod mmdb_writer;
#[path = "../tests/support/regions.rs"]
mod regions;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mmdb_writer::Database;
use regions::{Regions, THREE, TWELVE};
use serde_json::json;
use std::{
    env, fs,
    hint::black_box,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::Arc,
};
use tradewind::{
    clock::Dice,
    ids::Class,
    place::{LocationTable, embedded, mmdb},
};

const CLIENTS: usize = 1 << 16;

/// Clients all over IPv4, known and unknown.
fn uniform_v4(dice: &mut Dice) -> Vec<IpAddr> {
    let client = |_| Ipv4Addr::from_bits(dice.roll() as u32).into();
    (0..CLIENTS).map(client).collect()
}

/// Clients in space that is given out: one in a random known leaf below each of many prefixes.
fn known_v6(dice: &mut Dice, regions: &Regions) -> Vec<IpAddr> {
    let mut clients = Vec::new();
    while clients.len() < CLIENTS {
        // 2001:: to 2c0f::, where the registries' space lies.
        let top = [0x2001, 0x2400, 0x2600, 0x2800, 0x2a00, 0x2c00][dice.roll() as usize % 6];
        let low = dice.roll() & 0x000f_ffff_ffff;
        let ip: IpAddr = Ipv6Addr::from_bits(u128::from(top << 48 | low << 4) << 64).into();
        if regions.map.lookup(ip).known {
            clients.push(ip);
        }
    }
    clients
}

/// A City database: each of 2^16 networks in one of 2^16 places, and nothing of IPv6.
fn generated_city() -> Vec<u8> {
    let mut dice = Dice::seeded(2);
    let mut database = Database::v6();
    for index in 0..1_u32 << 16 {
        let place = dice.roll() as u16;
        let (lat, lon) = (f64::from(place >> 8) / 2.0 - 60.0, f64::from(place & 255) - 128.0);
        let country = ["US", "DE", "JP", "BR"][usize::from(place & 3)];
        let record = json!({
            "country": { "iso_code": country },
            "subdivisions": [{ "iso_code": "CA" }],
            "location": { "latitude": lat, "longitude": lon },
        });
        let first = Ipv4Addr::from_bits(1 << 24 | index << 12);
        database = database.with(&format!("{first}/20"), record);
    }
    database.bytes()
}

fn city(c: &mut Criterion) {
    let bytes = match env::var_os("CITY_DATABASE") {
        Some(path) => fs::read(path).expect("CITY_DATABASE can be read"),
        None => generated_city(),
    };
    let database = mmdb::parse(&bytes).expect("a City database");
    println!("City: {} bytes held of {} read", database.bytes(), bytes.len());
    assert!(database.bytes() <= 25 << 20, "25 MiB are the limit");
    let mut table = LocationTable::default();
    table.add(Arc::new(database)).expect("the first database clashes with nothing");
    table.fill(embedded::database);
    c.benchmark_group("City")
        .sample_size(10)
        .bench_function("read the database", |b| b.iter(|| mmdb::parse(black_box(&bytes))));
    lookups(c, "City, 12 regions", &table, &TWELVE);
}

fn place(c: &mut Criterion) {
    let table = embedded::table();
    for (name, names) in [("3 regions", &THREE[..]), ("12 regions", &TWELVE[..])] {
        lookups(c, name, &table, names);
    }
    c.bench_function("unpack the embedded table", |b| b.iter(embedded::unpack));
}

fn lookups(c: &mut Criterion, name: &str, table: &LocationTable, names: &[&str]) {
    let mut dice = Dice::seeded(1);
    let v4 = uniform_v4(&mut dice);
    let regions = Regions::over(table, names);
    println!("{name}: {} classes, {} bytes", regions.classes(), regions.map.bytes());
    let map = &regions.map;
    let masks: Vec<_> = (0..regions.classes()).map(|c| regions.same_answer(Class::at(c))).collect();
    let v6 = known_v6(&mut dice, &regions);
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(1));
    let mut bench = |what: &str, clients: &[IpAddr], with_scope: bool| {
        let mut next = 0;
        group.bench_function(what, |b| {
            b.iter(|| {
                next = (next + 1) % clients.len();
                let hit = map.lookup(black_box(clients[next]));
                if with_scope {
                    u32::from(map.scope(&hit, &masks[hit.class.index()]))
                } else {
                    u32::from(hit.class.0)
                }
            })
        });
    };
    bench("lookup, IPv4, hot", &v4[..256], false);
    bench("lookup, IPv4, uniform", &v4, false);
    bench("lookup, IPv6, hot", &v6[..256], false);
    bench("lookup, IPv6, uniform", &v6, false);
    bench("lookup and scope, IPv4, hot", &v4[..256], true);
    bench("lookup and scope, IPv4, uniform", &v4, true);
    bench("lookup and scope, IPv6, hot", &v6[..256], true);
    bench("lookup and scope, IPv6, uniform", &v6, true);
    group
        .sample_size(10)
        .bench_function("compile the map", |b| b.iter(|| Regions::over(table, black_box(names))));
    group.finish();
}

criterion_group!(benches, place, city);
criterion_main!(benches);
