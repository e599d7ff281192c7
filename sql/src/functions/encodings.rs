//! Between text, bytes and numbers: encodings, code points, digests, identifiers.

use arrow::array::{ArrayRef, ArrowPrimitiveType};
use arrow::datatypes::{Float64Type, Int32Type, Int64Type};
use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose};
use uuid::Uuid;

use super::last::Last;
use super::md5::md5;
use crate::error::SqlError;
use crate::function::{Call, Category, ScalarFunction};

/// Reads base64 with or without padding, as Java does.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) fn functions() -> Vec<ScalarFunction> {
    vec![
        text("encode", "Text in one encoding as text in another: hex, utf8, ascii or base64.")
            .form("(STRING, STRING, STRING) -> STRING", encode),
        conversion("from_bytes", "Bytes as text in an encoding: hex, utf8, ascii or base64.").form(
            "(BYTES, STRING) -> STRING",
            |call| {
                let (bytes, names) = (call.bytes(0), call.strings(1));
                let mut encoding = Last::default();
                call.build_strings(|row, out| {
                    let (bytes, name) = (bytes.get(row)?, names.get(row)?);
                    match call.check(encoding.get(name, Encoding::parse))? {
                        Encoding::Hex => bytes.iter().for_each(|byte| out.push_str(&format!("{byte:02X}"))),
                        encoding => encoding.write(bytes, out),
                    }
                    Some(())
                })
            },
        ),
        conversion("to_bytes", "The bytes of text in an encoding: hex, utf8, ascii or base64.").form(
            "(STRING, STRING) -> BYTES",
            |call| {
                let (texts, names) = (call.strings(0), call.strings(1));
                let mut encoding = Last::default();
                call.build_bytes(|row, out| {
                    let (text, name) = (texts.get(row)?, names.get(row)?);
                    let encoding = *call.check(encoding.get(name, Encoding::parse))?;
                    let bytes = match encoding {
                        Encoding::Base64 => BASE64.decode(text).map_err(|e| format!("invalid base64: {e}")),
                        encoding => encoding.read(text),
                    };
                    out.extend_from_slice(&call.check(bytes)?);
                    Some(())
                })
            },
        ),
        from_bytes::<Int32Type, 4>("int_from_bytes", "INT", i32::from_be_bytes),
        from_bytes::<Int64Type, 8>("bigint_from_bytes", "BIGINT", i64::from_be_bytes),
        from_bytes::<Float64Type, 8>("double_from_bytes", "DOUBLE", f64::from_be_bytes),
        text("chr", "The character of a code point, or of an escape such as \\u0041.")
            .form("(INT) -> STRING", |call| {
                let codes = call.ints(0);
                call.build_strings(|row, out| {
                    out.push(char::from_u32(u32::try_from(codes.get(row)?).ok()?)?);
                    Some(())
                })
            })
            .form("(STRING) -> STRING", |call| {
                let texts = call.strings(0);
                call.build_strings(|row, out| {
                    let text = texts.get(row)?;
                    if text.len() < 6 || !text.starts_with("\\u") {
                        return None;
                    }
                    out.push_str(&call.check(unescape(text))?);
                    Some(())
                })
            }),
        text("md5", "The MD5 digest of the text in UTF-8, in hexadecimal digits.").form(
            "(STRING) -> STRING",
            |call| {
                let texts = call.strings(0);
                call.build_strings(|row, out| {
                    md5(texts.get(row)?.as_bytes())
                        .iter()
                        .for_each(|byte| out.push_str(&format!("{byte:02x}")));
                    Some(())
                })
            },
        ),
        text("uuid", "A new random UUID, or the UUID of 16 bytes.")
            .form("() -> STRING", |call| {
                call.build_strings(|_, out| {
                    out.push_str(&Uuid::new_v4().to_string());
                    Some(())
                })
            })
            .form("(BYTES) -> STRING", |call| {
                let bytes = call.bytes(0);
                call.build_strings(|row, out| {
                    out.push_str(&Uuid::from_slice(bytes.get(row)?).ok()?.to_string());
                    Some(())
                })
            })
            .volatile(),
    ]
}

fn text(name: &str, description: &str) -> ScalarFunction {
    ScalarFunction::new(name, description).category(Category::String)
}

fn conversion(name: &str, description: &str) -> ScalarFunction {
    ScalarFunction::new(name, description).category(Category::Conversions)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Encoding {
    Hex,
    Utf8,
    Ascii,
    Base64,
}

impl Encoding {
    fn parse(name: &str) -> Result<Self, String> {
        match name.to_ascii_lowercase().as_str() {
            "hex" => Ok(Self::Hex),
            "utf8" => Ok(Self::Utf8),
            "ascii" => Ok(Self::Ascii),
            "base64" => Ok(Self::Base64),
            _ => Err(format!("unknown encoding '{name}': it is hex, utf8, ascii or base64")),
        }
    }

    /// The bytes that a text stands for. Base64 is read leniently: what belongs to no such text is passed over.
    fn read(self, text: &str) -> Result<Vec<u8>, String> {
        match self {
            Self::Utf8 => Ok(text.as_bytes().to_vec()),
            Self::Ascii => Ok(text.chars().map(|c| if c.is_ascii() { c as u8 } else { b'?' }).collect()),
            Self::Base64 => {
                let digit = |c: char| match c {
                    '-' => Some('+'),
                    '_' => Some('/'),
                    c => (c.is_ascii_alphanumeric() || c == '+' || c == '/').then_some(c),
                };
                let digits: String = text.chars().take_while(|c| *c != '=').filter_map(digit).collect();
                // A single digit at the end says nothing.
                let whole = if digits.len() % 4 == 1 { &digits[..digits.len() - 1] } else { &digits };
                BASE64.decode(whole).map_err(|e| format!("invalid base64: {e}"))
            }
            Self::Hex => {
                let bare = match text.strip_prefix("X'").or_else(|| text.strip_prefix("x'")) {
                    Some(rest) => {
                        rest.strip_suffix('\'').ok_or_else(|| format!("invalid hexadecimal text '{text}'"))?
                    }
                    None => text,
                };
                let (digits, odd) = match bare.strip_prefix("0x") {
                    Some(digits) => (digits, digits.len() % 2 == 1),
                    None => (bare, false),
                };
                let padded = if odd { format!("0{digits}") } else { digits.to_string() };
                let wrong = || format!("invalid hexadecimal text '{text}'");
                if padded.len() % 2 == 1 || !padded.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                    return Err(wrong());
                }
                let pairs = (0..padded.len()).step_by(2);
                pairs.map(|at| u8::from_str_radix(&padded[at..at + 2], 16).map_err(|_| wrong())).collect()
            }
        }
    }

    fn write(self, bytes: &[u8], out: &mut String) {
        match self {
            Self::Hex => bytes.iter().for_each(|byte| out.push_str(&format!("{byte:02x}"))),
            Self::Utf8 => out.push_str(&String::from_utf8_lossy(bytes)),
            Self::Ascii => {
                out.extend(bytes.iter().map(|byte| if byte.is_ascii() { *byte as char } else { '\u{FFFD}' }));
            }
            Self::Base64 => general_purpose::STANDARD.encode_string(bytes, out),
        }
    }
}

fn encode(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let (texts, froms, tos) = (call.strings(0), call.strings(1), call.strings(2));
    let (mut from, mut to) = (Last::default(), Last::default());
    call.build_strings(|row, out| {
        let (text, from_name, to_name) = (texts.get(row)?, froms.get(row)?, tos.get(row)?);
        let from = *call.check(from.get(from_name, Encoding::parse))?;
        let to = *call.check(to.get(to_name, Encoding::parse))?;
        if from == to {
            return call.fail(format!("{from_name} is already what it is to be"));
        }
        to.write(&call.check(from.read(text))?, out);
        Some(())
    })
}

fn from_bytes<T: ArrowPrimitiveType, const N: usize>(
    name: &str,
    ty: &str,
    value: fn([u8; N]) -> T::Native,
) -> ScalarFunction {
    let forms = [format!("(BYTES) -> {ty}"), format!("(BYTES, STRING) -> {ty}")];
    let description =
        format!("The {ty} in {N} bytes, BIG_ENDIAN unless the second argument is LITTLE_ENDIAN.");
    conversion(name, &description).forms(&forms.each_ref().map(String::as_str), move |call| {
        let bytes = call.bytes(0);
        call.build::<T>(|row| {
            let bytes = bytes.get(row)?;
            let Ok(mut fixed) = <[u8; N]>::try_from(bytes) else {
                return call.fail(format!("{} bytes where {N} are due", bytes.len()));
            };
            if call.arg_count() > 1 {
                match call.strings(1).get(row) {
                    Some(order) if order.eq_ignore_ascii_case("BIG_ENDIAN") => {}
                    Some(order) if order.eq_ignore_ascii_case("LITTLE_ENDIAN") => fixed.reverse(),
                    order => {
                        let order = order.unwrap_or("null");
                        return call.fail(format!("byte order {order}: it is BIG_ENDIAN or LITTLE_ENDIAN"));
                    }
                }
            }
            Some(value(fixed))
        })
    })
}

/// Decodes the escapes of Java strings.
fn unescape(text: &str) -> Result<String, String> {
    let wrong = |at: &str| format!("'{text}' has a bad escape at '{at}'");
    let mut units: Vec<u16> = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let at = rest;
        rest = &rest[c.len_utf8()..];
        if c != '\\' {
            units.extend(c.encode_utf16(&mut [0; 2]).iter());
            continue;
        }
        let escape = rest.chars().next().ok_or_else(|| wrong(at))?;
        rest = &rest[escape.len_utf8()..];
        units.push(match escape {
            'n' => 0x0A,
            't' => 0x09,
            'r' => 0x0D,
            'b' => 0x08,
            'f' => 0x0C,
            'u' => {
                rest = rest.trim_start_matches('u');
                let digits = rest.get(..4).ok_or_else(|| wrong(at))?;
                rest = &rest[4..];
                u16::from_str_radix(digits, 16).map_err(|_| wrong(at))?
            }
            '0'..='7' => {
                let end = rest.find(|c: char| !('0'..='7').contains(&c)).unwrap_or(rest.len()).min(2);
                let (digits, after) = rest.split_at(end);
                rest = after;
                u16::from_str_radix(&format!("{escape}{digits}"), 8).map_err(|_| wrong(at))?
            }
            other => {
                units.extend(other.encode_utf16(&mut [0; 2]).iter());
                continue;
            }
        });
    }
    String::from_utf16(&units).map_err(|_| format!("'{text}' is half of a character"))
}
