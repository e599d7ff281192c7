//! Deliberate bugs, which show that the simulated runs would find real ones. They are there only in tests and in a build
//! with `--cfg planted`, and then the environment names the one to have: `MILLSTREAM_PLANTED=restore_off_by_one`.

/// Whether the bug of this name is in this run. Always false, and compiled away, in what is shipped.
#[cfg(any(test, planted))]
macro_rules! planted {
    ($name:literal) => {
        crate::planted::is($name)
    };
}

#[cfg(not(any(test, planted)))]
macro_rules! planted {
    ($name:literal) => {
        false
    };
}

#[cfg(any(test, planted))]
pub(crate) fn is(name: &str) -> bool {
    static PLANTED: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    PLANTED.get_or_init(|| std::env::var("MILLSTREAM_PLANTED").ok()).as_deref() == Some(name)
}
