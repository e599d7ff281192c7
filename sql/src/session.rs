//! What a client has set: properties and variables.

use std::collections::BTreeMap;

use crate::config::Properties;

/// The properties and variables of one client. They hold for its later statements.
#[derive(Clone, Debug, Default)]
pub struct Session {
    pub(crate) properties: Properties,
    pub(crate) variables: BTreeMap<String, String>,
}

impl Session {
    /// A session that has set nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// The properties set, by their names without the prefix `ksql.streams.`.
    pub fn properties(&self) -> impl Iterator<Item = (&str, &str)> {
        self.properties.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Gives a variable its value, as DEFINE does. Names are compared without regard to case.
    pub fn define(&mut self, name: &str, value: impl Into<String>) {
        self.variables.insert(name.to_uppercase(), value.into());
    }

    /// The text with `${name}` replaced by the variable's value; unknown names stay as they are.
    pub(crate) fn substitute(&self, text: &str) -> String {
        if self.variables.is_empty() || !text.contains("${") {
            return text.to_owned();
        }
        let mut result = String::with_capacity(text.len());
        let mut rest = text;
        while let Some(start) = rest.find("${") {
            let (before, from) = rest.split_at(start);
            result.push_str(before);
            let value =
                from.find('}').and_then(|end| Some((self.variables.get(&from[2..end].to_uppercase())?, end)));
            match value {
                Some((value, end)) => {
                    result.push_str(value);
                    rest = &from[end + 1..];
                }
                None => {
                    result.push_str("${");
                    rest = &from[2..];
                }
            }
        }
        result.push_str(rest);
        result
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_replaced_and_unknown_ones_stay() {
        let mut session = Session::new();
        session.define("topic", "flights");
        assert_eq!(session.substitute("PRINT ${Topic}; -- ${x} ${"), "PRINT flights; -- ${x} ${");
    }
}
