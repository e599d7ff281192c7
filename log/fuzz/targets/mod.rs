//! What each fuzz target does with its bytes, for the fuzzer and for the smoke test. A panic is a finding.

mod batches;
mod files;
mod groups;

/// A target: its name and what it does.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, by the name of its corpus directory.
pub const TARGETS: [Target; 8] = [
    ("record_batch", batches::record_batch),
    ("record_batch_compressed", batches::record_batch_compressed),
    ("segment_open", files::segment_open),
    ("checkpoint", files::checkpoint),
    ("dump_files", files::dump_files),
    ("group_metadata", groups::group_metadata),
    ("txn_log_record", groups::txn_log_record),
    ("subscription", groups::subscription),
];

/// Runs the target of that name.
pub fn run(name: &str, data: &[u8]) {
    let (_, target) = TARGETS.iter().find(|(known, _)| *known == name).expect("a target of that name");
    target(data);
}
