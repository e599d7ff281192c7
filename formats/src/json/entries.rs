//! The entries of a map. Of those with the same key the last counts.

use jiter::{Jiter, Peek};

use crate::{
    column::{Column, Maps},
    json::fault::{Fault, Step},
};

/// Reads a map with `read`, which leaves out entries at the positions it is given, in order. It is called again if keys
/// are repeated.
pub(crate) fn read_distinct<'j>(
    jiter: &mut Jiter<'j>,
    column: &mut Maps,
    mut read: impl FnMut(&mut Jiter<'j>, &mut Maps, &[usize]) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let start = jiter.clone();
    read(jiter, column, &[])?;
    let repeated = column.repeated_keys();
    if !repeated.is_empty() {
        column.reopen();
        *jiter = start;
        read(jiter, column, &repeated)?;
    }
    column.end(true);
    Ok(())
}

/// Reads the members of an object as entries, their values with `read`.
pub(crate) fn read_members<'j>(
    jiter: &mut Jiter<'j>,
    column: &mut Maps,
    skipped: &[usize],
    mut read: impl FnMut(&mut Jiter<'j>, Peek, &mut Column) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let mut position = 0;
    let mut next = jiter.known_object()?;
    while let Some(key) = next {
        if skipped.binary_search(&position).is_ok() {
            jiter.next_skip()?;
        } else {
            column.keys.push(key.as_bytes());
            let peek = jiter.peek()?;
            read(jiter, peek, &mut column.values).map_err(|fault| {
                let key = column.keys.get(column.keys.len() - 1);
                fault.inside(Step::Field(String::from_utf8_lossy(key).into_owned()))
            })?;
        }
        position += 1;
        next = jiter.next_key()?;
    }
    Ok(())
}
