//! `tradewind geoip`: where an address is, and the table that is built into the program.

use super::{Exit, folder::FolderArgs, output::Out};
use crate::{
    admin::schema::SCHEMA_VERSION,
    config::Problems,
    control::reload::Locations,
    place::{
        build::{SourceInfo, build_table},
        fold,
    },
};
use clap::{Args, Subcommand};
use serde::Serialize;
use std::{
    net::IpAddr,
    path::{Path, PathBuf},
};

const EXAMPLES: &str = "\
Examples:
  tradewind geoip lookup 193.0.6.139
      What rules can match for this address, and which database says so.
  tradewind geoip build --source NAME --version 1 --licence CC0 --out . v4.mmdb v6.mmdb
      Make the table that is built into the program; only its maintainers need this. To use a
      database of your own, put its .mmdb into geoip/.

Exit codes: 0 well · 1 the address is in no database, or the table cannot be made";

/// Where an address is.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct GeoipArgs {
    /// What to do
    #[command(subcommand)]
    pub command: GeoipCommand,
}

/// What to do about locations.
#[derive(Subcommand, Clone, Debug)]
pub enum GeoipCommand {
    /// Look an address up, as rules would
    Lookup(LookupArgs),
    /// Make the embedded table from .mmdb files
    Build(BuildArgs),
}

/// Which address to look up.
#[derive(Args, Clone, Debug)]
pub struct LookupArgs {
    /// The address
    pub address: IpAddr,
    /// The folder.
    #[command(flatten)]
    pub folder: FolderArgs,
}

/// What to make the table from.
#[derive(Args, Clone, Debug)]
pub struct BuildArgs {
    /// One .mmdb, or one for each family
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Where they came from: a package or product
    #[arg(long)]
    pub source: String,
    /// Its version
    #[arg(long)]
    pub version: String,
    /// Its licence, and whom that says to credit
    #[arg(long)]
    pub licence: String,
    /// The folder to write the table and its manifest to
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
}

/// `geoip lookup --json`.
#[derive(Serialize)]
struct Found {
    schema_version: u32,
    address: IpAddr,
    network: Option<String>,
    continent: Option<&'static str>,
    country: Option<String>,
    subdivision: Option<String>,
    /// Latitude and longitude, where the database knows the place itself.
    coordinates: Option<[f32; 2]>,
    asn: Option<u32>,
    database: String,
}

/// Does what `args` say.
pub fn run(args: &GeoipArgs, out: &mut Out) -> Exit {
    match &args.command {
        GeoipCommand::Lookup(args) => lookup(args, out),
        GeoipCommand::Build(args) => build(args, out),
    }
}

fn lookup(args: &LookupArgs, out: &mut Out) -> Exit {
    let mut problems = Problems::default();
    let mut places = Locations::new(&args.folder.path().join("geoip"));
    places.refresh();
    let places_now = places.table();
    let table = places_now.table();
    places.news(&mut problems);
    for problem in problems.iter() {
        out.error(format_args!("{}: {}", problem.file.display(), problem.message), None);
    }
    let ip = fold(args.address);
    let found = table.lookup(ip);
    let database = table.sources_of(ip);
    if out.wants_json() {
        let location = found.as_ref().map(|(_, location)| location);
        out.schema(&Found {
            schema_version: SCHEMA_VERSION,
            address: args.address,
            network: found.as_ref().map(|(network, _)| network.to_string()),
            continent: location.and_then(|l| l.continent).map(|continent| continent.code()),
            country: location.and_then(|l| l.country).map(|country| country.to_string()),
            subdivision: location.and_then(|l| l.subdivision).map(|part| part.to_string()),
            coordinates: location.and_then(|l| l.at).map(|at| [at.lat, at.lon]),
            asn: location.and_then(|l| l.asn),
            database,
        });
    } else {
        let place = match &found {
            Some((network, location)) => {
                let continent = location.continent.map_or("no continent", |c| c.code());
                format!("{location}, {continent} (all of {network})")
            }
            None => "not known; clients there get what the catch-all gives".to_owned(),
        };
        let hidden = if ip == args.address { String::new() } else { format!(", seen as {ip}") };
        out.line(format_args!("{}{hidden}: {place}", args.address));
        out.line(format_args!("from {database}"));
    }
    if found.is_some() { Exit::Well } else { Exit::Failed }
}

fn build(args: &BuildArgs, out: &mut Out) -> Exit {
    let files: Vec<&Path> = args.files.iter().map(PathBuf::as_path).collect();
    let source = SourceInfo {
        source: args.source.clone(),
        version: args.version.clone(),
        licence: args.licence.clone(),
    };
    match build_table(&files, &args.out, source) {
        Ok(manifest) => {
            out.line(manifest.to_string().trim_end());
            Exit::Well
        }
        Err(problem) => {
            out.error(problem, None);
            Exit::Failed
        }
    }
}
