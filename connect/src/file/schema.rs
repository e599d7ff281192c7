//! Types of CSV columns: given as `NAME TYPE, ...`, or guessed from the first rows.

use arrow::datatypes::{DataType, Field, Fields, TimeUnit};
use millstream_formats::{DECIMAL_PRECISION_MAX, decimal_type};

/// Reads a list such as `carrier STRING, delay INT, fare DECIMAL(8, 2)`. The error says what is wrong with
/// it.
pub(super) fn parse_schema(text: &str) -> Result<Fields, String> {
    let mut fields: Vec<Field> = Vec::new();
    for part in split_outside_brackets(text) {
        let (name, data_type) = part
            .trim()
            .split_once(char::is_whitespace)
            .ok_or_else(|| format!("{:?} is not a name and a type", part.trim()))?;
        if fields.iter().any(|field| field.name() == name) {
            return Err(format!("column {name:?} is given twice"));
        }
        fields.push(Field::new(name, parse_type(data_type.trim())?, true));
    }
    Ok(fields.into())
}

fn split_outside_brackets(text: &str) -> Vec<&str> {
    let mut depth = 0i32;
    text.split(|c| {
        depth += i32::from(c == '(') - i32::from(c == ')');
        c == ',' && depth == 0
    })
    .collect()
}

/// A SQL type by its name.
pub(super) fn parse_type(text: &str) -> Result<DataType, String> {
    let upper = text.to_ascii_uppercase();
    Ok(match upper.as_str() {
        "BOOLEAN" => DataType::Boolean,
        "INT" | "INTEGER" => DataType::Int32,
        "BIGINT" => DataType::Int64,
        "DOUBLE" => DataType::Float64,
        "STRING" | "VARCHAR" => DataType::Utf8,
        "DATE" => DataType::Date32,
        "TIMESTAMP" => DataType::Timestamp(TimeUnit::Millisecond, None),
        _ => return parse_decimal(&upper).ok_or_else(|| unknown_type(text)),
    })
}

fn parse_decimal(upper: &str) -> Option<DataType> {
    let arguments = upper.strip_prefix("DECIMAL")?.trim().strip_prefix('(')?.strip_suffix(')')?;
    let (precision, scale) = arguments.split_once(',')?;
    let (precision, scale): (u8, i8) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    let fits = (1..=DECIMAL_PRECISION_MAX).contains(&precision) && (0..=precision as i8).contains(&scale);
    fits.then(|| decimal_type(precision, scale))
}

fn unknown_type(text: &str) -> String {
    format!(
        "{text:?} is not a type: use BOOLEAN, INT, BIGINT, DOUBLE, DECIMAL(p, s), STRING, DATE or TIMESTAMP"
    )
}

/// What the cells of a column seen so far could be, from narrow to wide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Guess {
    /// Only NULLs so far.
    Nothing,
    Boolean,
    /// Always BIGINT: a later row may well hold a larger number than the sample.
    Whole,
    Double,
    Text,
}

impl Guess {
    /// The narrowest type for what was seen and one more cell.
    pub(super) fn with(self, cell: &str) -> Self {
        match (self, Self::of(cell)) {
            (Self::Nothing, seen) => seen,
            (known, seen) if known == seen => known,
            (Self::Whole, Self::Double) | (Self::Double, Self::Whole) => Self::Double,
            _ => Self::Text,
        }
    }

    fn of(cell: &str) -> Self {
        let digits = cell.strip_prefix('-').unwrap_or(cell);
        // Numbers with leading zeros are codes, and would lose them.
        let code = digits.len() > 1 && digits.starts_with('0') && !digits.starts_with("0.");
        match digits.as_bytes().first() {
            Some(b'0'..=b'9') if code => Self::Text,
            Some(b'0'..=b'9') if cell.parse::<i64>().is_ok() => Self::Whole,
            Some(b'0'..=b'9') if cell.parse::<f64>().is_ok() => Self::Double,
            _ if cell == "true" || cell == "false" => Self::Boolean,
            _ => Self::Text,
        }
    }

    pub(super) fn data_type(self) -> DataType {
        match self {
            Self::Boolean => DataType::Boolean,
            Self::Whole => DataType::Int64,
            Self::Double => DataType::Float64,
            Self::Nothing | Self::Text => DataType::Utf8,
        }
    }
}

#[cfg(test)]
mod tests {
    use millstream_formats::type_name;

    use super::*;

    #[test]
    fn schemas_are_read() {
        let fields = parse_schema(
            "id int, fare DECIMAL(8, 2),name varchar , sum DECIMAL(40, 2), day DATE, at timestamp",
        )
        .expect("valid");
        let types: Vec<String> = fields.iter().map(|field| type_name(field.data_type())).collect();
        assert_eq!(types, ["INTEGER", "DECIMAL(8, 2)", "STRING", "DECIMAL(40, 2)", "DATE", "TIMESTAMP"]);
        for (name, field) in types.iter().zip(&fields) {
            assert_eq!(parse_type(name).as_ref(), Ok(field.data_type()));
        }
        for (text, expected) in [
            ("id", "\"id\" is not a name and a type"),
            ("id INT, id INT", "column \"id\" is given twice"),
            ("id FLOAT", "\"FLOAT\" is not a type: use BOOLEAN"),
            ("id DECIMAL(77, 2)", "\"DECIMAL(77, 2)\" is not a type"),
        ] {
            let error = parse_schema(text).expect_err(text);
            assert!(error.starts_with(expected), "{error}");
        }
    }

    #[test]
    fn types_are_guessed_from_all_cells() {
        for (cells, expected) in [
            (&["1", "-2"][..], DataType::Int64),
            (&["1", "2.5"], DataType::Float64),
            (&["true", "false"], DataType::Boolean),
            (&["true", "1"], DataType::Utf8),
            (&["007"], DataType::Utf8),
            (&["0.5", "0"], DataType::Float64),
            (&["N14228"], DataType::Utf8),
            (&["inf"], DataType::Utf8),
            (&[], DataType::Utf8),
        ] {
            let guess = cells.iter().fold(Guess::Nothing, |guess, cell| guess.with(cell));
            assert_eq!(guess.data_type(), expected, "{cells:?}");
        }
    }
}
