//! What `/v1/names` lists, for shells.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `GET /v1/names`: names that begin as somebody has begun to type.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Names {
    /// [`SCHEMA_VERSION`](super::SCHEMA_VERSION).
    pub schema_version: u32,
    /// Some of them, in order.
    pub names: Vec<String>,
}
