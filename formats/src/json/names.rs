//! Which column does a name in the text belong to?
//!
//! Producers write the same names in the same order, so the names of the last object are kept in their order.
//! For most names one comparison with the remembered name then answers; only what differs is looked up. Names
//! are compared and remembered as they are written, so that their escapes are read once.

use std::collections::HashMap;

use crate::json::escape::unescaped;

/// Names of one object type, and what was learned about the texts read.
pub(crate) struct Names {
    columns: HashMap<Box<str>, usize>,
    /// By position in the object.
    learned: Vec<Learned>,
}

/// A column found by a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Match {
    pub(crate) column: usize,
    /// Whether the name is the column's own and not one in another case. The exact name wins over others.
    pub(crate) exact: bool,
}

/// A name as it was written, and its column.
struct Learned {
    written: Vec<u8>,
    found: Option<Match>,
}

/// How many names are remembered; objects with more are looked up by hash from there on.
const LEARNED_MAX: usize = 256;

impl Names {
    pub(crate) fn new<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let columns = names.into_iter().enumerate().map(|(column, name)| (name.into(), column)).collect();
        Self { columns, learned: Vec::new() }
    }

    /// The column of the name that is written at `position` in its object. Positions of an object are asked
    /// for in order.
    #[inline]
    pub(crate) fn find(&mut self, written: &[u8], position: usize) -> Option<Match> {
        match self.learned.get(position) {
            Some(learned) if learned.written == written => learned.found,
            _ => self.look_up(written, position),
        }
    }

    fn look_up(&mut self, written: &[u8], position: usize) -> Option<Match> {
        let name = unescaped(written);
        let found = match self.columns.get(&*name) {
            Some(column) => Some(Match { column: *column, exact: true }),
            None => {
                let upper = name.to_uppercase();
                self.columns.get(upper.as_str()).map(|column| Match { column: *column, exact: false })
            }
        };
        if let Some(learned) = self.learned.get_mut(position) {
            learned.written.clear();
            learned.written.extend_from_slice(written);
            learned.found = found;
        } else if position < LEARNED_MAX {
            self.learned.push(Learned { written: written.to_vec(), found });
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &mut Names, expected: &[(&str, Option<(usize, bool)>)]) {
        for (position, (name, expected)) in expected.iter().enumerate() {
            let found = names.find(name.as_bytes(), position).map(|found| (found.column, found.exact));
            assert_eq!(found, *expected, "{name} at {position}");
        }
    }

    #[test]
    fn names_are_found_exactly_and_then_in_upper_case() {
        let mut names = Names::new(["ID", "Näme", "lower", "A_LONGER_NAME"]);
        for _ in 0..2 {
            let object = [
                ("id", Some((0, false))),
                ("ID", Some((0, true))),
                ("Näme", Some((1, true))),
                ("LOWER", None),
                ("a_longer_name", Some((3, false))),
                ("a_longer_nam", None),
                (r"I\u0044", Some((0, true))),
            ];
            check(&mut names, &object);
        }
        check(&mut names, &[("lower", Some((2, true))), ("id", Some((0, false))), ("x", None)]);
        check(&mut names, &[("l", None)]);
        check(&mut names, &[("", None)]);
    }

    #[test]
    fn only_so_many_names_are_remembered() {
        let mut names = Names::new(["A"]);
        for position in 0..2 * LEARNED_MAX {
            assert_eq!(names.find(b"a", position), Some(Match { column: 0, exact: false }));
        }
        assert_eq!(names.learned.len(), LEARNED_MAX);
    }
}
