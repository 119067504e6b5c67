//! The client map at real size: lookups, scopes, compiling, and the embedded table's start.

#[path = "../tests/support/regions.rs"]
mod regions;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use regions::{Regions, THREE, TWELVE};
use std::{
    hint::black_box,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};
use tradewind::{clock::Dice, ids::Class, place::embedded};

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

fn place(c: &mut Criterion) {
    let table = &*embedded::table();
    let mut dice = Dice::seeded(1);
    let v4 = uniform_v4(&mut dice);
    for (name, names) in [("3 regions", &THREE[..]), ("12 regions", &TWELVE[..])] {
        let regions = Regions::over(table, names);
        let map = &regions.map;
        let masks: Vec<_> =
            (0..regions.classes()).map(|c| regions.same_answer(Class::at(c))).collect();
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
        bench("lookup and scope, IPv6, uniform", &v6, true);
        group.sample_size(10).bench_function("compile the map", |b| {
            b.iter(|| Regions::over(table, black_box(names)))
        });
        group.finish();
    }
    c.bench_function("unpack the embedded table", |b| b.iter(embedded::unpack));
}

criterion_group!(benches, place);
criterion_main!(benches);
