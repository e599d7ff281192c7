//! The settings of a client, with the names that Kafka's clients have for them.

use std::{path::PathBuf, time::Duration};

use super::super::RegistryError;

/// Where a registry is and how it is spoken to.
#[derive(Clone, PartialEq, Eq)]
pub struct RegistryClientConfig {
    /// `schema.registry.url`: addresses with `http` or `https`; the next is tried when one cannot be reached.
    pub urls: Vec<String>,
    /// `basic.auth.credentials.source` and `basic.auth.user.info`, or `bearer.auth.token`.
    pub credentials: Credentials,
    /// `ssl.ca.location`: PEM file of the authorities that are trusted. Default: those that browsers trust.
    pub ca: Option<PathBuf>,
    /// `ssl.certificate.location` and `ssl.key.location`: PEM files of the client's certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// `request.timeout.ms`: how long an answer may take. Default 60 s.
    pub request_timeout: Duration,
    /// `connect.timeout.ms`: how long a connection may take. Default 10 s.
    pub connect_timeout: Duration,
    /// `max.schemas.per.subject`: how many answers of a kind are kept. Default 1000.
    pub cache_capacity: usize,
}

/// How a client says who it is.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// As the addresses say (`https://user:password@host`), or not at all.
    #[default]
    Url,
    /// HTTP basic authentication: `user:password`.
    UserInfo(String),
    /// An `Authorization: Bearer` header.
    Bearer(String),
}

/// Every name, without the prefix `schema.registry.` that all may have.
const KEYS: [&str; 15] = [
    "url",
    "basic.auth.credentials.source",
    "basic.auth.user.info",
    "bearer.auth.credentials.source",
    "bearer.auth.token",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.key.location",
    "ssl.truststore.location",
    "ssl.truststore.type",
    "ssl.keystore.location",
    "ssl.keystore.type",
    "request.timeout.ms",
    "connect.timeout.ms",
    "max.schemas.per.subject",
];
const PREFIX: &str = "schema.registry.";

impl RegistryClientConfig {
    /// The defaults, for one address or several with commas between them.
    pub fn new(urls: &str) -> Self {
        let urls = urls.split(',').map(|url| url.trim().trim_end_matches('/').to_owned());
        Self {
            urls: urls.filter(|url| !url.is_empty()).collect(),
            credentials: Credentials::Url,
            ca: None,
            identity: None,
            request_timeout: Duration::from_secs(60),
            connect_timeout: Duration::from_secs(10),
            cache_capacity: 1000,
        }
    }

    /// Settings by their names, of which `schema.registry.url` is needed; all may begin with `schema.registry.`. Stores of
    /// keys and certificates (`ssl.truststore.location`, `ssl.keystore.location`) must be PEM files. Fails for names that
    /// it does not know and values that mean nothing.
    pub fn from_properties<K: AsRef<str>, V: AsRef<str>>(
        properties: impl IntoIterator<Item = (K, V)>,
    ) -> Result<Self, RegistryError> {
        let mut config = Self::new("");
        let mut source = None;
        let mut user_info = None;
        let (mut certificate, mut key) = (None, None);
        for (name, value) in properties {
            let (name, value) = (name.as_ref(), value.as_ref().trim());
            match name.strip_prefix(PREFIX).unwrap_or(name) {
                "url" => config.urls = Self::new(value).urls,
                "basic.auth.credentials.source" => source = Some(value.to_owned()),
                "basic.auth.user.info" => user_info = Some(value.to_owned()),
                "bearer.auth.credentials.source" if value.eq_ignore_ascii_case("STATIC_TOKEN") => {}
                "bearer.auth.credentials.source" => {
                    return Err(invalid(name, value, "only STATIC_TOKEN is supported"));
                }
                "bearer.auth.token" => config.credentials = Credentials::Bearer(value.to_owned()),
                "ssl.ca.location" | "ssl.truststore.location" => config.ca = Some(value.into()),
                "ssl.certificate.location" => certificate = Some(PathBuf::from(value)),
                "ssl.key.location" => key = Some(PathBuf::from(value)),
                "ssl.keystore.location" => {
                    certificate = Some(PathBuf::from(value));
                    key = Some(PathBuf::from(value));
                }
                "ssl.truststore.type" | "ssl.keystore.type" if value.eq_ignore_ascii_case("PEM") => {}
                "ssl.truststore.type" | "ssl.keystore.type" => {
                    return Err(invalid(name, value, "only PEM is supported: convert it with openssl"));
                }
                "request.timeout.ms" => config.request_timeout = millis(name, value)?,
                "connect.timeout.ms" => config.connect_timeout = millis(name, value)?,
                "max.schemas.per.subject" => {
                    let count = value.parse().ok().filter(|count| *count > 0);
                    config.cache_capacity =
                        count.ok_or_else(|| invalid(name, value, "not a count above 0"))?;
                }
                _ => return Err(unknown(name)),
            }
        }
        match source.as_deref() {
            None | Some("URL" | "") => {}
            Some("USER_INFO") => {
                let Some(user_info) = user_info.take() else {
                    return Err(setting(
                        "basic.auth.credentials.source USER_INFO needs basic.auth.user.info",
                    ));
                };
                config.credentials = Credentials::UserInfo(user_info);
            }
            Some(other) => {
                let reason = "URL and USER_INFO are supported";
                return Err(invalid("basic.auth.credentials.source", other, reason));
            }
        }
        // Python's client takes the user without a source.
        if let Some(user_info) = user_info {
            config.credentials = Credentials::UserInfo(user_info);
        }
        config.identity = match (certificate, key) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            _ => return Err(setting("ssl.certificate.location and ssl.key.location go together")),
        };
        if config.urls.is_empty() {
            return Err(setting("schema.registry.url is missing"));
        }
        Ok(config)
    }
}

impl std::fmt::Debug for RegistryClientConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Credentials are in none of what is shown.
        f.debug_struct("RegistryClientConfig").field("servers", &self.urls.len()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Url => "Url",
            Self::UserInfo(_) => "UserInfo(..)",
            Self::Bearer(_) => "Bearer(..)",
        })
    }
}

fn millis(name: &str, value: &str) -> Result<Duration, RegistryError> {
    let millis = value.parse().ok().filter(|millis| *millis > 0);
    millis
        .map(Duration::from_millis)
        .ok_or_else(|| invalid(name, value, "not a number of milliseconds above 0"))
}

fn unknown(name: &str) -> RegistryError {
    let short = name.strip_prefix(PREFIX).unwrap_or(name);
    let nearest = KEYS
        .into_iter()
        .max_by(|a, b| strsim::jaro_winkler(a, short).total_cmp(&strsim::jaro_winkler(b, short)));
    let hint = nearest.map(|nearest| format!(": did you mean {PREFIX}{nearest}?")).unwrap_or_default();
    setting(&format!("unknown setting {name} of a schema registry client{hint}"))
}

fn invalid(name: &str, value: &str, reason: &str) -> RegistryError {
    setting(&format!("invalid value {value} for {name}: {reason}"))
}

fn setting(message: &str) -> RegistryError {
    RegistryError::new(400, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_have_the_names_of_kafka_clients() {
        let config = RegistryClientConfig::from_properties([
            ("schema.registry.url", "http://a:8081/, https://b"),
            ("basic.auth.credentials.source", "USER_INFO"),
            ("schema.registry.basic.auth.user.info", "me:secret"),
            ("schema.registry.ssl.truststore.location", "/ca.pem"),
            ("schema.registry.ssl.truststore.type", "PEM"),
            ("ssl.certificate.location", "/c.pem"),
            ("ssl.key.location", "/k.pem"),
            ("request.timeout.ms", "1500"),
        ])
        .unwrap();
        assert_eq!(config.urls, ["http://a:8081", "https://b"]);
        assert!(config.credentials == Credentials::UserInfo("me:secret".into()));
        assert_eq!(config.ca, Some("/ca.pem".into()));
        assert_eq!(config.identity, Some(("/c.pem".into(), "/k.pem".into())));
        assert_eq!(config.request_timeout, Duration::from_millis(1500));
        assert!(!format!("{config:?}").contains("secret"));
    }

    #[test]
    fn what_is_wrong_is_said() {
        let url = ("schema.registry.url", "http://a");
        for (properties, expected) in [
            (vec![], "schema.registry.url is missing"),
            (vec![url, ("basic.auth.user.infos", "x")], "did you mean schema.registry.basic.auth.user.info?"),
            (vec![url, ("basic.auth.credentials.source", "SASL_INHERIT")], "URL and USER_INFO"),
            (vec![url, ("basic.auth.credentials.source", "USER_INFO")], "needs basic.auth.user.info"),
            (vec![url, ("ssl.truststore.type", "JKS")], "only PEM"),
            (vec![url, ("ssl.key.location", "k")], "go together"),
            (vec![url, ("request.timeout.ms", "soon")], "milliseconds"),
        ] {
            let error = RegistryClientConfig::from_properties(properties).unwrap_err();
            assert!(error.message.contains(expected), "{error}");
        }
    }
}
