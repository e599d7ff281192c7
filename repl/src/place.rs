//! Places in topics as users write them: partitions, times, lists.

use millstream_log::{Timestamp, TopicPartition};

use crate::error::CliError;

/// Partition numbers, such as `0,2-4`.
pub(crate) fn partitions(list: &str) -> Result<Vec<u32>, CliError> {
    let wrong = || CliError::Usage(format!("partitions are numbers and ranges such as 0,2-4, not `{list}`"));
    let mut numbers = Vec::new();
    for part in list.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) =
            (first.parse().map_err(|_| wrong())?, last.parse().map_err(|_| wrong())?);
        if first > last || last > 1_000_000 {
            return Err(wrong());
        }
        numbers.extend(first..=last);
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

/// `topic` or `topic:0,2-4`: the topic and its partitions, all of them if none are named.
pub(crate) fn topic_with_partitions(text: &str) -> Result<(&str, Option<Vec<u32>>), CliError> {
    match text.split_once(':') {
        None => Ok((text, None)),
        Some((topic, list)) => Ok((topic, Some(partitions(list)?))),
    }
}

/// `topic-3`, as the directory of a partition is named.
pub(crate) fn topic_partition(text: &str) -> Result<TopicPartition, CliError> {
    text.rsplit_once('-')
        .filter(|(topic, _)| !topic.is_empty())
        .and_then(|(topic, number)| Some(TopicPartition::new(topic, number.parse::<u32>().ok()?)))
        .ok_or_else(|| CliError::Usage(format!("a partition is written TOPIC-NUMBER, not `{text}`")))
}

/// Milliseconds since 1970, or `YYYY-MM-DDTHH:mm:SS.sss` with `Z`, an offset, or in UTC.
pub(crate) fn time(text: &str) -> Result<Timestamp, CliError> {
    if let Ok(millis) = text.parse::<i64>()
        && millis >= 0
    {
        return Ok(Timestamp::new(millis));
    }
    let zoned = text.parse::<jiff::Timestamp>();
    let found = zoned.or_else(|_| {
        text.parse::<jiff::civil::DateTime>()?
            .to_zoned(jiff::tz::TimeZone::UTC)
            .map(|zoned| zoned.timestamp())
    });
    match found {
        Ok(time) => Ok(Timestamp::new(time.as_millisecond())),
        Err(_) => Err(CliError::Usage(format!(
            "a time is ms since 1970 or YYYY-MM-DDTHH:mm:SS.sss with Z, an offset such as +02:00, or in UTC, not `{text}`"
        ))),
    }
}

/// A pattern for whole names of topics.
pub(crate) fn pattern(text: &str) -> Result<regex::Regex, CliError> {
    regex::Regex::new(&format!("^(?:{text})$"))
        .map_err(|error| CliError::Usage(format!("`{text}` is not a regular expression: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_are_numbers_and_ranges() {
        assert_eq!(partitions("0,2-4,2").unwrap(), [0, 2, 3, 4]);
        for wrong in ["", "a", "3-1", "1-", "-1", "0,,1"] {
            assert!(partitions(wrong).is_err(), "{wrong}");
        }
        assert_eq!(topic_with_partitions("t:1-2").unwrap(), ("t", Some(vec![1, 2])));
        assert_eq!(topic_with_partitions("t").unwrap(), ("t", None));
        assert_eq!(topic_partition("a-b-3").unwrap(), TopicPartition::new("a-b", 3));
        assert!(topic_partition("a-b").is_err());
    }

    #[test]
    fn times_may_have_a_zone() {
        let expected = Timestamp::new(1_700_000_000_123);
        for text in [
            "1700000000123",
            "2023-11-14T22:13:20.123Z",
            "2023-11-14T22:13:20.123",
            "2023-11-15T00:13:20.123+02:00",
        ] {
            assert_eq!(time(text).unwrap(), expected, "{text}");
        }
        assert!(time("yesterday").is_err());
    }

    #[test]
    fn patterns_are_for_whole_names() {
        let pattern = pattern("a|b.*").unwrap();
        assert!(
            pattern.is_match("a")
                && pattern.is_match("bcd")
                && !pattern.is_match("xa")
                && !pattern.is_match("ab")
        );
    }
}
