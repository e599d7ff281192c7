//! What a thread does for others to go first.

/// How much less a thread of lower priority weighs, in the system's unit from 0 to 19. A level is about a quarter.
#[cfg(target_os = "linux")]
const NICE: i32 = 10;

/// Lets the calling thread have a processor only while nobody else wants it much, and not get its priority back. For a
/// thread that compacts, so that appends keep their speed where there are few processors.
///
/// Does nothing where the system knows only the priority of whole processes, or refuses.
pub fn lower_thread_priority() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::nice(NICE) {
        tracing::debug!(%error, "the thread keeps its priority");
    }
}
