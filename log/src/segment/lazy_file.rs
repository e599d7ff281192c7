//! A file that is opened when it is first needed.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use crate::storage::{File, OpenMode, Storage};

/// A file of a segment. Before its first use it costs no more than its name.
pub(crate) struct LazyFile {
    storage: Arc<dyn Storage>,
    path: Box<Path>,
    file: OnceLock<Arc<dyn File>>,
}

impl LazyFile {
    pub(crate) fn new(storage: Arc<dyn Storage>, path: PathBuf) -> Self {
        Self { storage, path: path.into(), file: OnceLock::new() }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The file, which must exist.
    pub(crate) fn open(&self) -> io::Result<&Arc<dyn File>> {
        self.get(OpenMode::Existing)
    }

    /// The file, created if it does not exist.
    pub(crate) fn open_or_create(&self) -> io::Result<&Arc<dyn File>> {
        self.get(OpenMode::OrCreate)
    }

    /// Empties the file, creating it if it does not exist.
    pub(crate) fn create(&self) -> io::Result<()> {
        if let Some(file) = self.file.get() {
            return file.truncate(0);
        }
        self.get(OpenMode::Truncate).map(drop)
    }

    fn get(&self, mode: OpenMode) -> io::Result<&Arc<dyn File>> {
        if let Some(file) = self.file.get() {
            return Ok(file);
        }
        let file = self.storage.open(&self.path, mode)?;
        Ok(self.file.get_or_init(|| file))
    }
}

impl std::fmt::Debug for LazyFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LazyFile").field("path", &self.path).finish_non_exhaustive()
    }
}
