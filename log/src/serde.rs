//! Values of Rust types to bytes and back, with Kafka's formats for the simple ones.
//!
//! | serde | Rust | bytes | Kafka |
//! |---|---|---|---|
//! | [`Utf8`] | `String` | UTF-8 text | `StringSerializer` |
//! | [`Raw`] | `Vec<u8>`, `Bytes` | as they are | `ByteArraySerializer` |
//! | [`Int16`], [`Int32`], [`Int64`] | `i16`, `i32`, `i64` | 2, 4, 8 bytes, big endian | `ShortSerializer` ... |
//! | [`Float32`], [`Float64`] | `f32`, `f64` | 4, 8 bytes, big endian | `FloatSerializer`, `DoubleSerializer` |
//! | [`Boolean`] | `bool` | one byte, 0 or 1 | `BooleanSerializer` |
//! | [`UuidText`] | `Uuid` | its text | `UUIDSerializer` |
//! | [`List`] | `Vec` of what another serde knows | see there | `ListSerializer` |
//! | [`Void`] | `()` | none: null | `VoidSerializer` |
//! | [`Json`] | what `serde` knows | JSON text | |
//!
//! Null is not a value: an absent key or value never reaches a serde.

mod list;

use std::sync::Arc;

use ::serde::Serialize;
use ::serde::de::DeserializeOwned;
use bytes::Bytes;
use uuid::Uuid;

pub use crate::column::ByteColumn;
pub use list::List;

use crate::record::{Header, Headers};

/// Why a value did not become bytes or bytes did not become a value, for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct SerdeError(String);

impl SerdeError {
    /// An error with this message.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a serde of `{T}`",
    note = "`Utf8` is for `String`, `Int64` for `i64`, `Raw` for bytes, `Json` for types that derive serde's `Serialize` \
            and `Deserialize`"
)]
/// Bytes of values of type `T`. The methods on columns are called once per batch, so that their loops are
/// compiled for the type.
pub trait Serde<T>: Send + Sync + 'static {
    /// Appends the bytes of a value.
    fn serialize(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError>;

    /// The value of some bytes.
    fn deserialize(&self, bytes: &[u8]) -> Result<T, SerdeError>;

    /// The same for a record of `topic`, to which it may add headers. For serdes that keep schemas elsewhere.
    fn serialize_for(
        &self,
        topic: &str,
        headers: &mut Vec<Header>,
        value: &T,
        out: &mut Vec<u8>,
    ) -> Result<(), SerdeError> {
        let _ = (topic, headers);
        self.serialize(value, out)
    }

    /// The same for a record of `topic` with these headers.
    fn deserialize_for(&self, topic: &str, headers: Headers<'_>, bytes: &[u8]) -> Result<T, SerdeError> {
        let _ = (topic, headers);
        self.deserialize(bytes)
    }

    /// The number of bytes that every value has, where Kafka knows of one: such entries of a [`List`] have no lengths.
    fn fixed_size(&self) -> Option<usize> {
        None
    }

    /// Bytes at the end of a key that do not choose its partition, such as a window start: all windows of a
    /// key belong in the partition of the key.
    fn unpartitioned_suffix(&self) -> usize {
        0
    }

    /// Appends the bytes of every value; absent values and those that fail are absent. Failed rows go to
    /// `failed`.
    fn serialize_column(
        &self,
        values: &[Option<T>],
        out: &mut ByteColumn,
        failed: &mut Vec<(usize, SerdeError)>,
    ) {
        for (row, value) in values.iter().enumerate() {
            let Some(value) = value else {
                out.push(None);
                continue;
            };
            if let Err(error) = out.push_with(|bytes| self.serialize(value, bytes)) {
                out.push(None);
                failed.push((row, error));
            }
        }
    }

    /// The same for records of `topic`, by default one value after the other; headers that are added go nowhere.
    fn serialize_column_for(
        &self,
        topic: &str,
        values: &[Option<T>],
        out: &mut ByteColumn,
        failed: &mut Vec<(usize, SerdeError)>,
    ) {
        let mut headers = Vec::new();
        for (row, value) in values.iter().enumerate() {
            let Some(value) = value else {
                out.push(None);
                continue;
            };
            if let Err(error) = out.push_with(|bytes| self.serialize_for(topic, &mut headers, value, bytes)) {
                out.push(None);
                failed.push((row, error));
            }
        }
    }

    /// Appends the value of every entry; absent entries and those that fail are absent. Failed rows go to
    /// `failed`.
    fn deserialize_column(
        &self,
        entries: &[Option<&[u8]>],
        out: &mut Vec<Option<T>>,
        failed: &mut Vec<(usize, SerdeError)>,
    ) {
        for (row, bytes) in entries.iter().enumerate() {
            out.push(match bytes.map(|bytes| self.deserialize(bytes)) {
                None => None,
                Some(Ok(value)) => Some(value),
                Some(Err(error)) => {
                    failed.push((row, error));
                    None
                }
            });
        }
    }
}

/// A serde that is chosen when the graph is built.
pub type DynSerde<T> = Arc<dyn Serde<T>>;

#[diagnostic::on_unimplemented(
    message = "`{Self}` brings no serde along",
    label = "name a serde here, as in `Consumed::with(Utf8, Json)`, or give the type one",
    note = "for JSON: `impl DefaultSerde for {Self} {{ type Serde = Json; }}`; it must be `Clone + Send + Sync + 'static`, \
            too, and derive serde's `Serialize` and `Deserialize`"
)]
/// A type that may be a key or value in the DSL without naming a serde: it brings one along.
///
/// ```
/// # use millstream_log::serde::{DefaultSerde, Json};
/// #[derive(Clone, serde::Serialize, serde::Deserialize)]
/// struct Flight { origin: String, delay_minutes: i32 }
/// impl DefaultSerde for Flight { type Serde = Json; }
/// ```
pub trait DefaultSerde: Sized + Clone + Send + Sync + 'static {
    /// The serde.
    type Serde: Serde<Self> + Default;

    /// The serde, ready for a graph.
    fn default_serde() -> DynSerde<Self> {
        Arc::new(Self::Serde::default())
    }
}

/// UTF-8 text.
#[derive(Clone, Copy, Debug, Default)]
pub struct Utf8;

impl Serde<String> for Utf8 {
    fn serialize(&self, value: &String, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value.as_bytes());
        Ok(())
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<String, SerdeError> {
        let text = std::str::from_utf8(bytes);
        text.map(str::to_owned).map_err(|error| SerdeError::new(format!("not UTF-8 text: {error}")))
    }
}

impl DefaultSerde for String {
    type Serde = Utf8;
}

/// Defines a serde of fixed-size big-endian numbers.
macro_rules! big_endian {
    ($($(#[$doc:meta])* $name:ident: $type:ty;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default)]
        pub struct $name;

        impl Serde<$type> for $name {
            fn serialize(&self, value: &$type, out: &mut Vec<u8>) -> Result<(), SerdeError> {
                out.extend_from_slice(&value.to_be_bytes());
                Ok(())
            }

            fn deserialize(&self, bytes: &[u8]) -> Result<$type, SerdeError> {
                let size = size_of::<$type>();
                let array = bytes.try_into().map_err(|_| {
                    SerdeError::new(format!("{} bytes where {} has {size}", bytes.len(), stringify!($type)))
                })?;
                Ok(<$type>::from_be_bytes(array))
            }

            fn fixed_size(&self) -> Option<usize> {
                Some(size_of::<$type>())
            }
        }

        impl DefaultSerde for $type {
            type Serde = $name;
        }
    )+};
}

big_endian! {
    /// 2-byte integers.
    Int16: i16;
    /// 4-byte floating-point numbers.
    Float32: f32;
    /// 4-byte integers.
    Int32: i32;
    /// 8-byte integers.
    Int64: i64;
    /// 8-byte floating-point numbers.
    Float64: f64;
}

/// Bytes as they are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Raw;

impl Serde<Vec<u8>> for Raw {
    fn serialize(&self, value: &Vec<u8>, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value);
        Ok(())
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<Vec<u8>, SerdeError> {
        Ok(bytes.to_vec())
    }
}

impl Serde<Bytes> for Raw {
    fn serialize(&self, value: &Bytes, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value);
        Ok(())
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<Bytes, SerdeError> {
        Ok(Bytes::copy_from_slice(bytes))
    }
}

impl DefaultSerde for Vec<u8> {
    type Serde = Raw;
}

impl DefaultSerde for Bytes {
    type Serde = Raw;
}

/// JSON text of any type that serde knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Json;

impl<T: Serialize + DeserializeOwned> Serde<T> for Json {
    fn serialize(&self, value: &T, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        serde_json::to_writer(out, value).map_err(|error| SerdeError::new(format!("not JSON: {error}")))
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<T, SerdeError> {
        serde_json::from_slice(bytes)
            .map_err(|error| SerdeError::new(format!("not the expected JSON: {error}")))
    }
}

/// True and false in one byte.
#[derive(Clone, Copy, Debug, Default)]
pub struct Boolean;

impl Serde<bool> for Boolean {
    fn serialize(&self, value: &bool, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.push(u8::from(*value));
        Ok(())
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<bool, SerdeError> {
        match bytes {
            [0] => Ok(false),
            [1] => Ok(true),
            [other] => Err(SerdeError::new(format!("byte {other} where a bool is 0 or 1"))),
            _ => Err(SerdeError::new(format!("{} bytes where bool has 1", bytes.len()))),
        }
    }
}

impl DefaultSerde for bool {
    type Serde = Boolean;
}

/// UUIDs as text, such as `2f1acc6c-7f3d-4d5c-a5a9-3d7a3f1d5c0e`.
#[derive(Clone, Copy, Debug, Default)]
pub struct UuidText;

impl Serde<Uuid> for UuidText {
    fn serialize(&self, value: &Uuid, out: &mut Vec<u8>) -> Result<(), SerdeError> {
        out.extend_from_slice(value.hyphenated().encode_lower(&mut Uuid::encode_buffer()).as_bytes());
        Ok(())
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<Uuid, SerdeError> {
        Uuid::try_parse_ascii(bytes).map_err(|error| SerdeError::new(format!("not a UUID: {error}")))
    }

    fn fixed_size(&self) -> Option<usize> {
        Some(uuid::fmt::Hyphenated::LENGTH)
    }
}

impl DefaultSerde for Uuid {
    type Serde = UuidText;
}

/// Nothing: keys or values that are always null. What is null in a record is absent and no `()`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Void;

impl Serde<()> for Void {
    fn serialize(&self, (): &(), _out: &mut Vec<u8>) -> Result<(), SerdeError> {
        Ok(())
    }

    fn deserialize(&self, bytes: &[u8]) -> Result<(), SerdeError> {
        match bytes {
            [] => Ok(()),
            _ => Err(SerdeError::new(format!("{} bytes where there is nothing", bytes.len()))),
        }
    }

    fn serialize_column(
        &self,
        values: &[Option<()>],
        out: &mut ByteColumn,
        _failed: &mut Vec<(usize, SerdeError)>,
    ) {
        values.iter().for_each(|_| out.push(None));
    }

    fn serialize_column_for(
        &self,
        _topic: &str,
        values: &[Option<()>],
        out: &mut ByteColumn,
        failed: &mut Vec<(usize, SerdeError)>,
    ) {
        self.serialize_column(values, out, failed);
    }
}

impl DefaultSerde for () {
    type Serde = Void;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check<T: PartialEq + std::fmt::Debug>(serde: impl Serde<T>, value: T, expected: &[u8]) {
        let mut bytes = Vec::new();
        serde.serialize(&value, &mut bytes).unwrap();
        assert_eq!(bytes, expected);
        assert_eq!(serde.deserialize(&bytes).unwrap(), value);
    }

    #[test]
    fn formats_are_kafkas() {
        check(Utf8, "é".to_owned(), b"\xc3\xa9");
        check(Raw, vec![0, 255], &[0, 255]);
        check(Raw, Bytes::from_static(b"x"), b"x");
        check(Int16, -2, &[0xff, 0xfe]);
        check(Int32, -2, &[0xff, 0xff, 0xff, 0xfe]);
        check(Int64, 258, &[0, 0, 0, 0, 0, 0, 1, 2]);
        check(Float32, 1.0, &[0x3f, 0x80, 0, 0]);
        check(Float64, 1.0, &[0x3f, 0xf0, 0, 0, 0, 0, 0, 0]);
        check(Boolean, true, &[1]);
        check(UuidText, Uuid::from_u128(10), b"00000000-0000-0000-0000-00000000000a");
        check(Json, vec![1, 2], b"[1,2]");
        check(Void, (), b"");
    }

    #[test]
    fn wrong_bytes_are_told() {
        assert_eq!(Int64.deserialize(&[1]).unwrap_err().to_string(), "1 bytes where i64 has 8");
        assert_eq!(Boolean.deserialize(&[2]).unwrap_err().to_string(), "byte 2 where a bool is 0 or 1");
        assert_eq!(Void.deserialize(&[0]).unwrap_err().to_string(), "1 bytes where there is nothing");
        let mut column = ByteColumn::default();
        Void.serialize_column(&[Some(()), None], &mut column, &mut Vec::new());
        Void.serialize_column_for("t", &[Some(())], &mut column, &mut Vec::new());
        assert_eq!((column.get(0), column.get(1), column.get(2)), (None, None, None));
        assert!(Utf8.deserialize(&[0xff]).unwrap_err().to_string().starts_with("not UTF-8 text"));
        assert!(UuidText.deserialize(b"x").unwrap_err().to_string().starts_with("not a UUID"));
    }
}
