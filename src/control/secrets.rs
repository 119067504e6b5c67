//! What must stay secret, from files of the operator's folder: tokens of heartbeats and of the
//! admin API, secrets of cookies, the key of a certificate; and certificates, which are no secret.
//!
//! Apart from the other files: those are kept with every revision and shown when something is
//! wrong with them.

use std::{fs, io::Read, os::unix::fs::PermissionsExt, path::Path};

/// A few hundred tokens, or a long chain of certificates; a slip in the name must not read a
/// database.
const BYTES_MAX: u64 = 65_536;

/// The text of `file`, relative to the folder `dir`.
///
/// # Errors
/// Says why it cannot be had, or is no secret, for whoever named the file.
pub fn read(dir: &Path, file: &Path) -> Result<String, String> {
    let path = dir.join(file);
    // Looked at before it is opened: opening a pipe would wait for who writes to it.
    let found = fs::metadata(&path).map_err(|error| format!("cannot be read: {error}"))?;
    if !found.is_file() {
        return Err("is not a regular file".into());
    }
    let mode = found.permissions().mode();
    if found.len() > BYTES_MAX {
        return Err(format!("has {} bytes; a secret has at most {BYTES_MAX}", found.len()));
    }
    let mut text = String::new();
    let opened =
        fs::File::open(&path).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text));
    opened.map_err(|error| format!("cannot be read: {error}"))?;
    let others = match mode & 0o007 {
        0 => return Ok(text),
        0o004 if is_public(&text) => return Ok(text),
        rights if rights & 0o004 != 0 => "read",
        _ => "change",
    };
    Err(format!("everybody on this machine may {others} it; run `chmod o= FILE`"))
}

/// Whether `text` holds certificates and no key: whoever connects is shown those.
fn is_public(text: &str) -> bool {
    let mut begins = text.lines().filter(|line| line.starts_with("-----BEGIN ")).peekable();
    begins.peek().is_some() && begins.all(|line| line == "-----BEGIN CERTIFICATE-----")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(text: &str, mode: u32) -> Result<String, String> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.token");
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        read(dir.path(), Path::new("x.token"))
    }

    #[test]
    fn a_secret_is_what_only_its_owner_and_group_may_read() {
        let text = "0123456789abcdef";
        for mode in [0o600, 0o400, 0o640] {
            assert_eq!(told(text, mode).as_deref(), Ok(text));
        }
        for (text, mode, why) in [
            (text, 0o644, "everybody on this machine may read it; run `chmod o= FILE`"),
            (text, 0o602, "everybody on this machine may change it; run `chmod o= FILE`"),
        ] {
            let error = told(text, mode).unwrap_err();
            assert!(error.starts_with(why), "{error}");
        }
    }

    #[test]
    fn certificates_are_no_secret_until_a_key_stands_beside_them() {
        let certificate = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        assert!(told(certificate, 0o644).is_ok());
        assert!(told(certificate, 0o646).is_err());
        let key = "-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n";
        for secret in [key.to_owned(), format!("{certificate}{key}")] {
            assert!(told(&secret, 0o644).is_err());
            assert!(told(&secret, 0o640).is_ok());
        }
    }

    #[test]
    fn what_is_no_file_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let none = read(dir.path(), Path::new("none")).unwrap_err();
        assert!(none.starts_with("cannot be read: No such file"), "{none}");
        assert_eq!(read(dir.path(), Path::new(".")).unwrap_err(), "is not a regular file");
    }
}
