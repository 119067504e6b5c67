//! `tokens_file` and `tls` of `[server]`: who may use the admin API from another machine, and how
//! the server proves there that it is this one.

use super::SecretReader;
use crate::{
    config::{
        Problem, Problems, Spanned,
        server::{EntryDef, ServerFile, TlsDef},
    },
    grant::Grants,
};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use std::{fmt, path::PathBuf, sync::Arc};

/// Who may use the admin API from another machine, and how.
#[derive(Clone, Default)]
pub struct Entry {
    /// The tokens that were given out.
    pub grants: Grants,
    /// Its certificate and key; nothing is encrypted without.
    pub tls: Option<Arc<ServerConfig>>,
    /// Whether reading takes a token on this machine too.
    pub reads_take_token: bool,
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Entry(…)")
    }
}

/// Compiles what `file` says of it.
pub(super) fn compile(
    file: &ServerFile,
    secret: SecretReader<'_>,
    problems: &mut Problems,
) -> Entry {
    let EntryDef { tokens_file, tls, read_without_token } = &file.server.entry;
    let mut complain = |at: &Spanned<PathBuf>, why: String, help: &str| {
        let message = format!("{}: {why}", at.get_ref().display());
        problems.push(Problem::error(&file.file, at.span(), message).help(help));
    };
    let grants = tokens_file.as_ref().and_then(|at| {
        let read = secret(at.get_ref());
        let read = read.and_then(|text| text.map_or(Ok(Grants::default()), |it| Grants::parse(&it)));
        let help = "`tradewind token new NAME --role read --for 90d` makes a token and its line, which goes \
                    into a file of mode 640 or less";
        read.map_err(|why| complain(at, why, help)).ok()
    });
    let tls = tls.as_ref().and_then(|def| {
        let help = "PEM as certificate authorities and openssl write it: the certificate first, \
                    then those that vouch for it; the key of mode 640 or less";
        config(def, secret).map_err(|(at, why)| complain(at, why, help)).ok().flatten()
    });
    Entry {
        grants: grants.unwrap_or_default(),
        tls,
        reads_take_token: *read_without_token == Some(false),
    }
}

/// The configuration with that certificate, if it may be read; or what is wrong, and with which
/// file.
fn config<'d>(
    TlsDef { cert, key }: &'d TlsDef,
    secret: SecretReader<'_>,
) -> Result<Option<Arc<ServerConfig>>, (&'d Spanned<PathBuf>, String)> {
    let read = |at: &'d Spanned<PathBuf>| secret(at.get_ref()).map_err(|why| (at, why));
    let (Some(chain), Some(private)) = (read(cert)?, read(key)?) else { return Ok(None) };
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
    let chain = chain.ok().filter(|chain| !chain.is_empty());
    let chain = chain.ok_or_else(|| (cert, "holds no certificate".to_owned()))?;
    // What the parser says of a key could hold some of it.
    let private = PrivateKeyDer::from_pem_slice(private.as_bytes());
    let private = private.map_err(|_| (key, "holds no key".to_owned()))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private));
    let mut config = config.map_err(|error| (key, format!("not the certificate's: {error}")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(Arc::new(config)))
}
