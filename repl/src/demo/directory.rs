//! Where the demo works, and whether it finds an earlier run there.
//!
//! A marker file tells the three cases apart:
//!
//! ```text
//! no directory, or an empty one    start
//! demo.state = running             the last run was killed: go on from what is there
//! demo.state = finished            wipe, then start
//! anything else                    not ours: refuse
//! ```

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use millstream_log::Log;

use crate::error::CliError;

const MARKER: &str = "demo.state";
const RUNNING: &str = "running\n";
const FINISHED: &str = "finished\n";

/// Where the demo works when no directory is given.
const DEFAULT: &str = "millstream-demo";

/// What was found in the directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// Nothing, or a finished run that is wiped now.
    Nothing,
    /// A run that did not reach its end.
    Interrupted,
}

/// A directory marked as running.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    keep: bool,
}

impl Directory {
    /// Takes the given directory, or the default one, which is removed at the end.
    pub(super) fn take(keep: Option<&Path>) -> Result<(Self, Found), CliError> {
        let directory = Self { path: keep.unwrap_or(Path::new(DEFAULT)).to_owned(), keep: keep.is_some() };
        let found = directory.look()?;
        Ok((directory, found))
    }

    /// The directory.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it stays at the end.
    pub(super) fn is_kept(&self) -> bool {
        self.keep
    }

    /// Marks the run as finished, or removes the directory when nobody asked for it.
    pub(super) fn finish(self) -> Result<(), CliError> {
        self.mark(FINISHED)?;
        if self.keep {
            return Ok(());
        }
        fs::remove_dir_all(&self.path).map_err(|source| self.error("delete", source))
    }

    fn look(&self) -> Result<Found, CliError> {
        fs::create_dir_all(&self.path).map_err(|source| self.error("create", source))?;
        match fs::read_to_string(self.path.join(MARKER)) {
            Ok(state) if state == RUNNING => return Ok(Found::Interrupted),
            Ok(state) if state == FINISHED => self.wipe()?,
            Ok(_) => return Err(self.refuse()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let mut entries = fs::read_dir(&self.path).map_err(|source| self.error("read", source))?;
                if entries.next().is_some() {
                    return Err(self.refuse());
                }
            }
            Err(source) => return Err(self.error("read", source)),
        }
        self.mark(RUNNING)?;
        Ok(Found::Nothing)
    }

    /// Removes everything but the marker, which goes on saying `finished` until all is gone.
    fn wipe(&self) -> Result<(), CliError> {
        // Fails when another process has the log open.
        Log::open(self.path.join("log"))?.close()?;
        for entry in fs::read_dir(&self.path).map_err(|source| self.error("read", source))? {
            let path = entry.map_err(|source| self.error("read", source))?.path();
            if path.ends_with(MARKER) {
                continue;
            }
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(|source| CliError::File { action: "delete", path, source })?;
        }
        Ok(())
    }

    fn mark(&self, state: &str) -> Result<(), CliError> {
        let marker = self.path.join(MARKER);
        // Renamed into place, so that a kill leaves the old state or the new one.
        let new = self.path.join("demo.state.new");
        let written = fs::write(&new, state).and_then(|()| fs::rename(&new, &marker));
        written.map_err(|source| CliError::File { action: "write", path: marker, source })
    }

    fn refuse(&self) -> CliError {
        CliError::Failed(format!(
            "{} holds something that is not the demo's: choose an empty directory with --keep DIR",
            self.path.display()
        ))
    }

    fn error(&self, action: &'static str, source: io::Error) -> CliError {
        CliError::File { action, path: self.path.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_run_goes_on_and_a_finished_one_is_wiped() {
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("demo");
        let (first, found) = Directory::take(Some(&path)).unwrap();
        assert_eq!(found, Found::Nothing);
        fs::write(path.join("leftover"), "x").unwrap();
        drop(first);

        let (second, found) = Directory::take(Some(&path)).unwrap();
        assert_eq!(found, Found::Interrupted);
        assert!(path.join("leftover").exists());
        second.finish().unwrap();
        assert!(path.join("leftover").exists(), "a finished run stays until the next one");

        let (_, found) = Directory::take(Some(&path)).unwrap();
        assert_eq!(found, Found::Nothing);
        assert!(!path.join("leftover").exists());
    }

    #[test]
    fn other_peoples_files_are_left_alone() {
        let temporary = tempfile::tempdir().unwrap();
        fs::write(temporary.path().join("thesis.tex"), "x").unwrap();
        let message = Directory::take(Some(temporary.path())).unwrap_err().to_string();
        assert!(message.contains("not the demo's"), "{message}");
        assert!(temporary.path().join("thesis.tex").exists());
    }
}
