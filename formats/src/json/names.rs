//! Which column does a name in the text belong to?
//!
//! Producers write the same names in the same order, so the names of the last object are kept in their order.
//! For most names one comparison with the remembered text then answers; only what differs is looked up.

use std::collections::HashMap;

use crate::json::{cursor::Cursor, cursor::Quoted, fault::Fault};

/// Names of one object type, and what was learned about the texts read.
pub(crate) struct Names {
    columns: HashMap<Box<[u8]>, usize>,
    /// By position in the object.
    learned: Vec<Learned>,
    scratch: Vec<u8>,
}

/// A column found by a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) column: usize,
    /// Whether the name is the column's own and not one in another case. The exact name wins over others.
    pub(crate) exact: bool,
}

/// A name as it stood in the text, from behind its opening quote to its colon.
#[derive(Default)]
struct Learned {
    /// `name":`
    text: Vec<u8>,
    /// The first eight bytes of `text`, padded with zeros, and which bits of a word count.
    word: u64,
    mask: u64,
    found: Option<Match>,
}

/// How many names are remembered; objects with more are looked up by hash from there on.
const LEARNED_MAX: usize = 256;

impl Names {
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let columns =
            names.into_iter().enumerate().map(|(column, name)| (name.as_bytes().into(), column)).collect();
        Self { columns, learned: Vec::new(), scratch: Vec::new() }
    }

    /// Takes the name at `position` in its object, with its colon, and tells its column.
    #[inline]
    pub(crate) fn take(&mut self, cursor: &mut Cursor<'_>, position: usize) -> Result<Option<Match>, Fault> {
        cursor.name_start()?;
        if let Some(learned) = self.learned.get(position)
            && let Some(length) = learned.length_at(&cursor.rest()[1..])
        {
            cursor.advance(1 + length);
            return Ok(learned.found);
        }
        self.look_up(cursor, position)
    }

    fn look_up(&mut self, cursor: &mut Cursor<'_>, position: usize) -> Result<Option<Match>, Fault> {
        let start = cursor.position() + 1;
        let name = cursor.string()?;
        cursor.expect(b':', "':' after a name")?;
        let text = cursor.since(start);
        let found = self.find(name);
        // A text with white space before the colon is learned with it.
        if position < LEARNED_MAX {
            while self.learned.len() <= position {
                self.learned.push(Learned::default());
            }
            self.learned[position].learn(text, found);
        }
        Ok(found)
    }

    fn find(&mut self, name: Quoted<'_>) -> Option<Match> {
        let mut scratch = std::mem::take(&mut self.scratch);
        let text = name.text(&mut scratch);
        let found = match self.columns.get(text.as_bytes()) {
            Some(column) => Some(Match { column: *column, exact: true }),
            None => {
                let upper = text.to_uppercase();
                self.columns.get(upper.as_bytes()).map(|column| Match { column: *column, exact: false })
            }
        };
        self.scratch = scratch;
        found
    }
}

impl Learned {
    fn learn(&mut self, text: &[u8], found: Option<Match>) {
        self.text.clear();
        self.text.extend_from_slice(text);
        let mut head = [0; 8];
        let length = text.len().min(8);
        head[..length].copy_from_slice(&text[..length]);
        self.word = u64::from_le_bytes(head);
        self.mask = if length == 8 { u64::MAX } else { (1 << (8 * length)) - 1 };
        self.found = found;
    }

    /// The length of this name with its colon if it comes next.
    #[inline]
    fn length_at(&self, rest: &[u8]) -> Option<usize> {
        let length = self.text.len();
        let same = match rest.first_chunk::<8>() {
            Some(head) if (u64::from_le_bytes(*head) ^ self.word) & self.mask != 0 => false,
            Some(_) if length <= 8 => length > 0,
            _ => length > 0 && rest.starts_with(&self.text),
        };
        same.then_some(length)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &mut Names, object: &str, expected: &[Option<(usize, bool)>]) {
        let mut cursor = Cursor::new(object);
        cursor.advance(1);
        for (position, expected) in expected.iter().enumerate() {
            let found = names.take(&mut cursor, position).expect(object);
            assert_eq!(
                found.map(|found| (found.column, found.exact)),
                *expected,
                "name {position} of {object}"
            );
            cursor.skip_value().expect(object);
            cursor.take(b',');
        }
    }

    #[test]
    fn names_are_found_exactly_and_then_in_upper_case() {
        let mut names = Names::new(["ID", "Näme", "lower", "A_LONGER_NAME"]);
        for _ in 0..2 {
            let object =
                r#"{"id":1,"ID":2,"Näme":3,"LOWER":4,"a_longer_name" : 5,"a_longer_nam":6,"I\u0044":7}"#;
            let expected = [
                Some((0, false)),
                Some((0, true)),
                Some((1, true)),
                None,
                Some((3, false)),
                None,
                Some((0, true)),
            ];
            check(&mut names, object, &expected);
        }
        check(&mut names, r#"{"lower":1,"id":2,"x":3}"#, &[Some((2, true)), Some((0, false)), None]);
        check(&mut names, r#"{"l":1}"#, &[None]);
        check(&mut names, r#"{"":1}"#, &[None]);
    }
}
