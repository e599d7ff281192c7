//! The functions themselves.

use std::sync::Arc;

use arrow::array::ArrayRef;
use arrow::datatypes::{Date32Type, Int32Type, Int64Type, Time32MillisecondType, TimestampMillisecondType};
use chrono::{Datelike, Timelike};
use millstream_log::Clock;

use super::format::format;
use super::parse::{Style, parse};
use super::pattern::{Kind, Pattern};
use super::shift;
use super::zone::Zone;
use crate::error::SqlError;
use crate::function::{Call, Category, ScalarFunction};
use crate::functions::last::Last;

const DAY: i64 = 86_400_000;

/// Days from the first day of year 1 to 1970-01-01.
const EPOCH_FROM_YEAR_1: i32 = 719_163;

pub(in crate::functions) fn functions(clock: &Arc<dyn Clock>) -> Vec<ScalarFunction> {
    let mut functions = vec![now_or("unix_timestamp", clock), today_or("unix_date", clock)];
    functions.extend(conversions());
    functions.extend(text_functions());
    functions.extend(shift::functions());
    functions
}

pub(super) fn date_time(name: &str, description: &str) -> ScalarFunction {
    ScalarFunction::new(name, description).category(Category::DateTime)
}

fn now_or(name: &str, clock: &Arc<dyn Clock>) -> ScalarFunction {
    let clock = Arc::clone(clock);
    date_time(name, "Milliseconds since 1970 of the timestamp, or of now.")
        .form("() -> BIGINT", move |call| {
            let now = clock.now().get();
            call.build::<Int64Type>(|_| Some(now))
        })
        .form("(TIMESTAMP) -> BIGINT", |call| {
            call.map::<TimestampMillisecondType, Int64Type>(|millis| millis)
        })
        .volatile()
}

fn today_or(name: &str, clock: &Arc<dyn Clock>) -> ScalarFunction {
    let clock = Arc::clone(clock);
    date_time(name, "Days since 1970 of the date, or of today (UTC).")
        .form("() -> INT", move |call| {
            let today = i32::try_from(clock.now().get().div_euclid(DAY)).ok();
            call.build::<Int32Type>(|_| today)
        })
        .form("(DATE) -> INT", |call| call.map::<Date32Type, Int32Type>(|days| days))
        .volatile()
}

fn conversions() -> [ScalarFunction; 3] {
    [
        date_time("from_unixtime", "The timestamp of milliseconds since 1970.")
            .form("(BIGINT) -> TIMESTAMP", |call| {
                call.map::<Int64Type, TimestampMillisecondType>(|millis| millis)
            }),
        date_time("from_days", "The date of days since 1970.")
            .form("(INT!) -> DATE", |call| call.map::<Int32Type, Date32Type>(|days| days)),
        date_time("convert_tz", "The timestamp moved by the difference between two zones.").form(
            "(TIMESTAMP, STRING, STRING) -> TIMESTAMP",
            |call| {
                let (times, froms, tos) =
                    (call.primitives::<TimestampMillisecondType>(0), call.strings(1), call.strings(2));
                let (mut from, mut to) = (Last::default(), Last::default());
                call.build::<TimestampMillisecondType>(|row| {
                    let time = times.get(row)?;
                    let from = call.check(from.get(froms.get(row)?, Zone::parse))?.offset_at(time);
                    let to = call.check(to.get(tos.get(row)?, Zone::parse))?.offset_at(time);
                    time.checked_add(i64::from(to - from) * 1000)
                })
            },
        ),
    ]
}

fn text_functions() -> [ScalarFunction; 10] {
    [
        date_time("format_timestamp", "The timestamp as text by a pattern, in UTC or a zone.").forms(
            &["(TIMESTAMP, STRING) -> STRING", "(TIMESTAMP, STRING, STRING) -> STRING"],
            |call| {
                let times = call.primitives::<TimestampMillisecondType>(0);
                format_column(call, None, |row| times.get(row))
            },
        ),
        date_time("timestamptostring", "Milliseconds since 1970 as text by a pattern, in UTC or a zone.")
            .forms(&["(BIGINT!, STRING) -> STRING", "(BIGINT!, STRING, STRING) -> STRING"], |call| {
                let times = call.bigints(0);
                format_column(call, None, |row| times.get(row))
            }),
        date_time("format_date", "The date as text by a pattern without fields of time.").form(
            "(DATE, STRING) -> STRING",
            |call| {
                let dates = call.primitives::<Date32Type>(0);
                format_column(call, Some(Kind::Date), |row| Some(i64::from(dates.get(row)?) * DAY))
            },
        ),
        date_time("datetostring", "Days since 1970 as text by a pattern.").form(
            "(INT!, STRING) -> STRING",
            |call| {
                let dates = call.ints(0);
                format_column(call, Some(Kind::Date), |row| Some(i64::from(dates.get(row)?) * DAY))
            },
        ),
        date_time("format_time", "The time as text by a pattern without fields of date.").form(
            "(TIME, STRING) -> STRING",
            |call| {
                let times = call.primitives::<Time32MillisecondType>(0);
                format_column(call, Some(Kind::Time), |row| times.get(row).map(i64::from))
            },
        ),
        date_time(
            "parse_timestamp",
            "The timestamp of text by a pattern, in UTC or a zone unless the text has one.",
        )
        .forms(&["(STRING, STRING) -> TIMESTAMP", "(STRING, STRING, STRING) -> TIMESTAMP"], |call| {
            let mut parser = Timestamps::of(call);
            call.build::<TimestampMillisecondType>(|row| parser.get(row))
        }),
        date_time(
            "stringtotimestamp",
            "Milliseconds since 1970 of text by a pattern, in UTC or a zone unless the text has one.",
        )
        .forms(&["(STRING!, STRING) -> BIGINT", "(STRING!, STRING, STRING) -> BIGINT"], |call| {
            let mut parser = Timestamps::of(call);
            call.build::<Int64Type>(|row| parser.get(row))
        }),
        date_time("parse_date", "The date of text by a pattern.").form("(STRING, STRING) -> DATE", |call| {
            let mut pattern = Last::default();
            call.build::<Date32Type>(|row| parse_date(call, &mut pattern, row))
        }),
        date_time("stringtodate", "Days since 1970 of text by a pattern.").form(
            "(STRING!, STRING) -> INT",
            |call| {
                let mut pattern = Last::default();
                call.build::<Int32Type>(|row| parse_date(call, &mut pattern, row))
            },
        ),
        date_time("parse_time", "The time of text by a pattern without fields of date.").form(
            "(STRING, STRING) -> TIME",
            |call| {
                let (texts, patterns) = (call.strings(0), call.strings(1));
                let mut pattern = Last::default();
                call.build::<Time32MillisecondType>(|row| {
                    let (text, wanted) = (texts.get(row)?, patterns.get(row)?);
                    let pattern = call.check(pattern.get(wanted, |text| only(Kind::Time, text)))?;
                    let time =
                        call.check(parse(pattern, text, Style::Strict).and_then(|fields| fields.time()))?;
                    i32::try_from(time.num_seconds_from_midnight() * 1000 + time.nanosecond() / 1_000_000)
                        .ok()
                })
            },
        ),
    ]
}

/// A pattern with fields of one kind only.
fn only(kind: Kind, text: &str) -> Result<Pattern, String> {
    let pattern = Pattern::parse(text)?;
    let other = if kind == Kind::Date { Kind::Time } else { Kind::Date };
    match pattern.has(other) || pattern.has(Kind::Zone) {
        true if kind == Kind::Date => {
            Err(format!("pattern '{text}' has fields of time or zone, which a date does not have"))
        }
        true => Err(format!("pattern '{text}' has fields of date or zone, which a time does not have")),
        false => Ok(pattern),
    }
}

/// Formats milliseconds by the pattern of argument 1, in the zone of argument 2 if there is one.
fn format_column(
    call: &Call<'_>,
    kind: Option<Kind>,
    mut millis: impl FnMut(usize) -> Option<i64>,
) -> Result<ArrayRef, SqlError> {
    let patterns = call.strings(1);
    let zones = (call.arg_count() > 2).then(|| call.strings(2));
    let (mut pattern, mut zone) = (Last::default(), Last::default());
    call.build_strings(|row, out| {
        let (millis, wanted) = (millis(row)?, patterns.get(row)?);
        let pattern = call.check(pattern.get(wanted, |text| match kind {
            Some(kind) => only(kind, text),
            None => Pattern::parse(text),
        }))?;
        let zone = match &zones {
            Some(zones) => *call.check(zone.get(zones.get(row)?, Zone::parse))?,
            None => Zone::UTC,
        };
        call.check(format(pattern, millis, zone, out))
    })
}

/// Parses the text of argument 0 by the pattern of argument 1, in the zone of argument 2 if there is one.
struct Timestamps<'a> {
    call: &'a Call<'a>,
    pattern: Last<Pattern>,
    zone: Last<Zone>,
}

impl<'a> Timestamps<'a> {
    fn of(call: &'a Call<'a>) -> Self {
        Self { call, pattern: Last::default(), zone: Last::default() }
    }

    fn get(&mut self, row: usize) -> Option<i64> {
        let call = self.call;
        let (text, pattern) = (call.strings(0).get(row)?, call.strings(1).get(row)?);
        let pattern = call.check(self.pattern.get(pattern, Pattern::parse))?;
        let zone = match call.arg_count() {
            0..3 => Zone::UTC,
            _ => *call.check(self.zone.get(call.strings(2).get(row)?, Zone::parse))?,
        };
        call.check(parse(pattern, text, Style::Strict).and_then(|fields| fields.moment(zone)))
    }
}

fn parse_date(call: &Call<'_>, pattern: &mut Last<Pattern>, row: usize) -> Option<i32> {
    let (text, wanted) = (call.strings(0).get(row)?, call.strings(1).get(row)?);
    let pattern = call.check(pattern.get(wanted, Pattern::parse))?;
    let fields = call.check(parse(pattern, text, Style::Lenient))?;
    let time = call.check(fields.time())?;
    if time.num_seconds_from_midnight() > 0 || time.nanosecond() > 0 {
        return call.fail(format!("'{text}' contains a time, which a date does not have"));
    }
    Some(call.check(fields.lenient_date())?.num_days_from_ce() - EPOCH_FROM_YEAR_1)
}
