//! Whether servers hold the same files, so that one change can be made on all of them: numbers of
//! revisions and hashes of whole folders are each server's own, the hash of what they share is not.

use super::{Node, WITHIN, at_once};
use crate::{
    admin::schema::{
        RevisionLine,
        plan::{PlanReply, PlanRequest},
    },
    cli::server::ServerError,
};

/// How a server stands towards files that were planned on another one.
pub(in crate::cli) enum Stands {
    /// It holds them too, and serves what they were planned over.
    Ready(Over),
    /// It serves them.
    Done,
    /// It does not answer.
    Silent(ServerError),
    /// What was planned is not what would happen there, and why.
    Apart(String),
}

/// Over what a server would load them.
#[derive(Clone, Debug)]
pub(in crate::cli) struct Over {
    /// Its revision.
    pub base: u64,
    /// The hash of its folder.
    pub hash: String,
}

/// How each of `nodes` stands towards `plan`.
pub(in crate::cli) fn stand(nodes: &[&Node], plan: &PlanReply) -> Vec<Stands> {
    at_once(nodes, |node| node.stands(plan), |_, _| ())
}

/// The number that each of `nodes` has for the files of the revision that `line` tells of; none
/// where it does not keep them.
pub(in crate::cli) fn same_revision(
    nodes: &[&Node],
    line: &RevisionLine,
) -> Vec<Result<Option<u64>, ServerError>> {
    let number = |node: &Node| {
        let kept: Vec<RevisionLine> = node.server.clone().within(WITHIN).get("/v1/revisions")?;
        let mut newest_first = kept.iter().rev();
        let same = newest_first.find(|kept| kept.content_hash == line.content_hash);
        Ok(same.map(|kept| kept.revision))
    };
    at_once(nodes, number, |_, _| ())
}

impl Node {
    fn stands(&self, plan: &PlanReply) -> Stands {
        // A plan may take a while; whether anybody is there does not.
        let answers = self.facts(WITHIN);
        let theirs = answers.and_then(|_| self.server.send("/v1/plan", &PlanRequest::default()));
        let theirs: PlanReply = match theirs {
            Ok(theirs) => theirs,
            Err(error) if error.is_silence() => return Stands::Silent(error),
            Err(error) => return Stands::Apart(error.to_string()),
        };
        if theirs.content_hash != plan.content_hash {
            let (there, planned) = (short(&theirs.content_hash), short(&plan.content_hash));
            let why = format!("its folder holds other files: {there} there, {planned} planned");
            return Stands::Apart(why);
        }
        if theirs.errors > 0 {
            let first = theirs.problems.iter().find(|problem| problem.severity == "error");
            let why = first.map_or("", |problem| &*problem.message);
            return Stands::Apart(format!("the files do not load there: {why}"));
        }
        if !theirs.changes {
            return Stands::Done;
        }
        if let (Some(there), Some(base)) = (&theirs.base_content_hash, &plan.base_content_hash)
            && there != base
        {
            let (there, base) = (short(there), short(base));
            let why = format!("it serves other files: {there} there, {base} planned over");
            return Stands::Apart(why);
        }
        Stands::Ready(Over { base: theirs.base_revision, hash: theirs.hash })
    }
}

/// As much of a hash of files as people compare.
pub(in crate::cli) fn short(hash: &str) -> &str {
    hash.get(..12).unwrap_or(hash)
}
