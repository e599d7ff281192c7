//! What applications hold of a log.

mod thread;
