//! From the text of a setting to its type.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::error::{LogError, Result, nearest};

/// One setting as given.
#[derive(Clone, Copy)]
pub(super) struct Setting<'a> {
    pub(super) key: &'a str,
    pub(super) value: &'a str,
}

/// The defaults with each of `properties` put in by `set`.
pub(super) fn from_properties<C: Default, K: AsRef<str>, V: AsRef<str>>(
    properties: impl IntoIterator<Item = (K, V)>,
    mut set: impl FnMut(&mut C, Setting<'_>) -> Result<()>,
) -> Result<C> {
    let mut config = C::default();
    for (key, value) in properties {
        set(&mut config, Setting { key: key.as_ref(), value: value.as_ref() })?;
    }
    Ok(config)
}

impl Setting<'_> {
    pub(super) fn invalid(self, reason: impl Into<String>) -> LogError {
        LogError::InvalidConfig {
            key: self.key.to_owned(),
            value: self.value.to_owned(),
            reason: reason.into(),
        }
    }

    pub(super) fn unknown<'k>(
        self,
        kind: &'static str,
        known: impl IntoIterator<Item = &'k str>,
    ) -> LogError {
        LogError::UnknownConfig { kind, key: self.key.to_owned(), nearest: nearest(self.key, known) }
    }

    pub(super) fn integer(self, range: RangeInclusive<i64>) -> Result<i64> {
        match self.value.trim().parse::<i64>() {
            Ok(number) if range.contains(&number) => Ok(number),
            _ => Err(self.invalid(format!(
                "it takes a whole number from {} to {}",
                range.start(),
                range.end()
            ))),
        }
    }

    /// A number of bytes or things that is at least `min`.
    pub(super) fn size(self, min: i64) -> Result<usize> {
        Ok(usize::try_from(self.integer(min..=i64::from(i32::MAX))?).unwrap_or(0))
    }

    pub(super) fn count(self, min: i64) -> Result<u32> {
        Ok(u32::try_from(self.integer(min..=i64::from(i32::MAX))?).unwrap_or(0))
    }

    pub(super) fn millis(self) -> Result<Duration> {
        Ok(Duration::from_millis(self.integer(0..=i64::MAX)?.unsigned_abs()))
    }

    /// Milliseconds, where -1 means no limit.
    pub(super) fn millis_or_unlimited(self) -> Result<Option<Duration>> {
        let millis = self.integer(-1..=i64::MAX)?;
        Ok(u64::try_from(millis).ok().map(Duration::from_millis))
    }

    pub(super) fn boolean(self) -> Result<bool> {
        match self.value.trim() {
            value if value.eq_ignore_ascii_case("true") => Ok(true),
            value if value.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err(self.invalid("it takes true or false")),
        }
    }

    pub(super) fn one_of<T: Copy>(self, choices: &[(&str, T)]) -> Result<T> {
        let value = self.value.trim();
        choices.iter().find(|(name, _)| *name == value).map(|(_, choice)| *choice).ok_or_else(|| {
            let names: Vec<_> = choices.iter().map(|(name, _)| *name).collect();
            self.invalid(format!("it takes one of {}", names.join(", ")))
        })
    }

    pub(super) fn nonempty(self) -> Result<String> {
        match self.value.trim() {
            "" => Err(self.invalid("it must not be empty")),
            text => Ok(text.to_owned()),
        }
    }
}
