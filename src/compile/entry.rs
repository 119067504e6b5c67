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
use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

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
        let read = secret(at.get_ref()).and_then(|text| Grants::parse(&text));
        let help = "`tradewind token new NAME --role read` makes a token and its line, which goes \
                    into a file of mode 640 or less";
        read.map_err(|why| complain(at, why, help)).ok()
    });
    let tls = tls.as_ref().and_then(|def| {
        let help = "PEM as certificate authorities and openssl write it: the certificate first, \
                    then those that vouch for it; the key of mode 640 or less";
        config(def, secret).map_err(|(at, why)| complain(at, why, help)).ok()
    });
    Entry {
        grants: grants.unwrap_or_default(),
        tls,
        reads_take_token: *read_without_token == Some(false),
    }
}

/// The configuration with that certificate; or what is wrong, and with which file.
fn config<'d>(
    TlsDef { cert, key }: &'d TlsDef,
    secret: SecretReader<'_>,
) -> Result<Arc<ServerConfig>, (&'d Spanned<PathBuf>, String)> {
    let read = |path: &Path| secret(path);
    let chain = read(cert.get_ref()).and_then(|text| {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text.as_bytes()).collect();
        match chain {
            Ok(chain) if !chain.is_empty() => Ok(chain),
            _ => Err("holds no certificate".to_owned()),
        }
    });
    let chain = chain.map_err(|why| (cert, why))?;
    // What the parser says of a key could hold some of it.
    let private = read(key.get_ref()).and_then(|text| {
        PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| "holds no key".to_owned())
    });
    let private = private.map_err(|why| (key, why))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private));
    let mut config = config.map_err(|error| (key, format!("not the certificate's: {error}")))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
