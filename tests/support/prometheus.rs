//! A real Prometheus that scrapes one exporter of the test's.

use super::{
    backend::{Backend, Mood, get},
    free_address,
    process::Process,
    scratch::Scratch,
    tool,
};
use std::{net::SocketAddr, process::Command};

/// A Prometheus and what it scrapes.
pub struct Prometheus {
    process: Process,
    address: SocketAddr,
    exporter: Backend,
    _folder: Scratch,
}

impl Prometheus {
    /// One that scrapes an exporter on `127.0.0.host` five times a second; nothing where there is
    /// no Prometheus.
    pub fn start(host: u8) -> Option<Prometheus> {
        let program = tool("prometheus")?;
        let exporter = Backend::start(host);
        let folder = Scratch::new();
        let config = folder.write(
            "prometheus.yml",
            &format!(
                "global: {{ scrape_interval: 200ms, scrape_timeout: 150ms }}\n\
                 scrape_configs:\n  - job_name: shop\n    static_configs:\n      \
                 - targets: [\"{}\"]\n",
                exporter.address()
            ),
        );
        let address = free_address(exporter.address().ip());
        let mut command = Command::new(program);
        command.arg(format!("--config.file={}", config.display()));
        command.arg(format!("--storage.tsdb.path={}", folder.path().join("data").display()));
        command.arg(format!("--web.listen-address={address}"));
        let process = Process::start(&command, &folder.path().join("prometheus.log"));
        let mut prometheus = Prometheus { process, address, exporter, _folder: folder };
        prometheus.shows("error_rate", 0.001);
        Some(prometheus)
    }

    /// Its base.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Lets the exporter give `value` for `metric`, and waits until Prometheus has it.
    pub fn shows(&mut self, metric: &str, value: f64) {
        let page = format!("# TYPE {metric} gauge\n{metric} {value}\n");
        self.exporter.set(Mood::Answer(200, page));
        let (address, query) = (self.address, format!("/api/v1/query?query={metric}"));
        self.process.await_some("the exporter's value", || {
            let (_, body) = get(address, &query).ok()?;
            body.contains(&format!("\"{value}\"")).then_some(())
        });
    }
}
