//! Lists in Kafka's layout (KIP-466).
//!
//! ```text
//! entries of one size:  0 | nulls n u32 | n * index u32 | size u32 | entries that are not null
//! of any size:          1 | size u32 | size * (length i32, -1 for null | bytes)
//! ```
//! Numbers are big endian. Which of both it is depends on the serde of the entries, as in Kafka.

use crate::serde::{Serde, SerdeError};

const ONE_SIZE: u8 = 0;
const ANY_SIZE: u8 = 1;

/// Lists without null entries, each entry in this serde's bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct List<S>(pub S);

impl<T, S: Serde<T>> Serde<Vec<T>> for List<S> {
    fn serialize(&self, values: &Vec<T>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        let size = length(values.len())?.to_be_bytes();
        match self.0.fixed_size() {
            Some(_) => {
                out.extend_from_slice(&[ONE_SIZE, 0, 0, 0, 0]);
                out.extend_from_slice(&size);
                values.iter().try_for_each(|value| self.0.serialize(value, out))
            }
            None => {
                out.push(ANY_SIZE);
                out.extend_from_slice(&size);
                for value in values {
                    let start = out.len();
                    out.extend_from_slice(&[0; 4]);
                    self.0.serialize(value, out)?;
                    let bytes = length(out.len() - start - 4)?.to_be_bytes();
                    out[start..start + 4].copy_from_slice(&bytes);
                }
                Ok(())
            }
        }
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<Vec<T>, SerdeError> {
        let mut rest = bytes;
        let one_size = match take(&mut rest, 1)?[0] {
            ANY_SIZE => None,
            ONE_SIZE => Some(self.0.fixed_size().ok_or_else(|| {
                SerdeError::new("a list of entries of one size, but the serde of its entries has none")
            })?),
            other => return Err(SerdeError::new(format!("a list begins with 0 or 1 and not with {other}"))),
        };
        if one_size.is_some() && number(&mut rest)? != 0 {
            return Err(null_entry());
        }
        let size =
            usize::try_from(number(&mut rest)?).map_err(|_| SerdeError::new("a list of negative size"))?;
        // Every entry has bytes of its own, but for entries of no size: those are not allocated ahead either.
        let mut values = Vec::with_capacity(size.min(rest.len()));
        for _ in 0..size {
            let length = match one_size {
                Some(length) => length,
                None => usize::try_from(number(&mut rest)?).map_err(|_| null_entry())?,
            };
            values.push(self.0.deserialize(take(&mut rest, length)?)?);
        }
        match rest {
            [] => Ok(values),
            rest => Err(SerdeError::new(format!("{} bytes behind the end of a list", rest.len()))),
        }
    }
}

fn null_entry() -> SerdeError {
    SerdeError::new("a list with a null entry")
}

fn length(length: usize) -> Result<i32, SerdeError> {
    i32::try_from(length).map_err(|_| SerdeError::new(format!("{length} is too long for a list")))
}

fn number(rest: &mut &[u8]) -> Result<i32, SerdeError> {
    let bytes = take(rest, 4)?;
    Ok(i32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

fn take<'a>(rest: &mut &'a [u8], count: usize) -> Result<&'a [u8], SerdeError> {
    let (taken, left) = rest
        .split_at_checked(count)
        .ok_or_else(|| SerdeError::new(format!("a list ends {} bytes early", count - rest.len())))?;
    *rest = left;
    Ok(taken)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::serde::{Int16, Utf8};

    #[test]
    fn lists_have_kafkas_layout() {
        let texts = vec!["ab".to_owned(), String::new()];
        let mut bytes = Vec::new();
        List(Utf8).serialize(&texts, &mut bytes).unwrap();
        assert_eq!(bytes, [1, 0, 0, 0, 2, 0, 0, 0, 2, b'a', b'b', 0, 0, 0, 0]);
        assert_eq!(List(Utf8).deserialize(&bytes).unwrap(), texts);
        bytes.clear();
        List(Int16).serialize(&vec![1, -1], &mut bytes).unwrap();
        assert_eq!(bytes, [0, 0, 0, 0, 0, 0, 0, 0, 2, 0, 1, 255, 255]);
        assert_eq!(List(Int16).deserialize(&bytes).unwrap(), [1, -1]);
    }

    #[test]
    fn wrong_lists_are_told() {
        for (bytes, message) in [
            (&[][..], "a list ends 1 bytes early"),
            (&[2], "a list begins with 0 or 1 and not with 2"),
            (
                &[0, 0, 0, 0, 0, 0, 0, 0, 0],
                "a list of entries of one size, but the serde of its entries has none",
            ),
            (&[1, 0xff, 0, 0, 0], "a list of negative size"),
            (&[1, 0x7f, 0xff, 0xff, 0xff], "a list ends 4 bytes early"),
            (&[1, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff], "a list with a null entry"),
            (&[1, 0, 0, 0, 0, 9], "1 bytes behind the end of a list"),
        ] {
            assert_eq!(List(Utf8).deserialize(bytes).unwrap_err().to_string(), message, "{bytes:?}");
        }
        let null = List(Int16).deserialize(&[0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1]);
        assert_eq!(null.unwrap_err().to_string(), "a list with a null entry");
    }

    proptest! {
        #[test]
        fn lists_survive_their_encoding(texts in proptest::collection::vec(".{0,5}", 0..9), numbers: Vec<i16>) {
            let mut bytes = Vec::new();
            List(Utf8).serialize(&texts, &mut bytes).unwrap();
            prop_assert_eq!(List(Utf8).deserialize(&bytes).unwrap(), texts);
            bytes.clear();
            List(List(Int16)).serialize(&vec![numbers.clone()], &mut bytes).unwrap();
            prop_assert_eq!(List(List(Int16)).deserialize(&bytes).unwrap(), [numbers]);
        }
    }
}
