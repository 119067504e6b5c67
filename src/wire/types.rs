//! The numbers of the protocol, by name: record types, classes, rcodes, opcodes, EDNS codes.
//!
//! Each is a newtype over what stands on the wire, because any value may arrive and must be
//! served or echoed; the names are only for people. Must not know what a number *does*.

use std::fmt;
use std::str::FromStr;

macro_rules! codes {
    ($(
        $(#[$doc:meta])*
        $name:ident($repr:ty), else $prefix:literal: { $($code:ident = $value:literal,)* }
    )*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $repr);

        #[allow(missing_docs, reason = "the mnemonics of the IANA registry explain themselves")]
        impl $name {
            $(pub const $code: $name = $name($value);)*
        }

        impl fmt::Display for $name {
            #[doc = concat!("The mnemonic, or `", $prefix, "123` for a number without one here.")]
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match *self {
                    $($name::$code => f.pad(stringify!($code)),)*
                    $name(other) => f.pad(&format!(concat!($prefix, "{}"), other)),
                }
            }
        }

        impl FromStr for $name {
            type Err = UnknownMnemonic;
            #[doc = concat!("Reads what `Display` writes, in any case; `", $prefix, "123` for every number.")]
            fn from_str(text: &str) -> Result<Self, UnknownMnemonic> {
                let upper = text.to_ascii_uppercase();
                match upper.as_str() {
                    $(stringify!($code) => Ok($name::$code),)*
                    other => other
                        .strip_prefix($prefix)
                        .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()))
                        .and_then(|digits| digits.parse().ok())
                        .map($name)
                        .ok_or_else(|| UnknownMnemonic(text.into())),
                }
            }
        }
    )*};
}

/// A word that names no code of its registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a known mnemonic")]
pub struct UnknownMnemonic(pub Box<str>);

codes! {
    /// A record type (RFC 1035 §3.2.2, RFC 3597 §5 for those without a name).
    Rtype(u16), else "TYPE": {
        A = 1, NS = 2, MD = 3, MF = 4, CNAME = 5, SOA = 6, MB = 7, MG = 8, MR = 9, NULL = 10, PTR = 12,
        HINFO = 13, MINFO = 14, MX = 15, TXT = 16, RP = 17, AFSDB = 18, X25 = 19, ISDN = 20, RT = 21,
        NSAP = 22, KEY = 25, PX = 26, GPOS = 27, AAAA = 28, LOC = 29, EID = 31, NIMLOC = 32, SRV = 33,
        NAPTR = 35, KX = 36, CERT = 37, DNAME = 39, OPT = 41, APL = 42, DS = 43, SSHFP = 44,
        IPSECKEY = 45, RRSIG = 46, NSEC = 47, DNSKEY = 48, DHCID = 49, NSEC3 = 50, NSEC3PARAM = 51,
        TLSA = 52, SMIMEA = 53, HIP = 55, NINFO = 56, RKEY = 57, TALINK = 58, CDS = 59, CDNSKEY = 60,
        OPENPGPKEY = 61, CSYNC = 62, ZONEMD = 63, SVCB = 64, HTTPS = 65, DSYNC = 66, HHIT = 67,
        BRID = 68, SPF = 99, NID = 104, L32 = 105, L64 = 106, LP = 107, EUI48 = 108, EUI64 = 109,
        NXNAME = 128, TKEY = 249, TSIG = 250, IXFR = 251, AXFR = 252, MAILB = 253, MAILA = 254,
        ANY = 255, URI = 256, CAA = 257, AVC = 258, AMTRELAY = 260, RESINFO = 261,
        WALLET = 262, CLA = 263, TA = 32768, DLV = 32769,
    }
    /// A record's or question's class (RFC 1035 §3.2.4); not a class of clients.
    Rclass(u16), else "CLASS": { IN = 1, CH = 3, HS = 4, NONE = 254, ANY = 255, }
    /// An rcode with the eight bits EDNS adds (RFC 6891 §6.1.3).
    Rcode(u16), else "RCODE": {
        NOERROR = 0, FORMERR = 1, SERVFAIL = 2, NXDOMAIN = 3, NOTIMP = 4, REFUSED = 5,
        YXDOMAIN = 6, NOTAUTH = 9, BADVERS = 16, BADCOOKIE = 23,
    }
    /// What kind of request a message is (RFC 1035 §4.1.1): four bits.
    Opcode(u8), else "OPCODE": { QUERY = 0, STATUS = 2, NOTIFY = 4, UPDATE = 5, DSO = 6, }
    /// What an EDNS option is (RFC 6891 §6.1.2).
    OptionCode(u16), else "OPT": {
        NSID = 3, ECS = 8, COOKIE = 10, KEEPALIVE = 11, PADDING = 12, EDE = 15,
    }
    /// The info-code of an extended error (RFC 8914 §4).
    Ede(u16), else "EDE": {
        OTHER = 0, NOT_READY = 14, PROHIBITED = 18, NOT_AUTHORITATIVE = 20, NOT_SUPPORTED = 21,
        INVALID_DATA = 24, SYNTHESIZED = 29, INVALID_QUERY_TYPE = 30,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_read_back_as_they_are_written() {
        for number in 0..=u16::MAX {
            let rtype = Rtype(number);
            assert_eq!(rtype.to_string().parse(), Ok(rtype));
        }
    }

    #[test]
    fn words_are_read_in_any_case_and_numbers_in_rfc_3597_form() {
        assert_eq!("aaaa".parse(), Ok(Rtype::AAAA));
        assert_eq!("type28".parse(), Ok(Rtype::AAAA));
        assert_eq!(Rtype(28).to_string(), "AAAA");
        assert_eq!(Rtype(65280).to_string(), "TYPE65280");
        assert_eq!(Rclass(7).to_string(), "CLASS7");
        for wrong in ["", "TYPE", "TYPE65536", "TYPE+1", "AAAAA"] {
            assert_eq!(wrong.parse::<Rtype>(), Err(UnknownMnemonic(wrong.into())));
        }
    }
}
