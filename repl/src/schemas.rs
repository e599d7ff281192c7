//! `millstream schemas`: what is in a schema registry, in the data directory or elsewhere.

use std::fs;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use millstream_formats::{
    Deleted, EmbeddedRegistry, RegisteredSchema, Registration, RegistryAdmin, RegistryClient,
    RegistryClientConfig, RegistryServer, RegistryServerConfig, Schema, SchemaRegistry, SchemaType, Scope,
    SubjectConfig,
};
use millstream_log::{Clock, Log, SystemClock};

use crate::args::{
    ConfigCommand, Global, ModeCommand, SchemaArgs, SchemasArgs, SchemasCommand, ScopeArgs, SettingsArgs,
};
use crate::cell::Cell;
use crate::error::CliError;
use crate::housekeeping::Housekeeping;
use crate::interrupt::Interrupt;
use crate::output::{Format, Grid, Heading, Out};

/// How often Ctrl-C is looked at.
const LOOK: Duration = Duration::from_millis(100);

/// Runs one of the commands.
pub(crate) fn run(global: &Global, args: &SchemasArgs) -> Result<(), CliError> {
    let mut out = Out::new(global.output);
    let url = args.place.url.as_deref().or(global.schema_registry.as_deref());
    if let Some(client) = client(url, &args.place.properties)? {
        if let SchemasCommand::Serve { .. } = args.command {
            let reason =
                "serve is for the registry in the data directory: leave --url and --schema-registry away";
            return Err(CliError::Usage(reason.to_owned()));
        }
        return act(&client, &args.command, &mut out);
    }
    let log = Log::open(global.log_dir())?;
    let result =
        EmbeddedRegistry::open(&log).map_err(CliError::from).and_then(|registry| match args.command {
            SchemasCommand::Serve { listen } => serve(&log, registry, listen),
            _ => act(&registry, &args.command, &mut out),
        });
    log.close()?;
    result
}

/// The registry for SQL: that of the log, unless the options name another.
pub(crate) fn of_engine(global: &Global, log: &Log) -> Result<Arc<dyn SchemaRegistry>, CliError> {
    Ok(match client(global.schema_registry.as_deref(), &[])? {
        Some(client) => Arc::new(client),
        None => Arc::new(EmbeddedRegistry::open(log)?),
    })
}

fn client(url: Option<&str>, properties: &[(String, String)]) -> Result<Option<RegistryClient>, CliError> {
    let Some(url) = url else {
        return match properties.first() {
            None => Ok(None),
            Some((name, _)) => {
                Err(CliError::Usage(format!("{name} is a setting of a client: give --url, too")))
            }
        };
    };
    let properties = properties.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let properties = properties.chain([("schema.registry.url", url)]);
    let usage = |error: millstream_formats::RegistryError| CliError::Usage(error.message);
    let config = RegistryClientConfig::from_properties(properties).map_err(usage)?;
    Ok(Some(RegistryClient::new(&config).map_err(usage)?))
}

fn act(registry: &dyn RegistryAdmin, command: &SchemasCommand, out: &mut Out) -> Result<(), CliError> {
    match command {
        SchemasCommand::List { prefix, deleted } => {
            let deleted = if *deleted { Deleted::Include } else { Deleted::Exclude };
            list(registry, prefix, deleted, out)
        }
        SchemasCommand::Show { which, version } => match (&which.subject, which.id) {
            (Some(subject), _) => show(&registry.find(subject, *version)?, out),
            (None, id) => show_id(registry, id.expect("clap requires one of the two"), out),
        },
        SchemasCommand::Register { schema: args, id, version } => {
            let how = Registration { normalize: args.normalize, id: *id, version: *version };
            let id = registry.register_as(&args.subject, &schema(args)?, how)?;
            out.line(&format!("Registered a schema for {} with id {id}.", args.subject))?;
            out.flush()
        }
        SchemasCommand::Check(args) => check(registry, args, out),
        SchemasCommand::Delete { subject, version, permanent } => {
            let gone = match version {
                Some(version) => vec![registry.delete_version(subject, *version, *permanent)?],
                None => registry.delete_subject(subject, *permanent)?,
            };
            let gone: Vec<String> = gone.iter().map(ToString::to_string).collect();
            out.line(&format!("Deleted of {subject}: version {}.", gone.join(", ")))?;
            out.flush()
        }
        SchemasCommand::Config(command) => config(registry, command, out),
        SchemasCommand::Mode(command) => mode(registry, command, out),
        SchemasCommand::Serve { .. } => unreachable!("serving needs a log and is done before"),
    }
}

fn config(registry: &dyn RegistryAdmin, command: &ConfigCommand, out: &mut Out) -> Result<(), CliError> {
    match command {
        ConfigCommand::Get(ScopeArgs { subject, effective }) => {
            let config = registry.config(subject.as_deref(), scope(*effective))?;
            let SubjectConfig { compatibility, normalize, alias, compatibility_group } = config;
            let text = |value: Option<String>| value.map_or(Cell::Null, Cell::Text);
            let columns = ["compatibility", "normalize", "alias", "compatibility_group"];
            let mut grid = Grid::new(columns.map(Heading::text).into());
            grid.push(vec![
                text(compatibility.map(|level| level.to_string())),
                normalize.map_or(Cell::Null, Cell::Boolean),
                text(alias),
                text(compatibility_group),
            ]);
            out.grid(&grid)
        }
        ConfigCommand::Set { subject, settings } => {
            let SettingsArgs { compatibility, normalize, alias, compatibility_group } = settings;
            let config = SubjectConfig {
                compatibility: *compatibility,
                normalize: *normalize,
                alias: alias.clone(),
                compatibility_group: compatibility_group.clone(),
            };
            registry.set_config(subject.as_deref(), config)?;
            changed("Set", "settings", subject.as_deref(), out)
        }
        ConfigCommand::Delete { subject } => {
            registry.delete_config(subject.as_deref())?;
            changed("Deleted", "settings", subject.as_deref(), out)
        }
    }
}

fn mode(registry: &dyn RegistryAdmin, command: &ModeCommand, out: &mut Out) -> Result<(), CliError> {
    match command {
        ModeCommand::Get(ScopeArgs { subject, effective }) => {
            let mode = registry.mode(subject.as_deref(), scope(*effective))?;
            let mut grid = Grid::new(vec![Heading::text("mode")]);
            grid.push(vec![mode.name().into()]);
            out.grid(&grid)
        }
        ModeCommand::Set { mode, subject, force } => {
            registry.set_mode(subject.as_deref(), *mode, *force)?;
            changed("Set", "mode", subject.as_deref(), out)
        }
        ModeCommand::Delete { subject } => {
            registry.delete_mode(subject.as_deref())?;
            changed("Deleted", "mode", subject.as_deref(), out)
        }
    }
}

fn scope(effective: bool) -> Scope {
    if effective { Scope::Effective } else { Scope::Own }
}

fn changed(verb: &str, what: &str, subject: Option<&str>, out: &mut Out) -> Result<(), CliError> {
    let whose =
        subject.map_or_else(|| format!("the global {what}"), |subject| format!("the {what} of {subject}"));
    out.line(&format!("{verb} {whose}."))?;
    out.flush()
}

fn list(registry: &dyn RegistryAdmin, prefix: &str, deleted: Deleted, out: &mut Out) -> Result<(), CliError> {
    let subjects = registry.all_subjects(prefix, deleted)?;
    if out.format() == Format::Table {
        for subject in subjects {
            out.line(&subject)?;
        }
        return out.flush();
    }
    let mut grid = Grid::new(vec![Heading::text("subject"), Heading::text("versions")]);
    for subject in subjects {
        let versions = registry.versions(&subject, deleted)?;
        let versions: Vec<String> = versions.iter().map(ToString::to_string).collect();
        grid.push(vec![subject.into(), Cell::Nested(format!("[{}]", versions.join(",")))]);
    }
    out.grid(&grid)
}

fn show(found: &RegisteredSchema, out: &mut Out) -> Result<(), CliError> {
    let RegisteredSchema { subject, version, id, schema } = found;
    if out.format() == Format::Table {
        out.line(&format!("Subject: {subject}\tVersion: {version}\tId: {id}\tType: {}", schema.schema_type))?;
        return text(schema, out);
    }
    let columns = ["subject", "version", "id", "type", "references", "schema"];
    let heading = |name| match name {
        "version" | "id" => Heading::number(name),
        _ => Heading::text(name),
    };
    let mut grid = Grid::new(columns.map(heading).into());
    grid.push(vec![
        subject.as_str().into(),
        Cell::Number(version.to_string()),
        Cell::Number(id.to_string()),
        schema.schema_type.name().into(),
        references(schema),
        schema.text.as_str().into(),
    ]);
    out.grid(&grid)
}

fn show_id(registry: &dyn RegistryAdmin, id: i32, out: &mut Out) -> Result<(), CliError> {
    let schema = registry.schema(id)?;
    if out.format() == Format::Table {
        out.line(&format!("Id: {id}\tType: {}", schema.schema_type))?;
        return text(&schema, out);
    }
    let heading = |name| if name == "id" { Heading::number(name) } else { Heading::text(name) };
    let mut grid = Grid::new(["id", "type", "references", "schema"].map(heading).into());
    grid.push(vec![
        Cell::Number(id.to_string()),
        schema.schema_type.name().into(),
        references(&schema),
        schema.text.as_str().into(),
    ]);
    out.grid(&grid)
}

/// For people: references by line, and JSON with a line per member.
fn text(schema: &Schema, out: &mut Out) -> Result<(), CliError> {
    for reference in &schema.references {
        out.line(&format!("Reference: {reference}"))?;
    }
    // Reading it anew would sort the members, so what is no JSON and what is are both shown as they are kept.
    out.line(schema.text.trim_end())?;
    out.flush()
}

fn references(schema: &Schema) -> Cell {
    let references = schema.references.iter().map(|reference| {
        serde_json::json!({
            "name": reference.name, "subject": reference.subject, "version": reference.version,
        })
    });
    Cell::Nested(serde_json::Value::from_iter(references).to_string())
}

fn check(registry: &dyn RegistryAdmin, args: &SchemaArgs, out: &mut Out) -> Result<(), CliError> {
    let incompatibilities = registry.check(&args.subject, &schema(args)?, args.normalize)?;
    if incompatibilities.is_empty() {
        out.line(&format!("The schema is compatible with {}.", args.subject))?;
        return out.flush();
    }
    let lines: Vec<String> = incompatibilities.iter().map(|line| format!("  {line}")).collect();
    let subject = &args.subject;
    Err(CliError::Failed(format!("the schema is incompatible with {subject}:\n{}", lines.join("\n"))))
}

fn schema(args: &SchemaArgs) -> Result<Schema, CliError> {
    let schema_type = args.schema_type.or_else(|| args.file.as_deref().and_then(type_of_file));
    let text = match (&args.schema, &args.file) {
        (Some(text), _) => text.clone(),
        (None, Some(path)) if path.as_os_str() == "-" => {
            let mut text = String::new();
            io::stdin().read_to_string(&mut text).map_err(CliError::Terminal)?;
            text
        }
        (None, Some(path)) => fs::read_to_string(path).map_err(|source| CliError::File {
            action: "read",
            path: path.clone(),
            source,
        })?,
        (None, None) => unreachable!("clap requires one of the two"),
    };
    let references = args.references.clone();
    Ok(Schema { schema_type: schema_type.unwrap_or_default(), text, references })
}

fn type_of_file(path: &Path) -> Option<SchemaType> {
    match path.extension()?.to_str()? {
        "avsc" => Some(SchemaType::Avro),
        "json" => Some(SchemaType::Json),
        "proto" => Some(SchemaType::Protobuf),
        _ => None,
    }
}

fn serve(log: &Log, registry: EmbeddedRegistry, listen: std::net::SocketAddr) -> Result<(), CliError> {
    let interrupt = Interrupt::install()?;
    let _housekeeping = Housekeeping::start(log.clone())?;
    let config = RegistryServerConfig { address: listen, ..RegistryServerConfig::default() };
    let server = RegistryServer::start(Arc::new(registry), &config)
        .map_err(|error| CliError::Failed(format!("could not listen on {listen}: {error}")))?;
    eprintln!("The schema registry listens on http://{}; Ctrl-C ends it.", server.address());
    let clock = SystemClock::new();
    while !interrupt.is_set() {
        clock.sleep(LOOK);
    }
    drop(server);
    interrupt.check()
}
