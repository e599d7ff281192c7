//! Tests of whole applications on the real disk.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod full_disk;
mod kills;

use std::io::Write;

/// Prints past the capture of a test's output: figures that every run should show.
fn tell(text: &str) {
    // Nobody may be reading any more: that is no reason to fail.
    let _unread = writeln!(std::io::stderr(), "{text}");
}
