//! `millstream schemas`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, Subcommand};
use millstream_formats::{Compatibility, Mode, Reference, RegistryError, SchemaType, VersionSpec};

use super::pair;

/// `millstream schemas`
#[derive(Debug, Args)]
pub(crate) struct SchemasArgs {
    #[command(flatten)]
    pub(crate) place: RegistryArgs,
    #[command(subcommand)]
    pub(crate) command: SchemasCommand,
}

/// Which registry.
#[derive(Debug, Args)]
pub(crate) struct RegistryArgs {
    /// Addresses of a registry elsewhere, with commas between them; the same as --schema-registry
    #[arg(long, global = true, value_name = "URL")]
    pub(crate) url: Option<String>,
    /// Setting of the client, such as basic.auth.user.info=me:secret or ssl.ca.location=ca.pem
    #[arg(long = "property", global = true, value_name = "NAME=VALUE", value_parser = pair)]
    pub(crate) properties: Vec<(String, String)>,
}

/// What to do with schemas.
#[derive(Debug, Subcommand)]
pub(crate) enum SchemasCommand {
    /// Print the subjects, one per line
    List {
        /// Only subjects that begin with this; `:.ctx:` for those of a context, `:*:` for all contexts
        #[arg(long, value_name = "TEXT", default_value = "")]
        prefix: String,
        /// Also subjects that are deleted, but not for good
        #[arg(long)]
        deleted: bool,
    },
    /// Print a schema: the newest of a subject, another version, or the one with an id
    Show {
        #[command(flatten)]
        which: Which,
        /// Version of the subject
        #[arg(long, value_name = "N|latest", default_value = "latest", value_parser = version)]
        version: VersionSpec,
    },
    /// Put a schema under a subject as its newest version, unless it is there already
    Register {
        #[command(flatten)]
        schema: SchemaArgs,
        /// Id that it had elsewhere; in mode IMPORT
        #[arg(long)]
        id: Option<i32>,
        /// Version that it had elsewhere; in mode IMPORT
        #[arg(long)]
        version: Option<i32>,
    },
    /// Tell whether a schema could be registered; fails when it could not
    Check(SchemaArgs),
    /// Delete a subject or one version; ids stay readable
    Delete {
        /// The subject
        subject: String,
        /// Only this version
        #[arg(long, value_name = "N|latest", value_parser = version)]
        version: Option<VersionSpec>,
        /// For good; only what was deleted before
        #[arg(long)]
        permanent: bool,
    },
    /// Print or change compatibility levels and other settings
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Print or change whether schemas may be registered
    #[command(subcommand)]
    Mode(ModeCommand),
    /// Serve the registry in the data directory over Confluent's REST API until Ctrl-C
    Serve {
        /// Where to listen
        #[arg(long, value_name = "HOST:PORT", default_value = "127.0.0.1:8081")]
        listen: SocketAddr,
    },
}

/// What to do with settings.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Print the settings of a subject, of a context (`:.ctx:`), or the global ones
    Get(ScopeArgs),
    /// Change what is given, and leave the rest
    Set {
        /// The subject or context; without it, the global settings
        subject: Option<String>,
        #[command(flatten)]
        settings: SettingsArgs,
    },
    /// Take the settings back, so that those of the context or the global ones hold
    Delete {
        /// The subject or context; without it, the global settings
        subject: Option<String>,
    },
}

/// What to do with modes.
#[derive(Debug, Subcommand)]
pub(crate) enum ModeCommand {
    /// Print the mode of a subject, of a context (`:.ctx:`), or the global one
    Get(ScopeArgs),
    /// Change the mode
    Set {
        /// READWRITE; READONLY: no changes; READONLY_OVERRIDE: none in any subject; IMPORT: with the ids of elsewhere
        #[arg(value_parser = parsed::<Mode>)]
        mode: Mode,
        /// The subject or context; without it, the global mode
        subject: Option<String>,
        /// Set IMPORT where there are schemas
        #[arg(long)]
        force: bool,
    },
    /// Take the mode back, so that the one of the context or the global one holds
    Delete {
        /// The subject or context; without it, the global mode
        subject: Option<String>,
    },
}

/// Whose settings.
#[derive(Debug, Args)]
pub(crate) struct ScopeArgs {
    /// The subject or context; without it, what holds globally
    pub(crate) subject: Option<String>,
    /// Also what the subject has from its context, the global settings or the defaults
    #[arg(long)]
    pub(crate) effective: bool,
}

/// Settings; at least one.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct SettingsArgs {
    /// Which changes of schemas are taken: BACKWARD, FORWARD, FULL, each also with _TRANSITIVE, or NONE
    #[arg(long, value_name = "LEVEL", value_parser = parsed::<Compatibility>)]
    pub(crate) compatibility: Option<Compatibility>,
    /// Whether schemas are put in order when they are registered and looked up
    #[arg(long, value_name = "true|false")]
    pub(crate) normalize: Option<bool>,
    /// The subject that is meant where this one is named
    #[arg(long, value_name = "SUBJECT")]
    pub(crate) alias: Option<String>,
    /// Metadata property whose value says which schemas are compared
    #[arg(long, value_name = "NAME")]
    pub(crate) compatibility_group: Option<String>,
}

/// A subject or an id.
#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub(crate) struct Which {
    /// The subject, such as orders-value
    pub(crate) subject: Option<String>,
    /// Id of a schema
    #[arg(long, conflicts_with = "version")]
    pub(crate) id: Option<i32>,
}

/// A schema for a subject.
#[derive(Debug, Args)]
pub(crate) struct SchemaArgs {
    /// The subject, such as orders-value
    pub(crate) subject: String,
    /// File of the schema; `-` is standard input
    #[arg(long, value_name = "FILE", required_unless_present = "schema", conflicts_with = "schema")]
    pub(crate) file: Option<PathBuf>,
    /// The schema itself
    #[arg(long, value_name = "TEXT")]
    pub(crate) schema: Option<String>,
    /// Its language; without it, what the file's name says, or AVRO
    #[arg(long = "type", value_name = "AVRO|JSON|PROTOBUF", value_parser = parsed::<SchemaType>)]
    pub(crate) schema_type: Option<SchemaType>,
    /// Schema that this one names, and where it is registered
    #[arg(long = "reference", value_name = "NAME=SUBJECT:VERSION", value_parser = reference)]
    pub(crate) references: Vec<Reference>,
    /// Put what may come in any order in one order first, so that schemas that mean the same are the same
    #[arg(long)]
    pub(crate) normalize: bool,
}

fn version(text: &str) -> Result<VersionSpec, String> {
    text.parse().map_err(|_| format!("`{text}` is no version: it is a number from 1 on, or latest"))
}

fn parsed<T: FromStr<Err = RegistryError>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: RegistryError| error.message)
}

fn reference(text: &str) -> Result<Reference, String> {
    let wrong = || format!("`{text}` is not NAME=SUBJECT:VERSION");
    let (name, place) = text.rsplit_once('=').ok_or_else(wrong)?;
    // Subjects may hold colons.
    let (subject, number) = place.rsplit_once(':').ok_or_else(wrong)?;
    let version = match version(number).map_err(|_| wrong())? {
        VersionSpec::Number(number) => number,
        // What the registry takes for the newest.
        VersionSpec::Latest => -1,
    };
    Ok(Reference { name: name.to_owned(), subject: subject.to_owned(), version })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_name_a_version_of_a_subject() {
        let found = reference("a.B=:.ctx:b-value:2").unwrap();
        assert_eq!((found.name.as_str(), found.subject.as_str(), found.version), ("a.B", ":.ctx:b-value", 2));
        assert_eq!(reference("x=y:latest").unwrap().version, -1);
        for wrong in ["", "a", "a=b", "a=b:0", "a=b:x"] {
            assert!(reference(wrong).is_err(), "{wrong}");
        }
    }
}
