//! Looking ahead, as it is asked for: requests in, what [`crate::control::plan`] and
//! [`crate::control::simulate`] take out. Decides nothing itself.

use super::schema::plan::{
    ApplyRequest, FileText, PlanRequest, SampleLine, SimulateRequest, WeightsLine,
};
use crate::{
    config::{Content, ContentHash, SourceFile, Sources},
    control::{
        hand::Wish,
        plan::Wanted,
        reload::Agreed,
        simulate::{Supposition, Suppositions},
    },
    forecast::{Asked, Sample, Seen, Weights},
    telemetry::observed::ObservedClient,
    units::{TenthMs, Weight},
    verdict::Standing,
};
use ipnet::IpNet;
use std::{
    collections::{BTreeMap, HashMap},
    path::{Component, Path, PathBuf},
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

/// Files of one plan: a hundred thousand zones are more than anybody serves from one folder.
const FILES_MAX: usize = 100_000;
/// Networks that clients are weighed by: some for every /16 there is. Each is looked up twice.
const NETWORKS_MAX: usize = 1_000_000;
/// Things supposed at once.
const SUPPOSED_MAX: usize = 100;

impl PlanRequest {
    /// The files it is about.
    ///
    /// # Errors
    /// Says what is wrong with the request.
    pub(super) fn wanted(&self) -> Result<Wanted, String> {
        let Some(files) = &self.files else { return Ok(Wanted::Served) };
        if files.len() > FILES_MAX {
            return Err(format!("there are {} files; {FILES_MAX} is the most", files.len()));
        }
        let read = files.iter().map(|FileText { path, modified, text }| {
            let modified = UNIX_EPOCH.checked_add(Duration::from_secs(*modified));
            let modified = modified.ok_or_else(|| format!("{path}: no such time"))?;
            let is_inside = |part| matches!(part, Component::Normal(_));
            if path.is_empty() || !Path::new(path).components().all(is_inside) {
                return Err(format!("`{path}` is not inside the operator's folder"));
            }
            let content = Ok(Content::held(&**text));
            Ok((PathBuf::from(path), SourceFile { modified, content }))
        });
        let files: BTreeMap<PathBuf, SourceFile> = read.collect::<Result<_, String>>()?;
        Ok(Wanted::Given(Box::new(Sources::restore(files))))
    }
}

impl WeightsLine {
    /// What clients are weighed by; `observed` says who asked lately.
    ///
    /// # Errors
    /// Says what is wrong with the request.
    pub(super) fn read(&self, observed: impl FnOnce() -> Arc<[Asked]>) -> Result<Weights, String> {
        match self {
            WeightsLine::Space => Ok(Weights::Space),
            WeightsLine::Observed => Ok(Weights::Observed(observed())),
            WeightsLine::Networks(line) => Ok(Weights::Sample(Arc::new(line.read()?))),
        }
    }
}

/// The `clients` seen lately as what others are weighed by.
pub(super) fn observed(clients: &[ObservedClient]) -> Arc<[Asked]> {
    let mut owners: HashMap<&str, Arc<str>> = HashMap::new();
    let asked = clients.iter().filter_map(|client| {
        let record = &*client.answer.record;
        let owner = owners.entry(record).or_insert_with(|| record.into());
        let whole = if client.from.is_ipv4() { 32 } else { 128 };
        let net = |(ip, length)| IpNet::new(ip, length).ok().map(|net| net.trunc());
        let subnet = client.subnet.and_then(net);
        let seen = Seen { from: net((client.from, whole))?, subnet };
        Some(Asked { at: client.at, owner: Arc::clone(owner), seen })
    });
    asked.collect()
}

impl SampleLine {
    fn read(&self) -> Result<Sample, String> {
        if self.networks.is_empty() || self.networks.len() > NETWORKS_MAX {
            let count = self.networks.len();
            return Err(format!("there are {count} networks; it takes 1 to {NETWORKS_MAX}"));
        }
        let read = self.networks.iter().map(|(net, weight)| {
            let parsed: IpNet = net.parse().map_err(|_| format!("`{net}` is no network"))?;
            match weight.is_finite() && *weight > 0.0 {
                true => Ok((Seen { from: parsed.trunc(), subnet: None }, *weight)),
                false => Err(format!("{net} has the weight {weight}; it must be above zero")),
            }
        });
        Ok(Sample { said: self.said.clone(), clients: read.collect::<Result<_, String>>()? })
    }
}

impl ApplyRequest {
    /// What was planned.
    ///
    /// # Errors
    /// Says what is wrong with the request.
    pub(super) fn agreed(&self) -> Result<Agreed, String> {
        let hash: Result<ContentHash, _> = self.hash.parse();
        let hash = hash.map_err(|_| format!("`{}` is no hash of files", self.hash))?;
        Ok(Agreed { base: self.base_revision, hash, break_glass: self.break_glass })
    }
}

impl SimulateRequest {
    /// What is supposed, all at once.
    ///
    /// # Errors
    /// Says what is wrong with the request.
    pub(super) fn suppositions(&self) -> Result<Suppositions, String> {
        if self.supposed().len() > SUPPOSED_MAX {
            return Err(format!("at most {SUPPOSED_MAX} things can be supposed at once"));
        }
        if self.supposed().is_empty() {
            return Err("nothing is supposed: say --down, --drain, --weight or the like".into());
        }
        let stands = |targets: &[String], standing: Standing| {
            let supposition = |target: &String| -> Result<Supposition, String> {
                let target = target.parse().map_err(|error| format!("{error}"))?;
                Ok(Supposition { target, standing })
            };
            targets.iter().map(supposition).collect::<Result<Vec<_>, String>>()
        };
        let mut supposed =
            Suppositions { stands: stands(&self.down, Standing::Down)?, ..Suppositions::default() };
        supposed.stands.extend(stands(&self.up, Standing::Up)?);
        supposed.stands.extend(stands(&self.degraded, Standing::Degraded)?);
        let drain = |target: &String| Wish::Drain { target: target.clone(), over: None };
        supposed.wishes.extend(self.drain.iter().map(drain));
        for text in &self.weight {
            supposed.wishes.push(weight(text)?);
        }
        for text in &self.failover {
            let (target, to) = split(text, "record:NAME MEMBER")?;
            supposed.wishes.push(Wish::Failover { target: target.into(), to: to.into() });
        }
        for text in &self.bias {
            let (member, ms) = bias(text)?;
            supposed.biased.insert(member, ms);
        }
        Ok(supposed)
    }

    /// The same in words, as it is typed.
    pub(super) fn supposed(&self) -> Vec<String> {
        let lists = [
            ("down", &self.down),
            ("up", &self.up),
            ("degraded", &self.degraded),
            ("drain", &self.drain),
            ("weight", &self.weight),
            ("failover", &self.failover),
            ("bias", &self.bias),
        ];
        let each = |(word, list): (&str, &Vec<String>)| {
            list.iter().map(|text| format!("{word} {text}")).collect::<Vec<_>>()
        };
        lists.into_iter().flat_map(each).collect()
    }
}

/// `record:a.example/www canary=50`, or `endpoint:a/b/c 3`.
fn weight(text: &str) -> Result<Wish, String> {
    let (target, given) = split(text, "record:NAME MEMBER=WEIGHT or endpoint:NAME WEIGHT")?;
    let (member, number) = match given.rsplit_once('=') {
        Some((member, number)) => (Some(member.into()), number),
        None => (None, given),
    };
    let weight = number.parse().ok().and_then(Weight::new);
    let weight = weight.ok_or_else(|| format!("`{number}`: a weight is 0 to {}", Weight::MAX))?;
    Ok(Wish::Weight { target: target.into(), member, weight: Some(weight) })
}

fn split<'t>(text: &'t str, form: &str) -> Result<(&'t str, &'t str), String> {
    let parts = text.trim().split_once(' ').map(|(target, rest)| (target, rest.trim()));
    parts.ok_or_else(|| format!("`{text}`: write {form}, in quotes"))
}

/// `nrt=-5ms`.
fn bias(text: &str) -> Result<(String, TenthMs), String> {
    let wrong = || format!("`{text}`: write MEMBER=-5ms, MEMBER=+12.5ms");
    let (member, written) = text.rsplit_once('=').ok_or_else(wrong)?;
    let ms = written.strip_suffix("ms").unwrap_or(written).trim().parse::<f64>();
    let ms = ms.ok().filter(|ms| ms.is_finite() && ms.abs() <= BIAS_MS_MAX).ok_or_else(wrong)?;
    Ok((member.to_owned(), TenthMs::from_ms(ms)))
}

/// As in files: no round trip on earth is longer.
const BIAS_MS_MAX: f64 = 10_000.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_supposed_is_read_as_it_is_typed() {
        let list = |text: &str| vec![text.to_owned()];
        let request = SimulateRequest {
            down: list("region:us-*"),
            weight: list("record:a.example/www canary=50"),
            failover: list("policy:a/b dub"),
            bias: list("nrt=-5ms"),
            ..SimulateRequest::default()
        };
        let read = request.suppositions().unwrap();
        assert_eq!(read.stands[0].to_string(), "region:us-*=down");
        assert!(
            matches!(&read.wishes[0], Wish::Weight { member: Some(member), .. } if &**member == "canary")
        );
        assert!(matches!(&read.wishes[1], Wish::Failover { to, .. } if &**to == "dub"));
        assert_eq!(read.biased["nrt"], TenthMs(-50));
        assert_eq!(request.supposed()[1], "weight record:a.example/www canary=50");
        for wrong in [
            SimulateRequest::default(),
            SimulateRequest { down: list("us"), ..SimulateRequest::default() },
            SimulateRequest { weight: list("record:x"), ..SimulateRequest::default() },
            SimulateRequest { weight: list("record:x y=-1"), ..SimulateRequest::default() },
            SimulateRequest { bias: list("nrt=fast"), ..SimulateRequest::default() },
            SimulateRequest { down: vec!["region:x".into(); 101], ..SimulateRequest::default() },
        ] {
            assert!(wrong.suppositions().is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn files_are_inside_a_folder_and_weights_above_zero() {
        let file = |path: &str| {
            let files = vec![FileText { path: path.into(), modified: 7, text: String::new() }];
            PlanRequest { files: Some(files), ..PlanRequest::default() }.wanted()
        };
        assert!(matches!(file("zones/a.toml"), Ok(Wanted::Given(_))));
        for path in ["", "/etc/passwd", "../x", "zones/../../x"] {
            assert!(file(path).is_err(), "{path}");
        }
        assert!(matches!(PlanRequest::default().wanted(), Ok(Wanted::Served)));
        let weights = |net: &str, weight: f64| {
            let networks = vec![(net.to_owned(), weight)];
            let line = WeightsLine::Networks(SampleLine { said: "x".into(), networks });
            line.read(Arc::default)
        };
        assert!(weights("192.0.2.0/24", 1.5).is_ok());
        for (net, weight) in [("192.0.2.0/24", 0.0), ("192.0.2.0/24", f64::NAN), ("x", 1.0)] {
            assert!(weights(net, weight).is_err(), "{net} {weight}");
        }
    }
}
