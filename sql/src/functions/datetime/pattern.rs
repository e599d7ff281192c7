//! Patterns for dates and times, as Java's `DateTimeFormatter` reads them.

/// A pattern cut into its parts.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Pattern(pub(super) Vec<Part>);

/// A part of a pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Text as it is.
    Text(String),
    /// A field, with as many letters.
    Field(Field, usize),
    /// `[..]`: when parsing, may be missing as a whole.
    Optional(Vec<Part>),
}

/// What a letter stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field {
    /// `G`
    Era,
    /// `y`, `u`
    Year,
    /// `M`, `L`
    Month,
    /// `d`
    Day,
    /// `D`
    DayOfYear,
    /// `E`
    Weekday,
    /// `a`
    HalfDay,
    /// `H`, 0 to 23
    Hour,
    /// `k`, 1 to 24
    HourFrom1,
    /// `K`, 0 to 11
    HourOfHalf,
    /// `h`, 1 to 12
    HourOfHalfFrom1,
    /// `m`
    Minute,
    /// `s`
    Second,
    /// `S`, digits behind the second's point
    Fraction,
    /// `n`
    Nano,
    /// `A`
    MilliOfDay,
    /// `V`
    ZoneId,
    /// `z`
    ZoneName,
    /// `X`: an offset, `Z` for none
    OffsetOrZ,
    /// `x`: an offset
    Offset,
    /// `Z`: an offset in the style of mail
    MailOffset,
    /// `O`: an offset behind `GMT`
    GmtOffset,
}

impl Field {
    fn from_letter(letter: char) -> Option<Self> {
        Some(match letter {
            'G' => Self::Era,
            'y' | 'u' => Self::Year,
            'M' | 'L' => Self::Month,
            'd' => Self::Day,
            'D' => Self::DayOfYear,
            'E' => Self::Weekday,
            'a' => Self::HalfDay,
            'H' => Self::Hour,
            'k' => Self::HourFrom1,
            'K' => Self::HourOfHalf,
            'h' => Self::HourOfHalfFrom1,
            'm' => Self::Minute,
            's' => Self::Second,
            'S' => Self::Fraction,
            'n' => Self::Nano,
            'A' => Self::MilliOfDay,
            'V' => Self::ZoneId,
            'z' => Self::ZoneName,
            'X' => Self::OffsetOrZ,
            'x' => Self::Offset,
            'Z' => Self::MailOffset,
            'O' => Self::GmtOffset,
            _ => return None,
        })
    }

    /// How many letters make sense.
    fn count_max(self) -> usize {
        match self {
            Self::Year | Self::Nano | Self::MilliOfDay => 19,
            Self::Fraction => 9,
            Self::Era | Self::Month | Self::Weekday | Self::OffsetOrZ | Self::Offset | Self::MailOffset => 5,
            Self::ZoneName | Self::GmtOffset => 4,
            Self::DayOfYear => 3,
            Self::HalfDay => 1,
            _ => 2,
        }
    }

    /// What kind of thing it is a part of.
    pub(super) fn kind(self) -> Kind {
        match self {
            Self::Era | Self::Year | Self::Month | Self::Day | Self::DayOfYear | Self::Weekday => Kind::Date,
            Self::HalfDay
            | Self::Hour
            | Self::HourFrom1
            | Self::HourOfHalf
            | Self::HourOfHalfFrom1
            | Self::Minute
            | Self::Second
            | Self::Fraction
            | Self::Nano
            | Self::MilliOfDay => Kind::Time,
            Self::ZoneId
            | Self::ZoneName
            | Self::OffsetOrZ
            | Self::Offset
            | Self::MailOffset
            | Self::GmtOffset => Kind::Zone,
        }
    }

    /// Whether so many letters mean a number, and if always of the same length, of which.
    pub(super) fn digits(self, count: usize) -> Option<Digits> {
        match self {
            Self::Year if count == 2 => Some(Digits::Exactly(2)),
            Self::Year => Some(Digits::AtLeast(count)),
            Self::Month if count > 2 => None,
            Self::Fraction => Some(Digits::Exactly(count)),
            Self::DayOfYear if count == 3 => Some(Digits::Exactly(3)),
            Self::Nano | Self::MilliOfDay => Some(Digits::AtLeast(count)),
            Self::Month
            | Self::Day
            | Self::DayOfYear
            | Self::Hour
            | Self::HourFrom1
            | Self::HourOfHalf
            | Self::HourOfHalfFrom1
            | Self::Minute
            | Self::Second => Some(if count == 2 { Digits::Exactly(2) } else { Digits::AtLeast(count) }),
            _ => None,
        }
    }
}

/// The length of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Digits {
    Exactly(usize),
    AtLeast(usize),
}

/// What a field is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Date,
    Time,
    Zone,
}

impl Pattern {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut chars = text.chars().peekable();
        let mut open: Vec<Vec<Part>> = vec![Vec::new()];
        while let Some(c) = chars.next() {
            let part = match c {
                '\'' => Part::Text(
                    quoted(&mut chars)
                        .ok_or_else(|| format!("pattern '{text}' has a quote that is not closed"))?,
                ),
                '[' => {
                    open.push(Vec::new());
                    continue;
                }
                ']' if open.len() > 1 => Part::Optional(open.pop().unwrap_or_default()),
                ']' | '{' | '}' | '#' => {
                    return Err(format!("pattern '{text}' has a '{c}' where none may be"));
                }
                c if c.is_ascii_alphabetic() => {
                    let mut count = 1;
                    while chars.next_if_eq(&c).is_some() {
                        count += 1;
                    }
                    let field = Field::from_letter(c)
                        .ok_or_else(|| format!("pattern '{text}' has an unknown letter '{c}'"))?;
                    let fits = count <= field.count_max() && (field != Field::ZoneId || count == 2);
                    if !fits {
                        return Err(format!("pattern '{text}' has too many or too few letters '{c}'"));
                    }
                    Part::Field(field, count)
                }
                c => Part::Text(c.to_string()),
            };
            if let Some(parts) = open.last_mut() {
                parts.push(part);
            }
        }
        // An optional section may end with the pattern.
        while open.len() > 1 {
            let parts = open.pop().unwrap_or_default();
            if let Some(outer) = open.last_mut() {
                outer.push(Part::Optional(parts));
            }
        }
        Ok(Self(open.pop().unwrap_or_default()))
    }

    /// The first field of that kind, also within optional sections.
    pub(super) fn has(&self, kind: Kind) -> bool {
        fn any(parts: &[Part], kind: Kind) -> bool {
            parts.iter().any(|part| match part {
                Part::Text(_) => false,
                Part::Field(field, _) => field.kind() == kind,
                Part::Optional(parts) => any(parts, kind),
            })
        }
        any(&self.0, kind)
    }
}

/// The text up to the closing quote; two quotes are one of the text.
fn quoted(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<String> {
    let mut text = String::new();
    loop {
        match chars.next()? {
            '\'' if chars.next_if_eq(&'\'').is_some() => text.push('\''),
            '\'' if text.is_empty() => return Some("'".to_string()),
            '\'' => return Some(text),
            c => text.push(c),
        }
    }
}
