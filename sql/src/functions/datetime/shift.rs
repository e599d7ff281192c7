//! Adding and subtracting amounts of time.

use arrow::array::{ArrayRef, ArrowPrimitiveType};
use arrow::datatypes::{Date32Type, Time32MillisecondType, TimestampMillisecondType};

use super::functions::date_time;
use crate::ast::TimeUnit;
use crate::error::SqlError;
use crate::function::{Call, ScalarFunction};

const DAY: i64 = 86_400_000;

pub(super) fn functions() -> [ScalarFunction; 6] {
    [
        timestamp("timestampadd", "The timestamp so many units later.", 1),
        timestamp("timestampsub", "The timestamp so many units earlier.", -1),
        date("dateadd", "The date so many units later; less than a day changes nothing.", 1),
        date("datesub", "The date so many units earlier.", -1),
        time("timeadd", "The time so many units later, beyond midnight from the start.", 1),
        time("timesub", "The time so many units earlier.", -1),
    ]
}

fn timestamp(name: &str, description: &str, sign: i64) -> ScalarFunction {
    date_time(name, description).form("(UNIT, INT, TIMESTAMP) -> TIMESTAMP", move |call| {
        shift::<TimestampMillisecondType>(call, sign, |millis, by| millis.checked_add(by))
    })
}

fn date(name: &str, description: &str, sign: i64) -> ScalarFunction {
    date_time(name, description).form("(UNIT, INT, DATE) -> DATE", move |call| {
        shift::<Date32Type>(call, sign, |days, by| {
            i32::try_from((i64::from(days) * DAY).checked_add(by)? / DAY).ok()
        })
    })
}

fn time(name: &str, description: &str, sign: i64) -> ScalarFunction {
    date_time(name, description).form("(UNIT, INT, TIME) -> TIME", move |call| {
        shift::<Time32MillisecondType>(call, sign, |millis, by| {
            i32::try_from((i64::from(millis) + by % DAY).rem_euclid(DAY)).ok()
        })
    })
}

fn shift<T: ArrowPrimitiveType>(
    call: &Call<'_>,
    sign: i64,
    add: fn(T::Native, i64) -> Option<T::Native>,
) -> Result<ArrayRef, SqlError> {
    let (units, counts, values) = (call.strings(0), call.ints(1), call.primitives::<T>(2));
    call.build::<T>(|row| {
        let unit = TimeUnit::from_word(units.get(row)?)?;
        let (count, value) = (counts.get(row)?, values.get(row)?);
        let by = i64::from(count) * unit.millis() * sign;
        add(value, by).or_else(|| call.fail(format!("the result of adding {count} {unit} is out of range")))
    })
}
