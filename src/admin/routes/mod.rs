//! What may be asked for: a file a subject. Each declares its routes with `#[utoipa::path]`, so
//! that the description of the API comes from the very routes that serve it.
//!
//! | file | its part |
//! |---|---|
//! | `watch` | `/healthz`, `/readyz`, `/metrics`: for load balancers and scrapers |
//! | `status` | `/v1/status`, `/v1/targets` |
//! | `events` | `/v1/events`, `/v1/events/stream` |
//! | `node` | `/v1/node`: what servers for the same zones compare |
//! | `names` | `/v1/names`: for shells that complete |
//! | `audit` | `/v1/audit`, `/v1/audit/chain`: who changed what |
//! | `explain` | `/v1/explain` |
//! | `files` | `/v1/revisions`, `/v1/reload`, `/v1/rollback`: the operator's files |
//! | `hand` | `/v1/hand`, `/v1/weights`, `/v1/approvals`: what operators tell the server |
//! | `plan` | `/v1/plan`, `/v1/apply`: what other files would change, and loading them |
//! | `simulate` | `/v1/simulate`: what would come of a failure, a drain, other weights |
//! | `things` | zones, records, pools and the like, in pages; `/v1/geo` |
//! | `api` | `/v1/openapi.json`: all of this, described by itself |
//! | `push` | `/v1/push`: heartbeats of targets |
//! | `rollout` | `/v1/rollouts`: how they stand, and what is ordered of them |
//! | `demo` | `/v1/demo`: the machines of `tradewind demo` |
//! | `drill` | `/v1/drills`: game days |
//!
//! A route says in `security` who may use it: `security(("token" = ["read"]))` a holder of that
//! [`Role`](crate::grant::Role) at least, who on loopback may `read` without; `token_everywhere` one
//! there too, for what tells of clients and operators or takes a processor for seconds; `security(())`
//! anybody. The names of the functions are
//! the operations' ids, so no two are alike.

mod api;
mod audit;
mod demo;
mod drill;
mod events;
mod explain;
mod files;
mod hand;
mod names;
mod node;
mod plan;
mod push;
mod rollout;
mod simulate;
mod status;
mod things;
mod watch;

/// The description of all routes.
pub use api::text as openapi;

use super::context::Context;
use std::sync::Arc;
use utoipa_axum::router::OpenApiRouter;

/// Everything.
pub(super) fn all() -> OpenApiRouter<Arc<Context>> {
    [
        watch::routes(),
        status::routes(),
        names::routes(),
        node::routes(),
        events::routes(),
        audit::routes(),
        explain::routes(),
        files::routes(),
        hand::routes(),
        plan::routes(),
        simulate::routes(),
        push::routes(),
        rollout::routes(),
        demo::routes(),
        things::routes(),
        api::routes(),
        drill::routes(),
    ]
    .into_iter()
    .fold(OpenApiRouter::default(), OpenApiRouter::merge)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grant::Role;
    use std::collections::BTreeSet;

    /// As JSON, in which the parts of an operation are public.
    fn operations() -> Vec<(String, serde_json::Value)> {
        let described = serde_json::to_value(all().into_openapi()).unwrap();
        let paths = described["paths"].as_object().unwrap();
        let operations = paths.iter().flat_map(|(path, item)| {
            let item = item.as_object().unwrap().iter();
            item.map(move |(method, operation)| (format!("{method} {path}"), operation.clone()))
        });
        operations.collect()
    }

    #[test]
    fn every_operation_has_an_id_of_its_own_and_says_who_may_use_it() {
        let mut ids = BTreeSet::new();
        for (route, operation) in operations() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(ids.insert(id.to_owned()), "{route}: another operation is called {id}");
            let said = operation["security"].as_array().unwrap_or_else(|| panic!("{route}"));
            let [said] = &said[..] else { panic!("{route} says it once") };
            if let Some(roles) = said.get("token").or(said.get("token_everywhere")) {
                let [role] = &roles.as_array().unwrap()[..] else { panic!("{route}: one role") };
                assert!(role.as_str().unwrap().parse::<Role>().is_ok(), "{route}: {role}");
            }
            assert!(operation["summary"].is_string(), "{route} says what it is for");
        }
    }
}
