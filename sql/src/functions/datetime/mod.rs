//! Functions of dates and times.

mod fields;
mod format;
mod functions;
mod parse;
mod pattern;
mod shift;
mod zone;

#[cfg(test)]
mod tests;

pub(super) use functions::functions;
