//! Statements.

use crate::ast::{Expr, Ident, Interval, Literal, Query, Span, TypeRef};
use crate::error::SqlError;

/// One statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// `CREATE {STREAM|TABLE} name (columns) WITH (..)`
    CreateSource(CreateSource),
    /// `CREATE {STREAM|TABLE} name AS query`
    CreateAs(CreateAs),
    /// `INSERT INTO name query`
    InsertSelect(InsertSelect),
    /// `INSERT INTO name (columns) VALUES (..)`
    InsertValues(InsertValues),
    /// A query whose result goes to the client: push with EMIT, pull without.
    Select(Query),
    /// A query over data at rest with what [`Query`] has no place for: joins, ORDER BY, CTEs, subqueries, OVER, AS OF.
    AtRest(String),
    /// `DROP {STREAM|TABLE} [IF EXISTS] name [DELETE TOPIC]`
    DropSource {
        /// What is dropped.
        kind: SourceKind,
        /// Its name.
        name: Ident,
        /// A missing source is no error.
        if_exists: bool,
        /// The topic goes too.
        delete_topic: bool,
    },
    /// `ALTER {STREAM|TABLE} name ADD [COLUMN] c type, ..`
    AlterSource {
        /// What is altered.
        kind: SourceKind,
        /// Its name.
        name: Ident,
        /// The new columns.
        add: Vec<(Ident, TypeRef)>,
    },
    /// `ALTER SYSTEM 'p'='v'`
    AlterSystem {
        /// Name and value.
        property: Property,
    },
    /// `TERMINATE {id|ALL}`
    Terminate(QueryTarget),
    /// `PAUSE {id|ALL}`
    Pause(QueryTarget),
    /// `RESUME {id|ALL}`
    Resume(QueryTarget),
    /// `SHOW ..`, `LIST ..`
    Show(Show),
    /// `DESCRIBE ..`
    Describe(Describe),
    /// `EXPLAIN {query id|statement}`
    Explain(ExplainTarget),
    /// `PRINT topic ..`
    Print(Print),
    /// `SET 'p'='v'`
    Set(Property),
    /// `UNSET 'p'`
    Unset {
        /// The property.
        name: String,
        /// Where it stands.
        span: Span,
    },
    /// `DEFINE name='v'`
    Define {
        /// The variable.
        name: Ident,
        /// Its text.
        value: String,
    },
    /// `UNDEFINE name`
    Undefine(Ident),
    /// `CREATE TYPE [IF NOT EXISTS] name AS type`
    CreateType {
        /// The new name.
        name: Ident,
        /// What it stands for.
        ty: TypeRef,
        /// An existing type of that name is no error.
        if_not_exists: bool,
    },
    /// `DROP TYPE [IF EXISTS] name`
    DropType {
        /// The name.
        name: Ident,
        /// A missing type is no error.
        if_exists: bool,
    },
    /// `CREATE {SOURCE|SINK} CONNECTOR [IF NOT EXISTS] name WITH (..)`
    CreateConnector {
        /// The direction.
        kind: ConnectorKind,
        /// Its name.
        name: Ident,
        /// An existing connector of that name is no error.
        if_not_exists: bool,
        /// Its configuration.
        with: Properties,
    },
    /// `DROP CONNECTOR [IF EXISTS] name`
    DropConnector {
        /// Its name.
        name: Ident,
        /// A missing connector is no error.
        if_exists: bool,
    },
    /// `ASSERT ..`
    Assert(Assertion),
}

/// What happens when the name exists already.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnExisting {
    /// It is an error.
    #[default]
    Fail,
    /// `IF NOT EXISTS`: nothing happens.
    Keep,
    /// `OR REPLACE`: it is upgraded in place.
    Replace,
}

/// Streams and tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SourceKind {
    /// Independent events.
    Stream,
    /// The latest row of each key.
    Table,
}

/// `CREATE [OR REPLACE] [SOURCE] {STREAM|TABLE} [IF NOT EXISTS] name (columns) WITH (..)`
#[derive(Clone, Debug, PartialEq)]
pub struct CreateSource {
    /// What is created.
    pub kind: SourceKind,
    /// Its name.
    pub name: Ident,
    /// What if the name exists.
    pub on_existing: OnExisting,
    /// `SOURCE`: it can only be read.
    pub read_only: bool,
    /// The columns in the order written; may be empty (inferred).
    pub columns: Vec<ColumnDef>,
    /// The WITH clause.
    pub with: Properties,
}

/// A column declaration.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnDef {
    /// Its name.
    pub name: Ident,
    /// Its type.
    pub ty: TypeRef,
    /// What it is besides a value column.
    pub constraint: Option<ColumnConstraint>,
    /// Where the declaration stands.
    pub span: Span,
}

/// What a column is besides a value column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnConstraint {
    /// `KEY`, of streams.
    Key,
    /// `PRIMARY KEY`, of tables.
    PrimaryKey,
    /// `HEADERS`: all headers.
    Headers,
    /// `HEADER('name')`: the last header of that name.
    Header(String),
}

/// `CREATE [OR REPLACE] {STREAM|TABLE} [IF NOT EXISTS] name [WITH (..)] AS query`
#[derive(Clone, Debug, PartialEq)]
pub struct CreateAs {
    /// What is created.
    pub kind: SourceKind,
    /// Its name.
    pub name: Ident,
    /// What if the name exists.
    pub on_existing: OnExisting,
    /// The WITH clause.
    pub with: Properties,
    /// What fills it.
    pub query: Query,
}

/// `INSERT INTO target [WITH (..)] query`
#[derive(Clone, Debug, PartialEq)]
pub struct InsertSelect {
    /// The stream written to.
    pub target: Ident,
    /// The WITH clause.
    pub with: Properties,
    /// What is written.
    pub query: Query,
}

/// `INSERT INTO target [(columns)] VALUES (values)`
#[derive(Clone, Debug, PartialEq)]
pub struct InsertValues {
    /// The stream or table written to.
    pub target: Ident,
    /// The columns given; empty means all, keys first.
    pub columns: Vec<Ident>,
    /// One row of constant expressions.
    pub values: Vec<Expr>,
}

/// Which queries a statement is about.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryTarget {
    /// One, by id.
    Id(Ident),
    /// All persistent ones.
    All,
}

/// What SHOW lists.
#[derive(Clone, Debug, PartialEq)]
pub enum Show {
    /// `SHOW STREAMS [EXTENDED]`
    Streams {
        /// With the details of DESCRIBE EXTENDED.
        extended: bool,
    },
    /// `SHOW TABLES [EXTENDED]`
    Tables {
        /// With the details of DESCRIBE EXTENDED.
        extended: bool,
    },
    /// `SHOW [ALL] TOPICS [EXTENDED]`
    Topics {
        /// Internal topics too.
        all: bool,
        /// With consumers.
        extended: bool,
    },
    /// `SHOW QUERIES [EXTENDED]`
    Queries {
        /// With the details of EXPLAIN.
        extended: bool,
    },
    /// `SHOW FUNCTIONS`
    Functions,
    /// `SHOW PROPERTIES`
    Properties,
    /// `SHOW TYPES`
    Types,
    /// `SHOW VARIABLES`
    Variables,
    /// `SHOW [SOURCE|SINK] CONNECTORS`
    Connectors {
        /// Only those of one direction.
        kind: Option<ConnectorKind>,
    },
    /// `SHOW CONNECTOR PLUGINS`
    ConnectorPlugins,
}

/// What DESCRIBE describes.
#[derive(Clone, Debug, PartialEq)]
pub enum Describe {
    /// One stream or table.
    Source {
        /// Its name.
        name: Ident,
        /// With formats, topic, queries, statistics.
        extended: bool,
    },
    /// All streams.
    Streams {
        /// With the details.
        extended: bool,
    },
    /// All tables.
    Tables {
        /// With the details.
        extended: bool,
    },
    /// A function.
    Function(Ident),
    /// A connector.
    Connector(Ident),
}

/// What EXPLAIN explains.
#[derive(Clone, Debug, PartialEq)]
pub enum ExplainTarget {
    /// A running query.
    Query(Ident),
    /// A statement that is not run.
    Statement(Box<Statement>),
}

/// `PRINT topic [FROM BEGINNING] [{INTERVAL|SAMPLE} n] [LIMIT n]`
#[derive(Clone, Debug, PartialEq)]
pub struct Print {
    /// The topic, in the case written.
    pub topic: Ident,
    /// From the first record instead of the next.
    pub from_beginning: bool,
    /// Every how many records one is printed; 1 by default.
    pub interval: u64,
    /// At most this many records.
    pub limit: Option<u64>,
}

/// Directions of connectors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectorKind {
    /// Into the log.
    Source,
    /// Out of the log.
    Sink,
}

/// What ASSERT checks.
#[derive(Clone, Debug, PartialEq)]
pub enum Assertion {
    /// `ASSERT [NOT EXISTS] TOPIC name [WITH (..)] [TIMEOUT n unit]`
    Topic {
        /// The topic, in the case written.
        name: Ident,
        /// It must be there, or must not.
        exists: bool,
        /// Expected configuration.
        with: Properties,
        /// How long to wait.
        timeout: Option<Interval>,
    },
    /// `ASSERT [NOT EXISTS] SCHEMA [SUBJECT s] [ID n] [TIMEOUT n unit]`
    Schema {
        /// The subject.
        subject: Option<String>,
        /// The schema id.
        id: Option<i32>,
        /// It must be there, or must not.
        exists: bool,
        /// How long to wait.
        timeout: Option<Interval>,
    },
    /// `ASSERT VALUES src (cols) VALUES (..)`
    Values(InsertValues),
    /// `ASSERT NULL VALUES src (cols) KEY (..)`
    Tombstone(InsertValues),
    /// `ASSERT {STREAM|TABLE} name [(cols)] [WITH (..)]`
    Source(CreateSource),
}

/// A `WITH (name = literal, ..)` clause.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Properties {
    /// The properties in the order written, each name once.
    pub entries: Vec<Property>,
    /// Where the clause stands, when there is one.
    pub span: Option<Span>,
}

/// One property.
#[derive(Clone, Debug, PartialEq)]
pub struct Property {
    /// Its name; upper case unless it was quoted.
    pub name: String,
    /// Its value.
    pub value: Literal,
    /// Where the name stands.
    pub name_span: Span,
    /// Where the value stands.
    pub value_span: Span,
}

impl Properties {
    /// The property of that name, compared without regard to case.
    pub fn get(&self, name: &str) -> Option<&Property> {
        self.entries.iter().find(|p| p.name.eq_ignore_ascii_case(name))
    }

    /// Whether nothing was given.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Fails if a property's name is not among `valid`, naming all such and the valid one nearest to the first.
    pub fn check_names(&self, valid: &[&str]) -> Result<(), SqlError> {
        let unknown = |p: &&Property| !valid.iter().any(|v| v.eq_ignore_ascii_case(&p.name));
        let unknown: Vec<&Property> = self.entries.iter().filter(unknown).collect();
        let Some(first) = unknown.first() else { return Ok(()) };
        let names: Vec<&str> = unknown.iter().map(|p| p.name.as_str()).collect();
        Err(SqlError::invalid(format!("Invalid config variable(s) in the WITH clause: {}", names.join(", ")))
            .at(first.name_span)
            .hint_nearest(&first.name.to_uppercase(), valid, "valid names"))
    }
}

impl Property {
    /// The value as text: a string's content, or the literal as written.
    pub fn text(&self) -> String {
        match &self.value {
            Literal::String(text) => text.clone(),
            other => other.to_string(),
        }
    }

    /// The value as a whole number; numbers in strings count too.
    pub fn integer(&self) -> Result<i64, SqlError> {
        match &self.value {
            Literal::Int(n) => return Ok(i64::from(*n)),
            Literal::Bigint(n) => return Ok(*n),
            Literal::String(text) => {
                if let Ok(n) = text.trim().parse() {
                    return Ok(n);
                }
            }
            _ => {}
        }
        Err(self.wrong("a whole number"))
    }

    /// The value as a truth value; `'true'` and `'false'` count too.
    pub fn boolean(&self) -> Result<bool, SqlError> {
        match &self.value {
            Literal::Boolean(b) => Ok(*b),
            Literal::String(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Literal::String(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            _ => Err(self.wrong("true or false")),
        }
    }

    /// The value as a string, nothing else.
    pub fn string(&self) -> Result<&str, SqlError> {
        match &self.value {
            Literal::String(text) => Ok(text),
            _ => Err(self.wrong("a string in single quotes")),
        }
    }

    /// The error that this property's value is not `expected`.
    pub fn wrong(&self, expected: &str) -> SqlError {
        SqlError::invalid(format!(
            "invalid value {} for property {}: expected {expected}",
            self.value, self.name
        ))
        .at(self.value_span)
    }
}
