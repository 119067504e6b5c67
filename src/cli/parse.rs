//! Arguments as people write them, for clap's `value_parser`.

use crate::wire::types::Rtype;
use hickory_proto::rr::{Name, RecordType};
use ipnet::IpNet;
use std::{
    net::{IpAddr, SocketAddr},
    time::Duration,
};

/// A name from the command line; it is absolute, whether it ends with a dot or not.
pub(super) fn name(text: &str) -> Result<Name, String> {
    // IDNA lowers case, and a server must give back the case it was asked with.
    let name = match text.is_ascii() {
        true => Name::from_ascii(text),
        false => Name::from_utf8(text),
    };
    let mut name = name.map_err(|e| e.to_string())?;
    name.set_fqdn(true);
    Ok(name)
}

pub(super) fn rtype(text: &str) -> Result<RecordType, String> {
    let rtype: Result<Rtype, _> = text.parse();
    let rtype = rtype.map(|rtype| RecordType::from(rtype.0));
    rtype.map_err(|_| "neither a known record type nor TYPE with a number".to_owned())
}

/// `ADDR` or `ADDR:PORT`.
pub(super) fn server(text: &str) -> Result<SocketAddr, String> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']'));
    match (text.parse(), bare.unwrap_or(text).parse::<IpAddr>()) {
        (Ok(server), _) => Ok(server),
        (Err(_), Ok(address)) => Ok((address, 53).into()),
        (Err(_), Err(_)) => Err("not an address, nor address:port".to_owned()),
    }
}

/// A network, or an address for a network of one.
pub(super) fn network(text: &str) -> Result<IpNet, String> {
    match (text.parse(), text.parse::<IpAddr>()) {
        (Ok(net), _) => Ok(net),
        (Err(_), Ok(address)) => Ok(address.into()),
        (Err(_), Err(_)) => Err("not a network like 203.0.113.0/24, nor an address".to_owned()),
    }
}

pub(super) fn timeout(text: &str) -> Result<Duration, String> {
    let wanted = "a number of seconds between 0.001 and 60";
    let seconds: f64 = text.parse().map_err(|_| wanted.to_owned())?;
    if (0.001..=60.0).contains(&seconds) {
        Ok(Duration::from_secs_f64(seconds))
    } else {
        Err(wanted.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_as_people_write_them() {
        let server = |text| super::server(text).map(|s| s.to_string());
        assert_eq!(server("192.0.2.1").unwrap(), "192.0.2.1:53");
        assert_eq!(server("192.0.2.1:5300").unwrap(), "192.0.2.1:5300");
        assert_eq!(server("2001:db8::1").unwrap(), "[2001:db8::1]:53");
        assert_eq!(server("[2001:db8::1]").unwrap(), "[2001:db8::1]:53");
        assert_eq!(server("[2001:db8::1]:5300").unwrap(), "[2001:db8::1]:5300");
        assert!(server("localhost").is_err());
        assert_eq!(rtype("aaaa"), Ok(RecordType::AAAA));
        assert_eq!(rtype("LOC"), Ok(RecordType::Unknown(29)));
        assert_eq!(rtype("TYPE28"), Ok(RecordType::AAAA));
        assert_eq!(rtype("type65280"), Ok(RecordType::Unknown(65_280)));
        assert!(rtype("TYPE65536").is_err() && rtype("AAA").is_err());
        assert_eq!(network("192.0.2.1").unwrap().to_string(), "192.0.2.1/32");
        assert!(network("192.0.2.0/33").is_err());
        assert_eq!(name("example.org").unwrap(), name("EXAMPLE.org.").unwrap());
        assert_eq!(timeout("0.5"), Ok(Duration::from_millis(500)));
        assert!(timeout("0").is_err() && timeout("soon").is_err());
    }
}
