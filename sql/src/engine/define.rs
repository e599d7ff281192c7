//! Statements that change the catalogue: checked, kept, applied.

use super::{Engine, EngineState, Mode, target_ids};
use crate::{
    analysis,
    ast::{Ident, Spanned, Statement, TypeRef},
    command::Command,
    error::SqlError,
    result::Outcome,
    session::Session,
};

impl Engine {
    /// Applies a statement for the first time and keeps it.
    pub(super) fn define(
        &self,
        session: &Session,
        statement: &Spanned<Statement>,
    ) -> Result<Outcome, SqlError> {
        let mut state = self.lock();
        // What ALTER SYSTEM sets holds where the session has nothing of its own.
        let mut properties = state.system.clone();
        properties.extend(session.properties.clone());
        let command = Command { statement: statement.text.clone(), properties };
        let number = state.commands.next()?;
        self.apply(&mut state, number, statement, &command, Mode::Live)
    }

    /// Checks a statement, keeps it if it is new, and applies it. Number `number` in the command topic is its own.
    pub(super) fn apply(
        &self,
        state: &mut EngineState,
        number: u64,
        statement: &Spanned<Statement>,
        command: &Command,
        mode: Mode,
    ) -> Result<Outcome, SqlError> {
        match &statement.node {
            Statement::CreateSource(create) => self.create_source(state, number, create, command, mode),
            Statement::CreateAs(create) => self.create_as(state, number, create, command, mode),
            Statement::InsertSelect(insert) => self.insert_select(state, number, insert, command, mode),
            Statement::DropSource { kind, name, if_exists, delete_topic } => {
                let source = match self.droppable(state, *kind, name, *delete_topic) {
                    Ok(Some(source)) => source,
                    Ok(None) if *if_exists => {
                        return Ok(Outcome::Message(format!("Source {name} does not exist.")));
                    }
                    Ok(None) => return Err(super::source::missing(&state.catalogue, name)),
                    Err(error) => return Err(error),
                };
                if *delete_topic && mode == Mode::Live {
                    // First, for a registry may be out of reach: then nothing has happened.
                    self.delete_schemas(&source)?;
                }
                keep(state, command, mode)?;
                self.drop_source(state, &source, *delete_topic, mode)?;
                Ok(Outcome::Message(format!("Source {name} was dropped.")))
            }
            Statement::AlterSource { kind, name, add } => {
                let altered = super::source::altered(&state.catalogue, *kind, name, add)?;
                if mode == Mode::Live {
                    self.register_schemas(&altered, false, name.span)?;
                }
                keep(state, command, mode)?;
                state.catalogue.put(altered);
                Ok(Outcome::Message(format!("{kind} {name} was altered.")))
            }
            Statement::Terminate(target) => {
                let ids = target_ids(&state.queries, target)?;
                if let Some(id) = ids.iter().find(|id| id.starts_with("CST_")) {
                    return Err(SqlError::invalid(format!(
                        "Cannot terminate query '{id}' because it is linked to a source table."
                    ))
                    .at(statement.span));
                }
                keep(state, command, mode)?;
                for id in &ids {
                    self.terminate(state, id, mode);
                }
                Ok(Outcome::Message(format!("Query terminated: {}", ids.join(", "))))
            }
            Statement::Pause(target) => {
                let ids = target_ids(&state.queries, target)?;
                keep(state, command, mode)?;
                set_paused(state, &ids, true);
                Ok(Outcome::Message(format!("Query paused: {}", ids.join(", "))))
            }
            Statement::Resume(target) => {
                let ids = target_ids(&state.queries, target)?;
                keep(state, command, mode)?;
                set_paused(state, &ids, false);
                Ok(Outcome::Message(format!("Query resumed: {}", ids.join(", "))))
            }
            Statement::CreateType { name, ty, if_not_exists } => {
                create_type(state, name, ty, *if_not_exists, command, mode)
            }
            Statement::DropType { name, if_exists } => {
                if state.catalogue.custom_type(&name.name).is_none() {
                    if *if_exists {
                        return Ok(Outcome::Message(format!("Type {name} does not exist")));
                    }
                    return Err(SqlError::invalid(format!("Type {name} does not exist.")).at(name.span));
                }
                keep(state, command, mode)?;
                state.catalogue.remove_type(&name.name);
                Ok(Outcome::Message(format!("Dropped type '{name}'")))
            }
            Statement::AlterSystem { property } => {
                let (name, value) =
                    crate::config::check(&property.name, &property.text(), property.name_span)?;
                keep(state, command, mode)?;
                let message = format!("System property '{name}' is '{value}' for queries made from now on.");
                state.system.insert(name, value);
                Ok(Outcome::Message(message))
            }
            _ => {
                Err(SqlError::unsupported("this statement does not change the catalogue").at(statement.span))
            }
        }
    }
}

fn create_type(
    state: &mut EngineState,
    name: &Ident,
    ty: &TypeRef,
    if_not_exists: bool,
    command: &Command,
    mode: Mode,
) -> Result<Outcome, SqlError> {
    if let Some(known) = state.catalogue.custom_type(&name.name) {
        if if_not_exists {
            return Ok(Outcome::Message(format!("{name} is already registered with type: {known}")));
        }
        let message =
            format!("Cannot register custom type '{name}' since it is already registered with type: {known}");
        return Err(SqlError::invalid(message).at(name.span));
    }
    let ty = ty.resolve(&analysis::custom_types(&state.catalogue))?;
    keep(state, command, mode)?;
    let message = format!("Registered custom type with name '{name}' and SQL type {ty}");
    state.catalogue.put_type(name.name.clone(), ty);
    Ok(Outcome::Message(message))
}

fn set_paused(state: &mut EngineState, ids: &[String], paused: bool) {
    for id in ids {
        if let Some(query) = state.queries.get_mut(id) {
            query.set_paused(paused);
        }
    }
}

/// Keeps a statement that was checked, unless it comes from there.
pub(super) fn keep(state: &mut EngineState, command: &Command, mode: Mode) -> Result<(), SqlError> {
    match mode {
        Mode::Live => state.commands.append(command),
        Mode::Replay => Ok(()),
    }
}
