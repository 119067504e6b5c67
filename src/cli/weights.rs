//! `--weights`: what clients are weighed by, where somebody looks ahead.

use super::{Exit, output::Out};
use crate::admin::schema::plan::{SampleLine, WeightsLine};
use clap::Args;

/// The option of every command that looks ahead.
#[derive(Args, Clone, Debug, Default)]
pub struct WeightsArgs {
    /// Weigh clients by: space (addresses the location data know), observed (sampled queries), or
    /// a file of lines `network,weight`
    #[arg(long, value_name = "space|observed|FILE", default_value = "space")]
    pub weights: String,
}

impl WeightsArgs {
    /// What to ask the server for.
    pub(super) fn read(&self, out: &mut Out) -> Result<WeightsLine, Exit> {
        match &*self.weights {
            "space" => return Ok(WeightsLine::Space),
            "observed" => return Ok(WeightsLine::Observed),
            _ => {}
        }
        let path = &self.weights;
        let text = std::fs::read_to_string(path).map_err(|error| {
            let hint = "write --weights space, observed, or the name of a file";
            out.error(format_args!("cannot read {path}: {error}"), Some(hint));
            Exit::Usage
        })?;
        let networks = networks(&text).map_err(|error| {
            out.error(format_args!("{path}:{error}"), Some("lines are `203.0.113.0/24,12.5`"));
            Exit::Usage
        })?;
        let said = format!("{} networks of {path}", networks.len());
        Ok(WeightsLine::Networks(SampleLine { said, networks }))
    }
}

/// The networks of a file, with their weights. A first line of words is a heading; empty lines and
/// lines that begin with `#` are skipped.
fn networks(text: &str) -> Result<Vec<(String, f64)>, String> {
    let mut networks = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let read = line.split_once(',').and_then(|(network, weight)| {
            let weight = weight.trim().parse::<f64>().ok()?;
            let network = network.trim();
            let is_one = network.parse::<ipnet::IpNet>().is_ok();
            is_one.then(|| (network.to_owned(), weight))
        });
        match read {
            Some(read) => networks.push(read),
            None if networks.is_empty() && index == 0 => {}
            None => return Err(format!("{}: `{line}` is no network with a weight", index + 1)),
        }
    }
    Ok(networks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_weights_has_a_network_and_a_number_on_each_line() {
        let text = "network,weight\n# ours\n203.0.113.0/24, 12.5\n\n2001:db8::/48,1\n";
        let read = networks(text).unwrap();
        assert_eq!(read, [("203.0.113.0/24".into(), 12.5), ("2001:db8::/48".into(), 1.0)]);
        let wrong = networks("203.0.113.0/24,1\n203.0.113.0,x\n").unwrap_err();
        assert_eq!(wrong, "2: `203.0.113.0,x` is no network with a weight");
    }
}
