//! Requests to a registry: which address, with which credentials, over which TLS.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde::{Serialize, de::DeserializeOwned};
use ureq::{
    Agent,
    tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem},
};

use super::{
    super::RegistryError,
    config::{Credentials, RegistryClientConfig},
    wire::ErrorBody,
};

/// No answer is larger: a list of all subjects, or a schema.
const ANSWER_BYTES_MAX: u64 = 64 << 20;
const MEDIA_TYPE: &str = "application/vnd.schemaregistry.v1+json";

/// Connections to the addresses of one registry.
pub(super) struct Http {
    agent: Agent,
    servers: Vec<Server>,
    /// The one that answered last.
    current: AtomicUsize,
}

/// An address without credentials, and the header that has them.
struct Server {
    url: String,
    authorization: Option<String>,
}

#[derive(Clone, Copy)]
enum Method {
    Get,
    Post,
    Put,
    Delete,
}

impl Http {
    pub(super) fn new(config: &RegistryClientConfig) -> Result<Self, RegistryError> {
        let mut tls = TlsConfig::builder();
        if let Some(path) = &config.ca {
            tls = tls.root_certs(RootCerts::new_with_certs(&certificates(path)?));
        }
        if let Some((chain, key)) = &config.identity {
            tls = tls.client_cert(Some(ClientCert::new_with_certs(&certificates(chain)?, private_key(key)?)));
        }
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .timeout_connect(Some(config.connect_timeout))
            .timeout_global(Some(config.request_timeout))
            .user_agent(concat!("millstream/", env!("CARGO_PKG_VERSION")))
            .tls_config(tls.build())
            .build()
            .new_agent();
        let servers = config.urls.iter().map(|url| Server::new(url, &config.credentials));
        let servers = servers.collect::<Result<Vec<_>, _>>()?;
        if servers.is_empty() {
            return Err(RegistryError::new(400, "schema.registry.url is missing"));
        }
        Ok(Self { agent, servers, current: AtomicUsize::new(0) })
    }

    pub(super) fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, RegistryError> {
        self.ask(Method::Get, path, &[])
    }

    pub(super) fn delete<T: DeserializeOwned>(&self, path: &str) -> Result<T, RegistryError> {
        self.ask(Method::Delete, path, &[])
    }

    pub(super) fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, RegistryError> {
        self.ask(Method::Post, path, &text(body))
    }

    pub(super) fn put<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, RegistryError> {
        self.ask(Method::Put, path, &text(body))
    }

    /// Asks the server that answered last, and the others in turn while none can be reached. All that is asked may be
    /// asked twice.
    fn ask<T: DeserializeOwned>(&self, method: Method, path: &str, body: &[u8]) -> Result<T, RegistryError> {
        let first = self.current.load(Ordering::Relaxed);
        let mut failures = Vec::new();
        for turn in 0..self.servers.len() {
            let at = (first + turn) % self.servers.len();
            let server = &self.servers[at];
            match self.send(server, method, path, body) {
                Ok((502..=504, _)) if turn + 1 < self.servers.len() => {
                    failures.push(format!("{} does not serve", server.url));
                }
                Ok((status, answer)) => {
                    self.current.store(at, Ordering::Relaxed);
                    return read(&server.url, status, &answer);
                }
                Err(error) => failures.push(format!("{}: {error}", server.url)),
            }
        }
        let message = format!("could not reach the schema registry at {}", failures.join("; "));
        Err(RegistryError::new(503, message))
    }

    fn send(
        &self,
        server: &Server,
        method: Method,
        path: &str,
        body: &[u8],
    ) -> Result<(u16, Vec<u8>), ureq::Error> {
        let url = format!("{}{path}", server.url);
        let authorization = server.authorization.as_deref();
        let mut response = match method {
            Method::Get => authorized(self.agent.get(url), authorization).call()?,
            Method::Delete => authorized(self.agent.delete(url), authorization).call()?,
            Method::Post | Method::Put => {
                let put = matches!(method, Method::Put);
                let request = if put { self.agent.put(url) } else { self.agent.post(url) };
                let request = authorized(request, authorization).header("Content-Type", MEDIA_TYPE);
                request.send(body)?
            }
        };
        let answer = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
        Ok((response.status().as_u16(), answer))
    }
}

fn text(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("texts and numbers always become JSON")
}

fn authorized<B>(request: ureq::RequestBuilder<B>, authorization: Option<&str>) -> ureq::RequestBuilder<B> {
    let request = request.header("Accept", MEDIA_TYPE);
    match authorization {
        Some(value) => request.header("Authorization", value),
        None => request,
    }
}

fn read<T: DeserializeOwned>(url: &str, status: u16, answer: &[u8]) -> Result<T, RegistryError> {
    if (200..300).contains(&status) {
        return serde_json::from_slice(answer).map_err(|error| {
            let message = format!("what {url} answers is not what a schema registry answers: {error}");
            RegistryError::new(502, message)
        });
    }
    match serde_json::from_slice::<ErrorBody>(answer) {
        Ok(ErrorBody { error_code, message }) => {
            let message = message.unwrap_or_else(|| format!("{url} answered with status {status}"));
            Err(RegistryError::new(error_code, message))
        }
        Err(_) => {
            let message = format!("{url} answered with status {status}");
            Err(RegistryError::new(status.into(), message))
        }
    }
}

impl Server {
    fn new(url: &str, credentials: &Credentials) -> Result<Self, RegistryError> {
        let (scheme, rest) = url
            .split_once("://")
            .filter(|(scheme, rest)| matches!(*scheme, "http" | "https") && !rest.is_empty())
            .ok_or_else(|| {
                let message = format!("{url} is no address of a schema registry: it is http://host:port");
                RegistryError::new(400, message)
            })?;
        let authority = rest.split('/').next().unwrap_or(rest);
        let in_url = authority.rsplit_once('@').map(|(user_info, _)| user_info);
        let rest = in_url.map_or(rest, |user_info| &rest[user_info.len() + 1..]);
        let basic = |user_info: &str| format!("Basic {}", STANDARD.encode(user_info));
        let authorization = match credentials {
            Credentials::Url => in_url.map(basic),
            Credentials::UserInfo(user_info) => Some(basic(user_info)),
            Credentials::Bearer(token) => Some(format!("Bearer {token}")),
        };
        Ok(Self { url: format!("{scheme}://{rest}"), authorization })
    }
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let urls: Vec<&str> = self.servers.iter().map(|server| server.url.as_str()).collect();
        f.debug_struct("Http").field("urls", &urls).finish_non_exhaustive()
    }
}

/// A part of a path or a parameter, percent-encoded.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, RegistryError> {
    let mut found = Vec::new();
    for item in parse_pem(&read_file(path)?) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate),
            Ok(_) => {}
            Err(error) => return Err(pem_error(path, &error.to_string())),
        }
    }
    if found.is_empty() { Err(pem_error(path, "it holds no certificate")) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKey<'static>, RegistryError> {
    PrivateKey::from_pem(&read_file(path)?).map_err(|error| pem_error(path, &error.to_string()))
}

fn read_file(path: &Path) -> Result<Vec<u8>, RegistryError> {
    fs::read(path).map_err(|error| pem_error(path, &error.to_string()))
}

fn pem_error(path: &Path, reason: &str) -> RegistryError {
    RegistryError::new(400, format!("could not use the PEM file {}: {reason}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_come_from_the_address_or_the_settings() {
        // (url, credentials, address, header)
        for (url, credentials, address, header) in [
            ("http://a:1", Credentials::Url, "http://a:1", None),
            ("https://me:pw@a/x", Credentials::Url, "https://a/x", Some("Basic bWU6cHc=")),
            ("http://a", Credentials::UserInfo("me:pw".into()), "http://a", Some("Basic bWU6cHc=")),
            ("http://x:y@a", Credentials::Bearer("t".into()), "http://a", Some("Bearer t")),
        ] {
            let server = Server::new(url, &credentials).unwrap();
            assert_eq!((server.url.as_str(), server.authorization.as_deref()), (address, header), "{url}");
        }
        for url in ["", "a:8081", "ftp://a", "http://"] {
            assert_eq!(Server::new(url, &Credentials::Url).err().map(|error| error.code), Some(400), "{url}");
        }
    }

    #[test]
    fn subjects_are_encoded() {
        assert_eq!(encode(":.c:a/b c-d_e.f~é"), "%3A.c%3Aa%2Fb%20c-d_e.f~%C3%A9");
    }
}
