//! Rows as text, for people who look at a stream.

use std::fmt::Debug;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crate::batch::{Batch, downcast};
use crate::dsl::builder::supplier;
use crate::dsl::records::Records;
use crate::dsl::stream::KStream;
use crate::error::StreamsError;
use crate::processor::{Context, Processor};

type Writer = Arc<Mutex<dyn Write + Send>>;
type Line<K, V> = Arc<dyn Fn(Option<&K>, Option<&V>) -> Option<String> + Send + Sync>;

/// How and where rows are printed: a line `[label]: key, value` for each, in their `Debug` form, `null` for what is
/// absent.
pub struct Printed<K, V> {
    writer: Writer,
    label: Option<String>,
    line: Line<K, V>,
}

impl<K: Debug + 'static, V: Debug + 'static> Printed<K, V> {
    /// Prints to the standard output.
    pub fn to_stdout() -> Self {
        Self::to_writer(io::stdout())
    }

    /// Prints to a file, which is created or emptied.
    pub fn to_file(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self::to_writer(BufWriter::new(File::create(path)?)))
    }

    /// Prints to anything that takes bytes. All tasks share it; it is flushed behind every batch.
    pub fn to_writer(writer: impl Write + Send + 'static) -> Self {
        fn text(value: Option<&impl Debug>) -> String {
            value.map_or_else(|| "null".to_owned(), |value| format!("{value:?}"))
        }
        Self {
            writer: Arc::new(Mutex::new(writer)),
            label: None,
            line: Arc::new(|key, value| Some(format!("{}, {}", text(key), text(value)))),
        }
    }
}

impl<K: 'static, V: 'static> Printed<K, V> {
    /// Puts this into the brackets in place of the name of the node above.
    #[must_use]
    pub fn label(mut self, label: &str) -> Self {
        self.label = Some(label.to_owned());
        self
    }

    /// Makes the text behind the label from key and value. Rows without value are not printed then.
    #[must_use]
    pub fn mapper(mut self, mapper: impl Fn(Option<&K>, &V) -> String + Send + Sync + 'static) -> Self {
        self.line = Arc::new(move |key, value| value.map(|value| mapper(key, value)));
        self
    }
}

impl<K, V> KStream<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Prints every row. Nothing comes after it.
    pub fn print(&self, printed: Printed<K, V>) {
        let node = self.graph.node("KSTREAM-PRINTER-");
        let Printed { writer, label, line } = printed;
        let label = label.unwrap_or_else(|| self.node.clone());
        let make = move || Print {
            writer: Arc::clone(&writer),
            label: label.clone(),
            line: Arc::clone(&line),
            text: String::new(),
        };
        self.graph.processor(&node, &[&self.node], &[], supplier(make));
    }
}

struct Print<K, V> {
    writer: Writer,
    label: String,
    line: Line<K, V>,
    text: String,
}

impl<K, V> Processor for Print<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    fn process(&mut self, batch: Box<dyn Batch>, _context: &mut Context<'_>) -> Result<(), StreamsError> {
        let rows = downcast::<Records<K, V>>(batch)?;
        self.text.clear();
        for (key, value) in rows.keys.iter().zip(&rows.values) {
            if let Some(line) = (self.line)(key.as_ref(), value.as_ref()) {
                self.text.extend(["[", &self.label, "]: ", &line, "\n"]);
            }
        }
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let printed = writer.write_all(self.text.as_bytes()).and_then(|()| writer.flush());
        printed.map_err(|error| StreamsError::Failed(format!("could not print rows: {error}")))
    }
}
