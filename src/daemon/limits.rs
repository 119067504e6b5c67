//! Limits of the process that are ours to set: more open files, no core dumps.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Raises the soft limit on open files to the hard one. The usual soft limit of 1,024 is less than
/// the probes in flight and the TCP connections we allow, and a probe without a descriptor is void:
/// a large region that hangs would then never fail over.
pub(super) fn raise_open_files() {
    let now = getrlimit(Resource::Nofile);
    let most = Rlimit { current: now.maximum, maximum: now.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        tracing::warn!(limit = ?now.current, %error, "the limit on open files stays as it is");
    }
}

/// No core dump, which would hold the key of the certificate and the tokens of peers and hooks. The
/// hard limit stays, so whoever hunts a fault may say otherwise: `prlimit --core=unlimited --pid …`.
pub(super) fn forbid_core_dumps() {
    let maximum = getrlimit(Resource::Core).maximum;
    if let Err(error) = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum }) {
        tracing::warn!(%error, "a crash may leave a core dump with secrets in it");
    }
}
