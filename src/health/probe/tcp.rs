//! The tcp probe: a connection that opens. Nothing is sent.

use super::{Outcome, fault};
use std::net::SocketAddr;
use tokio::net::TcpStream;

/// Connects and closes again.
pub(super) async fn probe(address: SocketAddr) -> Outcome {
    match TcpStream::connect(address).await {
        Ok(_) => Outcome::passed("open"),
        Err(error) => fault::judge(&error, address),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn a_listener_is_open_and_a_closed_port_refuses() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        assert_eq!(probe(address).await, Outcome::passed("open"));
        drop(listener);
        assert_eq!(probe(address).await, Outcome::failed("refused"));
    }

    #[tokio::test]
    async fn an_address_the_kernel_has_no_way_to_is_void() {
        // Linux refuses TCP to a broadcast address in connect(2), with ENETUNREACH.
        let outcome = probe("127.255.255.255:9".parse().unwrap()).await;
        assert_eq!(outcome, Outcome::void("no route to 127.255.255.255"));
    }
}
