//! Which function answers which path.

use super::super::{EmbeddedRegistry, Registration, RegistryError, Scope, VersionSpec, subject};
use super::{
    api::{
        CompatibilityOut, ConfigIn, ConfigOut, IdOut, ModeIn, ModeOut, SchemaIn, SchemaOut,
        SubjectVersionOut, VersionOut, json,
    },
    request::{Method, Request},
    serialized,
};

/// The body of an answer.
type Response = Result<String, RegistryError>;

/// Answers a request. The paths are those of the original's API reference.
pub(super) fn respond(registry: &EmbeddedRegistry, request: &Request<'_>) -> Response {
    use Method::{Delete, Get, Post, Put};
    let segments: Vec<&str> = request.segments.iter().map(String::as_str).collect();
    match (segments.as_slice(), request.method) {
        ([], Get | Post) => Ok("{}".to_owned()),
        (["subjects"], Get) => subjects(registry, request),
        (["subjects", subject], Post) => lookup(registry, request, subject),
        (["subjects", subject], Delete) => {
            Ok(json(&registry.remove_subject(subject, request.flag("permanent"))?))
        }
        (["subjects", subject, "versions"], Get) => {
            Ok(json(&request.page(registry.versions_of(subject, request.deleted())?)?))
        }
        (["subjects", subject, "versions"], Post) => register(registry, request, subject),
        (["subjects", subject, "versions", version], Get) => version_of(registry, request, subject, version),
        (["subjects", subject, "versions", version], Delete) => {
            let version = version.parse()?;
            Ok(json(&registry.remove_version(subject, version, request.flag("permanent"))?))
        }
        (["subjects", subject, "versions", version, "schema"], Get) => {
            let found = registry.get(subject, version.parse()?, request.deleted())?;
            let resolved = registry.schema_by_id(found.id, Some(subject))?;
            serialized::text(&resolved, request.text("format"))
        }
        (["subjects", subject, "versions", version, "referencedby"], Get) => {
            Ok(json(&request.page(registry.referenced_by(subject, version.parse()?)?)?))
        }
        (["schemas"], Get) => schemas(registry, request),
        (["schemas", "types"], Get) => Ok(json(&["JSON", "PROTOBUF", "AVRO"])),
        (["schemas", "ids", id], Get) => schema_of_id(registry, request, id),
        (["schemas", "ids", id, "schema"], Get) => {
            let resolved = registry.schema_by_id(id_of(id)?, request.text("subject"))?;
            serialized::text(&resolved, request.text("format"))
        }
        (["schemas", "ids", id, part @ ("subjects" | "versions")], Get) => {
            uses_of_id(registry, request, id, *part == "versions")
        }
        (["config"], method) => config(registry, request, method, None),
        (["config", subject], method) => config(registry, request, method, Some(subject)),
        (["mode"], method) => mode(registry, request, method, None),
        (["mode", subject], method) => mode(registry, request, method, Some(subject)),
        (["compatibility", "subjects", subject, "versions"], Post) => check(registry, request, subject, None),
        (["compatibility", "subjects", subject, "versions", version], Post) => {
            check(registry, request, subject, Some(version.parse()?))
        }
        (["contexts"], Get) => Ok(json(&request.page(registry.contexts())?)),
        (["v1", "metadata", "id"], Get) => {
            Ok(r#"{"scope":{"path":[],"clusters":{"schema-registry-cluster":"millstream"}},"id":""}"#
                .to_owned())
        }
        (["v1", "metadata", "version"], Get) => Ok(version_of_program()),
        (path, _) if is_known(path) => Err(RegistryError::new(405, "HTTP 405 Method Not Allowed")),
        (_, Get | Post | Put | Delete) => Err(RegistryError::new(404, "HTTP 404 Not Found")),
    }
}

/// Whether another method would be answered.
fn is_known(path: &[&str]) -> bool {
    matches!(
        path,
        [] | ["subjects"]
            | ["subjects", _]
            | ["subjects", _, "versions"]
            | ["subjects", _, "versions", _]
            | ["subjects", _, "versions", _, "schema" | "referencedby"]
            | ["schemas"]
            | ["schemas", "types"]
            | ["schemas", "ids", _]
            | ["schemas", "ids", _, "schema" | "subjects" | "versions"]
            | ["compatibility", "subjects", _, "versions"]
            | ["compatibility", "subjects", _, "versions", _]
            | ["contexts"]
            | ["v1", "metadata", "id" | "version"]
    )
}

fn subjects(registry: &EmbeddedRegistry, request: &Request<'_>) -> Response {
    // Without a prefix all contexts are listed; an empty one means the default context.
    let prefix = request.text("subjectPrefix").unwrap_or(subject::ALL_CONTEXTS);
    Ok(json(&request.page(registry.subjects_with_prefix(prefix, request.deleted()))?))
}

fn lookup(registry: &EmbeddedRegistry, request: &Request<'_>, subject: &str) -> Response {
    let body: SchemaIn = request.body()?;
    let found = registry.lookup_as(subject, &body.schema()?, request.flag("normalize"), request.deleted())?;
    let text = formatted(registry, request, found.id, subject)?;
    Ok(json(&VersionOut::new(&found, &text, false)))
}

fn register(registry: &EmbeddedRegistry, request: &Request<'_>, subject: &str) -> Response {
    let body: SchemaIn = request.body()?;
    // Clients write -1 and 0 for what they leave to the registry.
    let how = Registration {
        normalize: request.flag("normalize"),
        id: body.id.filter(|id| *id > 0),
        version: body.version.filter(|version| *version > 0),
    };
    let registered = registry.register_as(subject, &body.schema()?, how)?;
    Ok(json(&IdOut { id: registered.id }))
}

fn version_of(registry: &EmbeddedRegistry, request: &Request<'_>, subject: &str, version: &str) -> Response {
    let found = registry.get(subject, version.parse()?, request.deleted())?;
    let text = formatted(registry, request, found.id, subject)?;
    Ok(json(&VersionOut::new(&found, &text, false)))
}

/// The text of a schema as `format` asks for.
fn formatted(
    registry: &EmbeddedRegistry,
    request: &Request<'_>,
    id: i32,
    subject: &str,
) -> Result<String, RegistryError> {
    serialized::text(&registry.schema_by_id(id, Some(subject))?, request.text("format"))
}

fn schemas(registry: &EmbeddedRegistry, request: &Request<'_>) -> Response {
    let prefix = request.text("subjectPrefix").unwrap_or_default();
    let list = registry.list(prefix, request.deleted(), request.flag("latestOnly"));
    let page = request.page(list)?;
    let page: Vec<VersionOut<'_>> = page
        .iter()
        .map(|(registered, deleted)| VersionOut::new(registered, &registered.schema.text, *deleted))
        .collect();
    Ok(json(&page))
}

fn schema_of_id(registry: &EmbeddedRegistry, request: &Request<'_>, id: &str) -> Response {
    let subject = request.text("subject");
    let resolved = registry.schema_by_id(id_of(id)?, subject)?;
    let text = serialized::text(&resolved, request.text("format"))?;
    let mut out = SchemaOut::new(&resolved.schema, &text);
    out.max_id = request.flag("fetchMaxId").then(|| registry.id_max(subject));
    Ok(json(&out))
}

fn uses_of_id(registry: &EmbeddedRegistry, request: &Request<'_>, id: &str, with_versions: bool) -> Response {
    let uses = registry.uses_of_id(id_of(id)?, request.text("subject"), request.deleted())?;
    if with_versions {
        let uses: Vec<SubjectVersionOut<'_>> =
            uses.iter().map(|(subject, version)| SubjectVersionOut { subject, version: *version }).collect();
        return Ok(json(&request.page(uses)?));
    }
    let mut subjects: Vec<String> = uses.into_iter().map(|(subject, _)| subject).collect();
    subjects.dedup();
    Ok(json(&request.page(subjects)?))
}

fn config(
    registry: &EmbeddedRegistry,
    request: &Request<'_>,
    method: Method,
    subject: Option<&str>,
) -> Response {
    match method {
        Method::Get => Ok(json(&ConfigOut::from(registry.config(subject, scope(request))?))),
        Method::Put => {
            let config = request.body::<ConfigIn>()?.config()?;
            Ok(json(&ConfigOut::of_change(registry.set_config(subject, config)?)))
        }
        Method::Delete => Ok(json(&ConfigOut::from(registry.delete_config(subject)?))),
        Method::Post => Err(RegistryError::new(405, "HTTP 405 Method Not Allowed")),
    }
}

fn mode(
    registry: &EmbeddedRegistry,
    request: &Request<'_>,
    method: Method,
    subject: Option<&str>,
) -> Response {
    match method {
        Method::Get => Ok(json(&ModeOut::from(registry.mode(subject, scope(request))?))),
        Method::Put => {
            let mode = request.body::<ModeIn>()?.mode.parse()?;
            registry.set_mode(subject, mode, request.flag("force"))?;
            Ok(json(&ModeOut::from(mode)))
        }
        Method::Delete => Ok(json(&ModeOut::from(registry.delete_mode(subject)?))),
        Method::Post => Err(RegistryError::new(405, "HTTP 405 Method Not Allowed")),
    }
}

fn scope(request: &Request<'_>) -> Scope {
    if request.flag("defaultToGlobal") { Scope::Effective } else { Scope::Own }
}

fn check(
    registry: &EmbeddedRegistry,
    request: &Request<'_>,
    subject: &str,
    version: Option<VersionSpec>,
) -> Response {
    let schema = request.body::<SchemaIn>()?.schema()?;
    let found = registry.check_compatibility(subject, &schema, version, request.flag("normalize"))?;
    Ok(json(&CompatibilityOut::new(found, request.flag("verbose"))))
}

fn id_of(text: &str) -> Result<i32, RegistryError> {
    text.parse().map_err(|_| RegistryError::new(404, format!("HTTP 404 Not Found: {text} is no schema id")))
}

fn version_of_program() -> String {
    format!(r#"{{"version":"{}","commitId":""}}"#, env!("CARGO_PKG_VERSION"))
}
