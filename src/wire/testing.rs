//! What the room's tests share: names from text or chance, and packets well or badly formed.

use proptest::prelude::*;

use super::name::Name;
use super::types::Rtype;

/// The name `text` means.
pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// Names of up to six labels with any bytes; letters and digits are as likely as all others.
pub(crate) fn any_name() -> impl Strategy<Value = Name> {
    let byte = prop_oneof![prop::char::range('a', 'z').prop_map(|c| c as u8), any::<u8>()];
    let label = prop::collection::vec(byte, 1..40);
    prop::collection::vec(label, 0..6).prop_map(|labels| {
        labels.iter().try_fold(Name::root(), |name, label| name.prepend(label)).unwrap()
    })
}

/// A query in the making, whose counts follow what is put in.
pub(crate) struct Packet {
    id: u16,
    opcode: u8,
    question: Vec<u8>,
    questions: u16,
    records: [(u16, Vec<u8>); 3],
}

impl Packet {
    /// A well-formed question in class IN; the letters of `name` stay as they are.
    pub(crate) fn asking(name: &str, rtype: Rtype) -> Self {
        let mut question = Vec::new();
        for label in name.split('.') {
            question.push(label.len() as u8);
            question.extend(label.as_bytes());
        }
        question.push(0);
        question.extend(rtype.0.to_be_bytes());
        question.extend([0, 1]);
        Self::raw_question(&question)
    }

    /// `question` as it is, counted as one.
    pub(crate) fn raw_question(question: &[u8]) -> Self {
        Packet {
            id: 0x1234,
            opcode: 0,
            question: question.into(),
            questions: 1,
            records: Default::default(),
        }
    }

    pub(crate) fn id(mut self, id: u16) -> Self {
        self.id = id;
        self
    }

    pub(crate) fn opcode(mut self, opcode: u8) -> Self {
        self.opcode = opcode;
        self
    }

    pub(crate) fn questions(mut self, count: u16) -> Self {
        self.questions = count;
        self
    }

    /// The question twice.
    pub(crate) fn second_question(mut self) -> Self {
        self.question = self.question.repeat(2);
        self.questions(2)
    }

    /// A whole record into a section: 0 answer, 1 authority, 2 additional.
    pub(crate) fn record(mut self, section: usize, record: &[u8]) -> Self {
        self.records[section].0 += 1;
        self.records[section].1.extend(record);
        self
    }

    /// An OPT record at its right place.
    pub(crate) fn opt(self, size: u16, ttl: u32, options: &[u8]) -> Self {
        let mut record = vec![0, 0, 41];
        record.extend(size.to_be_bytes());
        record.extend(ttl.to_be_bytes());
        record.extend((options.len() as u16).to_be_bytes());
        record.extend(options);
        self.record(2, &record)
    }

    /// An OPT record with a client's network.
    pub(crate) fn ecs(self, family: u8, source_prefix: u8, address: &[u8]) -> Self {
        let len = 4 + address.len() as u8;
        let fixed = [0, 8, 0, len, 0, family, source_prefix, 0];
        self.opt(1232, 0, &[&fixed, address].concat())
    }

    /// The packet, with RD set.
    pub(crate) fn build(&self) -> Vec<u8> {
        let mut packet = self.id.to_be_bytes().to_vec();
        packet.extend([self.opcode << 3 | 1, 0]);
        packet.extend(self.questions.to_be_bytes());
        for (count, _) in &self.records {
            packet.extend(count.to_be_bytes());
        }
        packet.extend(&self.question);
        for (_, records) in &self.records {
            packet.extend(records);
        }
        packet
    }
}
