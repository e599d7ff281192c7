//! Moments to text.

use std::fmt::Write as _;

use chrono::{DateTime, Datelike, NaiveDateTime, Timelike};

use super::fields::{MONTHS, WEEKDAYS};
use super::pattern::{Field, Part, Pattern};
use super::zone::{Zone, offset_text};

/// Appends the moment as a clock in the zone shows it.
pub(super) fn format(pattern: &Pattern, millis: i64, zone: Zone, out: &mut String) -> Result<(), String> {
    let offset = zone.offset_at(millis);
    let local = millis.checked_add(i64::from(offset) * 1000).and_then(DateTime::from_timestamp_millis);
    let local = local.ok_or_else(|| format!("timestamp {millis} is out of range"))?.naive_utc();
    let moment = Moment { millis, local, offset, zone };
    moment.write_all(&pattern.0, out);
    Ok(())
}

struct Moment {
    millis: i64,
    local: NaiveDateTime,
    offset: i32,
    zone: Zone,
}

impl Moment {
    fn write_all(&self, parts: &[Part], out: &mut String) {
        for part in parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Optional(parts) => self.write_all(parts, out),
                Part::Field(field, count) => self.write(*field, *count, out),
            }
        }
    }

    fn write(&self, field: Field, count: usize, out: &mut String) {
        let (date, time) = (self.local.date(), self.local.time());
        let (pm, hour12) = time.hour12();
        let millis_of_day =
            u64::from(time.num_seconds_from_midnight()) * 1000 + u64::from(time.nanosecond() / 1_000_000);
        let number: u64 = match field {
            Field::Era => return out.push_str(if date.year() > 0 { "AD" } else { "BC" }),
            Field::Year => return write_year(date.year(), count, out),
            Field::Month if count > 2 => return out.push_str(name(MONTHS[date.month0() as usize], count)),
            Field::Weekday => {
                return out.push_str(name(WEEKDAYS[date.weekday().num_days_from_monday() as usize], count));
            }
            Field::HalfDay => return out.push_str(if pm { "PM" } else { "AM" }),
            Field::Fraction => {
                let digits = format!("{:09}", time.nanosecond());
                return out.push_str(&digits[..count]);
            }
            Field::ZoneId => return out.push_str(&self.zone.id()),
            Field::ZoneName => return out.push_str(&self.zone.short_name(self.millis)),
            Field::OffsetOrZ if self.offset == 0 => return out.push('Z'),
            Field::OffsetOrZ | Field::Offset => return self.write_offset(count, out),
            Field::MailOffset if count == 5 && self.offset == 0 => return out.push('Z'),
            Field::MailOffset if count == 5 => return out.push_str(&offset_text(self.offset, ":")),
            Field::MailOffset if count < 4 => return out.push_str(&offset_text(self.offset, "")),
            Field::MailOffset => return self.write_gmt(4, out),
            Field::GmtOffset => return self.write_gmt(count, out),
            Field::Month => date.month().into(),
            Field::Day => date.day().into(),
            Field::DayOfYear => date.ordinal().into(),
            Field::Hour => time.hour().into(),
            Field::HourFrom1 => {
                if time.hour() == 0 {
                    24
                } else {
                    time.hour().into()
                }
            }
            Field::HourOfHalf => (hour12 % 12).into(),
            Field::HourOfHalfFrom1 => hour12.into(),
            Field::Minute => time.minute().into(),
            Field::Second => time.second().into(),
            Field::Nano => time.nanosecond().into(),
            Field::MilliOfDay => millis_of_day,
        };
        // Writing to a String cannot fail.
        let _ = write!(out, "{number:0count$}");
    }

    fn write_offset(&self, count: usize, out: &mut String) {
        let text = offset_text(self.offset, if matches!(count, 3 | 5) { ":" } else { "" });
        out.push_str(match count {
            1 => text.strip_suffix("00").filter(|_| text.len() == 5).unwrap_or(&text),
            _ => &text,
        });
    }

    fn write_gmt(&self, count: usize, out: &mut String) {
        out.push_str("GMT");
        let text = offset_text(self.offset, ":");
        match (self.offset, count) {
            (0, _) => {}
            (_, 4) => out.push_str(&text),
            _ => {
                let (sign, rest) = text.split_at(1);
                let rest = rest.strip_suffix(":00").unwrap_or(rest);
                out.push_str(sign);
                out.push_str(rest.strip_prefix('0').unwrap_or(rest));
            }
        }
    }
}

fn write_year(year: i32, count: usize, out: &mut String) {
    let (sign, digits) = (if year < 0 { "-" } else { "" }, year.unsigned_abs());
    let _ = match count {
        2 => write!(out, "{:02}", year.rem_euclid(100)),
        4.. if digits.to_string().len() > count => {
            write!(out, "{}{digits}", if year < 0 { "-" } else { "+" })
        }
        _ => write!(out, "{sign}{digits:0count$}"),
    };
}

/// Three letters by default, the whole name with 4, one letter with 5.
fn name(name: &str, count: usize) -> &str {
    match count {
        4 => name,
        5 => &name[..1],
        _ => &name[..3],
    }
}
