//! Bytes of formats with schemas, by libraries that the project's own formats do not read records with.

pub(crate) mod avro;
pub(crate) mod json_schema;
pub(crate) mod protobuf;

use arrow::datatypes::i256;

use crate::value::Decimal;

/// The bytes of an integer, the highest first, as few as hold its sign.
fn unscaled_bytes(value: i256) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let filler = if value.is_negative() { 0xff } else { 0 };
    let start = (0..31).find(|at| bytes[*at] != filler || (bytes[at + 1] ^ filler) & 0x80 != 0);
    bytes[start.unwrap_or(31)..].to_vec()
}

/// The integer in such bytes.
fn unscaled(bytes: &[u8]) -> Result<i256, String> {
    let filler = if bytes.first().is_some_and(|first| first & 0x80 != 0) { 0xff } else { 0 };
    let mut wide = [filler; 32];
    let at = 32usize.checked_sub(bytes.len()).ok_or("a decimal of more than 32 bytes")?;
    wide[at..].copy_from_slice(bytes);
    Ok(i256::from_be_bytes(wide))
}

/// A decimal text as an unscaled value of that scale.
fn rescaled(text: &str, scale: i64) -> Result<i256, String> {
    let decimal = Decimal::parse(text).ok_or_else(|| format!("{text} is no decimal"))?;
    decimal.rescaled(scale).ok_or_else(|| format!("{text} does not fit scale {scale}"))
}
