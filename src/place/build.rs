//! Makes the location table that is embedded: `.mmdb` files in, the packed table and a manifest
//! that says where it came from out. `tradewind geoip build` calls this; the server never does.

use super::{
    codec,
    mmdb::{self, MmdbProblem},
    table::{Clash, Database, LocationTable, TableInfo},
};
use std::{
    fmt, fs, io,
    path::{Path, PathBuf},
    sync::Arc,
};

/// The packed table's file name.
pub const TABLE_FILE: &str = "country.table";
/// The manifest's file name, beside it.
pub const MANIFEST_FILE: &str = "manifest.toml";

/// What only the person who fetched the files knows of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceInfo {
    /// Where they came from: a package or a product.
    pub source: String,
    /// Its version.
    pub version: String,
    /// Its licence, and whom that says to credit.
    pub licence: String,
}

/// What was made, from what: written as `manifest.toml` beside the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// As given.
    pub source: SourceInfo,
    /// The day the database was made, as it says itself.
    pub date: String,
    /// Each file read, by name, with its SHA-256.
    pub inputs: Vec<(String, String)>,
    /// SHA-256 of the packed table.
    pub sha256: String,
    /// Its size.
    pub bytes: usize,
    /// How many locations it tells apart.
    pub locations: usize,
    /// How many runs of addresses, IPv4 and IPv6.
    pub runs: (usize, usize),
}

impl fmt::Display for Manifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |text: &str| toml::Value::from(text);
        writeln!(f, "# Made by `tradewind geoip build`; do not edit.")?;
        writeln!(f, "source    = {}", text(&self.source.source))?;
        writeln!(f, "version   = {}", text(&self.source.version))?;
        writeln!(f, "date      = {}", text(&self.date))?;
        writeln!(f, "licence   = {}", text(&self.source.licence))?;
        writeln!(f, "\n[table]\nfile      = {}", text(TABLE_FILE))?;
        writeln!(f, "sha256    = {}", text(&self.sha256))?;
        writeln!(f, "bytes     = {}", self.bytes)?;
        writeln!(f, "locations = {}", self.locations)?;
        writeln!(f, "runs_ipv4 = {}", self.runs.0)?;
        writeln!(f, "runs_ipv6 = {}", self.runs.1)?;
        for (file, sha256) in &self.inputs {
            writeln!(f, "\n[[input]]\nfile      = {}", text(file))?;
            writeln!(f, "sha256    = {}", text(sha256))?;
        }
        Ok(())
    }
}

/// Why no table was made.
#[derive(Debug, thiserror::Error)]
pub enum BuildProblem {
    /// Nothing to read.
    #[error("no .mmdb file given")]
    NoInput,
    /// An input that is no sound database.
    #[error("{}: {problem}", path.display())]
    Input {
        /// Which one.
        path: PathBuf,
        /// What is wrong with it.
        problem: MmdbProblem,
    },
    /// Two inputs that both cover a family.
    #[error("{}: covers {family}, which an earlier file covers too", path.display())]
    Overlap {
        /// The later one.
        path: PathBuf,
        /// `IPv4` or `IPv6`.
        family: &'static str,
    },
    /// The result could not be written.
    #[error("{}: cannot be written: {error}", path.display())]
    Output {
        /// Where to.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
}

/// Reads `inputs` (one file, or one for each family), and writes [`TABLE_FILE`] and
/// [`MANIFEST_FILE`] into `out_dir`, which is made if it is not there.
///
/// # Errors
/// When an input is unsound, two cover the same family, or the result cannot be written.
pub fn build_table(
    inputs: &[&Path],
    out_dir: &Path,
    source: SourceInfo,
) -> Result<Manifest, BuildProblem> {
    let mut table = LocationTable::default();
    let mut hashes = Vec::new();
    for path in inputs {
        let of_input = |problem| BuildProblem::Input { path: path.to_path_buf(), problem };
        let database = mmdb::read(path).map_err(of_input)?;
        let bytes = fs::read(path).map_err(|error| of_input(error.into()))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        hashes.push((name, super::sha256_hex(&bytes)));
        let overlap =
            |Clash { family, .. }| BuildProblem::Overlap { path: path.to_path_buf(), family };
        table.add(Arc::new(database)).map_err(overlap)?;
    }
    let table = described(&table, &source, &hashes)?;
    let packed = codec::pack(&table);
    let manifest = Manifest {
        source,
        date: table.info.date.clone(),
        inputs: hashes,
        sha256: super::sha256_hex(&packed),
        bytes: packed.len(),
        locations: table.locations().len(),
        runs: table.run_counts(),
    };
    fs::create_dir_all(out_dir)
        .map_err(|error| BuildProblem::Output { path: out_dir.to_path_buf(), error })?;
    write(out_dir.join(TABLE_FILE), &packed)?;
    write(out_dir.join(MANIFEST_FILE), manifest.to_string().as_bytes())?;
    Ok(manifest)
}

/// All of `table` in one database. Its date is that of the first input, its sum those of all.
fn described(
    table: &LocationTable,
    source: &SourceInfo,
    hashes: &[(String, String)],
) -> Result<Database, BuildProblem> {
    let spaces = table.spaces().ok_or(BuildProblem::NoInput)?.into_owned();
    let first = table.databases().first().ok_or(BuildProblem::NoInput)?;
    let hashes: Vec<&str> = hashes.iter().map(|(_, hash)| hash.as_str()).collect();
    let info = TableInfo {
        source: format!("{} {}", source.source, source.version),
        date: first.info.date.clone(),
        licence: source.licence.clone(),
        sha256: hashes.join(" "),
    };
    let mut database = Database::new(spaces, info);
    database.unite_equal_locations();
    Ok(database)
}

fn write(path: PathBuf, bytes: &[u8]) -> Result<(), BuildProblem> {
    fs::write(&path, bytes).map_err(|error| BuildProblem::Output { path, error })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::place::mmdb_writer::{Database, country_code};

    fn info() -> SourceInfo {
        SourceInfo { source: "test \"data\"".into(), version: "1".into(), licence: "CC0".into() }
    }

    #[test]
    fn what_is_built_answers_as_its_inputs_do() {
        let dir = tempfile::tempdir().unwrap();
        let (v4, v6) = (dir.path().join("v4.mmdb"), dir.path().join("v6.mmdb"));
        let four = Database::v4().with("192.0.2.0/24", country_code("DE"));
        fs::write(&v4, four.with("198.51.100.0/25", country_code("JP")).bytes()).unwrap();
        let six = Database::v6().with("2001:db8::/32", country_code("DE"));
        fs::write(&v6, six.bytes()).unwrap();

        let out = dir.path().join("new/folder");
        let manifest = build_table(&[&v4, &v6], &out, info()).unwrap();
        let packed = fs::read(out.join(TABLE_FILE)).unwrap();
        let mut table = LocationTable::default();
        table.add(Arc::new(codec::unpack(&packed).unwrap())).unwrap();
        for (ip, net, country) in [
            ("192.0.2.77", "192.0.2.0/24", "DE"),
            ("198.51.100.1", "198.51.100.0/25", "JP"),
            ("2001:db8::1", "2001:db8::/32", "DE"),
        ] {
            let (found, at) = table.lookup(ip.parse().unwrap()).unwrap();
            assert_eq!((found.to_string(), at.to_string()), (net.into(), country.into()));
        }
        assert_eq!(table.lookup("198.51.100.128".parse().unwrap()), None);
        assert_eq!((table.databases()[0].locations().len(), manifest.locations), (2, 2));
        assert_eq!(manifest.sha256, crate::place::sha256_hex(&packed));

        let written = fs::read_to_string(out.join(MANIFEST_FILE)).unwrap();
        let written: toml::Table = written.parse().unwrap();
        assert_eq!(written["source"].as_str(), Some("test \"data\""));
        assert_eq!(written["input"].as_array().unwrap().len(), 2);
    }

    #[test]
    fn inputs_that_overlap_or_are_missing_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.mmdb");
        let four = Database::v4().with("192.0.2.0/24", country_code("DE"));
        fs::write(&path, four.bytes()).unwrap();
        let problem =
            |inputs: &[&Path]| build_table(inputs, dir.path(), info()).unwrap_err().to_string();
        assert!(problem(&[&path, &path]).contains("covers IPv4"));
        assert!(problem(&[Path::new("/nowhere.mmdb")]).contains("cannot be read"));
        assert_eq!(problem(&[]), "no .mmdb file given");
    }
}
