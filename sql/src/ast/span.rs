//! Places in the text of a script.

/// A stretch of the script's text: where an error points, and the slice a statement was read from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First byte, from 0.
    pub offset: usize,
    /// Length in bytes.
    pub length: usize,
    /// Line of the first character, from 1.
    pub line: u32,
    /// Column of the first character, from 1, in characters.
    pub column: u32,
}

impl Span {
    /// The stretch from the start of `self` to the end of `last`.
    pub fn to(self, last: Span) -> Span {
        let end = (last.offset + last.length).max(self.offset + self.length);
        Span { length: end - self.offset, ..self }
    }

    /// The empty place right behind this stretch, on its line: where something is missing.
    pub fn after(self, text: &str) -> Span {
        let chars = self.slice(text).chars().count();
        let column = self.column + u32::try_from(chars).unwrap_or(u32::MAX - self.column);
        Span { offset: self.offset + self.length, length: 0, line: self.line, column }
    }

    /// The text this span covers, empty when `text` is not the script it was taken from.
    pub fn slice(self, text: &str) -> &str {
        text.get(self.offset..self.offset + self.length).unwrap_or_default()
    }
}

/// A part of a script together with the text it was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct Spanned<T> {
    /// What was read.
    pub node: T,
    /// Where it stands in the script.
    pub span: Span,
    /// Its own text, without the comments around it and with the closing semicolon.
    pub text: String,
}
