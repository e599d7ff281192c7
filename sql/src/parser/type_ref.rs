//! Types: `ARRAY<STRUCT<a INT, b DECIMAL(4, 2)>>`, `INT ARRAY`, custom names.

use super::cursor::Cursor;
use crate::ast::TypeRef;
use crate::error::SqlError;
use crate::lexer::TokenKind;
use crate::types::SqlType;

impl Cursor<'_> {
    pub(super) fn type_ref(&mut self) -> Result<TypeRef, SqlError> {
        self.nested(|cursor| {
            let mut ty = cursor.plain_type()?;
            while cursor.take_word("ARRAY") {
                ty = TypeRef::Array(Box::new(ty));
            }
            Ok(ty)
        })
    }

    fn plain_type(&mut self) -> Result<TypeRef, SqlError> {
        let word = match self.word_at(0) {
            Some(word) => word.to_string(),
            None if matches!(self.peek(), TokenKind::Quoted(_)) => {
                return Ok(TypeRef::Custom(self.ident("a type")?));
            }
            None => return Err(self.unexpected(&["a type"])),
        };
        let next = self.peek_at(1);
        let opens = *next == TokenKind::Symbol("<") || *next == TokenKind::Symbol("<>");
        let simple = match word.as_str() {
            "BOOLEAN" => SqlType::Boolean,
            "INT" | "INTEGER" => SqlType::Int,
            "BIGINT" => SqlType::Bigint,
            "DOUBLE" => SqlType::Double,
            "STRING" | "VARCHAR" => SqlType::String,
            "BYTES" => SqlType::Bytes,
            "DATE" => SqlType::Date,
            "TIME" => SqlType::Time,
            "TIMESTAMP" => SqlType::Timestamp,
            "DECIMAL" => return self.decimal_type(),
            "ARRAY" if opens => return self.array_type(),
            "MAP" if opens => return self.map_type(),
            "STRUCT" if opens => return self.struct_type(),
            "ARRAY" | "MAP" | "STRUCT" => {
                self.advance();
                return Err(self.unexpected(&["<"]));
            }
            _ => return Ok(TypeRef::Custom(self.ident("a type")?)),
        };
        self.advance();
        // Lengths are allowed for the sake of other dialects and mean nothing.
        if self.at_symbol("(") {
            let open = self.advance();
            self.list(|cursor| match cursor.take_word("STRING") {
                // `VARCHAR(STRING)` is how DESCRIBE prints the type.
                true => Ok(()),
                false => cursor.unsigned("a length").map(drop),
            })?;
            self.expect_close(")", open)?;
        }
        Ok(TypeRef::Simple(simple))
    }

    fn decimal_type(&mut self) -> Result<TypeRef, SqlError> {
        let start = self.advance();
        let open = self.expect_symbol("(")?;
        let (precision, _) = self.unsigned("a precision")?;
        self.expect_symbol(",")?;
        let (scale, _) = self.unsigned("a scale")?;
        let end = self.expect_close(")", open)?;
        Ok(TypeRef::Simple(SqlType::decimal(precision, scale).map_err(|e| e.at(start.to(end)))?))
    }

    fn array_type(&mut self) -> Result<TypeRef, SqlError> {
        self.advance();
        let open = self.expect_symbol("<")?;
        let item = self.type_ref()?;
        self.expect_close(">", open)?;
        Ok(TypeRef::Array(Box::new(item)))
    }

    fn map_type(&mut self) -> Result<TypeRef, SqlError> {
        self.advance();
        let open = self.expect_symbol("<")?;
        let key = self.type_ref()?;
        self.expect_symbol(",")?;
        let value = self.type_ref()?;
        self.expect_close(">", open)?;
        Ok(TypeRef::Map(Box::new(key), Box::new(value)))
    }

    fn struct_type(&mut self) -> Result<TypeRef, SqlError> {
        self.advance();
        if self.take_symbol("<>") {
            return Ok(TypeRef::Struct(Vec::new()));
        }
        let open = self.expect_symbol("<")?;
        let fields = if self.at_symbol(">") {
            Vec::new()
        } else {
            self.list(|cursor| Ok((cursor.ident("a field name")?, cursor.type_ref()?)))?
        };
        for (i, (name, _)) in fields.iter().enumerate() {
            if fields[..i].iter().any(|(earlier, _)| earlier == name) {
                return Err(
                    SqlError::invalid(format!("duplicate field name in STRUCT: {name}")).at(name.span)
                );
            }
        }
        self.expect_close(">", open)?;
        Ok(TypeRef::Struct(fields))
    }
}
