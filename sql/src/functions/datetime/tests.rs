use super::format::format;
use super::parse::{Style, parse};
use super::pattern::Pattern;
use super::zone::Zone;

/// 2021-03-04T05:06:07.089Z, a Thursday.
const MOMENT: i64 = 1_614_834_367_089;

fn formatted(millis: i64, pattern: &str, zone: &str) -> String {
    let mut out = String::new();
    let pattern = match Pattern::parse(pattern) {
        Ok(pattern) => pattern,
        Err(error) => return error,
    };
    match Zone::parse(zone).and_then(|zone| format(&pattern, millis, zone, &mut out)) {
        Ok(()) => out,
        Err(error) => error,
    }
}

fn parsed(text: &str, pattern: &str, zone: &str) -> Result<i64, String> {
    parse(&Pattern::parse(pattern)?, text, Style::Strict)?.moment(Zone::parse(zone)?)
}

#[test]
fn moments_are_written() {
    for (pattern, zone, expected) in [
        ("yyyy-MM-dd HH:mm:ss.SSS", "UTC", "2021-03-04 05:06:07.089"),
        ("yyyy-MM-dd'T'HH:mm:ssX", "UTC", "2021-03-04T05:06:07Z"),
        ("yyyy-MM-dd'T'HH:mm:ssX", "America/Los_Angeles", "2021-03-03T21:06:07-08"),
        (
            "HH:mmXX HH:mmXXX x xx xxx Z ZZZZZ O OOOO VV z",
            "Asia/Kolkata",
            "10:36+0530 10:36+05:30 +0530 +0530 +05:30 +0530 +05:30 GMT+5:30 GMT+05:30 Asia/Kolkata IST",
        ),
        ("x Z O VV", "GMT", "+00 +0000 GMT Z"),
        ("d/M/yy h:m:s a", "UTC", "4/3/21 5:6:7 AM"),
        ("E EEEE MMM MMMM MMMMM D DDD", "UTC", "Thu Thursday Mar March M 63 063"),
        ("k K kk S SSSSSS n A G u", "UTC", "5 5 05 0 089000 89000000 18367089 AD 2021"),
        ("''yyyy'' 'o''clock' [HH]", "UTC", "'2021' o'clock 05"),
        ("yyyy.MM", "+02:00", "2021.03"),
        ("b", "UTC", "pattern 'b' has an unknown letter 'b'"),
        ("yyyy'", "UTC", "pattern 'yyyy'' has a quote that is not closed"),
        ("yyyy", "Mars/Base", "unknown time zone 'Mars/Base': write it like Europe/Berlin or +02:00"),
    ] {
        assert_eq!(formatted(MOMENT, pattern, zone), expected, "{pattern} {zone}");
    }
    assert_eq!(formatted(0, "kk hh KK a", "UTC"), "24 12 00 AM");
    assert_eq!(formatted(12 * 3_600_000, "kk hh KK a", "UTC"), "12 12 00 PM");
    assert_eq!(formatted(-62_167_219_200_000, "yyyy", "UTC"), "0000");
    assert!(formatted(i64::MAX, "yyyy", "UTC").contains("out of range"));
}

#[test]
fn text_is_read() {
    for (text, pattern, zone, expected) in [
        ("2021-03-04 05:06:07.089", "yyyy-MM-dd HH:mm:ss.SSS", "UTC", MOMENT),
        ("20210304050607089", "yyyyMMddHHmmssSSS", "UTC", MOMENT),
        ("2021-03-04T05:06:07.089Z", "yyyy-MM-dd'T'HH:mm:ss.SSSX", "Asia/Tokyo", MOMENT),
        ("2021-03-04T07:06:07.089+02:00", "yyyy-MM-dd'T'HH:mm:ss.SSSXXX", "UTC", MOMENT),
        ("2021-03-04T07:06:07.089+0200", "yyyy-MM-dd'T'HH:mm:ss.SSSZ", "UTC", MOMENT),
        ("2021-03-03 21:06:07.089 America/Los_Angeles", "yyyy-MM-dd HH:mm:ss.SSS VV", "UTC", MOMENT),
        ("2021-03-03 21:06:07.089", "yyyy-MM-dd HH:mm:ss.SSS", "America/Los_Angeles", MOMENT),
        ("thu 4-MAR-21 5:6:7.089 am", "E d-MMM-yy h:m:s.SSS a", "UTC", MOMENT),
        ("March 2021", "MMMM yyyy", "UTC", 1_614_556_800_000),
        ("2021 63", "yyyy D", "UTC", 1_614_816_000_000),
        ("12:30", "HH:mm", "UTC", 45_000_000),
        ("12:30 AM", "hh:mm a", "UTC", 1_800_000),
        ("2021-02-31", "yyyy-MM-dd", "UTC", 1_614_470_400_000),
        ("2021-03-04", "yyyy-MM-dd[ HH:mm]", "UTC", 1_614_816_000_000),
        ("2021-03-04 01:00", "yyyy-MM-dd[ HH:mm]", "UTC", 1_614_819_600_000),
        // Clocks skip from 02:00 to 03:00, and show 02:30 twice half a year later.
        ("2021-03-28 02:30", "yyyy-MM-dd HH:mm", "Europe/Berlin", 1_616_895_000_000),
        ("2021-10-31 02:30", "yyyy-MM-dd HH:mm", "Europe/Berlin", 1_635_640_200_000),
    ] {
        assert_eq!(parsed(text, pattern, zone), Ok(expected), "{text} {pattern} {zone}");
    }
}

#[test]
fn text_that_does_not_fit_is_refused() {
    for (text, pattern, expected) in [
        (
            "2021-3-04",
            "yyyy-MM-dd",
            "'2021-3-04' could not be parsed at '3-04': expected a number of 2 digits",
        ),
        ("2021-03-04x", "yyyy-MM-dd", "'2021-03-04x' has text behind what the pattern describes: 'x'"),
        ("2021-13-04", "yyyy-MM-dd", "no date with year 2021, month 13, day 4"),
        ("2021-01-32", "yyyy-MM-dd", "day 32 is not 1 to 31"),
        ("25:00", "HH:mm", "no time with hour 25"),
        ("Foo", "MMM", "expected Jan or Feb"),
        ("366", "D", "no day 366 in the year 1970"),
        ("", "yyyy", "expected a number of 4 digits"),
        ("é", "'ab'", "expected 'ab'"),
        ("99999999999999999999", "n", "out of range"),
    ] {
        let error = parsed(text, pattern, "UTC").unwrap_err();
        assert!(error.contains(expected), "{text} {pattern}: {error}");
    }
}

proptest::proptest! {
    #[test]
    fn what_is_written_is_read(millis in -2_000_000_000_000i64..4_000_000_000_000, zone in proptest::sample::select(vec!["UTC", "+05:45", "Asia/Tokyo"])) {
        let pattern = "yyyy-MM-dd'T'HH:mm:ss.SSSXXX";
        proptest::prop_assert_eq!(parsed(&formatted(millis, pattern, zone), pattern, "UTC"), Ok(millis));
    }

    #[test]
    fn anything_is_read_or_refused(text in ".{0,20}", pattern in ".{0,12}") {
        let _ = parsed(&text, &pattern, "UTC");
        let _ = formatted(MOMENT, &pattern, &text);
    }
}
