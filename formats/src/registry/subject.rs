//! Names of subjects: `orders-value`, or `:.context:orders-value` in a context of its own.

use std::borrow::Cow;

use super::RegistryError;

/// The context of subjects that name none.
pub(super) const DEFAULT_CONTEXT: &str = ".";
/// As a prefix: the subjects of all contexts.
pub(super) const ALL_CONTEXTS: &str = ":*:";

/// Context and name. `:.ctx:` has an empty name and stands for the context itself.
pub(super) fn split(subject: &str) -> (&str, &str) {
    match subject.strip_prefix(':').filter(|rest| rest.starts_with('.')) {
        Some(rest) => rest.split_once(':').unwrap_or((rest, "")),
        None => (DEFAULT_CONTEXT, subject),
    }
}

/// The one way to write a subject: `:.:a` is `a`.
pub(super) fn normalize(subject: &str) -> Cow<'_, str> {
    match split(subject) {
        (DEFAULT_CONTEXT, name) => Cow::Borrowed(name),
        (context, "") => Cow::Owned(format!(":{context}:")),
        _ => Cow::Borrowed(subject),
    }
}

/// A subject as seen from a context: those that name none belong to it.
pub(super) fn qualify(context: &str, subject: &str) -> String {
    if context == DEFAULT_CONTEXT || subject.starts_with(":.") {
        normalize(subject).into_owned()
    } else {
        format!(":{context}:{subject}")
    }
}

/// The context of a subject as settings are kept for it; nothing for the default one, whose settings are the global ones.
pub(super) fn context_key(subject: &str) -> Option<String> {
    match split(subject).0 {
        DEFAULT_CONTEXT => None,
        context => Some(format!(":{context}:")),
    }
}

/// Fails with 42208 for names that schemas cannot be registered under.
pub(super) fn check(subject: &str) -> Result<(), RegistryError> {
    let (_, name) = split(subject);
    if name.is_empty() || matches!(name, "__GLOBAL" | "__EMPTY") || subject.chars().any(char::is_control) {
        let message = format!("The specified subject '{subject}' is not a valid subject.");
        return Err(RegistryError::new(42208, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_and_without_contexts() {
        // (subject, context, name, normal form, seen from context .c)
        for (subject, context, name, normal, qualified) in [
            ("a-value", ".", "a-value", "a-value", ":.c:a-value"),
            (":.:a", ".", "a", "a", "a"),
            (":.x:a", ".x", "a", ":.x:a", ":.x:a"),
            (":.x:a:b", ".x", "a:b", ":.x:a:b", ":.x:a:b"),
            (":.x:", ".x", "", ":.x:", ":.x:"),
            (":.x", ".x", "", ":.x:", ":.x:"),
            (":a", ".", ":a", ":a", ":.c::a"),
        ] {
            assert_eq!(split(subject), (context, name), "{subject}");
            assert_eq!(normalize(subject), normal, "{subject}");
            assert_eq!(qualify(".c", subject), qualified, "{subject}");
        }
    }

    #[test]
    fn some_names_are_not_subjects() {
        for subject in ["", ":.x:", "a\nb", "__GLOBAL", ":.x:__EMPTY"] {
            assert_eq!(check(subject).unwrap_err().code, 42208, "{subject:?}");
        }
        assert_eq!(check("a/b c"), Ok(()));
    }
}
