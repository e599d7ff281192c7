//! Remembers what was made of the last text: patterns, zones and paths are mostly the same in every row.

/// A text and what was made of it, or why nothing could be.
#[derive(Debug)]
pub(super) struct Last<T> {
    known: Option<(String, Result<T, String>)>,
}

impl<T> Default for Last<T> {
    fn default() -> Self {
        Self { known: None }
    }
}

impl<T> Last<T> {
    /// What `make` makes of `text`.
    pub(super) fn get(
        &mut self,
        text: &str,
        make: impl FnOnce(&str) -> Result<T, String>,
    ) -> Result<&T, &String> {
        if self.known.as_ref().is_some_and(|(known, _)| known != text) {
            self.known = None;
        }
        let (_, made) = self.known.get_or_insert_with(|| (text.to_string(), make(text)));
        made.as_ref()
    }
}
