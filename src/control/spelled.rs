//! How types of other rooms are written in JSON: the rooms below know nothing of that.
//!
//! Each is named by `#[serde(with = …)]` in what the state database keeps.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::time::Duration;

/// A duration, in whole milliseconds.
pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A standing, by its word.
pub(super) mod standing {
    use super::*;
    use crate::verdict::Standing;
    use serde::de::Error;
    use std::borrow::Cow;

    pub fn serialize<S: Serializer>(standing: &Standing, to: S) -> Result<S::Ok, S::Error> {
        standing.word().serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Standing, D::Error> {
        let word = Cow::<str>::deserialize(from)?;
        let known = Standing::ALL.into_iter().find(|standing| standing.word() == word);
        known.ok_or_else(|| D::Error::custom(format_args!("no such standing: {word}")))
    }
}

/// A moment, as nanoseconds since the server's start.
pub(super) mod moment {
    use super::*;
    use crate::clock::Moment;

    pub fn serialize<S: Serializer>(at: &Moment, to: S) -> Result<S::Ok, S::Error> {
        at.0.serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Moment, D::Error> {
        u64::deserialize(from).map(Moment)
    }
}

/// A duration, in whole microseconds.
pub(super) mod micros {
    use super::*;

    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        u64::try_from(duration.as_micros()).unwrap_or(u64::MAX).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_micros)
    }
}

/// A wall-clock time, in whole milliseconds since 1970.
pub(super) mod wall {
    use super::*;
    use std::time::{SystemTime, UNIX_EPOCH};

    pub fn serialize<S: Serializer>(at: &SystemTime, to: S) -> Result<S::Ok, S::Error> {
        let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
        (since.as_millis() as u64).serialize(to)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SystemTime, D::Error> {
        let ms = u64::deserialize(from)?;
        // A number no clock shows is no reason to lose what stands beside it.
        Ok(UNIX_EPOCH.checked_add(Duration::from_millis(ms)).unwrap_or(UNIX_EPOCH))
    }
}
