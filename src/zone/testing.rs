//! What tests share: zones from text.

use std::io;
use std::path::Path;

use super::{Answers, At, Record, Source, Zone, ZoneBuilder, ZoneProblem, read};
use crate::wire::Name;
use crate::wire::types::Rtype;

/// A place in a file of no consequence.
pub(crate) fn at(line: u32) -> At {
    At { file: Path::new("zone").into(), line }
}

/// The zone `example` made of `text` on top of a SOA and an NS record, which are on line 0. A
/// record of the made-up type TYPE65400 marks its owner as steered; data `\# 1 01` stands for a
/// tree that answers CNAMEs, `\# 1 02` for one that has TXT records beside its addresses.
pub(crate) fn build(text: &str) -> (Option<Zone>, Vec<ZoneProblem>) {
    let head = "@ 60 SOA ns.elsewhere. host 1 2 3 4 30\n@ 60 NS ns.elsewhere.";
    build_bare(&[(head, 0), (text, 1)])
}

/// The zone `example` made of texts, each with its first line.
pub(crate) fn build_bare(texts: &[(&str, u32)]) -> (Option<Zone>, Vec<ZoneProblem>) {
    let apex = Name::parse("example").unwrap();
    let mut builder = ZoneBuilder::new(apex.clone(), at(0));
    let mut steered = 0;
    for &(text, first_line) in texts {
        let source = Source::held(Path::new("zone").into(), first_line, text);
        let loader = |_: &Path| Err(io::ErrorKind::NotFound.into());
        let problems = read(source, &loader, &apex, None, &mut |record: Record| {
            if record.rtype == Rtype(65400) {
                let answers = match *record.rdata {
                    [1] => Answers::Cname,
                    [2] => Answers::Addresses { extra: [Rtype::TXT].into() },
                    _ => Answers::Addresses { extra: Box::default() },
                };
                builder.steer(&record.owner, steered, answers, record.at);
                steered += 1;
            } else {
                builder.add(record);
            }
        });
        assert_eq!(problems, [], "{text}");
    }
    builder.build()
}

/// The zone `example` made of `text`, which must be without fault.
pub(crate) fn zone(text: &str) -> Zone {
    let (zone, problems) = build(text);
    zone.unwrap_or_else(|| panic!("{problems:?}"))
}
