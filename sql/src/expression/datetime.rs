//! ksqlDB's own text of times, as casts and comparisons read and write it.

/// Milliseconds of a day.
pub(crate) const DAY_MS: i64 = 86_400_000;

/// Milliseconds since 1970 (UTC) of text such as `2020`, `2020-01-02`, `2020-01-02T03:04:05.678Z` or `..+0100`.
///
/// The date may stop after year or month only if there is no time; missing parts are the first, or zero.
pub(crate) fn parse_timestamp(text: &str) -> Option<i64> {
    let (date, time) = match text.split_once(['T', ' ']) {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.splitn(3, '-');
    let year = digits(parts.next()?, 4, 4)?;
    let (month, day) = (parts.next(), parts.next());
    if time.is_some() && day.is_none() {
        return None;
    }
    let month = month.map_or(Some(1), |part| digits(part, 1, 2))?;
    let day = day.map_or(Some(1), |part| digits(part, 1, 2))?;
    let date = chrono::NaiveDate::from_ymd_opt(year as i32, month as u32, day as u32)?;
    let days = i64::from(chrono::Datelike::num_days_from_ce(&date)) - 719_163;
    let (time, offset_ms) = time.map_or(Some(("", 0)), split_zone)?;
    let ms_of_day = match time {
        "" => 0,
        time => parse_time(time).or_else(|| is_midnight_after(time).then_some(DAY_MS))?,
    };
    Some(days * DAY_MS + ms_of_day - offset_ms)
}

/// Whether a time is 24 o'clock, as a day may end.
fn is_midnight_after(time: &str) -> bool {
    time.strip_prefix("24").is_some_and(|rest| parse_time(&format!("00{rest}")) == Some(0))
}

/// Milliseconds of the day of `HH[:mm[:ss[.SSS]]]`.
pub(crate) fn parse_time(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let hour = digits(parts.next()?, 1, 2).filter(|hour| *hour < 24)?;
    let minute = parts.next().map_or(Some(0), |part| digits(part, 1, 2)).filter(|minute| *minute < 60)?;
    let (second, fraction) = match parts.next() {
        Some(part) => part.split_once('.').unwrap_or((part, "0")),
        None => ("0", "0"),
    };
    if parts.next().is_some() {
        return None;
    }
    let second = digits(second, 1, 2).filter(|second| *second < 60)?;
    let millis = digits(fraction, 1, 9)?;
    let millis = match fraction.len() {
        length @ 1..=3 => millis * 10i64.pow(3 - length as u32),
        length => millis / 10i64.pow(length as u32 - 3),
    };
    Some(((hour * 60 + minute) * 60 + second) * 1000 + millis)
}

/// The time without its zone, and the zone's distance from UTC in ms.
fn split_zone(text: &str) -> Option<(&str, i64)> {
    if let Some(time) = text.strip_suffix(['Z', 'z']) {
        return Some((time, 0));
    }
    let Some(at) = text.find(['+', '-']) else { return Some((text, 0)) };
    let zone: String = text[at + 1..].chars().filter(|c| *c != ':').collect();
    let minutes = match zone.len() {
        2 => digits(&zone, 2, 2)? * 60,
        4 => digits(&zone[..2], 2, 2)? * 60 + digits(&zone[2..], 2, 2)?,
        _ => return None,
    };
    let sign = if text[at..].starts_with('-') { -1 } else { 1 };
    Some((&text[..at], sign * minutes * 60_000))
}

fn digits(text: &str, min: usize, max: usize) -> Option<i64> {
    ((min..=max).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_may_be_partial() {
        for (text, expected) in [
            ("1970-01-01", Some(0)),
            ("1970", Some(0)),
            ("1970-02", Some(31 * DAY_MS)),
            ("1970-01-01T01", Some(3_600_000)),
            ("1970-01-01T00:00:01.5", Some(1_500)),
            ("1970-01-01T01:00+01:00", Some(0)),
            ("1970-01-01T00:00Z", Some(0)),
            ("1970-01T00:00", None),
            ("1970-13-01", None),
            ("70", None),
            ("1970-01-01T25", None),
        ] {
            assert_eq!(parse_timestamp(text), expected, "{text}");
        }
    }
}
