//! Expressions, by precedence climbing.
//!
//! From loose to tight: OR, AND, NOT, comparisons with BETWEEN IN LIKE IS, `||`, `+ -`, `* / %`, signs, `[] ->`.

use arrow::datatypes::i256;

use super::cursor::Cursor;
use crate::ast::{BinaryOp, CaseBranch, Expr, ExprKind, Ident, Literal, Span, TimeUnit, UnaryOp};
use crate::error::SqlError;
use crate::lexer::TokenKind;
use crate::types::SqlType;

/// How tightly an operator binds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Power {
    Or,
    And,
    Not,
    Comparison,
    Concat,
    Sum,
    Product,
    Sign,
}

/// How many operators of one chain (`a OR b OR c ..`) there may be: each makes the tree one level deeper.
const CHAIN_MAX: usize = 500;

/// What may stand where an expression is expected, in messages.
const EXPRESSION: &str = "an expression";

/// Functions whose first argument is a bare unit of time.
const TAKES_UNIT: [&str; 6] = ["DATEADD", "DATESUB", "TIMEADD", "TIMESUB", "TIMESTAMPADD", "TIMESTAMPSUB"];

impl Cursor<'_> {
    pub(super) fn expr(&mut self) -> Result<Expr, SqlError> {
        self.expr_from(Power::Or)
    }

    /// An expression without AND, OR, NOT and comparisons at its top, as GROUP BY and PARTITION BY want it.
    pub(super) fn value_expr(&mut self) -> Result<Expr, SqlError> {
        self.expr_from(Power::Concat)
    }

    /// An expression made of operators that bind at least as tightly as `least`.
    fn expr_from(&mut self, least: Power) -> Result<Expr, SqlError> {
        self.nested(|cursor| {
            let mut left = cursor.prefix(least)?;
            for _ in 0..CHAIN_MAX {
                match cursor.infix(left, least)? {
                    (expr, true) => left = expr,
                    (expr, false) => return Ok(expr),
                }
            }
            Err(SqlError::syntax(format!("more than {CHAIN_MAX} operators in a row")).at(cursor.here()))
        })
    }

    fn prefix(&mut self, least: Power) -> Result<Expr, SqlError> {
        let start = self.here();
        if least <= Power::Not && self.take_word("NOT") {
            let operand = self.expr_from(Power::Not)?;
            return Ok(self.finish(start, ExprKind::Not(Box::new(operand))));
        }
        let op = match self.peek() {
            TokenKind::Symbol("-") => UnaryOp::Minus,
            TokenKind::Symbol("+") => UnaryOp::Plus,
            _ => return self.postfix(),
        };
        self.advance();
        if op == UnaryOp::Minus
            && let TokenKind::Number(digits) = self.peek()
        {
            let digits = format!("-{digits}");
            let number_end = self.advance();
            let literal = number(&digits, start.to(number_end))?;
            let literal = Expr { kind: ExprKind::Literal(literal), span: start.to(number_end) };
            return self.postfix_of(literal);
        }
        let operand = Box::new(self.expr_from(Power::Sign)?);
        Ok(self.finish(start, ExprKind::Unary { op, operand }))
    }

    /// Adds the next operator to `left` if it binds tightly enough; tells whether it did.
    fn infix(&mut self, left: Expr, least: Power) -> Result<(Expr, bool), SqlError> {
        let start = left.span;
        let (power, op) = match self.peek() {
            TokenKind::Symbol("+") => (Power::Sum, BinaryOp::Add),
            TokenKind::Symbol("-") => (Power::Sum, BinaryOp::Subtract),
            TokenKind::Symbol("*") => (Power::Product, BinaryOp::Multiply),
            TokenKind::Symbol("/") => (Power::Product, BinaryOp::Divide),
            TokenKind::Symbol("%") => (Power::Product, BinaryOp::Modulo),
            TokenKind::Symbol("=") => (Power::Comparison, BinaryOp::Equal),
            TokenKind::Symbol("<>") => (Power::Comparison, BinaryOp::NotEqual),
            TokenKind::Symbol("<") => (Power::Comparison, BinaryOp::Less),
            TokenKind::Symbol("<=") => (Power::Comparison, BinaryOp::LessOrEqual),
            TokenKind::Symbol(">") => (Power::Comparison, BinaryOp::Greater),
            TokenKind::Symbol(">=") => (Power::Comparison, BinaryOp::GreaterOrEqual),
            TokenKind::Symbol("||") if least <= Power::Concat => {
                let name = Ident { name: "CONCAT".to_string(), span: self.advance() };
                let args = vec![left, self.expr_from(Power::Sum)?];
                return Ok((self.finish(start, ExprKind::Call { name, args }), true));
            }
            TokenKind::Word { upper, .. } => match upper.as_str() {
                "AND" => (Power::And, BinaryOp::And),
                "OR" => (Power::Or, BinaryOp::Or),
                _ if least <= Power::Comparison => return self.predicate(left),
                _ => return Ok((left, false)),
            },
            _ => return Ok((left, false)),
        };
        if power < least {
            return Ok((left, false));
        }
        self.advance();
        let right = Box::new(self.expr_from(tighter(power))?);
        let kind = ExprKind::Binary { op, left: Box::new(left), right };
        Ok((self.finish(start, kind), true))
    }

    /// `IS ..`, `[NOT] BETWEEN ..`, `[NOT] IN ..`, `[NOT] LIKE ..` behind `operand`, if one of them comes next.
    fn predicate(&mut self, operand: Expr) -> Result<(Expr, bool), SqlError> {
        let start = operand.span;
        let operand = Box::new(operand);
        let kind = if self.take_word("IS") {
            let negated = self.take_word("NOT");
            if self.take_word("DISTINCT") {
                self.expect_word("FROM")?;
                let right = Box::new(self.expr_from(Power::Concat)?);
                let op = if negated { BinaryOp::IsNotDistinctFrom } else { BinaryOp::IsDistinctFrom };
                ExprKind::Binary { op, left: operand, right }
            } else if self.take_word("NULL") {
                ExprKind::IsNull { operand, negated }
            } else {
                let expected: &[&str] =
                    if negated { &["NULL", "DISTINCT"] } else { &["NULL", "NOT", "DISTINCT"] };
                return Err(self.unexpected(expected));
            }
        } else {
            let negated = self.at_word("NOT") && matches!(self.word_at(1), Some("BETWEEN" | "IN" | "LIKE"));
            if negated {
                self.advance();
            }
            if self.take_word("BETWEEN") {
                let low = Box::new(self.expr_from(Power::Concat)?);
                self.expect_word("AND")?;
                let high = Box::new(self.expr_from(Power::Concat)?);
                ExprKind::Between { operand, low, high, negated }
            } else if self.take_word("IN") {
                let open = self.expect_symbol("(")?;
                let list = self.list(Self::expr)?;
                self.expect_close(")", open)?;
                ExprKind::In { operand, list, negated }
            } else if self.take_word("LIKE") {
                let pattern = Box::new(self.expr_from(Power::Concat)?);
                let escape = self.escape()?;
                ExprKind::Like { operand, pattern, escape, negated }
            } else {
                return Ok((*operand, false));
            }
        };
        Ok((self.finish(start, kind), true))
    }

    fn escape(&mut self) -> Result<Option<char>, SqlError> {
        if !self.take_word("ESCAPE") {
            return Ok(None);
        }
        let (text, span) = self.string("an escape character in quotes")?;
        let mut chars = text.chars();
        match (chars.next(), chars.next()) {
            (Some(c), None) => Ok(Some(c)),
            _ => Err(SqlError::syntax(format!("ESCAPE takes exactly one character, not '{text}'")).at(span)),
        }
    }

    fn postfix(&mut self) -> Result<Expr, SqlError> {
        let base = self.primary()?;
        self.postfix_of(base)
    }

    /// `base` with all subscripts and dereferences behind it. `->*` is left to the SELECT list.
    fn postfix_of(&mut self, mut base: Expr) -> Result<Expr, SqlError> {
        let start = base.span;
        for _ in 0..CHAIN_MAX {
            let kind = if self.at_symbol("[") {
                let open = self.advance();
                let index = Box::new(self.expr()?);
                self.expect_close("]", open)?;
                ExprKind::Subscript { base: Box::new(base), index }
            } else if self.at_symbol("->") && *self.peek_at(1) != TokenKind::Symbol("*") {
                self.advance();
                let field = self.ident("a field name")?;
                ExprKind::Dereference { base: Box::new(base), field }
            } else {
                return Ok(base);
            };
            base = self.finish(start, kind);
        }
        Err(SqlError::syntax(format!("more than {CHAIN_MAX} operators in a row")).at(self.here()))
    }

    fn primary(&mut self) -> Result<Expr, SqlError> {
        let start = self.here();
        let kind = match self.peek().clone() {
            TokenKind::Number(digits) => {
                self.advance();
                ExprKind::Literal(number(&digits, start)?)
            }
            TokenKind::String(text) => {
                self.advance();
                ExprKind::Literal(Literal::String(text))
            }
            TokenKind::Symbol("(") if self.at_lambda_parameters() => {
                let open = self.advance();
                let parameters = self.list(|cursor| cursor.ident("a parameter"))?;
                self.expect_close(")", open)?;
                return self.lambda(start, parameters);
            }
            TokenKind::Symbol("(") => {
                self.advance();
                let inner = self.expr()?;
                let end = self.expect_close(")", start)?;
                return Ok(Expr { span: start.to(end), ..inner });
            }
            TokenKind::Word { upper, .. } => return self.word_expr(&upper),
            TokenKind::Quoted(_) => return self.named(),
            _ => return Err(self.unexpected(&[EXPRESSION])),
        };
        Ok(self.finish(start, kind))
    }

    /// An expression that starts with a bare word.
    fn word_expr(&mut self, word: &str) -> Result<Expr, SqlError> {
        let start = self.here();
        let next = self.peek_at(1).clone();
        let opens = |symbol| next == TokenKind::Symbol(symbol);
        let kind = match word {
            "NULL" => {
                self.advance();
                ExprKind::Literal(Literal::Null)
            }
            "TRUE" | "FALSE" => {
                self.advance();
                ExprKind::Literal(Literal::Boolean(word == "TRUE"))
            }
            "DECIMAL" if matches!(next, TokenKind::String(_)) => {
                self.advance();
                let (text, span) = self.string("a number in quotes")?;
                ExprKind::Literal(decimal(text.trim()).ok_or_else(|| invalid_number(&text, span))?)
            }
            "CASE" => return self.case(),
            "CAST" => return self.cast(),
            "ARRAY" if opens("[") => {
                self.advance();
                let open = self.advance();
                if self.at_symbol("]") {
                    return Err(SqlError::invalid(
                        "Array constructor cannot be empty. Please supply at least one element (see \
                         https://github.com/confluentinc/ksql/issues/4239).",
                    )
                    .at(start.to(self.here())));
                }
                let items = self.list(Self::expr)?;
                self.expect_close("]", open)?;
                ExprKind::Array(items)
            }
            "MAP" if opens("(") => {
                self.advance();
                let open = self.advance();
                if self.at_symbol(")") {
                    return Err(SqlError::invalid(
                        "Map constructor cannot be empty. Please supply at least one key value pair (see \
                         https://github.com/confluentinc/ksql/issues/4239).",
                    )
                    .at(start.to(self.here())));
                }
                let entries = self.list(|cursor| {
                    let key = cursor.expr()?;
                    cursor.expect_symbol(":=")?;
                    Ok((key, cursor.expr()?))
                })?;
                self.expect_close(")", open)?;
                ExprKind::Map(entries)
            }
            "STRUCT" if opens("(") => {
                self.advance();
                let open = self.advance();
                let fields = if self.at_symbol(")") { Vec::new() } else { self.list(Self::struct_field)? };
                self.expect_close(")", open)?;
                ExprKind::Struct(fields)
            }
            // A reserved word that is also a function's name.
            "REPLACE" | "LEFT" | "RIGHT" if opens("(") => {
                let name = Ident { name: word.to_string(), span: self.advance() };
                return self.call(name);
            }
            _ => return self.named(),
        };
        Ok(self.finish(start, kind))
    }

    fn struct_field(&mut self) -> Result<(Ident, Expr), SqlError> {
        let name = self.ident("a field name")?;
        self.expect_symbol(":=")?;
        Ok((name, self.expr()?))
    }

    /// A column, a call or a lambda: whatever starts with a name.
    fn named(&mut self) -> Result<Expr, SqlError> {
        let start = self.here();
        let name = self.ident(EXPRESSION)?;
        if self.at_symbol("(") {
            return self.call(name);
        }
        if self.at_symbol("=>") {
            return self.lambda(start, vec![name]);
        }
        let kind = if self.at_symbol(".") && *self.peek_at(1) != TokenKind::Symbol("*") {
            self.advance();
            ExprKind::Column { source: Some(name), name: self.ident("a column name")? }
        } else {
            ExprKind::Column { source: None, name }
        };
        Ok(self.finish(start, kind))
    }

    fn call(&mut self, name: Ident) -> Result<Expr, SqlError> {
        let start = name.span;
        let open = self.expect_symbol("(")?;
        let mut args = Vec::new();
        if self.at_word("DISTINCT") {
            return Err(SqlError::unsupported(format!("{}(DISTINCT ..) is not supported", name.name))
                .at(self.here())
                .hint("use COUNT_DISTINCT, COLLECT_SET or TOPKDISTINCT"));
        }
        if !self.take_symbol("*") && !self.at_symbol(")") {
            if TAKES_UNIT.contains(&name.name.as_str())
                && let Some(unit) = self.word_at(0).and_then(TimeUnit::from_word)
                && *self.peek_at(1) == TokenKind::Symbol(",")
            {
                let span = self.advance();
                args.push(Expr { kind: ExprKind::TimeUnit(unit), span });
                self.advance();
            }
            args.extend(self.list(Self::expr)?);
        }
        self.expect_close(")", open)?;
        if self.at_word("OVER") && *self.peek_at(1) == TokenKind::Symbol("(") {
            return Err(SqlError::unsupported("OVER is not supported").at(self.here()));
        }
        Ok(self.finish(start, ExprKind::Call { name, args }))
    }

    /// `(a, b) =>` comes next.
    fn at_lambda_parameters(&self) -> bool {
        let mut ahead = 1;
        loop {
            match (self.peek_at(ahead), self.peek_at(ahead + 1)) {
                (TokenKind::Word { .. } | TokenKind::Quoted(_), TokenKind::Symbol(",")) => ahead += 2,
                (TokenKind::Word { .. } | TokenKind::Quoted(_), TokenKind::Symbol(")")) => {
                    return *self.peek_at(ahead + 2) == TokenKind::Symbol("=>");
                }
                _ => return false,
            }
        }
    }

    fn lambda(&mut self, start: Span, parameters: Vec<Ident>) -> Result<Expr, SqlError> {
        self.expect_symbol("=>")?;
        let body = Box::new(self.expr()?);
        Ok(self.finish(start, ExprKind::Lambda { parameters, body }))
    }

    fn case(&mut self) -> Result<Expr, SqlError> {
        let start = self.advance();
        let operand = if self.at_word("WHEN") { None } else { Some(Box::new(self.expr()?)) };
        let mut branches = Vec::new();
        while self.take_word("WHEN") {
            let when = self.expr()?;
            self.expect_word("THEN")?;
            branches.push(CaseBranch { when, then: self.expr()? });
        }
        if branches.is_empty() {
            return Err(self.unexpected(&["WHEN"]));
        }
        let otherwise = if self.take_word("ELSE") { Some(Box::new(self.expr()?)) } else { None };
        if !self.take_word("END") {
            let expected: &[&str] = if otherwise.is_some() { &["END"] } else { &["WHEN", "ELSE", "END"] };
            return Err(self.unexpected(expected));
        }
        Ok(self.finish(start, ExprKind::Case { operand, branches, otherwise }))
    }

    fn cast(&mut self) -> Result<Expr, SqlError> {
        let start = self.advance();
        let open = self.expect_symbol("(")?;
        let operand = Box::new(self.expr()?);
        self.expect_word("AS")?;
        let to = self.type_ref()?;
        self.expect_close(")", open)?;
        Ok(self.finish(start, ExprKind::Cast { operand, to }))
    }

    /// A literal, as in WITH clauses.
    pub(super) fn literal(&mut self) -> Result<(Literal, Span), SqlError> {
        let expr = self.prefix(Power::Sign)?;
        match expr.kind {
            ExprKind::Literal(literal) => Ok((literal, expr.span)),
            _ => Err(SqlError::syntax(
                "expected a literal: a string in single quotes, a number, TRUE or FALSE",
            )
            .at(expr.span)),
        }
    }

    fn finish(&self, start: Span, kind: ExprKind) -> Expr {
        Expr { kind, span: start.to(self.before()) }
    }
}

fn tighter(power: Power) -> Power {
    match power {
        Power::Or => Power::And,
        Power::And => Power::Not,
        Power::Not => Power::Comparison,
        Power::Comparison => Power::Concat,
        Power::Concat => Power::Sum,
        Power::Sum => Power::Product,
        Power::Product | Power::Sign => Power::Sign,
    }
}

/// A number with the type its digits give it.
fn number(digits: &str, span: Span) -> Result<Literal, SqlError> {
    if digits.contains(['e', 'E']) {
        return match digits.parse::<f64>() {
            Ok(value) if value.is_finite() => Ok(Literal::Double(value)),
            _ => Err(SqlError::malformed(format!("Number overflows DOUBLE: {digits}"))
                .prefixed("Failed to prepare statement: ")
                .at(span)
                .hint("a DOUBLE reaches to 1.7E308")),
        };
    }
    if digits.contains('.') {
        return decimal(digits).ok_or_else(|| {
            let most = SqlType::DECIMAL_PRECISION_MAX;
            invalid_number(digits, span).hint(format!("a DECIMAL has at most {most} digits"))
        });
    }
    let Ok(value) = digits.parse::<i64>() else {
        return Err(invalid_number(digits, span).hint(format!(
            "a BIGINT reaches from {} to {}",
            i64::MIN,
            i64::MAX
        )));
    };
    Ok(i32::try_from(value).map_or(Literal::Bigint(value), Literal::Int))
}

fn invalid_number(digits: &str, span: Span) -> SqlError {
    SqlError::malformed(format!("Invalid numeric literal: {digits}"))
        .prefixed("Failed to prepare statement: ")
        .at(span)
}

/// An exact decimal with as many digits as written; a zero in front of the point counts only if nothing else does.
pub(crate) fn decimal(text: &str) -> Option<Literal> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty()
        || !whole.bytes().chain(fraction.bytes()).all(|b| b.is_ascii_digit())
    {
        return None;
    }
    let whole = whole.trim_start_matches('0');
    let precision = if whole.is_empty() { fraction.len() + 1 } else { whole.len() + fraction.len() };
    let precision = u8::try_from(precision).ok().filter(|p| *p <= SqlType::DECIMAL_PRECISION_MAX)?;
    let sign = if negative { "-" } else { "" };
    let unscaled = i256::from_string(&format!("{sign}0{whole}{fraction}"))?;
    let scale = i8::try_from(fraction.len()).ok()?;
    Some(Literal::Decimal { unscaled, precision, scale })
}
