//! Parts of addresses, as Java's `URI` (RFC 2396) takes them apart.

use arrow::array::ArrayRef;
use arrow::datatypes::Int32Type;

use crate::error::SqlError;
use crate::function::{Call, Category, ScalarFunction};

pub(super) fn functions() -> Vec<ScalarFunction> {
    vec![
        url("url_extract_protocol", "The scheme of an address, such as https.")
            .form("(STRING) -> STRING", |call| part(call, |uri| uri.scheme.map(str::to_owned))),
        url("url_extract_host", "The host of an address.")
            .form("(STRING) -> STRING", |call| part(call, |uri| uri.host.map(str::to_owned))),
        url("url_extract_port", "The port of an address, if it has one.").form("(STRING) -> INT", |call| {
            let texts = call.strings(0);
            call.build::<Int32Type>(|row| call.check(Uri::parse(texts.get(row)?))?.port)
        }),
        url("url_extract_path", "The path of an address.")
            .form("(STRING) -> STRING", |call| part(call, |uri| uri.path.map(percent_decoded))),
        url("url_extract_query", "What stands behind the question mark of an address.")
            .form("(STRING) -> STRING", |call| part(call, |uri| uri.query.map(percent_decoded))),
        url("url_extract_fragment", "What stands behind the hash of an address.")
            .form("(STRING) -> STRING", |call| part(call, |uri| uri.fragment.map(percent_decoded))),
        url("url_extract_parameter", "The value of a parameter in the query of an address.")
            .form("(STRING, STRING) -> STRING", parameter),
        url("url_decode_param", "A parameter of a query as it was before it was encoded.").form(
            "(STRING) -> STRING",
            |call| {
                let texts = call.strings(0);
                call.build_strings(|row, out| {
                    let bytes = call.check(form_decoded(texts.get(row)?))?;
                    out.push_str(&String::from_utf8_lossy(&bytes));
                    Some(())
                })
            },
        ),
        url("url_encode_param", "The text encoded so that it can be a parameter of a query.").form(
            "(STRING) -> STRING",
            |call| {
                let texts = call.strings(0);
                call.build_strings(|row, out| {
                    for byte in texts.get(row)?.bytes() {
                        match byte {
                            b' ' => out.push('+'),
                            b'-' | b'_' | b'.' | b'*' => out.push(byte as char),
                            byte if byte.is_ascii_alphanumeric() => out.push(byte as char),
                            byte => out.push_str(&format!("%{byte:02X}")),
                        }
                    }
                    Some(())
                })
            },
        ),
    ]
}

fn url(name: &str, description: &str) -> ScalarFunction {
    ScalarFunction::new(name, description).category(Category::Url)
}

fn part(call: &Call<'_>, part: fn(&Uri<'_>) -> Option<String>) -> Result<ArrayRef, SqlError> {
    let texts = call.strings(0);
    call.build_strings(|row, out| {
        out.push_str(&part(&call.check(Uri::parse(texts.get(row)?))?)?);
        Some(())
    })
}

fn parameter(call: &Call<'_>) -> Result<ArrayRef, SqlError> {
    let (texts, names) = (call.strings(0), call.strings(1));
    call.build_strings(|row, out| {
        let (text, wanted) = (texts.get(row)?, names.get(row)?);
        let query = percent_decoded(call.check(Uri::parse(text))?.query?);
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        out.push_str(pairs.into_iter().find(|(name, _)| *name == wanted)?.1);
        Some(())
    })
}

/// The parts of an address, still encoded.
#[derive(Debug, Default)]
struct Uri<'a> {
    scheme: Option<&'a str>,
    host: Option<&'a str>,
    port: Option<i32>,
    path: Option<&'a str>,
    query: Option<&'a str>,
    fragment: Option<&'a str>,
}

impl<'a> Uri<'a> {
    fn parse(text: &'a str) -> Result<Self, String> {
        check_characters(text)?;
        let mut uri = Self::default();
        let rest = match text.split_once('#') {
            Some((rest, fragment)) => {
                uri.fragment = Some(fragment);
                rest
            }
            None => text,
        };
        let scheme_end = rest.find([':', '/', '?']).filter(|at| rest[*at..].starts_with(':'));
        let rest = match scheme_end {
            None => rest,
            Some(at) => {
                let (scheme, after) = rest.split_at(at);
                let named = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
                    && scheme.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
                if !named {
                    return Err(format!("'{text}' is not an address: '{scheme}' is not a scheme"));
                }
                let after = &after[1..];
                if after.is_empty() {
                    return Err(format!("'{text}' is not an address: nothing stands behind the scheme"));
                }
                uri.scheme = Some(scheme);
                if !after.starts_with('/') {
                    // Without a slash, as in mailto:a@b, an address has no parts that would be known.
                    return Ok(uri);
                }
                after
            }
        };
        let rest = match rest.split_once('?') {
            Some((rest, query)) => {
                uri.query = Some(query);
                rest
            }
            None => rest,
        };
        let Some(authority) = rest.strip_prefix("//") else {
            uri.path = Some(rest);
            return Ok(uri);
        };
        let (authority, path) = authority.split_at(authority.find('/').unwrap_or(authority.len()));
        if authority.is_empty() && path.is_empty() {
            return Err(format!("'{text}' is not an address: nothing stands behind '//'"));
        }
        uri.path = Some(path);
        uri.authority(authority);
        Ok(uri)
    }

    /// An authority that is no host, maybe with user and port, has no parts.
    fn authority(&mut self, authority: &'a str) {
        let server = authority.rsplit_once('@').map_or(authority, |(_, server)| server);
        let port_at = match server.rfind(']') {
            Some(end) => server[end..].find(':').map(|at| end + at),
            None => server.find(':'),
        };
        let (host, port) = match port_at {
            Some(at) => (&server[..at], &server[at + 1..]),
            None => (server, ""),
        };
        let port = match port {
            "" => None,
            digits => match digits.parse::<u32>().ok().and_then(|port| i32::try_from(port).ok()) {
                Some(port) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Some(port),
                _ => return,
            },
        };
        if is_host(host) {
            (self.host, self.port) = (Some(host), port);
        }
    }
}

/// A name of labels that letters, digits and hyphens make up, the last beginning with a letter; or a number address.
fn is_host(host: &str) -> bool {
    if host.starts_with('[') {
        return host.ends_with(']') && host.parse::<HostV6>().is_ok();
    }
    if host.parse::<std::net::Ipv4Addr>().is_ok() {
        return true;
    }
    let labels: Vec<&str> = host.strip_suffix('.').unwrap_or(host).split('.').collect();
    let is_label = |label: &&str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    labels.iter().all(is_label)
        && labels.last().is_some_and(|last| last.starts_with(|c: char| c.is_ascii_alphabetic()))
}

/// An IPv6 address in brackets.
struct HostV6;

impl std::str::FromStr for HostV6 {
    type Err = std::net::AddrParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let address = text.trim_start_matches('[').trim_end_matches(']');
        let address = address.split_once('%').map_or(address, |(address, _)| address);
        address.parse::<std::net::Ipv6Addr>().map(|_| Self)
    }
}

fn check_characters(text: &str) -> Result<(), String> {
    let mut hashes = 0;
    for (at, c) in text.char_indices() {
        let fits = match c {
            '%' => {
                let digits = text.as_bytes().get(at + 1..at + 3);
                digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
            }
            '#' => {
                hashes += 1;
                hashes == 1
            }
            c if c.is_ascii() => c.is_ascii_alphanumeric() || "-_.!~*'();:@&=+$,/?[]".contains(c),
            c => !c.is_control() && !c.is_whitespace(),
        };
        if !fits {
            return Err(format!("'{text}' is not an address: illegal character at index {at}"));
        }
    }
    Ok(())
}

/// Replaces escapes by the characters that they stand for.
fn percent_decoded(text: &str) -> String {
    if !text.contains('%') {
        return text.to_owned();
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        match (first, escaped(after)) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            _ => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn form_decoded(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        bytes.push(match first {
            b'+' => b' ',
            b'%' => {
                rest = after.get(2..).unwrap_or(&[]);
                escaped(after).ok_or_else(|| format!("'{text}' has a % without two hexadecimal digits"))?
            }
            byte => *byte,
        });
    }
    Ok(bytes)
}

/// The byte that two hexadecimal digits stand for.
fn escaped(digits: &[u8]) -> Option<u8> {
    let digit = |place: usize| (*digits.get(place)? as char).to_digit(16);
    u8::try_from(digit(0)? * 16 + digit(1)?).ok()
}
