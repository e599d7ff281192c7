//! Settings of the typed serdes that keep their schemas in a registry.

use crate::FormatError;

/// Settings of a typed serde, by Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SerdeConfig {
    /// `auto.register.schemas`: register the schema under the subject when it is first written; else it must be
    /// there. On by default.
    pub auto_register_schemas: bool,
    /// `use.latest.version`: write with the newest schema of the subject instead of the serde's own. Counts only
    /// where `auto.register.schemas` is off. Off by default.
    pub use_latest_version: bool,
    /// `json.fail.invalid.schema`: check every document of a JSON Schema, written or read. Off by default.
    pub json_fail_invalid_schema: bool,
}

impl Default for SerdeConfig {
    fn default() -> Self {
        Self { auto_register_schemas: true, use_latest_version: false, json_fail_invalid_schema: false }
    }
}

impl SerdeConfig {
    /// Reads settings; what is not among them keeps its default.
    pub fn parse<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<Self, FormatError> {
        let mut config = Self::default();
        for (name, value) in settings {
            let field = match name {
                "auto.register.schemas" => &mut config.auto_register_schemas,
                "use.latest.version" => &mut config.use_latest_version,
                "json.fail.invalid.schema" => &mut config.json_fail_invalid_schema,
                _ => {
                    return Err(FormatError::Schema(format!(
                        "unknown setting {name}: valid are auto.register.schemas, use.latest.version and json.fail.invalid.schema"
                    )));
                }
            };
            *field = value.trim().to_ascii_lowercase().parse().map_err(|_| {
                FormatError::Schema(format!("setting {name} is '{value}': write true or false"))
            })?;
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_kafkas_names() {
        let config =
            SerdeConfig::parse([("auto.register.schemas", "False"), ("use.latest.version", " true")]);
        assert_eq!(
            config,
            Ok(SerdeConfig {
                auto_register_schemas: false,
                use_latest_version: true,
                ..SerdeConfig::default()
            })
        );
        assert_eq!(SerdeConfig::parse([]), Ok(SerdeConfig::default()));
        for (name, value, expected) in [
            (
                "auto.register",
                "true",
                "unknown setting auto.register: valid are auto.register.schemas, use.latest.version and json.fail.invalid.schema",
            ),
            ("use.latest.version", "yes", "setting use.latest.version is 'yes': write true or false"),
        ] {
            let error = SerdeConfig::parse([(name, value)]).expect_err("must be refused");
            assert_eq!(error.to_string(), expected);
        }
    }
}
