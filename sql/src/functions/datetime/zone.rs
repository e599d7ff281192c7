//! Time zones by their Java ids.

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone};
use chrono_tz::Tz;

/// Names that stand for places; of several places with one name the best known.
const NAMES: &[(&[&str], Tz)] = &[
    (&["PST", "PDT"], Tz::America__Los_Angeles),
    (&["MST", "MDT"], Tz::America__Denver),
    (&["CST", "CDT"], Tz::America__Chicago),
    (&["EST", "EDT"], Tz::America__New_York),
    (&["AST", "ADT"], Tz::America__Halifax),
    (&["AKST", "AKDT"], Tz::America__Anchorage),
    (&["HST"], Tz::Pacific__Honolulu),
    (&["WET", "WEST"], Tz::Europe__Lisbon),
    (&["BST"], Tz::Europe__London),
    (&["CET", "CEST"], Tz::Europe__Paris),
    (&["EET", "EEST"], Tz::Europe__Athens),
    (&["MSK"], Tz::Europe__Moscow),
    (&["IST"], Tz::Asia__Kolkata),
    (&["HKT"], Tz::Asia__Hong_Kong),
    (&["JST"], Tz::Asia__Tokyo),
    (&["KST"], Tz::Asia__Seoul),
    (&["AEST", "AEDT"], Tz::Australia__Sydney),
    (&["AWST"], Tz::Australia__Perth),
    (&["NZST", "NZDT"], Tz::Pacific__Auckland),
];

/// A zone: `UTC`, `Europe/Berlin`, `+02:00`, `GMT+2`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Zone {
    /// Always so many seconds ahead of UTC.
    Fixed(i32),
    /// With the rules of a place.
    Place(Tz),
}

impl Zone {
    pub(super) const UTC: Self = Self::Fixed(0);

    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let rest = ["UTC", "GMT", "UT"].iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
        if rest.is_empty() || rest == "Z" {
            return Ok(Self::UTC);
        }
        if let Some(seconds) = parse_offset(rest) {
            return Ok(Self::Fixed(seconds));
        }
        text.parse()
            .map(Self::Place)
            .map_err(|_| format!("unknown time zone '{text}': write it like Europe/Berlin or +02:00"))
    }

    /// The zone of a name as clocks show it, such as PST; whether it is that of summer or winter makes no difference.
    pub(super) fn named(name: &str) -> Option<Self> {
        let name = name.to_ascii_uppercase();
        let known = NAMES.iter().find(|(names, _)| names.contains(&name.as_str()));
        known.map(|(_, place)| Self::Place(*place))
    }

    /// Seconds ahead of UTC at a moment.
    pub(super) fn offset_at(self, millis: i64) -> i32 {
        match (self, DateTime::from_timestamp_millis(millis)) {
            (Self::Fixed(seconds), _) => seconds,
            (Self::Place(place), Some(moment)) => {
                place.offset_from_utc_datetime(&moment.naive_utc()).fix().local_minus_utc()
            }
            // No zone has rules for times that far away.
            (Self::Place(_), None) => 0,
        }
    }

    /// The moment of a local time. Of two the earlier; a time that a clock change skips is moved ahead by what it skips.
    pub(super) fn moment_of(self, local: NaiveDateTime) -> i64 {
        let place = match self {
            Self::Fixed(seconds) => return local.and_utc().timestamp_millis() - i64::from(seconds) * 1000,
            Self::Place(place) => place,
        };
        match place.from_local_datetime(&local) {
            LocalResult::Single(moment) | LocalResult::Ambiguous(moment, _) => moment.timestamp_millis(),
            LocalResult::None => {
                let before = place.from_local_datetime(&(local - TimeDelta::days(1))).earliest();
                let offset = before.map_or(0, |moment| moment.offset().fix().local_minus_utc());
                local.and_utc().timestamp_millis() - i64::from(offset) * 1000
            }
        }
    }

    pub(super) fn id(self) -> String {
        match self {
            Self::Fixed(0) => "Z".to_string(),
            Self::Fixed(seconds) => offset_text(seconds, ":"),
            Self::Place(place) => place.name().to_string(),
        }
    }

    /// The short name in use at a moment: `CET`.
    pub(super) fn short_name(self, millis: i64) -> String {
        match (self, DateTime::from_timestamp_millis(millis)) {
            (Self::Place(place), Some(moment)) => moment.with_timezone(&place).format("%Z").to_string(),
            _ => self.id(),
        }
    }
}

/// `+HH` `+HHmm` `+HH:mm` `+HHmmss` `+HH:mm:ss` with one or two digits of hours, in seconds.
pub(super) fn parse_offset(text: &str) -> Option<i32> {
    let (sign, digits) = match text.split_at_checked(1)? {
        ("+", rest) => (1, rest),
        ("-", rest) => (-1, rest),
        _ => return None,
    };
    let parts: Vec<&str> = match digits.contains(':') {
        true => digits.split(':').collect(),
        false if digits.len() <= 2 => vec![digits],
        false => digits.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).unwrap_or("x")).collect(),
    };
    if parts.len() > 3 || parts.iter().skip(1).any(|part| part.len() != 2) {
        return None;
    }
    let mut seconds = 0;
    for (i, part) in parts.iter().enumerate() {
        let valid = (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
        let number: i32 = if valid { part.parse().ok()? } else { return None };
        if number > if i == 0 { 18 } else { 59 } {
            return None;
        }
        seconds += number * [3600, 60, 1][i];
    }
    (seconds <= 18 * 3600).then_some(sign * seconds)
}

/// `+HH` `separator` `mm`, and seconds if there are any.
pub(super) fn offset_text(seconds: i32, separator: &str) -> String {
    let sign = if seconds < 0 { '-' } else { '+' };
    let all = seconds.abs();
    let (hours, minutes, rest) = (all / 3600, all / 60 % 60, all % 60);
    let text = format!("{sign}{hours:02}{separator}{minutes:02}");
    if rest == 0 { text } else { format!("{text}{separator}{rest:02}") }
}
