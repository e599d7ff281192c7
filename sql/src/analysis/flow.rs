//! What is known of the rows between two steps of a plan.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::datatypes::Fields;
use datafusion::logical_expr::Expr as Planned;
use millstream_formats::{Format, FormatSpec};

use super::columns_of;
use crate::{
    ast::SourceKind,
    catalogue::{Column, Columns, Source, Windowing},
    error::SqlError,
    expression::column,
    plan::{NullKey, Origin, Rekey, RowKeys, SourceStep, Step, internal, internal_names, layout},
};

/// The rows after the steps planned so far.
pub(super) struct Flow {
    /// The leftmost source.
    pub(super) source: SourceStep,
    /// Their columns.
    pub(super) columns: Vec<Column>,
    /// The columns that the record key holds, by their names inside the plan, whether they are in `columns` or not.
    pub(super) key: Vec<Column>,
    /// Expressions that always equal the key of a join's rows.
    pub(super) same: Vec<Planned>,
    /// Columns that name the key of a join's rows, the best first; none if its name is made up.
    pub(super) key_values: Vec<Planned>,
    /// The same, as messages show them.
    pub(super) key_shown: Vec<String>,
    /// How serialized keys are written, those of the last topic, and of what is keyed anew. Of rows as their source has
    /// them this may be a format with schemas, in which no step writes keys.
    pub(super) key_format: FormatSpec,
    /// Where serialized keys of the rows come from.
    pub(super) carrier: Carrier,
    /// Stream, or changes of a table.
    pub(super) kind: SourceKind,
    /// How the key is windowed.
    pub(super) window: Option<Windowing>,
    /// The columns of the window's bounds.
    pub(super) bounds: Vec<String>,
    /// Whether the rows come of a foreign-key join, and are keyed as its left table.
    pub(super) foreign: bool,
    /// Whether the rows before go along with a table's changes.
    pub(super) has_old: bool,
}

/// Where serialized keys of rows come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Carrier {
    /// The leftmost source can keep them.
    Source,
    /// The rekeying at this place among the steps can.
    Rekey(usize),
    /// They are there.
    Always,
    /// Nowhere.
    None,
}

impl Flow {
    pub(super) fn new(source: SourceStep, key: Vec<Column>, bounds: Vec<String>) -> Self {
        Self {
            columns: columns_of(&source),
            key,
            same: Vec::new(),
            key_values: Vec::new(),
            key_shown: Vec::new(),
            key_format: source.source.key_format,
            carrier: Carrier::Source,
            kind: source.source.kind,
            window: source.source.window,
            bounds,
            foreign: false,
            has_old: false,
            source,
        }
    }

    /// The column of the key if the rows are keyed by this expression alone.
    pub(super) fn keyed_by(&self, expr: &Planned) -> Option<String> {
        let [key] = self.key.as_slice() else { return None };
        (*expr == column(&key.name) || self.same.contains(expr)).then(|| key.name.clone())
    }

    /// Whether the serialized keys of the rows can be used as keys of `format`; then they travel along.
    pub(super) fn carries(&mut self, format: FormatSpec, steps: &mut [Step]) -> bool {
        if self.key_format != format || self.key.is_empty() || format.format == Format::None {
            return false;
        }
        match self.carrier {
            // Other formats write one key in more than one way.
            Carrier::Source if format.format != Format::Kafka => return false,
            Carrier::Source => self.source.keep_key_bytes = true,
            Carrier::Rekey(place) => {
                if let Some(Step::Rekey(rekey)) = steps.get_mut(place) {
                    rekey.read.keep_key_bytes = true;
                }
            }
            Carrier::Always => {}
            Carrier::None => return false,
        }
        true
    }

    /// The keys of the rows in `format`.
    pub(super) fn row_keys(&mut self, format: FormatSpec, steps: &mut [Step]) -> RowKeys {
        let carried = self.carries(format, steps);
        let columns = self.key.iter().map(|key| (key.clone(), column(&key.name)));
        let by_start = self.window.is_some_and(|window| window != Windowing::Session);
        RowKeys { columns: columns.collect(), format, carried, bounds: self.bounds.clone(), by_start }
    }
}

/// What is sent through a repartition topic.
pub(super) struct Rekeying<'a> {
    /// What the name of the topic begins with.
    pub(super) name: String,
    /// The columns of the rows.
    pub(super) columns: &'a [Column],
    /// The new key.
    pub(super) keys: Vec<(Column, Planned)>,
    /// The columns that are needed behind it; `None` for all.
    pub(super) needed: Option<&'a BTreeSet<String>>,
    /// The column that is the time of the row's record, there and back.
    pub(super) row_time: Option<String>,
    /// How keys are written.
    pub(super) key_format: FormatSpec,
    /// What becomes of rows whose key has a NULL.
    pub(super) null_key: NullKey,
    /// How the source of the rows writes values.
    pub(super) value_format: FormatSpec,
    /// Whether the rows are those of a stream or of a table.
    pub(super) kind: SourceKind,
    /// Whether what is sent are changes of groups.
    pub(super) changes: bool,
    /// Whether the new serialized keys travel on with the rows.
    pub(super) keep_key_bytes: bool,
}

/// The step that sends rows through a repartition topic, and the columns that come back.
pub(super) fn rekeyed(rekeying: Rekeying<'_>) -> Result<(Rekey, Vec<Column>), SqlError> {
    let Rekeying { name, columns, keys, key_format, null_key, .. } = rekeying;
    let is_key = |column: &Column| keys.iter().any(|(key, _)| key.name == column.name);
    let needed = |column: &Column| rekeying.needed.is_none_or(|needed| needed.contains(&column.name));
    let (timed, carried): (Vec<Column>, Vec<Column>) = columns
        .iter()
        .filter(|column| !is_key(column) && needed(column))
        .cloned()
        .partition(|column| Some(&column.name) == rekeying.row_time.as_ref());
    let inherited = rekeying.value_format;
    let json = FormatSpec::value(Format::Json);
    let usual = internal(FormatSpec { wrapped: inherited.format.can_wrap(), ..inherited });
    let fields = |format| internal_names(&carried, format).iter().map(Column::field).collect::<Fields>();
    let fits = !carried.is_empty() && usual.generate_schema(&fields(usual), None).is_ok();
    let value_format = if fits { usual } else { json };
    value_format.check(&fields(value_format)).map_err(|error| SqlError::invalid(error.to_string()))?;
    let (key, keys): (Vec<Column>, Vec<Planned>) = keys.into_iter().unzip();
    let origins = (0..key.len()).map(Origin::Key).chain((0..carried.len()).map(Origin::Value));
    let origins = origins.chain(timed.iter().map(|_| Origin::RowTime)).collect();
    let columns: Vec<Column> = key.iter().chain(&carried).chain(&timed).cloned().collect();
    let names = carried.iter().map(|column| column.name.clone()).collect();
    let topic = Source {
        name: name.clone(),
        kind: rekeying.kind,
        columns: Columns::new(internal_names(&key, key_format), internal_names(&carried, value_format)),
        topic: format!("{name}-repartition"),
        key_format,
        inherited_key_format: key_format,
        value_format,
        key_subject: None,
        value_subject: None,
        wraps_explicitly: false,
        timestamp: None,
        window: None,
        read_only: true,
        statement: String::new(),
        query: None,
    };
    let read = SourceStep {
        alias: name.clone(),
        source: Arc::new(topic),
        origins,
        schema: layout(&columns),
        time: None,
        keep_key_bytes: rekeying.keep_key_bytes,
        changes: rekeying.changes,
    };
    Ok((Rekey { name, keys, null_key, carried: names, read }, columns))
}
