//! Connectors, as far as statements speak of them: what runs them is given to the engine.

use std::{error::Error, fmt};

use crate::{
    ast::{ConnectorKind, Ident, Properties, Span},
    error::SqlError,
    result::{Outcome, ResultSet},
};

/// Why a runner of connectors could not do what it was asked.
pub type ConnectorError = Box<dyn Error + Send + Sync>;

/// What runs the connectors of CREATE CONNECTOR. The engine has none of its own: whoever opens it gives it one with
/// [`SqlConfig::connectors`](crate::SqlConfig::connectors).
pub trait Connectors: Send + Sync + fmt::Debug {
    /// Starts a connector and remembers it. Properties have Kafka Connect's names.
    fn create(
        &self,
        kind: ConnectorKind,
        name: &str,
        properties: &[(String, String)],
    ) -> Result<(), ConnectorError>;

    /// Stops a connector and forgets it.
    fn remove(&self, name: &str) -> Result<(), ConnectorError>;

    /// All that are remembered, by name.
    fn list(&self) -> Result<Vec<ConnectorSummary>, ConnectorError>;

    /// The classes that can be created.
    fn plugins(&self) -> Vec<ConnectorPlugin>;
}

/// A connector in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorSummary {
    /// Its name.
    pub name: String,
    /// Its direction.
    pub kind: ConnectorKind,
    /// Its class.
    pub class: String,
    /// How it goes: `RUNNING (1/1 tasks RUNNING)`.
    pub state: String,
    /// Number, state and, of failed ones, error of each task.
    pub tasks: Vec<(usize, String, String)>,
    /// The topics it reads or writes.
    pub topics: Vec<String>,
}

/// A class of connectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectorPlugin {
    /// Its name.
    pub class: String,
    /// Its direction.
    pub kind: ConnectorKind,
    /// Its version.
    pub version: String,
}

fn runner(connectors: Option<&dyn Connectors>, span: Span) -> Result<&dyn Connectors, SqlError> {
    connectors.ok_or_else(|| {
        SqlError::unsupported("this engine was opened without anything that runs connectors").at(span)
    })
}

/// CREATE CONNECTOR.
pub(crate) fn create(
    connectors: Option<&dyn Connectors>,
    kind: ConnectorKind,
    name: &Ident,
    if_not_exists: bool,
    with: &Properties,
) -> Result<Outcome, SqlError> {
    let connectors = runner(connectors, name.span)?;
    let failed = |error| SqlError::failed(format!("create connector {}", name.name), error);
    if connectors.list().map_err(failed)?.iter().any(|known| known.name == name.name) {
        let message = format!("Connector {} already exists", name.name);
        return match if_not_exists {
            true => Ok(Outcome::Message(message)),
            false => {
                Err(SqlError::invalid(message).at(name.span).hint("use IF NOT EXISTS, or DROP it first"))
            }
        };
    }
    let properties = with.entries.iter().map(|property| (property.name.clone(), property.text()));
    connectors.create(kind, &name.name, &properties.collect::<Vec<_>>()).map_err(failed)?;
    Ok(Outcome::Message(format!("Created connector {}", name.name)))
}

/// DROP CONNECTOR.
pub(crate) fn remove(
    connectors: Option<&dyn Connectors>,
    name: &Ident,
    if_exists: bool,
) -> Result<Outcome, SqlError> {
    let connectors = runner(connectors, name.span)?;
    let failed = |error| SqlError::failed(format!("drop connector {}", name.name), error);
    let known = connectors.list().map_err(failed)?;
    if !known.iter().any(|known| known.name == name.name) {
        return match if_exists {
            true => Ok(Outcome::Message(format!("Connector '{}' does not exist.", name.name))),
            false => Err(missing(name, &known)),
        };
    }
    connectors.remove(&name.name).map_err(failed)?;
    Ok(Outcome::Message(format!("Dropped connector \"{}\"", name.name)))
}

/// SHOW CONNECTORS.
pub(crate) fn list(
    connectors: Option<&dyn Connectors>,
    kind: Option<ConnectorKind>,
    span: Span,
) -> Result<Outcome, SqlError> {
    let known =
        runner(connectors, span)?.list().map_err(|error| SqlError::failed("list connectors", error))?;
    let shown = known.into_iter().filter(|connector| kind.is_none_or(|kind| kind == connector.kind));
    let rows =
        shown.map(|connector| [connector.name, connector.kind.to_string(), connector.class, connector.state]);
    Ok(Outcome::Table(ResultSet::text(["Connector Name", "Type", "Class", "Status"], rows.collect())))
}

/// SHOW CONNECTOR PLUGINS.
pub(crate) fn plugins(connectors: Option<&dyn Connectors>, span: Span) -> Result<Outcome, SqlError> {
    let plugins = runner(connectors, span)?.plugins().into_iter();
    let rows = plugins.map(|plugin| [plugin.class, plugin.kind.to_string(), plugin.version]).collect();
    Ok(Outcome::Table(ResultSet::text(["Class", "Type", "Version"], rows)))
}

/// DESCRIBE CONNECTOR.
pub(crate) fn describe(connectors: Option<&dyn Connectors>, name: &Ident) -> Result<Outcome, SqlError> {
    let failed = |error| SqlError::failed(format!("describe connector {}", name.name), error);
    let known = runner(connectors, name.span)?.list().map_err(failed)?;
    let Some(connector) = known.iter().find(|known| known.name == name.name) else {
        return Err(missing(name, &known));
    };
    let mut text = String::new();
    let mut line = |name: &str, value: &str| text.push_str(&format!("{name:<21}: {value}\n"));
    line("Name", &connector.name);
    line("Class", &connector.class);
    line("Type", &connector.kind.to_string().to_lowercase());
    line("State", &connector.state);
    text.push_str("\n Task ID | State | Error Trace\n");
    for (number, state, error) in &connector.tasks {
        text.push_str(&format!(" {number:<7} | {state} | {error}\n"));
    }
    if !connector.topics.is_empty() {
        text.push_str(&format!("\n Related Topics: {}\n", connector.topics.join(", ")));
    }
    Ok(Outcome::Message(text))
}

fn missing(name: &Ident, known: &[ConnectorSummary]) -> SqlError {
    let names: Vec<&str> = known.iter().map(|connector| connector.name.as_str()).collect();
    SqlError::invalid(format!("Connector '{}' does not exist.", name.name)).at(name.span).hint_nearest(
        &name.name,
        &names,
        "connectors",
    )
}
