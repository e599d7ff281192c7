//! A request of the REST API, taken apart: path segments and parameters decoded, the body still text.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;

use super::super::{Deleted, RegistryError};

/// What a request does to what its path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Post,
    Put,
    Delete,
}

/// A request.
#[derive(Debug)]
pub(super) struct Request<'a> {
    pub(super) method: Method,
    /// The path between its slashes; a subject may hold slashes of its own, written `%2F`.
    pub(super) segments: Vec<String>,
    query: BTreeMap<String, String>,
    body: &'a [u8],
}

impl<'a> Request<'a> {
    /// Fails with 405 for other methods, with 415 for bodies that are no JSON, with 400 for escapes that mean nothing.
    pub(super) fn new(
        method: &str,
        path: &str,
        query: &str,
        content_type: Option<&str>,
        body: &'a [u8],
    ) -> Result<Self, RegistryError> {
        let method = match method {
            "GET" => Method::Get,
            "POST" => Method::Post,
            "PUT" => Method::Put,
            "DELETE" => Method::Delete,
            _ => return Err(RegistryError::new(405, "HTTP 405 Method Not Allowed")),
        };
        let is_json = |media_type: &str| media_type.contains("json") || media_type.contains("octet-stream");
        if !body.is_empty() && !content_type.is_none_or(is_json) {
            return Err(RegistryError::new(415, "HTTP 415 Unsupported Media Type"));
        }
        let bad = || RegistryError::new(400, "the address holds an escape that is no UTF-8");
        let segments = path.split('/').filter(|segment| !segment.is_empty());
        let segments = segments.map(|segment| decode(segment, false).ok_or_else(bad));
        let pairs = query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name, true).ok_or_else(bad)?, decode(value, true).ok_or_else(bad)?))
        });
        Ok(Self {
            method,
            segments: segments.collect::<Result<_, _>>()?,
            query: pairs.collect::<Result<_, _>>()?,
            body,
        })
    }

    /// A parameter.
    pub(super) fn text(&self, name: &str) -> Option<&str> {
        self.query.get(name).map(String::as_str)
    }

    /// A parameter that is false unless it is given.
    pub(super) fn flag(&self, name: &str) -> bool {
        self.text(name).is_some_and(|value| value.is_empty() || value.eq_ignore_ascii_case("true"))
    }

    /// What `deleted` and `deletedOnly` ask for.
    pub(super) fn deleted(&self) -> Deleted {
        match (self.flag("deletedOnly"), self.flag("deleted")) {
            (true, _) => Deleted::Only,
            (false, true) => Deleted::Include,
            (false, false) => Deleted::Exclude,
        }
    }

    /// The part of a list that `offset` and `limit` ask for. Fails with 422 if they are no numbers.
    pub(super) fn page<T>(&self, list: Vec<T>) -> Result<Vec<T>, RegistryError> {
        let number = |name: &str, default: i64| match self.text(name) {
            None => Ok(default),
            Some(text) => {
                text.parse().map_err(|_| RegistryError::new(422, format!("{name} is no number: {text}")))
            }
        };
        let offset = usize::try_from(number("offset", 0)?).unwrap_or(0);
        let limit = usize::try_from(number("limit", -1)?).unwrap_or(usize::MAX);
        Ok(list.into_iter().skip(offset).take(limit).collect())
    }

    /// The body. Fails with 400 if it is not what is asked for.
    pub(super) fn body<T: DeserializeOwned>(&self) -> Result<T, RegistryError> {
        serde_json::from_slice(self.body)
            .map_err(|error| RegistryError::new(400, format!("the request's body cannot be read: {error}")))
    }
}

/// Percent decoding; `+` is a space in parameters only.
fn decode(text: &str, plus_is_space: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        rest = after;
        match first {
            b'%' => {
                let (digits, after) = rest.split_at_checked(2)?;
                let digits = str::from_utf8(digits).ok().filter(|digits| !digits.starts_with('+'))?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
                rest = after;
            }
            b'+' if plus_is_space => bytes.push(b' '),
            other => bytes.push(other),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_and_parameters_are_decoded() {
        let request = Request::new(
            "GET",
            "/subjects/a%2Fb%20c+d/versions",
            "deleted=true&x=%3A.c%3A+e&normalize=",
            None,
            b"",
        )
        .unwrap();
        assert_eq!(request.segments, ["subjects", "a/b c+d", "versions"]);
        assert_eq!(request.text("x"), Some(":.c: e"));
        assert!(request.flag("normalize") && !request.flag("permanent"));
        assert_eq!(request.deleted(), Deleted::Include);
        for path in ["/%", "/%4", "/%zz", "/%+1", "/%ff"] {
            assert_eq!(Request::new("GET", path, "", None, b"").unwrap_err().code, 400, "{path}");
        }
        assert_eq!(Request::new("PATCH", "/", "", None, b"").unwrap_err().code, 405);
        assert_eq!(Request::new("POST", "/", "", Some("text/html"), b"{}").unwrap_err().code, 415);
    }

    #[test]
    fn lists_are_cut_into_pages() {
        for (query, expected) in [
            ("", vec![1, 2, 3]),
            ("offset=1", vec![2, 3]),
            ("limit=2", vec![1, 2]),
            ("offset=1&limit=1", vec![2]),
        ] {
            let request = Request::new("GET", "/subjects", query, None, b"").unwrap();
            assert_eq!(request.page(vec![1, 2, 3]), Ok(expected), "{query}");
        }
    }
}
