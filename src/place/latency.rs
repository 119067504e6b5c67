//! Latency measured by the operator: a CSV of client, region and round-trip time.
//!
//! ```text
//! client,region,rtt_ms
//! 203.0.113.0/24,eu-west-1,8.5
//! asn:64500/US,us-east-1,12
//! subdivision:US-CA,us-west-1,9
//! country:DE,eu-west-1,24
//! ```
//!
//! What the table does not say, distance does ([`super::distance`]). Whether a region exists is
//! for the compiler to say: here its name is text with a place in the file.

use super::{
    distance,
    fold::fold_rule,
    locate::{Country, Location, Subdivision},
};
use crate::units::{Coordinates, TenthMs};
use ipnet::IpNet;
use std::{collections::HashMap, fmt};

const HEADER: [&str; 3] = ["client", "region", "rtt_ms"];
/// No round trip on earth is longer; one that is was written in another unit.
const RTT_MS_MAX: f64 = 10_000.0;

/// Whom a row speaks of, most specific first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Client {
    /// A network: `203.0.113.0/24`.
    Net(IpNet),
    /// An AS within a country: `asn:64500/US`.
    AsnIn(u32, Country),
    /// A state or province: `subdivision:US-CA`.
    Subdivision(Country, Subdivision),
    /// A country: `country:DE`.
    Country(Country),
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Client::Net(net) => write!(f, "{net}"),
            Client::AsnIn(asn, country) => write!(f, "asn:{asn}/{country}"),
            Client::Subdivision(country, part) => write!(f, "subdivision:{country}-{part}"),
            Client::Country(country) => write!(f, "country:{country}"),
        }
    }
}

/// The round trip expected between a client and a region at `at`: as the first table that knows it
/// has it, else by distance; nothing where nobody knows where the client is. `nets` are those of
/// the tables' networks it is in, longest first.
pub fn expected<'t>(
    tables: impl IntoIterator<Item = &'t LatencyTable>,
    (location, nets): (Option<&Location>, &[IpNet]),
    (region, at): (&str, Coordinates),
) -> Option<TenthMs> {
    let mut tables = tables.into_iter();
    let measured = tables.find_map(|table| table.score(location, nets, region));
    measured.or_else(|| Some(distance::score(distance::position(location?)?, at)))
}

/// One measurement, with where it was written.
#[derive(Clone, Debug, PartialEq)]
pub struct Row {
    /// Whom it speaks of.
    pub client: Client,
    /// The region's name, as written.
    pub region: Box<str>,
    /// The round-trip time.
    pub rtt: TenthMs,
    /// The line, from 1.
    pub line: u32,
    /// Where the region's name begins, in characters from 1.
    pub region_column: u32,
}

/// Something wrong in a latency table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {fault}")]
pub struct LatencyProblem {
    /// The line, from 1.
    pub line: u32,
    /// The column, in characters from 1.
    pub column: u32,
    /// What is wrong.
    pub fault: LatencyFault,
}

/// What can be wrong in a latency table.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LatencyFault {
    /// The first line is something else.
    #[error("the first line must be `client,region,rtt_ms`")]
    Header,
    /// Not three fields.
    #[error("{0} fields where three belong: client,region,rtt_ms")]
    Fields(usize),
    /// A client of no known form.
    #[error(
        "`{0}` is no client; write 203.0.113.0/24, asn:64500/US, subdivision:US-CA or country:DE"
    )]
    Client(String),
    /// Bits set behind the prefix.
    #[error("`{given}` has bits set after its prefix; did you mean {meant}?")]
    HostBits {
        /// As written.
        given: String,
        /// Without those bits.
        meant: IpNet,
    },
    /// No region at all.
    #[error("the region is missing")]
    NoRegion,
    /// A time that is none.
    #[error("`{0}` is no round-trip time in milliseconds (0 to {RTT_MS_MAX})")]
    Rtt(String),
    /// Said before.
    #[error("`{client}` to `{region}` stands on line {line} already")]
    Duplicate {
        /// The client.
        client: String,
        /// The region.
        region: String,
        /// Where it was said first.
        line: u32,
    },
}

/// Measured latencies, by client and region.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LatencyTable {
    rows: Vec<Row>,
    /// Row numbers by client.
    by_client: HashMap<Client, Vec<usize>>,
}

impl LatencyTable {
    /// Reads a table. Empty lines and lines that begin with `#` are skipped.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Vec<LatencyProblem>> {
        let mut table = LatencyTable::default();
        let mut problems = Vec::new();
        let content = |line: &&(u32, &str)| {
            let text = line.1.trim();
            !text.is_empty() && !text.starts_with('#')
        };
        let lines: Vec<(u32, &str)> = (1..).zip(text.lines()).collect();
        let mut lines = lines.iter().filter(content);
        let header = lines.next().copied().unwrap_or((1, ""));
        if !header.1.trim_start_matches('\u{feff}').split(',').map(str::trim).eq(HEADER) {
            problems.push(LatencyProblem {
                line: header.0,
                column: 1,
                fault: LatencyFault::Header,
            });
        }
        for (line, text) in lines {
            match parse_row(*line, text) {
                Ok(row) => problems.extend(table.insert(row)),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(table) } else { Err(problems) }
    }

    /// Every row, in the file's order: for names to be checked.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The networks that are named, which the client map must tell apart. Each once.
    pub fn nets(&self) -> impl Iterator<Item = IpNet> + '_ {
        let once = |client: &Client| match client {
            Client::Net(net) => Some(*net),
            _ => None,
        };
        self.by_client.keys().filter_map(once)
    }

    /// What was measured between a client and `region`: for the longest of `nets` (those the
    /// client is in, longest first), else its AS in its country, else its subdivision, else
    /// its country.
    pub fn score(
        &self,
        location: Option<&Location>,
        nets: &[IpNet],
        region: &str,
    ) -> Option<TenthMs> {
        let by_net = nets.iter().map(|net| Client::Net(*net));
        let country = location.and_then(|l| l.country);
        let asn = location.and_then(|l| l.asn).zip(country);
        let part = country.zip(location.and_then(|l| l.subdivision));
        let by_place = [
            asn.map(|(asn, country)| Client::AsnIn(asn, country)),
            part.map(|(country, part)| Client::Subdivision(country, part)),
            country.map(Client::Country),
        ];
        let mut candidates = by_net.chain(by_place.into_iter().flatten());
        candidates.find_map(|client| self.measured(client, region))
    }

    fn measured(&self, client: Client, region: &str) -> Option<TenthMs> {
        self.row(&client, region).map(|row| row.rtt)
    }

    fn row(&self, client: &Client, region: &str) -> Option<&Row> {
        let mut rows = self.by_client.get(client)?.iter().map(|row| &self.rows[*row]);
        rows.find(|row| &*row.region == region)
    }

    fn insert(&mut self, row: Row) -> Option<LatencyProblem> {
        if let Some(first) = self.row(&row.client, &row.region) {
            return Some(LatencyProblem {
                line: row.line,
                column: 1,
                fault: LatencyFault::Duplicate {
                    client: row.client.to_string(),
                    region: row.region.into(),
                    line: first.line,
                },
            });
        }
        self.by_client.entry(row.client).or_default().push(self.rows.len());
        self.rows.push(row);
        None
    }
}

fn parse_row(line: u32, text: &str) -> Result<Row, LatencyProblem> {
    let fields = fields(text);
    let problem = |column, fault| LatencyProblem { line, column, fault };
    let [(client_at, client), (region_at, region), (rtt_at, rtt)] = fields[..] else {
        return Err(problem(1, LatencyFault::Fields(fields.len())));
    };
    let client = parse_client(client).map_err(|fault| problem(client_at, fault))?;
    if region.is_empty() {
        return Err(problem(region_at, LatencyFault::NoRegion));
    }
    let ms = rtt.parse().ok().filter(|ms| (0.0..=RTT_MS_MAX).contains(ms));
    let ms = ms.ok_or_else(|| problem(rtt_at, LatencyFault::Rtt(rtt.into())))?;
    Ok(Row {
        client,
        region: region.into(),
        rtt: TenthMs::from_ms(ms),
        line,
        region_column: region_at,
    })
}

/// Trimmed fields with the column each begins in.
fn fields(text: &str) -> Vec<(u32, &str)> {
    let mut column = 1;
    let split = text.split(',').map(|field| {
        let blank = field.chars().take_while(|c| c.is_whitespace()).count();
        let at = column + blank as u32;
        column += field.chars().count() as u32 + 1;
        (at, field.trim())
    });
    split.collect()
}

fn parse_client(text: &str) -> Result<Client, LatencyFault> {
    let unknown = || LatencyFault::Client(text.to_owned());
    let found = match text.split_once(':') {
        Some(("country", code)) => Country::parse(code).map(Client::Country),
        Some(("subdivision", code)) => {
            Subdivision::parse_full(code).map(|(country, part)| Client::Subdivision(country, part))
        }
        Some(("asn", text)) => text.split_once('/').and_then(|(asn, country)| {
            Some(Client::AsnIn(asn.parse().ok()?, Country::parse(country)?))
        }),
        _ => {
            let net: IpNet = text.parse().map_err(|_| unknown())?;
            if net.addr() != net.network() {
                return Err(LatencyFault::HostBits { given: text.to_owned(), meant: net.trunc() });
            }
            Some(Client::Net(fold_rule(net)))
        }
    };
    found.ok_or_else(unknown)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "\
# measured in May
client, region, rtt_ms
203.0.113.0/24,eu,8.5
203.0.0.0/16,eu,20
203.0.0.0/16,us,90
asn:64500/US,us,12

subdivision:US-CA,us,9.04
country:US,us,40
country:US,eu,95
2001:db8::/32,eu,1
";

    fn client(country: &str, part: Option<&str>, asn: Option<u32>) -> Location {
        let mut client = Location::of_country(Country::parse(country).unwrap(), None);
        client.subdivision = part.and_then(Subdivision::parse);
        client.asn = asn;
        client
    }

    #[test]
    fn the_most_specific_measurement_counts() {
        let table = LatencyTable::parse(GOOD).unwrap();
        let nets: [IpNet; 2] = ["203.0.113.0/24".parse().unwrap(), "203.0.0.0/16".parse().unwrap()];
        let here = client("US", Some("CA"), Some(64500));
        let score = |at: &Location, nets: &[IpNet], region: &str| {
            table.score(Some(at), nets, region).map(|rtt| rtt.0)
        };
        assert_eq!(score(&here, &nets, "eu"), Some(85));
        // The longer network says nothing of `us`, the wider one does.
        assert_eq!(score(&here, &nets, "us"), Some(900));
        assert_eq!(score(&here, &[], "us"), Some(120));
        assert_eq!(score(&client("US", Some("CA"), Some(1)), &[], "us"), Some(90));
        assert_eq!(score(&client("US", Some("NY"), None), &[], "us"), Some(400));
        assert_eq!(score(&here, &[], "eu"), Some(950));
        assert_eq!(score(&client("DE", None, None), &[], "eu"), None);
        assert_eq!(table.score(None, &nets[1..], "eu").map(|rtt| rtt.0), Some(200));
        assert_eq!(table.nets().count(), 3);
    }

    #[test]
    fn rows_say_where_they_stand() {
        let table = LatencyTable::parse(GOOD).unwrap();
        let row = &table.rows()[3];
        assert_eq!((row.client.to_string().as_str(), row.line), ("asn:64500/US", 6));
        assert_eq!(row.region_column, 14);
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let text = "\
client,region,rtt_ms
203.0.113.9/24,eu,8
planet:X,eu,8
country:DE,,8
country:DE,eu,fast
country:DE,eu,-1
country:DE,eu
country:FR,eu,1
  country:FR , eu,2
asn:64500,eu,1
";
        let problems = LatencyTable::parse(text).unwrap_err();
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        let want = [
            "2:1: `203.0.113.9/24` has bits set after its prefix; did you mean 203.0.113.0/24?",
            "3:1: `planet:X` is no client; write 203.0.113.0/24, asn:64500/US, subdivision:US-CA or country:DE",
            "4:12: the region is missing",
            "5:15: `fast` is no round-trip time in milliseconds (0 to 10000)",
            "6:15: `-1` is no round-trip time in milliseconds (0 to 10000)",
            "7:1: 2 fields where three belong: client,region,rtt_ms",
            "9:1: `country:FR` to `eu` stands on line 8 already",
            "10:1: `asn:64500` is no client; write 203.0.113.0/24, asn:64500/US, subdivision:US-CA or country:DE",
        ];
        assert_eq!(told, want);
        assert_eq!(LatencyTable::parse("").unwrap_err()[0].fault, LatencyFault::Header);
    }
}
