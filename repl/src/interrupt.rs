//! Ctrl-C: ends what is running now, not the program; a second one ends the program.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use crate::error::CliError;

/// Whether Ctrl-C was pressed. Clones look at the same flag.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Takes over SIGINT and SIGTERM for the rest of the program.
    pub(crate) fn install() -> Result<Self, CliError> {
        let pressed = Arc::new(AtomicBool::new(false));
        for (signal, code) in [(SIGINT, 130), (SIGTERM, 143)] {
            // The order matters: the shutdown looks at the flag that the first signal has set.
            let installed: io::Result<_> =
                flag::register_conditional_shutdown(signal, code, Arc::clone(&pressed))
                    .and_then(|_| flag::register(signal, Arc::clone(&pressed)));
            installed.map_err(CliError::Terminal)?;
        }
        Ok(Self(pressed))
    }

    /// Whether it was pressed since the last [`Self::clear`].
    pub(crate) fn is_set(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Forgets it, before something new starts.
    pub(crate) fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    /// Fails with [`CliError::Interrupted`] when it was pressed.
    pub(crate) fn check(&self) -> Result<(), CliError> {
        if self.is_set() { Err(CliError::Interrupted) } else { Ok(()) }
    }
}
