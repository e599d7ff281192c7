//! Text to dates and times.

use super::fields::{Fields, MONTHS, WEEKDAYS};
use super::pattern::{Digits, Field, Part, Pattern};
use super::zone::{Zone, parse_offset};

/// How strictly text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    /// As `DateTimeFormatter`: numbers as long as the pattern says, the whole text.
    Strict,
    /// As `SimpleDateFormat`: numbers of any length, text behind is ignored.
    Lenient,
}

/// Reads the text by the pattern, without regard to case.
pub(super) fn parse(pattern: &Pattern, text: &str, style: Style) -> Result<Fields, String> {
    let mut reader = Reader { text, rest: text, style };
    let mut fields = Fields::default();
    reader.parts(&pattern.0, &mut fields)?;
    if style == Style::Strict && !reader.rest.is_empty() {
        return Err(format!("'{text}' has text behind what the pattern describes: '{}'", reader.rest));
    }
    Ok(fields)
}

struct Reader<'a> {
    text: &'a str,
    rest: &'a str,
    style: Style,
}

impl<'a> Reader<'a> {
    fn parts(&mut self, parts: &[Part], fields: &mut Fields) -> Result<(), String> {
        for (i, part) in parts.iter().enumerate() {
            match part {
                Part::Text(text) => self.text(text)?,
                Part::Field(field, count) => self.field(*field, *count, &parts[i + 1..], fields)?,
                Part::Optional(inner) => {
                    let (rest, mut attempt) = (self.rest, *fields);
                    match self.parts(inner, &mut attempt) {
                        Ok(()) => *fields = attempt,
                        Err(_) => self.rest = rest,
                    }
                }
            }
        }
        Ok(())
    }

    fn wrong(&self, expected: &str) -> String {
        format!("'{}' could not be parsed at '{}': expected {expected}", self.text, self.rest)
    }

    fn text(&mut self, text: &str) -> Result<(), String> {
        match self.rest.get(..text.len()) {
            Some(head) if head.eq_ignore_ascii_case(text) => {
                self.rest = &self.rest[text.len()..];
                Ok(())
            }
            _ => Err(self.wrong(&format!("'{text}'"))),
        }
    }

    fn field(
        &mut self,
        field: Field,
        count: usize,
        behind: &[Part],
        fields: &mut Fields,
    ) -> Result<(), String> {
        if let Some(digits) = field.digits(count) {
            let number = self.number(field, count, digits, behind)?;
            return self.store(field, count, number, fields);
        }
        match field {
            Field::Era => fields.before_christ = self.one_of(&["AD", "BC"])? == 1,
            Field::Month => fields.month = Some(self.name(&MONTHS, count)? + 1),
            Field::Weekday => drop(self.name(&WEEKDAYS, count)?),
            Field::HalfDay => fields.afternoon = Some(self.one_of(&["AM", "PM"])? == 1),
            _ => fields.zone = Some(self.zone(field)?),
        }
        Ok(())
    }

    fn number(&mut self, field: Field, count: usize, digits: Digits, behind: &[Part]) -> Result<i64, String> {
        let negative = field == Field::Year && count != 2 && self.rest.starts_with('-');
        let signed = negative || (field == Field::Year && count >= 4 && self.rest.starts_with('+'));
        if signed {
            self.rest = &self.rest[1..];
        }
        let available = self.rest.bytes().take_while(u8::is_ascii_digit).count();
        let reserved = reserved_behind(behind);
        let (least, most) = match digits {
            Digits::Exactly(n)
                if self.style == Style::Lenient && reserved == 0 && field != Field::Fraction =>
            {
                (1, n.max(18))
            }
            Digits::Exactly(n) => (n, n),
            Digits::AtLeast(_) if self.style == Style::Lenient && reserved > 0 => (count, count),
            Digits::AtLeast(_) if self.style == Style::Lenient => (1, 18),
            Digits::AtLeast(n) => (n, 18),
        };
        let taken = available.saturating_sub(if least == most { 0 } else { reserved }).min(most);
        if taken < least {
            return Err(self.wrong(&format!("a number of {least} digits")));
        }
        let (digits, rest) = self.rest.split_at(taken);
        let number: i64 = digits.parse().map_err(|_| self.wrong("a number"))?;
        self.rest = rest;
        Ok(if negative { -number } else { number })
    }

    fn store(&self, field: Field, count: usize, number: i64, fields: &mut Fields) -> Result<(), String> {
        let small = |number: i64| {
            u32::try_from(number).map_err(|_| format!("'{}' has a number out of range: {number}", self.text))
        };
        match field {
            Field::Year => {
                let century = if count == 2 && number < 100 { 2000 } else { 0 };
                let year = i32::try_from(number + century);
                fields.year = Some(year.map_err(|_| format!("'{}' has a year out of range", self.text))?);
            }
            Field::Month => fields.month = Some(small(number)?),
            Field::Day => fields.day = Some(small(number)?),
            Field::DayOfYear => fields.day_of_year = Some(small(number)?),
            Field::Hour => fields.hour = Some(small(number)?),
            Field::HourFrom1 => fields.hour = Some(if number == 24 { 0 } else { small(number)? }),
            Field::HourOfHalf => fields.hour_of_half = Some(small(number)?),
            Field::HourOfHalfFrom1 => {
                fields.hour_of_half = Some(if number == 12 { 0 } else { small(number)? })
            }
            Field::Minute => fields.minute = Some(small(number)?),
            Field::Second => fields.second = Some(small(number)?),
            Field::Fraction => {
                fields.nano = Some(small(number * 10i64.pow(9 - u32::try_from(count).unwrap_or(9)))?)
            }
            Field::Nano => fields.nano = Some(small(number)?),
            _ => fields.milli_of_day = Some(small(number)?),
        }
        Ok(())
    }

    /// Which of the words comes next.
    fn one_of(&mut self, words: &[&str]) -> Result<u32, String> {
        for (i, word) in (0..).zip(words) {
            if self.text(word).is_ok() {
                return Ok(i);
            }
        }
        Err(self.wrong(&words.join(" or ")))
    }

    fn name(&mut self, names: &[&str], count: usize) -> Result<u32, String> {
        if count == 4 || self.style == Style::Lenient {
            let whole = self.one_of(names);
            if whole.is_ok() || count == 4 {
                return whole;
            }
        }
        let short: Vec<&str> = names.iter().map(|name| &name[..3]).collect();
        self.one_of(&short)
    }

    fn zone(&mut self, field: Field) -> Result<Zone, String> {
        let is_id = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '+' | '-' | ':');
        let is_offset = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | ':');
        let named = matches!(field, Field::ZoneId | Field::ZoneName | Field::GmtOffset);
        let accepts_z = field == Field::OffsetOrZ || field == Field::MailOffset || named;
        if accepts_z && self.rest.starts_with(['Z', 'z']) {
            self.rest = &self.rest[1..];
            return Ok(Zone::UTC);
        }
        let end =
            self.rest.find(|c| if named { !is_id(c) } else { !is_offset(c) }).unwrap_or(self.rest.len());
        let (text, rest) = self.rest.split_at(end);
        let zone = match field {
            Field::ZoneName => Zone::named(text).or_else(|| Zone::parse(text).ok()),
            _ if named => Zone::parse(text).ok(),
            _ => parse_offset(text).map(Zone::Fixed),
        };
        let zone = zone.filter(|_| !text.is_empty()).ok_or_else(|| self.wrong("a time zone"))?;
        self.rest = rest;
        Ok(zone)
    }
}

/// How many digits the numbers of fixed length take that follow without anything between.
fn reserved_behind(behind: &[Part]) -> usize {
    let lengths = behind.iter().map_while(|part| match part {
        Part::Field(field, count) => match field.digits(*count) {
            Some(Digits::Exactly(n)) => Some(n),
            _ => None,
        },
        _ => None,
    });
    lengths.sum()
}
