//! HISTOGRAM: how often each text occurs.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, Int64Builder, MapBuilder, MapFieldNames, StringArray, StringBuilder,
};

use crate::error::SqlError;
use crate::function::AggregateFunction;
use crate::function::fold::{Fold, put_bytes, put_count, take_bytes, take_exact};

/// Texts beyond so many different ones are not counted.
const ENTRIES_MAX: usize = 1000;

pub(super) fn histogram() -> AggregateFunction {
    AggregateFunction::new("HISTOGRAM", "How often each of the first 1000 different texts occurs.")
        .fold(&["(STRING) -> MAP<STRING, BIGINT>"], |_| Ok(Histogram))
        .supports_tables()
}

struct Histogram;

impl Histogram {
    fn count(state: &mut BTreeMap<String, i64>, text: &str, by: i64) {
        if let Some(count) = state.get_mut(text) {
            *count += by;
        } else if state.len() < ENTRIES_MAX {
            state.insert(text.to_owned(), by);
        }
    }
}

impl Fold for Histogram {
    type State = BTreeMap<String, i64>;
    type Input<'a> = &'a StringArray;
    type Output = MapBuilder<StringBuilder, Int64Builder>;

    fn empty(&self) -> Self::State {
        BTreeMap::new()
    }

    fn input<'a>(&self, args: &'a [ArrayRef]) -> Result<&'a StringArray, SqlError> {
        Ok(args[0].as_string())
    }

    fn add(&self, state: &mut Self::State, texts: &&StringArray, row: usize) -> Result<(), SqlError> {
        if texts.is_valid(row) {
            Self::count(state, texts.value(row), 1);
        }
        Ok(())
    }

    fn remove(&self, state: &mut Self::State, texts: &&StringArray, row: usize) -> Result<(), SqlError> {
        if texts.is_valid(row)
            && let Some(count) = state.get_mut(texts.value(row))
        {
            *count -= 1;
            if *count < 1 {
                state.remove(texts.value(row));
            }
        }
        Ok(())
    }

    fn merge(&self, state: &mut Self::State, later: &Self::State) -> Result<(), SqlError> {
        later.iter().for_each(|(text, count)| Self::count(state, text, *count));
        Ok(())
    }

    fn save(&self, state: &Self::State, out: &mut Vec<u8>) {
        put_count(state.len(), out);
        for (text, count) in state {
            put_bytes(text.as_bytes(), out);
            out.extend_from_slice(&count.to_le_bytes());
        }
    }

    fn load(&self, bytes: &mut &[u8]) -> Result<Self::State, SqlError> {
        let entries = u32::from_le_bytes(take_exact(bytes)?);
        let mut state = BTreeMap::new();
        for _ in 0..entries {
            let text = std::str::from_utf8(take_bytes(bytes)?);
            let text = text.map_err(|e| SqlError::failed("read the state of an aggregate", e))?.to_owned();
            state.insert(text, i64::from_le_bytes(take_exact(bytes)?));
        }
        Ok(state)
    }

    fn output(&self, capacity: usize) -> Self::Output {
        let names =
            MapFieldNames { entry: "entries".to_owned(), key: "keys".to_owned(), value: "values".to_owned() };
        MapBuilder::with_capacity(Some(names), StringBuilder::new(), Int64Builder::new(), capacity)
    }

    fn emit(&self, state: &Self::State, output: &mut Self::Output) {
        for (text, count) in state {
            output.keys().append_value(text);
            output.values().append_value(*count);
        }
        output.append(true).expect("as many keys were appended as values");
    }

    fn finish(&self, mut output: Self::Output) -> Result<ArrayRef, SqlError> {
        Ok(Arc::new(output.finish()))
    }
}
