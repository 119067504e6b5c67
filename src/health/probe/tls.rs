//! TLS of https probes: one configuration for all, and what its errors mean.

use super::Outcome;
use rustls::{
    CertificateError, ClientConfig, RootCertStore, client::Resumption, crypto::ring,
    pki_types::CertificateDer,
};
use std::sync::Arc;

/// The one client configuration: authorities of this machine, or Mozilla's where it has none,
/// and the `extra` ones. Kept by everybody, since building one costs milliseconds.
///
/// # Errors
/// When one of the extra certificates is not a certificate.
pub(crate) fn client_config(
    extra: &[CertificateDer<'static>],
) -> Result<Arc<ClientConfig>, rustls::Error> {
    let mut roots = RootCertStore::empty();
    let (added, _) =
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if added == 0 {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for root in extra {
        roots.add(root.clone())?;
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // A resumed session shows no certificate, so one that expires would go unseen for days.
    config.resumption = Resumption::disabled();
    Ok(Arc::new(config))
}

/// The outcome of a handshake that ended in `error`.
pub(super) fn judge(error: &rustls::Error) -> Outcome {
    use CertificateError as Bad;
    match error {
        rustls::Error::InvalidCertificate(bad) => match bad {
            Bad::Expired | Bad::ExpiredContext { .. } => Outcome::failed("certificate: expired"),
            Bad::NotValidYet | Bad::NotValidYetContext { .. } => {
                Outcome::failed("certificate: not valid yet")
            }
            Bad::UnknownIssuer => Outcome::failed("certificate: unknown issuer"),
            Bad::NotValidForName | Bad::NotValidForNameContext { .. } => {
                Outcome::failed("certificate: for another name")
            }
            Bad::Revoked => Outcome::failed("certificate: revoked"),
            other => Outcome::failed(format_args!("certificate: {other}")),
        },
        other => Outcome::failed(format_args!("tls: {other}")),
    }
}
