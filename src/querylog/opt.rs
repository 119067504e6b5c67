//! Where the options of a message stand: what the answer path reads of queries, here of replies
//! too, which hold records before.

use std::ops::Range;

/// The OPT record (RFC 6891 §6.1.1).
const OPT: u16 = 41;
/// The option with a client's network (RFC 7871 §6).
const ECS: u16 = 8;
/// Length of a message's header (RFC 1035 §4.1.1).
const HEADER: usize = 12;

/// What an OPT record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opt {
    /// The upper eight bits of the rcode.
    pub rcode: u8,
    /// Where the client's network stands: family, source, scope, address.
    pub ecs: Option<Range<usize>>,
}

/// The message ends before it should or goes on behind its end, a name in it does not end, or what
/// may be there once is there twice: then nobody can say where in it an address stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// The OPT record of `message`, if it has one.
pub(super) fn find(message: &[u8]) -> Result<Option<Opt>, Unreadable> {
    let mut at = HEADER;
    for _ in 0..number(message, 4)? {
        at = name_end(message, at)? + 4;
    }
    let mut records = 0;
    for section in [6, 8, 10] {
        records += u32::from(number(message, section)?);
    }
    let mut found = None;
    for _ in 0..records {
        at = name_end(message, at)?;
        let begin = at + 10;
        let end = begin + usize::from(number(message, at + 8)?);
        if number(message, at)? == OPT {
            if found.is_some() {
                return Err(Unreadable);
            }
            let rcode = *message.get(at + 4).ok_or(Unreadable)?;
            found = Some(Opt { rcode, ecs: ecs(message, begin..end)? });
        }
        at = end;
    }
    if at == message.len() { Ok(found) } else { Err(Unreadable) }
}

/// The network among the options that stand in `within`.
fn ecs(message: &[u8], within: Range<usize>) -> Result<Option<Range<usize>>, Unreadable> {
    let mut at = within.start;
    let mut found = None;
    while at < within.end {
        let begin = at + 4;
        let end = begin + usize::from(number(message, at + 2)?);
        if end > within.end || number(message, at)? == ECS && found.replace(begin..end).is_some() {
            return Err(Unreadable);
        }
        at = end;
    }
    Ok(found)
}

fn number(message: &[u8], at: usize) -> Result<u16, Unreadable> {
    let bytes = message.get(at..).and_then(<[u8]>::first_chunk);
    bytes.map(|bytes| u16::from_be_bytes(*bytes)).ok_or(Unreadable)
}

/// Where the name that begins at `at` ends: at its root, or behind a pointer.
fn name_end(message: &[u8], mut at: usize) -> Result<usize, Unreadable> {
    loop {
        match *message.get(at).ok_or(Unreadable)? {
            0 => return Ok(at + 1),
            pointer if pointer & 0xc0 == 0xc0 => return Ok(at + 2),
            // RFC 6891 §5: what these two bits once meant is obsolete.
            unknown if unknown & 0xc0 != 0 => return Err(Unreadable),
            label => at += 1 + usize::from(label),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::{
        op::{Edns, Message, MessageType, OpCode, Query, ResponseCode},
        rr::{
            Name, RData, Record, RecordType,
            rdata::opt::{ClientSubnet, EdnsOption},
        },
    };

    /// A reply of three records whose rcode, 23, takes the upper bits.
    fn message(edns: Option<Edns>) -> Vec<u8> {
        let name = Name::from_ascii("www.example.").unwrap();
        let mut message = Message::new(7, MessageType::Response, OpCode::Query);
        message.add_query(Query::query(name.clone(), RecordType::A));
        for last in 1..4 {
            let data = RData::A(std::net::Ipv4Addr::new(192, 0, 2, last).into());
            message.add_answer(Record::from_rdata(name.clone(), 30, data));
        }
        message.metadata.response_code = ResponseCode::BADCOOKIE;
        message.edns = edns;
        message.to_vec().unwrap()
    }

    #[test]
    fn options_are_found_behind_records_whose_names_are_pointers() {
        assert_eq!(find(&message(None)), Ok(None));
        let mut edns = Edns::new();
        let subnet = ClientSubnet::new("198.51.100.0".parse().unwrap(), 24, 20);
        edns.options_mut().insert(EdnsOption::Subnet(subnet));
        let with = message(Some(edns));
        let opt = find(&with).unwrap().unwrap();
        assert_eq!(opt.rcode, 1);
        assert_eq!(with[opt.ecs.unwrap()], [0, 1, 24, 20, 198, 51, 100]);
        for cut in 0..with.len() {
            assert_eq!(find(&with[..cut]), Err(Unreadable), "{cut}");
        }
    }

    #[test]
    fn a_message_in_which_an_address_might_stand_twice_cannot_be_read() {
        // A header with so many additional records, which are OPT with these options.
        let with = |opts: &[&[u8]]| {
            let mut message = vec![0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, opts.len() as u8];
            for options in opts {
                message.extend([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, options.len() as u8]);
                message.extend(*options);
            }
            message
        };
        let ecs = [0, 8, 0, 7, 0, 1, 24, 0, 192, 0, 2];
        let twice = [ecs, ecs].concat();
        let beyond = [0, 8, 0, 8, 0, 1, 24, 0, 192, 0, 2];
        assert!(find(&with(&[&ecs])).unwrap().unwrap().ecs.is_some());
        assert_eq!(find(&with(&[&twice])), Err(Unreadable), "two options");
        assert_eq!(find(&with(&[&ecs, &ecs])), Err(Unreadable), "two OPT records");
        assert_eq!(find(&with(&[&beyond])), Err(Unreadable), "one that ends behind its record");
        let mut trailing = with(&[&ecs]);
        trailing.extend(ecs);
        assert_eq!(find(&trailing), Err(Unreadable), "what is counted by no header");
    }
}
