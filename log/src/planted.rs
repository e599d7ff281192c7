//! Deliberate bugs, which show that the simulated runs would find real ones. They are there only in a build with
//! `--cfg planted`, and then the environment names the one to have: `MILLSTREAM_PLANTED=skip_sync`.

/// Whether the bug of this name is in this run. Always false, and compiled away, without `--cfg planted`.
#[cfg(planted)]
macro_rules! planted {
    ($name:literal) => {
        crate::planted::is($name)
    };
}

#[cfg(not(planted))]
macro_rules! planted {
    ($name:literal) => {
        false
    };
}

#[cfg(planted)]
pub(crate) fn is(name: &str) -> bool {
    static PLANTED: std::sync::OnceLock<Option<String>> = std::sync::OnceLock::new();
    PLANTED.get_or_init(|| std::env::var("MILLSTREAM_PLANTED").ok()).as_deref() == Some(name)
}
