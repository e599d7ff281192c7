//! Requests to the registry's REST API.

use std::sync::Arc;

use millstream_formats::{EmbeddedRegistry, RegistryServer};
use millstream_log::{Log, ManualClock, Timestamp};
use serde_json::Value;

use super::registry::answers;

/// Requests with a zero byte between them, each `METHOD target`, a line break and a body. Every answer is JSON; a refusal
/// has a code and a sentence and is never the server's fault; what was answered is there after a restart.
pub fn rest(data: &[u8]) -> bool {
    let log = Log::in_memory(Arc::new(ManualClock::new(Timestamp::new(1_000))));
    let registry = EmbeddedRegistry::open(&log).expect("an empty log");
    let mut understood = false;
    for request in data.split(|byte| *byte == 0) {
        let end = request.iter().position(|byte| *byte == b'\n').unwrap_or(request.len());
        let body = request.get(end + 1..).unwrap_or_default();
        let Ok(line) = std::str::from_utf8(&request[..end]) else { continue };
        let (method, target) = line.split_once(' ').unwrap_or((line, "/"));
        let (status, text) =
            RegistryServer::answer(&registry, method, target, Some("application/json"), body);
        let answer: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{line}: {text}: {error}"));
        match status {
            200 => understood = true,
            400..500 => {
                let code = answer["error_code"].as_u64().expect("a refusal has a code");
                assert!(code == u64::from(status) || code / 100 == u64::from(status), "{line}: {text}");
                let message = answer["message"].as_str().expect("a refusal has a message");
                assert!(!message.is_empty(), "{line}: {text}");
            }
            _ => panic!("{line}: {status} {text}"),
        }
    }
    let reopened = EmbeddedRegistry::open(&log).expect("written by the registry itself");
    assert_eq!(answers(&reopened), answers(&registry));
    understood
}
