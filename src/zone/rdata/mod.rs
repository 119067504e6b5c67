//! Record data as text and as wire: what the data of each type is made of, in one table.
//!
//! A type is a row of [`LAYOUTS`]: its fields in their order. Text is read field by field
//! (`read`), wire form is written as text field by field (`write`), and what can be written is
//! what the type allows: so nothing that a resolver could not read leaves this room. Fields with
//! a syntax of their own have a file (`apl`, `bitmap`, `loc`, `svcb`).
//!
//! Must not know owners, TTLs or zones.

mod apl;
mod bitmap;
mod loc;
mod read;
mod svcb;
mod write;

use super::text::{Refusal, Token, Tokens};
use super::times::{parse_span, parse_ttl};
use crate::wire::Name;
use crate::wire::types::Rtype;

pub use write::rdata_text;

/// One part of a type's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Field {
    /// A number of so many octets.
    Number(usize),
    /// A number of one octet which has names.
    Named8(&'static [(&'static str, u16)]),
    /// The same of two octets.
    Named16(&'static [(&'static str, u16)]),
    /// A record type.
    Type,
    /// A span of time that a TTL can be, in seconds or as in `1h30m`.
    Ttl,
    /// A span of time that is no TTL, up to 2³² − 1 seconds.
    Span,
    /// A moment, as `YYYYMMDDHHmmSS` or in seconds (RFC 4034 §3.2).
    Time,
    Ipv4,
    Ipv6,
    /// A domain name, never compressed.
    Name,
    /// A character string (RFC 1035 §3.3).
    String,
    /// A character string, or none.
    MaybeString,
    /// Character strings to the end, one at the least.
    Strings,
    /// A character string of letters and digits only.
    Tag,
    /// Octets to the end, so many at the least, written as one string.
    Text(usize),
    /// Octets to the end in base 16, one at the least.
    Hex,
    /// Octets to the end in base 64, one at the least.
    Base64,
    /// Octets to the end in base 64, or none.
    MaybeBase64,
    /// NSEC3's salt: up to 255 octets in base 16, or `-`.
    Salt,
    /// NSEC3's hash: up to 255 octets in base 32.
    Hash,
    /// Which types a name has (RFC 4034 §4.1.2).
    Types,
    /// So many octets as `00-00-5e`.
    Eui(usize),
    /// Eight octets as `2001:db8:1:2` (RFC 6742 §2.1.2).
    Node,
    /// An ATM-like address, `0x47.0005…` (RFC 1706 §5).
    Nsap,
    /// Algorithm, host identity tag, key and servers (RFC 8005 §5).
    Hip,
    /// A gateway whose kind is the second octet of the data (RFC 4025 §2).
    Gateway,
    /// A flag, a kind and a relay of that kind (RFC 8777 §4).
    Relay,
    /// A place on Earth (RFC 1876).
    Loc,
    /// Address prefixes (RFC 3123).
    Apl,
    /// Service parameters (RFC 9460).
    Params,
}

use Field::{
    Apl, Base64, Eui, Gateway, Hash, Hex, Hip, Ipv4, Ipv6, Loc, MaybeBase64, MaybeString,
    Name as Host, Named8, Named16, Node, Nsap, Number, Params, Relay, Salt, Span, String as Str,
    Strings, Tag, Text, Time, Ttl, Type, Types,
};

const U8: Field = Number(1);
const U16: Field = Number(2);
const U32: Field = Number(4);
const ALGORITHM: Field = Named8(&[
    ("RSAMD5", 1),
    ("DH", 2),
    ("DSA", 3),
    ("RSASHA1", 5),
    ("DSA-NSEC3-SHA1", 6),
    ("NSEC3DSA", 6),
    ("RSASHA1-NSEC3-SHA1", 7),
    ("NSEC3RSASHA1", 7),
    ("RSASHA256", 8),
    ("RSASHA512", 10),
    ("ECC-GOST", 12),
    ("ECDSAP256SHA256", 13),
    ("ECDSAP384SHA384", 14),
    ("ED25519", 15),
    ("ED448", 16),
    ("INDIRECT", 252),
    ("PRIVATEDNS", 253),
    ("PRIVATEOID", 254),
]);
const CERTIFICATE: Field = Named16(&[
    ("PKIX", 1),
    ("SPKI", 2),
    ("PGP", 3),
    ("IPKIX", 4),
    ("ISPKI", 5),
    ("IPGP", 6),
    ("ACPKIX", 7),
    ("IACPKIX", 8),
    ("URI", 253),
    ("OID", 254),
]);
const SCHEME: Field = Named8(&[("NOTIFY", 1)]);

const KEY: &[Field] = &[U16, U8, ALGORITHM, Base64];
const DIGEST: &[Field] = &[U16, ALGORITHM, U8, Hex];

/// Types, what their data is made of, and how it is written.
const LAYOUTS: &[(Rtype, &[Field], &str)] = &[
    (Rtype::A, &[Ipv4], "192.0.2.1"),
    (Rtype::NS, &[Host], "ns1.example.com."),
    (Rtype::MD, &[Host], "host.example.com."),
    (Rtype::MF, &[Host], "host.example.com."),
    (Rtype::CNAME, &[Host], "www.example.com."),
    (
        Rtype::SOA,
        &[Host, Host, U32, Span, Span, Span, Ttl],
        "MNAME RNAME SERIAL REFRESH RETRY EXPIRE MINIMUM",
    ),
    (Rtype::MB, &[Host], "host.example.com."),
    (Rtype::MG, &[Host], "mailbox.example.com."),
    (Rtype::MR, &[Host], "mailbox.example.com."),
    (Rtype::PTR, &[Host], "host.example.com."),
    (Rtype::HINFO, &[Str, Str], "\"CPU\" \"OS\""),
    (Rtype::MINFO, &[Host, Host], "RESPONSIBLE ERRORS"),
    (Rtype::MX, &[U16, Host], "10 mail.example.com."),
    (Rtype::TXT, &[Strings], "\"TEXT\" \"MORE\""),
    (Rtype::RP, &[Host, Host], "MAILBOX TEXT"),
    (Rtype::AFSDB, &[U16, Host], "1 host.example.com."),
    (Rtype::X25, &[Str], "\"311061700956\""),
    (Rtype::ISDN, &[Str, MaybeString], "\"ADDRESS\" \"SUBADDRESS\""),
    (Rtype::RT, &[U16, Host], "10 relay.example.com."),
    (Rtype::NSAP, &[Nsap], "0x47.0005.80"),
    (Rtype::KEY, &[U16, U8, ALGORITHM, MaybeBase64], "FLAGS PROTOCOL ALGORITHM BASE64"),
    (Rtype::PX, &[U16, Host, Host], "10 MAP822 MAPX400"),
    (Rtype::GPOS, &[Str, Str, Str], "LONGITUDE LATITUDE ALTITUDE"),
    (Rtype::AAAA, &[Ipv6], "2001:db8::1"),
    (Rtype::LOC, &[Loc], "52 22 23 N 4 53 32 E -2m 1m 10000m 10m"),
    (Rtype::EID, &[Hex], "HEX"),
    (Rtype::NIMLOC, &[Hex], "HEX"),
    (Rtype::SRV, &[U16, U16, U16, Host], "PRIORITY WEIGHT PORT TARGET"),
    (
        Rtype::NAPTR,
        &[U16, U16, Str, Str, Str, Host],
        "ORDER PREFERENCE \"FLAGS\" \"SERVICES\" \"REGEXP\" REPLACEMENT",
    ),
    (Rtype::KX, &[U16, Host], "10 kx.example.com."),
    (Rtype::CERT, &[CERTIFICATE, U16, ALGORITHM, Base64], "PKIX TAG ALGORITHM BASE64"),
    (Rtype::DNAME, &[Host], "example.net."),
    (Rtype::APL, &[Apl], "1:192.0.2.0/24 !2:2001:db8::/32"),
    (Rtype::DS, DIGEST, "TAG ALGORITHM DIGEST-TYPE HEX"),
    (Rtype::SSHFP, &[U8, U8, Hex], "ALGORITHM TYPE HEX"),
    (
        Rtype::IPSECKEY,
        &[U8, U8, U8, Gateway, MaybeBase64],
        "PRECEDENCE GATEWAY-TYPE ALGORITHM GATEWAY BASE64",
    ),
    (
        Rtype::RRSIG,
        &[Type, ALGORITHM, U8, Ttl, Time, Time, U16, Host, Base64],
        "TYPE ALGORITHM LABELS TTL EXPIRATION INCEPTION TAG SIGNER BASE64",
    ),
    (Rtype::NSEC, &[Host, Types], "NEXT TYPE TYPE"),
    (Rtype::DNSKEY, KEY, "FLAGS 3 ALGORITHM BASE64"),
    (Rtype::DHCID, &[Base64], "BASE64"),
    (
        Rtype::NSEC3,
        &[U8, U8, U16, Salt, Hash, Types],
        "ALGORITHM FLAGS ITERATIONS SALT NEXT TYPE TYPE",
    ),
    (Rtype::NSEC3PARAM, &[U8, U8, U16, Salt], "ALGORITHM FLAGS ITERATIONS SALT"),
    (Rtype::TLSA, &[U8, U8, U8, Hex], "USAGE SELECTOR MATCHING HEX"),
    (Rtype::SMIMEA, &[U8, U8, U8, Hex], "USAGE SELECTOR MATCHING HEX"),
    (Rtype::HIP, &[Hip], "ALGORITHM HEX BASE64 SERVER"),
    (Rtype::NINFO, &[Strings], "\"TEXT\" \"MORE\""),
    (Rtype::RKEY, KEY, "FLAGS PROTOCOL ALGORITHM BASE64"),
    (Rtype::TALINK, &[Host, Host], "PREVIOUS NEXT"),
    (Rtype::CDS, DIGEST, "TAG ALGORITHM DIGEST-TYPE HEX"),
    (Rtype::CDNSKEY, KEY, "FLAGS 3 ALGORITHM BASE64"),
    (Rtype::OPENPGPKEY, &[Base64], "BASE64"),
    (Rtype::CSYNC, &[U32, U16, Types], "SERIAL FLAGS TYPE TYPE"),
    (Rtype::ZONEMD, &[U32, U8, U8, Hex], "SERIAL SCHEME ALGORITHM HEX"),
    (Rtype::SVCB, &[U16, Host, Params], "PRIORITY TARGET KEY=VALUE"),
    (Rtype::HTTPS, &[U16, Host, Params], "PRIORITY TARGET KEY=VALUE"),
    (Rtype::DSYNC, &[Type, SCHEME, U16, Host], "TYPE NOTIFY PORT TARGET"),
    (Rtype::HHIT, &[Base64], "BASE64"),
    (Rtype::BRID, &[Base64], "BASE64"),
    (Rtype::SPF, &[Strings], "\"TEXT\" \"MORE\""),
    (Rtype::NID, &[U16, Node], "10 0014:4fff:ff20:ee64"),
    (Rtype::L32, &[U16, Ipv4], "10 192.0.2.1"),
    (Rtype::L64, &[U16, Node], "10 2001:db8:1:2"),
    (Rtype::LP, &[U16, Host], "10 l64.example.com."),
    (Rtype::EUI48, &[Eui(6)], "00-00-5e-00-53-2a"),
    (Rtype::EUI64, &[Eui(8)], "00-00-5e-ef-10-00-00-2a"),
    (Rtype::URI, &[U16, U16, Text(1)], "10 1 \"https://www.example.com/\""),
    (Rtype::CAA, &[U8, Tag, Text(0)], "0 issue \"ca.example.net\""),
    (Rtype::AVC, &[Strings], "\"TEXT\" \"MORE\""),
    (Rtype::AMTRELAY, &[U8, Relay], "PRECEDENCE DISCOVERY TYPE RELAY"),
    (Rtype::RESINFO, &[Strings], "\"TEXT\" \"MORE\""),
    (Rtype::WALLET, &[Strings], "\"TEXT\" \"MORE\""),
    (Rtype::CLA, &[Strings], "\"TEXT\" \"MORE\""),
    (Rtype::TA, DIGEST, "TAG ALGORITHM DIGEST-TYPE HEX"),
    (Rtype::DLV, DIGEST, "TAG ALGORITHM DIGEST-TYPE HEX"),
];

/// The fields of a type's data and how they are written; `None` for a type with none of its own.
fn layout(rtype: Rtype) -> Option<(&'static [Field], &'static str)> {
    let row = LAYOUTS.binary_search_by_key(&rtype, |(rtype, ..)| *rtype).ok()?;
    let (_, fields, form) = LAYOUTS[row];
    Some((fields, form))
}

/// The longest data there may be (RFC 1035 §3.2.1: RDLENGTH has two octets).
const RDATA_MAX: usize = u16::MAX as usize;

/// Reads what stands behind a record's type, to wire form. Names are relative to `origin`; `blame`
/// is the place of the type, for what has no better one.
pub(super) fn read(
    rtype: Rtype,
    tokens: Tokens<'_>,
    origin: &Name,
    blame: usize,
) -> Result<Vec<u8>, Refusal> {
    let mut words = read::Words::new(tokens, origin, blame);
    let mut wire = Vec::new();
    let known = layout(rtype);
    if words.is_generic() {
        words.generic(&mut wire)?;
        if known.is_some_and(|(fields, _)| !write::is_made_of(fields, &wire)) {
            let message = format!("this is not valid data for `{rtype}`");
            return Err(Refusal::new(blame, message).help(remedy(rtype)));
        }
    } else {
        let (fields, _) = known.ok_or_else(|| {
            let message = format!("the data of `{rtype}` cannot be written as text here");
            Refusal::new(blame, message).help(remedy(rtype))
        })?;
        let mut read = || fields.iter().try_for_each(|field| words.field(*field, &mut wire));
        read().and_then(|()| words.end()).map_err(|refusal| match refusal.help {
            Some(_) => refusal,
            None => refusal.help(remedy(rtype)),
        })?;
    }
    if wire.len() > RDATA_MAX {
        let message = format!("this {rtype} record is larger than {RDATA_MAX} octets");
        return Err(Refusal::new(blame, message).help("make it smaller"));
    }
    Ok(wire)
}

/// How data of a type is to be written.
fn remedy(rtype: Rtype) -> String {
    match layout(rtype) {
        Some((_, form)) => format!("write it as in `{rtype} {form}`"),
        None => format!(
            r"write its data in the form of RFC 3597: `\# LENGTH HEX`, as in `{rtype} \# 2 beef`"
        ),
    }
}

#[cfg(test)]
mod tests;
