//! Aggregation of typed rows by sessions.

use std::marker::PhantomData;

use millstream_log::Header;

use crate::ByteColumn;
use crate::batch::Batch;
use crate::dsl::arena::ValueArena;
use crate::dsl::changes::Changes;
use crate::dsl::fold::{deserialize_keys, keys_of_values, serialize_keys};
use crate::dsl::records::Records;
use crate::error::StreamsError;
use crate::operator::session::{SessionAggregator, SessionChange, SessionChangeKind};
use crate::serde::{DynSerde, Windowed};
use crate::store::CachedStore;

/// Folds rows of `K` and `V` into sessions of state `A`: `step` takes in a row, `merge` another session.
pub(crate) struct SessionFold<K, V, A, F, M> {
    pub(crate) keys: DynSerde<K>,
    pub(crate) step: F,
    /// Merges what there is so far, none at first, with a session.
    pub(crate) merge: M,
    /// Rows without value are dropped; if not, `step` gets them.
    pub(crate) needs_value: bool,
    pub(crate) output: Changes<Windowed<K>, A>,
    /// Of the row that closes sessions.
    pub(crate) headers: Vec<Header>,
    pub(crate) of: PhantomData<fn(V) -> A>,
}

impl<K, V, A, F, M> SessionAggregator for SessionFold<K, V, A, F, M>
where
    K: Clone + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
    A: Clone + Send + Sync + 'static,
    F: Fn(&K, Option<&V>, Option<A>) -> Option<A> + Send + 'static,
    M: Fn(&K, Option<A>, A) -> A + Send + 'static,
{
    type Arena = ValueArena<A>;
    type Input = Records<K, V>;

    fn keys(&mut self, input: &Self::Input, keys: &mut ByteColumn) -> Result<(), StreamsError> {
        if self.needs_value {
            keys_of_values(&self.keys, input, keys)
        } else {
            serialize_keys(&self.keys, &input.keys, keys)
        }
    }

    fn fold(
        &mut self,
        input: &Self::Input,
        row: usize,
        from: &[u32],
        into: u32,
        arena: &mut Self::Arena,
    ) -> Result<(), StreamsError> {
        let Some(key) = &input.keys[row] else { return Ok(()) };
        let mut state = None;
        for session in from {
            if let Some(session) = arena.values[*session as usize].take() {
                state = Some((self.merge)(key, state, session));
            }
        }
        arena.values[into as usize] = (self.step)(key, input.values[row].as_ref(), state);
        Ok(())
    }

    fn write(&mut self, change: SessionChange<'_, Self>) -> Result<(), StreamsError> {
        let (start, end) = change.session;
        let key = change.input.keys[change.row].clone().map(|key| Windowed { key, start, end });
        let value = change.arena.get(change.slot).cloned();
        let old = &mut self.output.old;
        let rows = &mut self.output.rows;
        match change.kind {
            SessionChangeKind::Removed => {
                rows.push(key, None, end, Vec::new());
                old.iter_mut().for_each(|old| old.push(value.clone()));
            }
            SessionChangeKind::Added => {
                rows.push(key, value, end, Vec::new());
                // A session of the same bounds was removed before, and the deletion carried its value.
                old.iter_mut().for_each(|old| old.push(None));
            }
        }
        Ok(())
    }

    fn take(&mut self) -> Result<Box<dyn Batch>, StreamsError> {
        let old = self.output.old.as_ref().map(|_| Vec::new());
        let none = Changes { rows: Records::with_capacity(0), old };
        Ok(Box::new(std::mem::replace(&mut self.output, none)))
    }

    fn comes_with(&mut self, cause: Option<(&Self::Input, usize)>) {
        self.headers.clear();
        self.headers.extend_from_slice(cause.map_or(&[][..], |(input, row)| input.headers_of(row)));
    }

    fn sends_old(&self) -> bool {
        self.output.old.is_some()
    }

    fn emit(
        &mut self,
        store: &CachedStore<Self::Arena>,
        slots: &[u32],
        changed: Option<&[usize]>,
    ) -> Result<Box<dyn Batch>, StreamsError> {
        let bytes: Vec<Option<&[u8]>> = slots.iter().map(|slot| Some(store.session_key(*slot).0)).collect();
        let keys = deserialize_keys(&self.keys, &bytes)?.into_iter().zip(slots).map(|(key, slot)| {
            let (_, start, end) = store.session_key(*slot);
            key.map(|key| Windowed { key, start, end })
        });
        let rows = Records {
            keys: keys.collect(),
            values: slots.iter().map(|slot| store.arena().get(*slot).cloned()).collect(),
            timestamps: slots.iter().map(|slot| store.timestamp(*slot)).collect(),
            headers: match changed {
                None if !self.headers.is_empty() => vec![self.headers.clone(); slots.len()],
                _ => Vec::new(),
            },
        };
        let old = self.sends_old().then(|| match changed {
            Some(changed) => store.arena().before_at(changed),
            None => vec![None; slots.len()],
        });
        Ok(Box::new(Changes { rows, old }))
    }
}
