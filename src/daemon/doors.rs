//! The admin listener and the control socket, opened and closed together.

use crate::admin::{Context, ControlSocket, serve_control, serve_public};
use anyhow::Context as _;
use std::{net::SocketAddr, sync::Arc};
use tokio::{net::TcpListener, sync::watch, task::JoinSet};

/// The doors while they are open.
pub(super) struct Doors {
    address: Option<SocketAddr>,
    stop: watch::Sender<bool>,
    serving: JoinSet<()>,
}

/// Binds the admin listener.
pub(super) async fn listen(at: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(at).await.with_context(|| {
        format!("cannot listen on {at} for [server] admin; is another server running there?")
    })
}

impl Doors {
    /// Begins to serve both.
    pub(super) fn open(
        context: Arc<Context>,
        socket: ControlSocket,
        public: Option<TcpListener>,
    ) -> Doors {
        let (stop, stopped) = watch::channel(false);
        let mut serving = JoinSet::new();
        let address = public.as_ref().and_then(|listener| listener.local_addr().ok());
        if let Some(listener) = public {
            serving.spawn(serve_public(listener, Arc::clone(&context), until(stopped.clone())));
        }
        serving.spawn(serve_control(socket, context, until(stopped)));
        Doors { address, stop, serving }
    }

    /// Where the admin listener is.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.address
    }

    /// Closes both and waits for it.
    pub(super) async fn close(self) {
        self.stop.send_replace(true);
        self.serving.join_all().await;
    }
}

/// Returns when told to stop, or when whoever could tell is gone.
async fn until(mut stopped: watch::Receiver<bool>) {
    let _ = stopped.wait_for(|&stop| stop).await;
}
