//! Why a request was not done, as RFC 9457 has it: `application/problem+json`.

use super::schema::{Refusal, hand::HandList};
use crate::{
    control::{
        hand::{Refusal as HandRefusal, TargetError},
        plan::PlanError,
    },
    drill::Refusal as DrillRefusal,
    grant::Role,
};
use axum::{
    Extension, Json,
    http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header},
    response::{IntoResponse, Response},
};
use std::sync::Arc;

/// Why a request was not done.
#[derive(Debug)]
pub(super) struct Refused(Box<Refusal>, StatusCode, HeaderMap, bool);

/// Beside a reply: that its request was refused before it became a change, and why.
#[derive(Clone, Debug)]
pub(super) struct Unread(pub Arc<str>);

impl Refused {
    /// Refuses with `status`; `detail` says what is wrong, for people.
    pub fn new(status: StatusCode, detail: impl Into<String>) -> Refused {
        let refusal = Refusal {
            kind: "about:blank".to_owned(),
            title: status.canonical_reason().unwrap_or("Refused").to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
            ..Refusal::default()
        };
        Refused(Box::new(refusal), status, HeaderMap::new(), false)
    }

    /// The same of a request that nobody could make a change of.
    pub fn unread(status: StatusCode, detail: impl Into<String>) -> Refused {
        Refused { 3: true, ..Refused::new(status, detail) }
    }

    /// What is wrong, for people.
    pub fn detail(&self) -> &str {
        &self.0.detail
    }

    /// With a header beside it.
    pub fn with(mut self, name: HeaderName, value: &str) -> Refused {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.2.insert(name, value);
        }
        self
    }

    /// Says how to get out of it as well.
    pub fn hint(mut self, hint: &str) -> Refused {
        self.0.hint = Some(hint.to_owned());
        self
    }

    /// Of somebody whose token has less than the `role` it takes.
    pub fn takes(mut self, role: Role) -> Refused {
        self.0.role = Some(role.word().to_owned());
        self
    }

    /// With what operators told the server, for who wanted to change what it is no more.
    pub fn beside(mut self, hand: HandList) -> Refused {
        self.0.hand = Some(hand);
        self
    }

    /// The request itself is wrong.
    pub fn bad(detail: impl Into<String>) -> Refused {
        Refused::unread(StatusCode::BAD_REQUEST, detail)
    }
}

impl From<&HandRefusal> for Refused {
    fn from(refusal: &HandRefusal) -> Refused {
        let mut refused = Refused::new(status(refusal), refusal.to_string());
        refused.0.hint = refusal.hint().map(str::to_owned);
        if let HandRefusal::Unsafe(violations) = refusal {
            refused.0.violations = violations.iter().map(Into::into).collect();
        }
        refused
    }
}

impl From<&PlanError> for Refused {
    fn from(error: &PlanError) -> Refused {
        match error {
            // What is only supposed is there or is not.
            PlanError::Refused(refusal @ HandRefusal::Target(error)) => {
                Refused::from(refusal).hint(error.hint())
            }
            PlanError::Refused(refusal) => Refused::from(refusal),
            PlanError::Moved => Refused::new(StatusCode::CONFLICT, error.to_string()),
            PlanError::TooFew(_) => Refused::new(StatusCode::BAD_REQUEST, error.to_string()),
            PlanError::Unreadable(_) | PlanError::Broken(_) => {
                Refused::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string())
            }
        }
    }
}

/// The command line makes its exit codes of these.
fn status(refusal: &HandRefusal) -> StatusCode {
    match refusal {
        HandRefusal::Target(TargetError::NoMatch { .. } | TargetError::Ambiguous { .. })
        | HandRefusal::Weight(_)
        | HandRefusal::NoMember { .. }
        | HandRefusal::NoFailover(_)
        | HandRefusal::Nothing(_) => StatusCode::NOT_FOUND,
        HandRefusal::Target(_)
        | HandRefusal::Unfit { .. }
        | HandRefusal::NoNumber(_)
        | HandRefusal::NeedsReason
        | HandRefusal::Past(_)
        | HandRefusal::Once(_) => StatusCode::BAD_REQUEST,
        HandRefusal::NothingWaits(_)
        | HandRefusal::NotYet
        | HandRefusal::Full
        | HandRefusal::Conflict(_) => StatusCode::CONFLICT,
        HandRefusal::Stale => StatusCode::PRECONDITION_FAILED,
        HandRefusal::SamePerson { .. } | HandRefusal::Unsafe(_) => StatusCode::FORBIDDEN,
    }
}

impl From<&DrillRefusal> for Refused {
    fn from(refusal: &DrillRefusal) -> Refused {
        let status = match refusal {
            DrillRefusal::Unknown { .. } => StatusCode::NOT_FOUND,
            DrillRefusal::NotAcknowledged(_) => StatusCode::BAD_REQUEST,
            DrillRefusal::Busy(_) => StatusCode::CONFLICT,
            DrillRefusal::Step { .. } | DrillRefusal::Cannot(_) => StatusCode::UNPROCESSABLE_ENTITY,
            DrillRefusal::Window(_)
            | DrillRefusal::Degraded(_)
            | DrillRefusal::Unsafe(_)
            | DrillRefusal::TooFew { .. } => StatusCode::FORBIDDEN,
        };
        let mut refused = Refused::new(status, refusal.to_string());
        refused.0.hint = refusal.hint().map(str::to_owned);
        refused
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        const KIND: HeaderValue = HeaderValue::from_static("application/problem+json");
        let Refused(refusal, status, headers, is_unread) = self;
        let unread = is_unread.then(|| Extension(Unread(refusal.detail.as_str().into())));
        (status, unread, headers, [(header::CONTENT_TYPE, KIND)], Json(refusal)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_done_at_another_time_is_no_wish_for_nothing() {
        assert_eq!(status(&HandRefusal::Full), StatusCode::CONFLICT);
        assert_eq!(status(&HandRefusal::NotYet), StatusCode::CONFLICT);
        assert_eq!(status(&HandRefusal::NoNumber("x".into())), StatusCode::BAD_REQUEST);
        assert_eq!(status(&HandRefusal::Nothing(String::new())), StatusCode::NOT_FOUND);
    }
}
