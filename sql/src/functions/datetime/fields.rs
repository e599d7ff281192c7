//! What was read of a date and time, and which moment that makes.

use chrono::{Datelike, Days, Months, NaiveDate, NaiveDateTime, NaiveTime};

use super::zone::Zone;

pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

pub(super) const WEEKDAYS: [&str; 7] =
    ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];

/// The fields that a text gave; the others have the values of 1970-01-01T00:00.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields {
    pub(super) year: Option<i32>,
    pub(super) before_christ: bool,
    pub(super) month: Option<u32>,
    pub(super) day: Option<u32>,
    pub(super) day_of_year: Option<u32>,
    pub(super) hour: Option<u32>,
    pub(super) hour_of_half: Option<u32>,
    pub(super) afternoon: Option<bool>,
    pub(super) minute: Option<u32>,
    pub(super) second: Option<u32>,
    pub(super) nano: Option<u32>,
    pub(super) milli_of_day: Option<u32>,
    pub(super) zone: Option<Zone>,
}

impl Fields {
    pub(super) fn date(&self) -> Result<NaiveDate, String> {
        let year = self.year.unwrap_or(1970);
        let year = if self.before_christ { 1 - year } else { year };
        if let Some(day) = self.day_of_year {
            return NaiveDate::from_yo_opt(year, day)
                .ok_or_else(|| format!("no day {day} in the year {year}"));
        }
        let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        if !(1..=31).contains(&day) {
            return Err(format!("day {day} is not 1 to 31"));
        }
        // Java moves days that a month does not have to its last.
        (28..=day.max(28))
            .rev()
            .chain([day])
            .find_map(|last| NaiveDate::from_ymd_opt(year, month, day.min(last)))
            .ok_or_else(|| format!("no date with year {year}, month {month}, day {day}"))
    }

    /// The date where months and days beyond their range count on, as Java's lenient `SimpleDateFormat` does.
    pub(super) fn lenient_date(&self) -> Result<NaiveDate, String> {
        if self.day_of_year.is_some() {
            return self.date();
        }
        let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
        let first = Fields { month: None, day: None, ..*self }.date()?;
        let shifted = match month.checked_sub(1) {
            Some(months) => first.checked_add_months(Months::new(months)),
            None => first.checked_sub_months(Months::new(1)),
        };
        let date = shifted.and_then(|date| match day.checked_sub(1) {
            Some(days) => date.checked_add_days(Days::new(days.into())),
            None => date.checked_sub_days(Days::new(1)),
        });
        date.ok_or_else(|| format!("no date with year {}, month {month}, day {day}", first.year()))
    }

    pub(super) fn time(&self) -> Result<NaiveTime, String> {
        if let Some(millis) = self.milli_of_day {
            let time =
                NaiveTime::from_num_seconds_from_midnight_opt(millis / 1000, millis % 1000 * 1_000_000);
            return time.ok_or_else(|| format!("no millisecond {millis} in a day"));
        }
        let hour = match (self.hour, self.hour_of_half) {
            (Some(hour), _) => hour,
            (None, Some(hour)) if hour < 12 => hour + if self.afternoon.unwrap_or(false) { 12 } else { 0 },
            (None, Some(hour)) => return Err(format!("no hour {hour} in half a day")),
            (None, None) => 0,
        };
        let (minute, second, nano) =
            (self.minute.unwrap_or(0), self.second.unwrap_or(0), self.nano.unwrap_or(0));
        NaiveTime::from_hms_nano_opt(hour, minute, second, nano)
            .ok_or_else(|| format!("no time with hour {hour}, minute {minute}, second {second}"))
    }

    /// The moment in milliseconds, in the zone read or else in `zone`.
    pub(super) fn moment(&self, zone: Zone) -> Result<i64, String> {
        let local = NaiveDateTime::new(self.date()?, self.time()?);
        Ok(self.zone.unwrap_or(zone).moment_of(local))
    }
}
