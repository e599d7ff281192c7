//! Converters: Kafka Connect's class names for formats.

use std::sync::Arc;

use arrow::{
    array::ArrayRef,
    compute::cast,
    datatypes::{DataType, Field, FieldRef, Fields},
};
use millstream_formats::{Decoder, Encoder, Format, FormatSpec, Payloads};

use crate::{
    batch::ValueShape,
    connector::SinkShape,
    error::{ConnectError, nearest, nearest_hint},
    settings::Settings,
};

/// How keys or values become bytes and back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Converter {
    setting: &'static str,
    kind: ConverterKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ConverterKind {
    Json,
    Delimited,
    /// One of Kafka's primitive serializers, to which the column is cast.
    Primitive(Primitive),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Primitive {
    /// Whatever type the column has.
    Own,
    Text,
    Int,
    Long,
    Double,
    Bytes,
}

/// Class names, their simple names, and our short ones.
const KINDS: [(&str, &str, &str, ConverterKind); 8] = [
    ("org.apache.kafka.connect.json.JsonConverter", "JsonConverter", "JSON", ConverterKind::Json),
    (
        "org.apache.kafka.connect.storage.StringConverter",
        "StringConverter",
        "STRING",
        ConverterKind::Primitive(Primitive::Text),
    ),
    (
        "org.apache.kafka.connect.converters.IntegerConverter",
        "IntegerConverter",
        "INT",
        ConverterKind::Primitive(Primitive::Int),
    ),
    (
        "org.apache.kafka.connect.converters.LongConverter",
        "LongConverter",
        "BIGINT",
        ConverterKind::Primitive(Primitive::Long),
    ),
    (
        "org.apache.kafka.connect.converters.DoubleConverter",
        "DoubleConverter",
        "DOUBLE",
        ConverterKind::Primitive(Primitive::Double),
    ),
    (
        "org.apache.kafka.connect.converters.ByteArrayConverter",
        "ByteArrayConverter",
        "BYTES",
        ConverterKind::Primitive(Primitive::Bytes),
    ),
    (
        "millstream.connect.KafkaConverter",
        "KafkaConverter",
        "KAFKA",
        ConverterKind::Primitive(Primitive::Own),
    ),
    ("millstream.connect.DelimitedConverter", "DelimitedConverter", "DELIMITED", ConverterKind::Delimited),
];

impl Converter {
    /// The converter that `settings` name under `setting`, `key.converter` or `value.converter`.
    ///
    /// JSON is written and read without Kafka Connect's schema envelope: `schemas.enable` may only be
    /// `false`.
    pub fn from_settings(settings: &Settings, setting: &'static str) -> Result<Self, ConnectError> {
        let name = settings.text(setting);
        let known =
            |(class, simple, short, kind): (&'static str, &'static str, &'static str, ConverterKind)| {
                (name == class || name == simple || name.eq_ignore_ascii_case(short)).then_some(kind)
            };
        let kind = KINDS.into_iter().find_map(known).ok_or_else(|| {
            let names = KINDS.iter().flat_map(|(class, simple, short, _)| [*class, *simple, *short]);
            let simple: Vec<_> = KINDS.iter().map(|(_, simple, ..)| *simple).collect();
            let hint = nearest_hint(&nearest(name, names));
            settings.fault(setting, format!("it takes one of {}{hint}", simple.join(", ")))
        })?;
        let envelope = format!("{setting}.schemas.enable");
        if kind == ConverterKind::Json && settings.truth(&envelope) {
            return Err(
                settings.fault(&envelope, "JSON is written without a schema envelope: set it to false")
            );
        }
        Ok(Self { setting, kind })
    }

    /// Whether values are JSON texts.
    pub fn is_json(&self) -> bool {
        self.kind == ConverterKind::Json
    }

    /// Prepares writing of values.
    pub(crate) fn value_writer(&self, shape: &ValueShape) -> Result<Writer, ConnectError> {
        match (shape, self.kind) {
            (ValueShape::Record(fields), ConverterKind::Json) => {
                self.writer(FormatSpec::value(Format::Json), fields.clone(), None)
            }
            (ValueShape::Record(fields), ConverterKind::Delimited) => {
                self.writer(FormatSpec::value(Format::Delimited), fields.clone(), None)
            }
            (ValueShape::Record(fields), ConverterKind::Primitive(_)) if fields.len() != 1 => {
                self.writer(FormatSpec::value(Format::Kafka), fields.clone(), None)
            }
            (ValueShape::Record(fields), ConverterKind::Primitive(_)) => self.single_writer(&fields[0]),
            (ValueShape::Single(field), _) => self.single_writer(field),
            (
                ValueShape::JsonText,
                ConverterKind::Json | ConverterKind::Primitive(Primitive::Text | Primitive::Own),
            ) => {
                let text = Field::new("value", DataType::Utf8, true);
                self.writer(FormatSpec::value(Format::Kafka), Fields::from(vec![text]), None)
            }
            (ValueShape::JsonText, _) => {
                self.single_writer(&Arc::new(Field::new("value", DataType::Utf8, true)))
            }
        }
    }

    /// Prepares writing of keys, or of other bare values.
    pub(crate) fn single_writer(&self, field: &FieldRef) -> Result<Writer, ConnectError> {
        let wanted = match self.kind {
            ConverterKind::Json | ConverterKind::Delimited => None,
            ConverterKind::Primitive(primitive) => primitive.data_type(),
        };
        let target = wanted.as_ref().unwrap_or(field.data_type()).clone();
        let cast = wanted.filter(|wanted| wanted != field.data_type());
        let fields = Fields::from(vec![Field::new(field.name(), target, true)]);
        let format = match self.kind {
            ConverterKind::Json => Format::Json,
            ConverterKind::Delimited => Format::Delimited,
            ConverterKind::Primitive(_) => Format::Kafka,
        };
        self.writer(FormatSpec::key(format, 1), fields, cast)
    }

    fn writer(
        &self,
        spec: FormatSpec,
        fields: Fields,
        cast: Option<DataType>,
    ) -> Result<Writer, ConnectError> {
        let encoder = spec
            .encoder(&fields, None)
            .map_err(|source| ConnectError::Converter { setting: self.setting, source })?;
        Ok(Writer { setting: self.setting, encoder, cast, payloads: Payloads::new() })
    }

    /// Prepares reading of values.
    pub(crate) fn value_reader(&self, shape: &SinkShape) -> Result<Reader, ConnectError> {
        let text = |data_type| Fields::from(vec![Field::new("value", data_type, true)]);
        let (spec, fields, cast) = match (shape, self.kind) {
            (SinkShape::Record(fields), ConverterKind::Json) => {
                (FormatSpec::value(Format::Json), fields.clone(), None)
            }
            (SinkShape::Record(fields), ConverterKind::Delimited) => {
                (FormatSpec::value(Format::Delimited), fields.clone(), None)
            }
            (SinkShape::Record(fields), ConverterKind::Primitive(_)) => {
                (FormatSpec::value(Format::Kafka), fields.clone(), None)
            }
            (SinkShape::Text, ConverterKind::Json) => {
                (FormatSpec::key(Format::Json, 1), text(DataType::Utf8), None)
            }
            (SinkShape::Text, ConverterKind::Delimited) => {
                (FormatSpec::value(Format::Kafka), text(DataType::Utf8), None)
            }
            (SinkShape::Text, ConverterKind::Primitive(primitive)) => {
                let stored = match primitive {
                    // Bytes are shown as the text that they are.
                    Primitive::Own | Primitive::Text | Primitive::Bytes => DataType::Utf8,
                    Primitive::Int | Primitive::Long | Primitive::Double => {
                        primitive.data_type().unwrap_or(DataType::Utf8)
                    }
                };
                let cast = (stored != DataType::Utf8).then_some(DataType::Utf8);
                (FormatSpec::value(Format::Kafka), text(stored), cast)
            }
        };
        let decoder = spec
            .decoder(&fields, None, None)
            .map_err(|source| ConnectError::Converter { setting: self.setting, source })?;
        Ok(Reader { setting: self.setting, decoder, cast })
    }
}

impl Primitive {
    fn data_type(self) -> Option<DataType> {
        match self {
            Self::Own => None,
            Self::Text => Some(DataType::Utf8),
            Self::Int => Some(DataType::Int32),
            Self::Long => Some(DataType::Int64),
            Self::Double => Some(DataType::Float64),
            Self::Bytes => Some(DataType::Binary),
        }
    }
}

/// Columns to payloads.
pub(crate) struct Writer {
    setting: &'static str,
    encoder: Encoder,
    cast: Option<DataType>,
    payloads: Payloads,
}

impl Writer {
    /// The payloads of `rows` rows; valid until the next call.
    pub(crate) fn write(&mut self, columns: &[ArrayRef], rows: usize) -> Result<&Payloads, ConnectError> {
        let setting = self.setting;
        self.payloads.clear();
        let result = match &self.cast {
            Some(data_type) => {
                let column =
                    cast(&columns[0], data_type).map_err(|source| ConnectError::Cast { setting, source })?;
                self.encoder.encode(&[column], rows, None, &mut self.payloads)
            }
            None => self.encoder.encode(columns, rows, None, &mut self.payloads),
        };
        result.map_err(|source| ConnectError::Converter { setting, source })?;
        Ok(&self.payloads)
    }
}

/// Payloads to columns.
pub(crate) struct Reader {
    setting: &'static str,
    decoder: Decoder,
    cast: Option<DataType>,
}

impl Reader {
    pub(crate) fn read(
        &mut self,
        payloads: &[Option<&[u8]>],
    ) -> Result<millstream_formats::Decoded, ConnectError> {
        let mut decoded = self.decoder.decode(payloads);
        if let Some(data_type) = &self.cast {
            let setting = self.setting;
            let column = cast(&decoded.columns[0], data_type)
                .map_err(|source| ConnectError::Cast { setting, source })?;
            decoded.columns = vec![column];
        }
        Ok(decoded)
    }
}
