//! Types as written: custom type names are not looked up yet.

use crate::ast::Ident;
use crate::error::SqlError;
use crate::types::{SqlType, StructField};

/// A type in a statement.
#[derive(Clone, Debug, PartialEq)]
pub enum TypeRef {
    /// A type without parts.
    Simple(SqlType),
    /// `ARRAY<T>`
    Array(Box<TypeRef>),
    /// `MAP<K, V>`
    Map(Box<TypeRef>, Box<TypeRef>),
    /// `STRUCT<name T, ..>`
    Struct(Vec<(Ident, TypeRef)>),
    /// The name of a type made with CREATE TYPE.
    Custom(Ident),
}

impl TypeRef {
    /// The type meant, with custom names looked up through `custom`.
    ///
    /// Fails at the first name that `custom` does not know.
    pub fn resolve(&self, custom: &dyn Fn(&str) -> Option<SqlType>) -> Result<SqlType, SqlError> {
        Ok(match self {
            Self::Simple(ty) => ty.clone(),
            Self::Array(item) => SqlType::Array(Box::new(item.resolve(custom)?)),
            Self::Map(key, value) => {
                SqlType::Map(Box::new(key.resolve(custom)?), Box::new(value.resolve(custom)?))
            }
            Self::Struct(fields) => SqlType::Struct(
                fields
                    .iter()
                    .map(|(name, ty)| Ok(StructField { name: name.name.clone(), ty: ty.resolve(custom)? }))
                    .collect::<Result<_, SqlError>>()?,
            ),
            Self::Custom(name) => {
                custom(&name.name).ok_or_else(|| {
                    SqlError::invalid(format!("cannot resolve unknown type: {name}"))
                        .at(name.span)
                        .hint_nearest(&name.name, SqlType::SIMPLE_NAMES, "valid types")
                })?
            }
        })
    }

    /// The type meant when no custom types exist.
    pub fn resolve_builtin(&self) -> Result<SqlType, SqlError> {
        self.resolve(&|_| None)
    }
}

impl From<SqlType> for TypeRef {
    fn from(ty: SqlType) -> Self {
        Self::Simple(ty)
    }
}
