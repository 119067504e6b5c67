//! The demo's regions: tiny HTTP servers on loopback addresses that can be killed and restored.

use std::{
    collections::BTreeMap,
    io,
    net::{SocketAddr, TcpListener},
    sync::{Mutex, PoisonError},
};
use tokio::task::JoinHandle;

/// Where each region's backend listens.
pub(super) type Addresses = BTreeMap<&'static str, SocketAddr>;

/// The running backends, by region.
pub(super) struct Backends {
    addresses: Addresses,
    running: Mutex<BTreeMap<&'static str, JoinHandle<()>>>,
    runtime: tokio::runtime::Handle,
}

impl Backends {
    /// Starts all of them. Must be called inside a runtime.
    pub(super) fn start(addresses: &Addresses) -> anyhow::Result<Backends> {
        let backends = Backends {
            addresses: addresses.clone(),
            running: Mutex::default(),
            runtime: tokio::runtime::Handle::current(),
        };
        for region in addresses.keys() {
            backends.restore(region).map_err(|why| anyhow::anyhow!(why))?;
        }
        Ok(backends)
    }

    /// Lets the backend of `region` run again.
    pub(super) fn restore(&self, region: &str) -> Result<(), String> {
        let (name, address) = self.known(region)?;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if running.contains_key(name) {
            return Ok(());
        }
        let listener = listen(address).map_err(|error| {
            format!("cannot start the demo backend of {name} on {address}: {error}")
        })?;
        running.insert(name, self.runtime.spawn(respond(listener, name)));
        Ok(())
    }

    /// Ends the backend of `region`: from now on its connections are refused.
    pub(super) fn kill(&self, region: &str) -> Result<(), String> {
        let (name, _) = self.known(region)?;
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(task) = running.remove(name) {
            task.abort();
        }
        Ok(())
    }

    fn known(&self, region: &str) -> Result<(&'static str, SocketAddr), String> {
        self.addresses.get_key_value(region).map(|(&name, &address)| (name, address)).ok_or_else(
            || {
                let names: Vec<&str> = self.addresses.keys().copied().collect();
                format!("the demo has no region `{region}`; it has {}", names.join(", "))
            },
        )
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Answers every request with `ok` and the region's name.
async fn respond(listener: TcpListener, region: &'static str) {
    let Ok(listener) = tokio::net::TcpListener::from_std(listener) else { return };
    let page = move || async move { format!("ok from {region}\n") };
    let router = axum::Router::new().fallback(page);
    // Ends when it is aborted; an error of the listener ends it too, and probes notice.
    let _ = axum::serve(listener, router).await;
}
