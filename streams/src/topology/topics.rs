//! Which topics a source reads, and where a sink writes.

use std::fmt;
use std::sync::Arc;

use regex::Regex;

use crate::error::StreamsError;
use crate::topology::TopicName;

/// The topics of a source: one, several, or all whose names match a pattern. Made from `"name"`, `["one", "two"]` or
/// a [`TopicPattern`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Topics {
    /// Topics by name, each once.
    Named(Vec<String>),
    /// All topics with matching names.
    Matching(TopicPattern),
}

impl Topics {
    /// Several topics by name, in order and each once.
    fn named<T: AsRef<str>>(names: impl IntoIterator<Item = T>) -> Self {
        let mut topics: Vec<String> = Vec::new();
        for name in names {
            if !topics.iter().any(|known| known == name.as_ref()) {
                topics.push(name.as_ref().to_owned());
            }
        }
        Self::Named(topics)
    }

    /// Whether both stand for the same topics, in any order.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Named(these), Self::Named(those)) => {
                these.len() == those.len() && these.iter().all(|topic| those.contains(topic))
            }
            (Self::Matching(this), Self::Matching(that)) => this == that,
            (Self::Named(_), Self::Matching(_)) | (Self::Matching(_), Self::Named(_)) => false,
        }
    }

    /// A topic that both stand for, as far as that is known without the log.
    pub(crate) fn shared_with<'a>(&'a self, other: &'a Self) -> Option<&'a str> {
        let named = |topics: &'a [String], contains: &dyn Fn(&str) -> bool| {
            topics.iter().map(String::as_str).find(|topic| contains(topic))
        };
        match (self, other) {
            (Self::Named(these), Self::Named(those)) => {
                named(these, &|topic| those.iter().any(|other| other == topic))
            }
            (Self::Named(names), Self::Matching(pattern)) | (Self::Matching(pattern), Self::Named(names)) => {
                named(names, &|topic| pattern.matches(topic))
            }
            (Self::Matching(this), Self::Matching(that)) => (this == that).then_some(this.as_str()),
        }
    }
}

impl fmt::Display for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(topics) => f.write_str(&topics.join(", ")),
            Self::Matching(pattern) => f.write_str(pattern.as_str()),
        }
    }
}

impl From<&str> for Topics {
    fn from(topic: &str) -> Self {
        Self::named([topic])
    }
}

impl From<&String> for Topics {
    fn from(topic: &String) -> Self {
        Self::named([topic])
    }
}

impl From<String> for Topics {
    fn from(topic: String) -> Self {
        Self::named([topic])
    }
}

impl<T: AsRef<str>> From<&[T]> for Topics {
    fn from(topics: &[T]) -> Self {
        Self::named(topics)
    }
}

impl<T: AsRef<str>, const N: usize> From<[T; N]> for Topics {
    fn from(topics: [T; N]) -> Self {
        Self::named(topics)
    }
}

impl<T: AsRef<str>, const N: usize> From<&[T; N]> for Topics {
    fn from(topics: &[T; N]) -> Self {
        Self::named(topics)
    }
}

impl<T: AsRef<str>> From<Vec<T>> for Topics {
    fn from(topics: Vec<T>) -> Self {
        Self::named(topics)
    }
}

impl From<TopicPattern> for Topics {
    fn from(pattern: TopicPattern) -> Self {
        Self::Matching(pattern)
    }
}

/// A regular expression for the whole name of a topic. It is looked up when the application starts, and stands for no
/// internal topics, neither the log's nor the application's.
#[derive(Clone)]
pub struct TopicPattern {
    text: Arc<str>,
    whole: Regex,
}

impl TopicPattern {
    /// Fails if the expression is not one; the syntax is that of the `regex` crate.
    pub fn new(pattern: &str) -> Result<Self, StreamsError> {
        let whole = Regex::new(&format!("^(?:{pattern})$"))
            .map_err(|error| StreamsError::Topology(format!("not a pattern of topics: {error}")))?;
        Ok(Self { text: pattern.into(), whole })
    }

    /// Whether it stands for a topic of this name.
    pub fn matches(&self, topic: &str) -> bool {
        self.whole.is_match(topic)
    }

    /// The expression.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl PartialEq for TopicPattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for TopicPattern {}

impl fmt::Debug for TopicPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TopicPattern({})", self.text)
    }
}

/// Where a sink writes.
#[derive(Clone)]
pub(crate) enum SinkTopic {
    /// Always there.
    Fixed(TopicName),
    /// Where its encoder says, row by row; with the name of what decides that.
    Dynamic(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_topics_are_compared() {
        let pattern = |text: &str| Topics::from(TopicPattern::new(text).unwrap());
        for (one, other, same, shared) in [
            (Topics::from("a"), Topics::from("a"), true, Some("a")),
            (Topics::from(["a", "b"]), Topics::from(["b", "a", "b"]), true, Some("a")),
            (Topics::from(["a", "b"]), Topics::from("b"), false, Some("b")),
            (Topics::from("a"), Topics::from("b"), false, None),
            (pattern("a|b"), pattern("a|b"), true, Some("a|b")),
            (pattern("a|b"), Topics::from(["c", "b"]), false, Some("b")),
            (pattern("a|b"), Topics::from("ab"), false, None),
        ] {
            assert_eq!(one.is_same(&other), same, "{one} and {other}");
            assert_eq!(one.shared_with(&other), shared, "{one} and {other}");
        }
        let error = TopicPattern::new("(").unwrap_err().to_string();
        assert!(error.starts_with("the topology is not valid: not a pattern of topics: "), "{error}");
    }
}
