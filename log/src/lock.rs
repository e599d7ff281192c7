//! One process per directory.

use std::path::Path;

use crate::error::{IoContext, LogError, Result};
use crate::storage::{Locking, Storage};

/// Held while the log is open; the operating system lets go of it when the process ends in whatever way.
pub(crate) struct DirectoryLock {
    _guard: Box<dyn Send + Sync>,
}

impl DirectoryLock {
    /// Locks `dir`. Fails with [`LogError::Locked`] if it is locked already.
    pub(crate) fn acquire(storage: &dyn Storage, dir: &Path) -> Result<Self> {
        let path = dir.join(".lock");
        match storage.lock(&path, &own_name()).context("lock", &path)? {
            Locking::Acquired(guard) => Ok(Self { _guard: guard }),
            Locking::HeldBy(holder) => {
                let holder = match holder.trim() {
                    "" => "another process".to_owned(),
                    holder => holder.to_owned(),
                };
                Err(LogError::Locked { path: dir.to_path_buf(), holder })
            }
        }
    }
}

fn own_name() -> String {
    let program = std::env::current_exe().ok();
    let program = program.as_deref().and_then(Path::file_name).unwrap_or_default().to_string_lossy();
    format!("process {} ({program})", std::process::id())
}
