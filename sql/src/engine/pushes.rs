//! The push queries that clients run now: listed, limited, ended by id.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

/// All push queries of an engine, by id.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pushes(Arc<Mutex<BTreeMap<String, Push>>>);

#[derive(Clone, Debug)]
struct Push {
    statement: String,
    ended: Arc<AtomicBool>,
}

/// One of them, as long as it runs.
#[derive(Debug)]
pub(crate) struct Registration {
    pushes: Pushes,
    id: String,
    ended: Arc<AtomicBool>,
}

impl Pushes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Push>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lists a query until the registration is dropped.
    pub(crate) fn register(&self, id: &str, statement: String) -> Registration {
        let ended = Arc::new(AtomicBool::new(false));
        self.lock().insert(id.to_owned(), Push { statement, ended: ended.clone() });
        Registration { pushes: self.clone(), id: id.to_owned(), ended }
    }

    /// Ids and statements.
    pub(crate) fn list(&self) -> Vec<(String, String)> {
        self.lock().iter().map(|(id, push)| (id.clone(), push.statement.clone())).collect()
    }

    /// Tells the query of that id to end; false if there is none.
    pub(crate) fn end(&self, id: &str) -> bool {
        let pushes = self.lock();
        let found = pushes.iter().find(|(known, _)| known.eq_ignore_ascii_case(id));
        found.inspect(|(_, push)| push.ended.store(true, Ordering::Relaxed)).is_some()
    }
}

impl Registration {
    /// Whether someone ended the query.
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.pushes.lock().remove(&self.id);
    }
}
