//! `KTable::suppress`: changes that wait.

use std::marker::PhantomData;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use millstream_log::Header;

use crate::ByteColumn;
use crate::batch::Batch;
use crate::dsl::changes::Changes;
use crate::dsl::fold::{deserialize_keys, serialize_keys};
use crate::dsl::records::Records;
use crate::dsl::table::KTable;
use crate::dsl::table_rows::{TableState, pass_on};
use crate::error::StreamsError;
use crate::operator::suppress::{BufferLimits, SuppressProcessor, SuppressRows, WhenFull};
use crate::processor::{Context, Processor};
use crate::serde::{DefaultSerde, DynSerde, Windowed};
use crate::store::spec::millis;
use crate::store::{Arena, CachedStore, StoreSpec};

/// Which changes of a table wait, and how many. As Kafka's `Suppressed`.
pub struct Suppressed<K> {
    name: Option<String>,
    wait: Wait<K>,
    limits: BufferLimits,
}

enum Wait<K> {
    /// For this long after the first change of a key.
    For(Duration),
    /// Until the window of the key has closed; says when it ends.
    WindowCloses(fn(&K) -> i64),
}

impl<K> Clone for Wait<K> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<K> Copy for Wait<K> {}

impl<K> Suppressed<K> {
    /// Lets a change of a key wait until stream time has passed the first one's timestamp by `time`, and forwards the
    /// last one only.
    pub fn until_time_limit(time: Duration, buffer: impl Into<BufferConfig>) -> Self {
        Self { name: None, wait: Wait::For(time), limits: buffer.into().0 }
    }

    /// Names the node; the store is then `<name>-store`.
    #[must_use]
    pub fn named(mut self, name: &str) -> Self {
        self.name = Some(name.to_owned());
        self
    }
}

impl<K> Suppressed<Windowed<K>> {
    /// Forwards one result per window: the last one, when stream time has passed the window's end and grace. The table
    /// must come of a windowed aggregation, directly or by filters and mapped values. Windows that were deleted yield
    /// nothing.
    ///
    /// Without later rows a window does not close, unless `window.close.idle.ms` is set.
    pub fn until_window_closes(buffer: StrictBufferConfig) -> Self {
        Self { name: None, wait: Wait::WindowCloses(|window| window.end), limits: buffer.0 }
    }
}

/// How many changes wait at most. As Kafka's `BufferConfig`: begin with [`BufferConfig::unbounded`],
/// [`BufferConfig::max_records`] or [`BufferConfig::max_bytes`].
#[derive(Clone, Copy, Debug)]
pub struct BufferConfig(BufferLimits);

/// A buffer that never forwards anything before its time.
#[derive(Clone, Copy, Debug)]
pub struct StrictBufferConfig(BufferLimits);

impl BufferConfig {
    /// Without limits.
    pub fn unbounded() -> StrictBufferConfig {
        StrictBufferConfig(BufferLimits { records: None, bytes: None, when_full: WhenFull::ShutDown })
    }

    /// At most this many keys; when there are more, what has waited longest goes on early.
    pub fn max_records(records: usize) -> Self {
        Self(BufferLimits { records: Some(records), bytes: None, when_full: WhenFull::EmitEarly })
    }

    /// At most this many bytes of keys and changes, as they are in the changelog; when there are more, what has waited
    /// longest goes on early.
    pub fn max_bytes(bytes: usize) -> Self {
        Self(BufferLimits { records: None, bytes: Some(bytes), when_full: WhenFull::EmitEarly })
    }

    /// Sets a limit of keys, too.
    #[must_use]
    pub fn with_max_records(mut self, records: usize) -> Self {
        self.0.records = Some(records);
        self
    }

    /// Sets a limit of bytes, too.
    #[must_use]
    pub fn with_max_bytes(mut self, bytes: usize) -> Self {
        self.0.bytes = Some(bytes);
        self
    }

    /// Fails the task at a limit in place of forwarding early.
    #[must_use]
    pub fn shut_down_when_full(self) -> StrictBufferConfig {
        StrictBufferConfig(BufferLimits { when_full: WhenFull::ShutDown, ..self.0 })
    }
}

impl From<StrictBufferConfig> for BufferConfig {
    fn from(config: StrictBufferConfig) -> Self {
        Self(config.0)
    }
}

impl<K, V> KTable<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: DefaultSerde,
{
    /// The table with changes that wait, see [`Suppressed`]. What waits is in a store with a changelog and survives a
    /// restart.
    pub fn suppress(&self, suppressed: Suppressed<K>) -> Self {
        let Suppressed { name, wait, limits } = suppressed;
        let node = self.graph.node("KTABLE-SUPPRESS-");
        let generated = self.graph.name("KTABLE-SUPPRESS-STATE-STORE-");
        let store_name = name.as_ref().map_or(generated, |name| format!("{name}-store"));
        let node = name.unwrap_or(node);
        let wait_ms = match wait {
            Wait::For(time) => millis(time),
            Wait::WindowCloses(_) => self.graph.grace(&self.node).unwrap_or_else(|| {
                self.graph.refuse(format!(
                    "{node} waits until windows close, but no windowed aggregation is above it: use until_time_limit"
                ));
                0
            }),
        };
        let keys = self.keys.clone();
        let values = self.values.clone().unwrap_or_else(V::default_serde);
        let arena_values = values.clone();
        let spec = StoreSpec::key_value(&store_name, move || BufferArena::new(arena_values.clone()));
        let store = self.graph.store(spec);
        let state = Arc::new(TableState::default());
        let (of_node, row_keys) = (Arc::clone(&state), keys.clone());
        let supplier = move || -> Box<dyn Processor> {
            let rows = BufferedRows::<K, V> {
                keys: row_keys.clone(),
                wait,
                output: Changes { rows: Records::with_capacity(0), old: of_node.sends_old().then(Vec::new) },
                of: PhantomData,
            };
            let suppress = SuppressProcessor::new(rows, store, wait_ms, limits);
            match of_node.store() {
                None => Box::new(suppress),
                Some(store) => Box::new(KeptSuppress {
                    suppress,
                    table: pass_on::<K, V>(row_keys.clone(), of_node.sends_old(), store),
                }),
            }
        };
        self.graph.processor(&node, &[&self.node], &[store], Arc::new(supplier));
        let (parent, of_node) = (self.clone(), Arc::clone(&state));
        let ask_old = Rc::new(move || {
            if of_node.store().is_none() {
                parent.send_old();
            }
        });
        KTable { graph: self.graph.clone(), node, keys, values: Some(values), state, ask_old }
    }
}

/// A buffer whose results are kept, because somebody below looks them up.
struct KeptSuppress<S: SuppressRows, T> {
    suppress: SuppressProcessor<S>,
    table: T,
}

impl<S: SuppressRows, T: Processor> Processor for KeptSuppress<S, T> {
    fn init(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        self.suppress.restore(context)?;
        self.table.init(context)
    }

    fn process(&mut self, batch: Box<dyn Batch>, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let output = self.suppress.buffer(batch, context)?;
        self.table.process(output, context)
    }

    fn advance(&mut self, stream_time: i64, context: &mut Context<'_>) -> Result<(), StreamsError> {
        let output = self.suppress.raise(stream_time, context)?;
        self.table.process(output, context)
    }

    fn flush(&mut self, context: &mut Context<'_>) -> Result<(), StreamsError> {
        self.table.flush(context)
    }
}

/// The typed skin.
struct BufferedRows<K, V> {
    keys: DynSerde<K>,
    wait: Wait<K>,
    output: Changes<K, V>,
    of: PhantomData<fn(K)>,
}

impl<K, V> SuppressRows for BufferedRows<K, V>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    type Arena = BufferArena<V>;
    type Input = Changes<K, V>;

    fn keys(&mut self, input: &Self::Input, keys: &mut ByteColumn) -> Result<(), StreamsError> {
        serialize_keys(&self.keys, &input.rows.keys, keys)
    }

    fn time(&self, input: &Self::Input, row: usize) -> i64 {
        match (&self.wait, &input.rows.keys[row]) {
            (Wait::WindowCloses(end), Some(key)) => end(key),
            _ => input.rows.timestamps[row],
        }
    }

    fn buffer(
        &mut self,
        input: &Self::Input,
        row: usize,
        time: i64,
        slot: u32,
        arena: &mut Self::Arena,
    ) -> Result<(), StreamsError> {
        let new = input.rows.values[row].clone();
        let headers = input.rows.headers_of(row).to_vec();
        match &mut arena.changes[slot as usize] {
            Some(change) => (change.new, change.headers) = (new, headers),
            empty => *empty = Some(Buffered { time, before: input.old_of(row).cloned(), new, headers }),
        }
        Ok(())
    }

    fn buffered_time(&self, arena: &Self::Arena, slot: u32) -> i64 {
        arena.changes[slot as usize].as_ref().map_or(i64::MIN, |change| change.time)
    }

    fn write(&mut self, store: &CachedStore<Self::Arena>, slot: u32) -> Result<(), StreamsError> {
        let Some(change) = &store.arena().changes[slot as usize] else { return Ok(()) };
        let is_final = matches!(self.wait, Wait::WindowCloses(_));
        if change.new.is_none() && is_final {
            return Ok(());
        }
        let key = deserialize_keys(&self.keys, &[Some(store.key(slot))])?.pop().flatten();
        self.output.rows.push(key, change.new.clone(), store.timestamp(slot), change.headers.clone());
        self.output.old.iter_mut().for_each(|old| old.push(change.before.clone()));
        Ok(())
    }

    fn take(&mut self) -> Result<Box<dyn Batch>, StreamsError> {
        let old = self.output.old.as_ref().map(|_| Vec::new());
        let none = Changes { rows: Records::with_capacity(0), old };
        Ok(Box::new(std::mem::replace(&mut self.output, none)))
    }
}

/// Changes that wait, by slot.
///
/// ```text
/// state bytes: time i64 | value before | new value | headers u32 | headers * (name | value)
/// value, name: length i32, or -1 for none | bytes
/// ```
struct BufferArena<V> {
    changes: Vec<Option<Buffered<V>>>,
    values: DynSerde<V>,
}

struct Buffered<V> {
    time: i64,
    before: Option<V>,
    new: Option<V>,
    headers: Vec<Header>,
}

impl<V> BufferArena<V> {
    fn new(values: DynSerde<V>) -> Self {
        Self { changes: Vec::new(), values }
    }
}

impl<V: Send + Sync + 'static> BufferArena<V> {
    fn save_value(&self, value: Option<&V>, out: &mut Vec<u8>) -> Result<(), StreamsError> {
        let Some(value) = value else {
            out.extend((-1i32).to_be_bytes());
            return Ok(());
        };
        let start = out.len();
        out.extend([0; 4]);
        self.values.serialize(value, out).map_err(|error| StreamsError::Serde(error.to_string()))?;
        let length = length(out.len() - start - 4)?;
        out[start..start + 4].copy_from_slice(&length);
        Ok(())
    }

    fn load_value(&self, bytes: &mut &[u8]) -> Result<Option<V>, StreamsError> {
        let Some(value) = take_bytes(bytes)? else { return Ok(None) };
        self.values.deserialize(value).map(Some).map_err(|error| StreamsError::Serde(error.to_string()))
    }
}

impl<V: Send + Sync + 'static> Arena for BufferArena<V> {
    fn resize(&mut self, slots: usize) {
        self.changes.resize_with(slots, || None);
    }

    fn reset(&mut self, slot: u32) {
        self.changes[slot as usize] = None;
    }

    fn load(&mut self, slot: u32, mut bytes: &[u8]) -> Result<(), StreamsError> {
        let bytes = &mut bytes;
        let time = i64::from_be_bytes(take(bytes)?);
        let (before, new) = (self.load_value(bytes)?, self.load_value(bytes)?);
        let count = u32::from_be_bytes(take(bytes)?);
        let mut headers = Vec::new();
        for _ in 0..count {
            let name = take_bytes(bytes)?.ok_or_else(truncated)?;
            let key = String::from_utf8(name.to_vec()).map_err(|_| truncated())?;
            let value = take_bytes(bytes)?.map(|value| value.to_vec().into());
            headers.push(Header { key, value });
        }
        self.changes[slot as usize] = Some(Buffered { time, before, new, headers });
        Ok(())
    }

    fn save(&self, slot: u32, out: &mut Vec<u8>) -> Result<(), StreamsError> {
        let Some(change) = &self.changes[slot as usize] else { return Ok(()) };
        out.extend(change.time.to_be_bytes());
        self.save_value(change.before.as_ref(), out)?;
        self.save_value(change.new.as_ref(), out)?;
        out.extend(length(change.headers.len())?);
        for header in &change.headers {
            out.extend(length(header.key.len())?);
            out.extend(header.key.as_bytes());
            match &header.value {
                Some(value) => {
                    out.extend(length(value.len())?);
                    out.extend(&value[..]);
                }
                None => out.extend((-1i32).to_be_bytes()),
            }
        }
        Ok(())
    }

    /// The change itself; what its values point to on the heap is not known.
    fn size(&self, _slot: u32) -> usize {
        size_of::<Option<Buffered<V>>>()
    }
}

fn length(bytes: usize) -> Result<[u8; 4], StreamsError> {
    let length = i32::try_from(bytes)
        .map_err(|_| StreamsError::Serde(format!("{bytes} bytes are too many for a suppressed change")))?;
    Ok(length.to_be_bytes())
}

fn take<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N], StreamsError> {
    let (taken, rest) = bytes.split_first_chunk::<N>().ok_or_else(truncated)?;
    *bytes = rest;
    Ok(*taken)
}

fn take_bytes<'a>(bytes: &mut &'a [u8]) -> Result<Option<&'a [u8]>, StreamsError> {
    let Ok(length) = usize::try_from(i32::from_be_bytes(take(bytes)?)) else { return Ok(None) };
    let (taken, rest) = bytes.split_at_checked(length).ok_or_else(truncated)?;
    *bytes = rest;
    Ok(Some(taken))
}

fn truncated() -> StreamsError {
    StreamsError::Serde("a suppressed change ends too early".to_owned())
}
