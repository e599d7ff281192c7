//! Event times in text.

use chrono::{DateTime, NaiveDate, NaiveDateTime};
use millstream_log::Timestamp;

/// How event times are written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum EventTime {
    /// ISO 8601 with or without a zone (UTC then), or milliseconds since the Unix epoch.
    Auto,
    /// Milliseconds since the Unix epoch.
    UnixMillis,
    /// Seconds since the Unix epoch.
    UnixSeconds,
    /// A pattern of chrono's `strftime`; UTC if it has no zone.
    Pattern(String),
}

impl EventTime {
    /// Reads `timestamp.format`.
    pub(super) fn new(format: Option<&str>) -> Self {
        match format {
            None | Some("auto" | "iso8601") => Self::Auto,
            Some("unix_ms") => Self::UnixMillis,
            Some("unix_s") => Self::UnixSeconds,
            Some(pattern) => Self::Pattern(pattern.to_owned()),
        }
    }

    /// The time in `text`.
    pub(super) fn parse(&self, text: &str) -> Option<Timestamp> {
        let millis = match self {
            Self::Auto => text.parse().ok().or_else(|| parse_iso(text)),
            Self::UnixMillis => text.parse().ok(),
            Self::UnixSeconds => text.parse::<i64>().ok().and_then(|seconds| seconds.checked_mul(1000)),
            Self::Pattern(pattern) => parse_pattern(text, pattern),
        };
        millis.filter(|millis| *millis >= 0).map(Timestamp::new)
    }
}

/// Milliseconds of `2013-01-01T10:00:00Z`, `2013-01-01 10:00:00.5`, `2013-01-01T10:00+02:00` or `2013-01-01`.
pub(super) fn parse_iso(text: &str) -> Option<i64> {
    if let Ok(time) = DateTime::parse_from_rfc3339(text) {
        return Some(time.timestamp_millis());
    }
    for pattern in ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"] {
        if let Ok(time) = NaiveDateTime::parse_from_str(text, pattern) {
            return Some(time.and_utc().timestamp_millis());
        }
    }
    parse_day(text).map(|days| i64::from(days) * 86_400_000)
}

/// Days since the Unix epoch of `2013-01-01`.
pub(super) fn parse_day(text: &str) -> Option<i32> {
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    i32::try_from(day.signed_duration_since(NaiveDate::default()).num_days()).ok()
}

fn parse_pattern(text: &str, pattern: &str) -> Option<i64> {
    if let Ok(time) = DateTime::parse_from_str(text, pattern) {
        return Some(time.timestamp_millis());
    }
    if let Ok(time) = NaiveDateTime::parse_from_str(text, pattern) {
        return Some(time.and_utc().timestamp_millis());
    }
    let day = NaiveDate::parse_from_str(text, pattern).ok()?;
    Some(day.signed_duration_since(NaiveDate::default()).num_days() * 86_400_000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_their_format_says() {
        for (format, text, expected) in [
            (None, "1357034400000", Some(1_357_034_400_000)),
            (None, "2013-01-01T10:00:00Z", Some(1_357_034_400_000)),
            (None, "2013-01-01 10:00:00.25", Some(1_357_034_400_250)),
            (None, "2013-01-01T12:00:00+02:00", Some(1_357_034_400_000)),
            (None, "2013-01-01", Some(1_356_998_400_000)),
            (None, "yesterday", None),
            (Some("unix_s"), "1357034400", Some(1_357_034_400_000)),
            (Some("unix_ms"), "2013-01-01", None),
            (Some("%d.%m.%Y %H:%M"), "01.01.2013 10:00", Some(1_357_034_400_000)),
            (Some("%d/%m/%Y"), "01/01/2013", Some(1_356_998_400_000)),
            (None, "-5", None),
        ] {
            let found = EventTime::new(format).parse(text).map(Timestamp::get);
            assert_eq!(found, expected, "{text} as {format:?}");
        }
    }
}
