//! The operator's files, read and compiled without a server: for `check`, `explain --offline`
//! and `delegation`.

use super::{
    Exit,
    delegation::{DelegationArgs, DelegationFacts},
    loading,
    output::Out,
};
use crate::{
    clock::{Clock, SystemClock},
    compile::{Compiled, CounterName, Input, Memory, compile},
    config::{
        Problems, Progress,
        sources::{Sources, SourcesError},
    },
    control::{reload::Locations, secrets},
    ids::CounterSlot,
    place::LazyTable,
    wire::{Name, Rdatas, types::Rtype},
    zone::Zone,
};
use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    path::Path,
    sync::Arc,
};

/// A folder as it was read.
pub struct Folder {
    /// The files.
    pub sources: Sources,
    /// Where clients are.
    pub locations: Arc<LazyTable>,
    /// What they compile to; nothing if what all zones share does not.
    pub compiled: Option<Compiled>,
    /// Everything that is wrong.
    pub problems: Problems,
}

impl Folder {
    /// Reads and compiles `dir`.
    ///
    /// # Errors
    /// When it cannot be read at all.
    pub fn read(dir: &Path) -> Result<Folder, SourcesError> {
        let progress = Progress::default();
        loading::shown(&progress, || Self::compile(dir, &progress))
    }

    /// Compiles `sources`, which were read elsewhere, beside the databases of `dir`.
    pub fn of(dir: &Path, sources: Sources) -> Folder {
        let progress = Progress::default();
        loading::shown(&progress, || Self::compiled(dir, sources, &progress))
    }

    fn compile(dir: &Path, progress: &Progress) -> Result<Folder, SourcesError> {
        Ok(Self::compiled(dir, Sources::read(dir, progress)?, progress))
    }

    fn compiled(dir: &Path, sources: Sources, progress: &Progress) -> Folder {
        let mut problems = Problems::default();
        let mut places = Locations::new(&dir.join("geoip"));
        places.refresh();
        let locations = places.table();
        // Nothing is counted here, so that all may share one place.
        let mut counter = |_: CounterName<'_>| CounterSlot(0);
        let input = Input {
            sources: &sources,
            last_good: &BTreeMap::new(),
            locations: Some(&locations),
            serials: &HashMap::new(),
            secret: &|file| secrets::read(dir, file).map(Some),
            progress,
            counter: &mut counter,
        };
        let compiled = match compile(input, &mut Memory::default()) {
            Ok(mut compiled) => {
                problems.append(std::mem::take(&mut compiled.problems));
                problems.append(compiled.expiring(SystemClock::default().wall()));
                Some(compiled)
            }
            Err(wrong) => {
                problems.append(wrong);
                None
            }
        };
        places.news(&mut problems);
        Folder { sources, locations, compiled, problems }
    }
}

/// Reads `dir` for a command that needs it sound as a whole; what is wrong is told.
pub(super) fn compiled(dir: &Path, out: &mut Out) -> Result<(Folder, Compiled), Exit> {
    let mut folder = Folder::read(dir).map_err(|error| {
        out.error(error, None);
        Exit::FilesInvalid
    })?;
    match folder.compiled.take() {
        Some(compiled) => Ok((folder, compiled)),
        None => {
            out.complain(&folder.problems.render(&folder.sources, false));
            out.error("the files do not load", Some("`tradewind check` says the same"));
            Err(Exit::FilesInvalid)
        }
    }
}

/// What the files say about the servers of the zone `args` name.
pub(super) fn delegation_facts(
    args: &DelegationArgs,
    out: &mut Out,
) -> Result<DelegationFacts, Exit> {
    let (_, compiled) = compiled(args.folder.path(), out)?;
    let wanted = args.zone.to_ascii();
    let zones = &compiled.snapshot.zones;
    let same = |apex: &Name| apex.to_string().eq_ignore_ascii_case(wanted.trim_end_matches('.'));
    let Some(entry) = zones.iter().find(|entry| same(&entry.apex)) else {
        let names: Vec<String> = zones.iter().map(|entry| entry.apex.to_string()).collect();
        let hint = format!("the zones are: {}", names.join(", "));
        out.error(
            format_args!("no zone {wanted} in {}", args.folder.path().display()),
            Some(&hint),
        );
        return Err(Exit::Failed);
    };
    let Some(zone) = &entry.zone else {
        out.error(format_args!("zone {wanted} does not compile"), Some("see `tradewind check`"));
        return Err(Exit::FilesInvalid);
    };
    let servers = servers(zone);
    let servers = servers.iter().map(|(name, addresses)| (&**name, addresses.clone()));
    DelegationFacts::new(&zone.apex().to_string(), servers).map_err(|error| {
        out.error(error, None);
        Exit::Failed
    })
}

/// The zone's servers, with the addresses of those inside it.
fn servers(zone: &Zone) -> Vec<(String, Vec<IpAddr>)> {
    let listed = zone.apex_node().rrset(Rtype::NS);
    let names = listed.into_iter().flat_map(|rrset| rrset.rdatas.iter(Some(zone.apex())));
    let servers = names.filter_map(|wire| Name::from_wire(&wire).ok()).map(|name| {
        let node = zone.find(&name);
        let of = |rtype| node.and_then(|node| node.rrset(rtype)).map(|rrset| &rrset.rdatas);
        let v4 = of(Rtype::A).into_iter().flat_map(addresses);
        let v6 = of(Rtype::AAAA).into_iter().flat_map(addresses);
        (name.to_string(), v4.chain(v6).collect())
    });
    servers.collect()
}

fn addresses(rdatas: &Rdatas) -> Vec<IpAddr> {
    let address = |rdata: Vec<u8>| {
        let v4 = <[u8; 4]>::try_from(&rdata[..]).map(|octets| Ipv4Addr::from(octets).into());
        v4.or_else(|_| <[u8; 16]>::try_from(&rdata[..]).map(|octets| Ipv6Addr::from(octets).into()))
    };
    rdatas.iter(None).filter_map(|rdata| address(rdata).ok()).collect()
}
