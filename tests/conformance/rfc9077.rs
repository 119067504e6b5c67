//! RFC 9077: the TTL of NSEC and NSEC3 records.

use crate::desk::signed::{self, NSEC, NSEC3};

#[test]
fn section_3_no_denial_lives_longer_than_a_negative_answer() {
    for (text, rtype) in [(NSEC, "NSEC"), (NSEC3, "NSEC3")] {
        let old = text.replace(" 300 IN ", " 3600 IN ");
        assert_ne!(old, text);
        let reply = signed::signed(&old).shown("nothing.example A do");
        let denials = reply.iter().filter(|line| line.contains(rtype));
        let ttls: Vec<_> = denials.filter_map(|line| line.split(' ').nth(2)).collect();
        assert!(ttls.len() >= 4 && ttls.iter().all(|ttl| *ttl == "300"), "{reply:?}");
    }
}
