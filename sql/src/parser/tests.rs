use arrow::datatypes::i256;

use super::{is_complete, parse, parse_expr, parse_one, parse_piece, split};
use crate::ast::*;

/// Parses a query or expression, prints it, and checks that the print parses to the same.
fn round_trip(text: &str) -> String {
    match parse_expr(text) {
        Ok(expr) => {
            let printed = expr.to_string();
            assert_eq!(parse_expr(&printed).unwrap(), expr, "{text} printed as {printed}");
            printed
        }
        Err(error) => panic!("{}", error.render(text)),
    }
}

fn fails(text: &str) -> String {
    match parse(text) {
        Ok(statements) => panic!("{text} is accepted as {statements:?}"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn expressions_nest_by_precedence() {
    for (text, expected) in [
        ("1 + 2 * 3", "(1 + (2 * 3))"),
        ("a - b - c", "((A - B) - C)"),
        ("a-1", "(A - 1)"),
        ("-a * b", "(-(A) * B)"),
        ("- 5", "-5"),
        ("-5[1]", "-5[1]"),
        ("a || b || c = 'x'", "(CONCAT(CONCAT(A, B), C) = 'x')"),
        ("a + b || c", "CONCAT((A + B), C)"),
        ("NOT a = b AND c OR d", "(((NOT (A = B)) AND C) OR D)"),
        ("a or b and not c", "(A OR (B AND (NOT C)))"),
        ("a BETWEEN 1 AND 2 AND b", "((A BETWEEN 1 AND 2) AND B)"),
        ("a NOT BETWEEN 1+1 AND 2", "(A NOT BETWEEN (1 + 1) AND 2)"),
        ("a IN (1, 2) = true", "((A IN (1, 2)) = true)"),
        ("a not in (1)", "(A NOT IN (1))"),
        ("a LIKE 'x%' ESCAPE '!'", "(A LIKE 'x%' ESCAPE '!')"),
        ("a IS NOT NULL", "(A IS NOT NULL)"),
        ("a IS DISTINCT FROM b + 1", "(A IS DISTINCT FROM (B + 1))"),
        ("a IS NOT DISTINCT FROM NULL", "(A IS NOT DISTINCT FROM null)"),
        ("s.a->b->`c`[1]['k']", "S.A->B->`c`[1]['k']"),
        ("-a->b", "-(A->B)"),
        ("(-a)->b", "(-(A))->B"),
        ("CASE WHEN a > 1 THEN 'x' ELSE 'y' END", "(CASE WHEN (A > 1) THEN 'x' ELSE 'y' END)"),
        ("CASE a WHEN 1 THEN 2 END", "(CASE A WHEN 1 THEN 2 END)"),
        ("CAST(a AS DECIMAL(4, 2))", "CAST(A AS DECIMAL(4, 2))"),
        ("cast(a as array<my_type>)", "CAST(A AS ARRAY<MY_TYPE>)"),
        ("COUNT(*)", "COUNT()"),
        ("f(x => x + 1, (a, b) => a * b)", "F(X => (X + 1), (A, B) => (A * B))"),
        ("(a)", "A"),
        ("((a, b) => a)", "(A, B) => A"),
        ("ARRAY[1, 2][1]", "ARRAY[1, 2][1]"),
        ("MAP('a' := 1, 'b' := 2)['a']", "MAP('a':=1, 'b':=2)['a']"),
        ("STRUCT(a := 1, `b` := 'x')->`b`", "STRUCT(A:=1, `b`:='x')->`b`"),
        ("TIMESTAMPADD(MINUTES, 5, ts)", "TIMESTAMPADD(MINUTES, 5, TS)"),
        ("timestampadd(day, 5, ts)", "TIMESTAMPADD(DAYS, 5, TS)"),
        ("COALESCE(hour, 0)", "COALESCE(HOUR, 0)"),
        ("REPLACE(a, 'b', 'c')", "REPLACE(A, 'b', 'c')"),
        ("map[1] + array", "(MAP[1] + ARRAY)"),
        ("1st + \"x\"\"y\"", "(1ST + `x\"y`)"),
        ("'it''s'", "'it''s'"),
        ("a % 2 <> 0", "((A % 2) <> 0)"),
        ("a != b", "(A <> B)"),
        ("+a", "+(A)"),
        ("- - 1", "-(-1)"),
        ("SUBSTRING(a, 1)", "SUBSTRING(A, 1)"),
        ("trim(a)", "TRIM(A)"),
        ("UNIX_TIMESTAMP()", "UNIX_TIMESTAMP()"),
        ("`select`", "`select`"),
        ("`SELECT`", "`SELECT`"),
    ] {
        assert_eq!(round_trip(text), expected, "{text}");
    }
}

#[test]
fn literals_have_the_type_of_their_digits() {
    let decimal = |unscaled, precision, scale| Literal::Decimal {
        unscaled: i256::from_i128(unscaled),
        precision,
        scale,
    };
    let (wide, wider) = ("7".repeat(75), "7".repeat(76));
    for (text, expected) in [
        ("1", Literal::Int(1)),
        ("2147483647", Literal::Int(i32::MAX)),
        ("2147483648", Literal::Bigint(1 << 31)),
        ("-2147483648", Literal::Int(i32::MIN)),
        ("-9223372036854775808", Literal::Bigint(i64::MIN)),
        ("1.5", decimal(15, 2, 1)),
        ("1.", decimal(1, 1, 0)),
        (".5", decimal(5, 2, 1)),
        ("0.005", decimal(5, 4, 3)),
        ("-01.50", decimal(-150, 3, 2)),
        ("DECIMAL '1.50'", decimal(150, 3, 2)),
        ("1.00000000000000000000000000000000000005", decimal(10i128.pow(38) + 5, 39, 38)),
        (
            &format!("-{wide}.7"),
            Literal::Decimal {
                unscaled: i256::from_string(&format!("-{wider}")).unwrap(),
                precision: 76,
                scale: 1,
            },
        ),
        ("1e3", Literal::Double(1000.0)),
        ("1.2E-3", Literal::Double(0.0012)),
        ("true", Literal::Boolean(true)),
        ("null", Literal::Null),
    ] {
        assert_eq!(parse_expr(text).unwrap().kind, ExprKind::Literal(expected), "{text}");
    }
    for text in ["9223372036854775808", &format!("{wider}.7"), "DECIMAL 'x'"] {
        assert!(parse_expr(text).unwrap_err().to_string().contains("Invalid numeric literal"), "{text}");
    }
}

#[test]
fn queries_print_and_parse_to_the_same() {
    for (text, expected) in [
        ("select * from s", "SELECT * FROM S"),
        (
            "SELECT a, b AS c, d e, s.*, x->* FROM s EMIT CHANGES LIMIT 5",
            "SELECT A, B AS C, D AS E, S.*, X->* FROM S EMIT CHANGES LIMIT 5",
        ),
        (
            "SELECT k, COUNT(*) FROM s WINDOW TUMBLING (SIZE 1 HOUR, RETENTION 2 DAYS, GRACE PERIOD 5 MINUTES) WHERE v > 1 \
             GROUP BY k HAVING COUNT(*) > 1 EMIT FINAL",
            "SELECT K, COUNT() FROM S WINDOW TUMBLING (SIZE 1 HOURS, RETENTION 2 DAYS, GRACE PERIOD 5 MINUTES) WHERE (V > 1) \
             GROUP BY K HAVING (COUNT() > 1) EMIT FINAL",
        ),
        (
            "SELECT 1 FROM s WINDOW HOPPING (SIZE 10 SECONDS, ADVANCE BY 5 SECONDS) GROUP BY (a, b)",
            "SELECT 1 FROM S WINDOW HOPPING (SIZE 10 SECONDS, ADVANCE BY 5 SECONDS) GROUP BY A, B",
        ),
        (
            "SELECT 1 FROM s WINDOW SESSION (10 SECOND) GROUP BY (a)",
            "SELECT 1 FROM S WINDOW SESSION (10 SECONDS) GROUP BY A",
        ),
        (
            "SELECT 1 FROM s GROUP BY (a) + 1, b EMIT CHANGES",
            "SELECT 1 FROM S GROUP BY (A + 1), B EMIT CHANGES",
        ),
        ("SELECT 1 FROM s PARTITION BY NULL", "SELECT 1 FROM S PARTITION BY null"),
        (
            "SELECT * FROM a JOIN b AS x ON a.id = x.id LEFT JOIN c WITHIN 1 DAY GRACE PERIOD 1 HOUR ON a.id = c.id \
             FULL OUTER JOIN d WITHIN (1 HOUR, 2 HOURS) ON a.id = d.id EMIT CHANGES",
            "SELECT * FROM A INNER JOIN B AS X ON (A.ID = X.ID) LEFT OUTER JOIN C WITHIN 1 DAYS GRACE PERIOD 1 HOURS ON \
             (A.ID = C.ID) FULL OUTER JOIN D WITHIN (1 HOURS, 2 HOURS) ON (A.ID = D.ID) EMIT CHANGES",
        ),
    ] {
        let Statement::Select(query) = parse_one(text).unwrap().node else { panic!("{text}") };
        assert_eq!(query.to_string(), expected, "{text}");
        let Statement::Select(again) = parse_one(expected).unwrap().node else { panic!("{expected}") };
        assert_eq!(again.to_string(), expected);
    }
}

#[test]
fn what_ends_and_is_beyond_pull_queries_is_left_to_datafusion() {
    for text in [
        "SELECT a, COUNT(*) FROM s GROUP BY a",
        "SELECT * FROM a JOIN b ON a.id = b.id",
        "SELECT a FROM s ORDER BY a",
        "WITH t AS (SELECT 1) SELECT * FROM t",
        "SELECT a FROM s AS OF OFFSET 5",
        "SELECT DISTINCT a FROM s",
    ] {
        let statement = parse_one(text).unwrap().node;
        assert_eq!(statement, Statement::AtRest(text.to_owned()));
    }
    for text in [
        "SELECT a FROM s",
        "SELECT a FROM s WHERE b LIMIT 3",
        "SELECT a, COUNT(*) FROM s GROUP BY a EMIT CHANGES",
    ] {
        assert!(matches!(parse_one(text).unwrap().node, Statement::Select(_)), "{text}");
    }
    for text in
        ["SELECT a FORM s", "SELECT a FROM s ORDER BY a EMIT CHANGES", "SELECT a FROM s GROUP BY a WHERE b"]
    {
        assert!(parse_one(text).is_err(), "{text}");
    }
}

#[test]
fn a_declaration_keeps_its_parts() {
    let text = "CREATE OR REPLACE STREAM `s-1` (id INT KEY, v ARRAY<my_type>, h BYTES HEADER('x')) \
                WITH (kafka_topic='t', PARTITIONS=3, wrap_single_value=false);";
    let Statement::CreateSource(create) = parse_one(text).unwrap().node else { panic!() };
    assert_eq!((create.kind, create.name.name.as_str()), (SourceKind::Stream, "s-1"));
    assert_eq!((create.on_existing, create.read_only), (OnExisting::Replace, false));
    let columns: Vec<_> = create
        .columns
        .iter()
        .map(|c| (c.name.name.as_str(), c.ty.to_string(), c.constraint.clone()))
        .collect();
    assert_eq!(
        columns,
        [
            ("ID", "INTEGER".into(), Some(ColumnConstraint::Key)),
            ("V", "ARRAY<MY_TYPE>".into(), None),
            ("H", "BYTES".into(), Some(ColumnConstraint::Header("x".into()))),
        ]
    );
    assert_eq!(create.with.get("KAFKA_TOPIC").unwrap().string().unwrap(), "t");
    assert_eq!(create.with.get("partitions").unwrap().integer().unwrap(), 3);
    assert!(!create.with.get("WRAP_SINGLE_VALUE").unwrap().boolean().unwrap());
    let error = create.with.check_names(&["KAFKA_TOPIC", "PARTITION", "WRAP_SINGLE_VALUE"]).unwrap_err();
    assert!(error.to_string().contains("PARTITIONS (did you mean PARTITION?)"), "{error}");
}

#[test]
fn every_statement_is_read() {
    use Statement as S;
    for text in [
        "CREATE TABLE t (id INT PRIMARY KEY, v STRING) WITH (KAFKA_TOPIC='t', VALUE_FORMAT='JSON')",
        "CREATE SOURCE TABLE IF NOT EXISTS t (id INT PRIMARY KEY) WITH (KAFKA_TOPIC='t')",
        "CREATE STREAM s WITH (KAFKA_TOPIC='t', VALUE_FORMAT='AVRO')",
    ] {
        assert!(matches!(parse_one(text).unwrap().node, S::CreateSource(_)), "{text}");
    }
    for text in [
        "CREATE STREAM s AS SELECT * FROM t EMIT CHANGES",
        "CREATE TABLE IF NOT EXISTS s WITH (PARTITIONS=1) AS SELECT a, COUNT(*) AS n FROM t GROUP BY a",
    ] {
        assert!(matches!(parse_one(text).unwrap().node, S::CreateAs(_)), "{text}");
    }
    for text in ["INSERT INTO s SELECT * FROM t", "INSERT INTO s WITH (QUERY_ID='x') SELECT * FROM t"] {
        assert!(matches!(parse_one(text).unwrap().node, S::InsertSelect(_)), "{text}");
    }
    for text in ["INSERT INTO s VALUES (1, 'a')", "INSERT INTO s (a, b) VALUES (1+1, NULL)"] {
        assert!(matches!(parse_one(text).unwrap().node, S::InsertValues(_)), "{text}");
    }
    for (text, expected) in [
        ("SHOW STREAMS", Show::Streams { extended: false }),
        ("LIST TABLES EXTENDED", Show::Tables { extended: true }),
        ("SHOW ALL TOPICS", Show::Topics { all: true, extended: false }),
        ("SHOW TOPICS EXTENDED", Show::Topics { all: false, extended: true }),
        ("SHOW QUERIES", Show::Queries { extended: false }),
        ("SHOW FUNCTIONS", Show::Functions),
        ("SHOW PROPERTIES", Show::Properties),
        ("SHOW TYPES", Show::Types),
        ("SHOW VARIABLES", Show::Variables),
        ("SHOW SINK CONNECTORS", Show::Connectors { kind: Some(ConnectorKind::Sink) }),
        ("SHOW CONNECTOR PLUGINS", Show::ConnectorPlugins),
    ] {
        assert_eq!(parse_one(text).unwrap().node, S::Show(expected), "{text}");
    }
    let id = |name| Ident::new(name);
    for (text, expected) in [
        ("DESCRIBE s EXTENDED", Describe::Source { name: id("S"), extended: true }),
        ("DESCRIBE EXTENDED s", Describe::Source { name: id("S"), extended: true }),
        ("DESCRIBE TABLES", Describe::Tables { extended: false }),
        ("DESCRIBE FUNCTION replace", Describe::Function(id("REPLACE"))),
        ("DESCRIBE function", Describe::Source { name: id("FUNCTION"), extended: false }),
        ("DESCRIBE CONNECTOR c", Describe::Connector(id("C"))),
    ] {
        assert_eq!(parse_one(text).unwrap().node, S::Describe(expected), "{text}");
    }
    for (text, expected) in [
        ("TERMINATE CSAS_S_1", S::Terminate(QueryTarget::Id(id("CSAS_S_1")))),
        ("TERMINATE transient_S_1", S::Terminate(QueryTarget::Id(id("transient_S_1")))),
        ("PAUSE ALL", S::Pause(QueryTarget::All)),
        ("RESUME q", S::Resume(QueryTarget::Id(id("Q")))),
        (
            "DROP TABLE IF EXISTS t DELETE TOPIC",
            S::DropSource { kind: SourceKind::Table, name: id("T"), if_exists: true, delete_topic: true },
        ),
        ("DROP TYPE a", S::DropType { name: id("A"), if_exists: false }),
        ("DROP CONNECTOR IF EXISTS c", S::DropConnector { name: id("C"), if_exists: true }),
        ("EXPLAIN CTAS_T_1", S::Explain(ExplainTarget::Query(id("CTAS_T_1")))),
        (
            "PRINT my.topic-1 FROM BEGINNING INTERVAL 2 LIMIT 3",
            S::Print(Print { topic: id("my.topic-1"), from_beginning: true, interval: 2, limit: Some(3) }),
        ),
        (
            "PRINT 'X y'",
            S::Print(Print { topic: id("X y"), from_beginning: false, interval: 1, limit: None }),
        ),
        ("DEFINE v = 'x'", S::Define { name: id("V"), value: "x".into() }),
        ("UNDEFINE v", S::Undefine(id("V"))),
    ] {
        assert_eq!(parse_one(text).unwrap().node, expected, "{text}");
    }
    for text in [
        "EXPLAIN SELECT * FROM s EMIT CHANGES",
        "EXPLAIN CREATE STREAM a AS SELECT * FROM s",
        "SET 'auto.offset.reset'='earliest'",
        "UNSET 'auto.offset.reset'",
        "ALTER STREAM s ADD COLUMN a INT, ADD b STRING",
        "ALTER SYSTEM 'a'='b'",
        "CREATE TYPE IF NOT EXISTS a AS STRUCT<x INT>",
        "CREATE SINK CONNECTOR IF NOT EXISTS c WITH (\"connector.class\"='x', 'tasks.max'=1)",
        "ASSERT NOT EXISTS TOPIC t WITH (PARTITIONS=2) TIMEOUT 5 SECONDS",
        "ASSERT SCHEMA SUBJECT 't-value' ID 3 TIMEOUT 1 SECOND",
        "ASSERT VALUES s (a, b) VALUES (1, 2)",
        "ASSERT NULL VALUES s (a) KEY (1)",
        "ASSERT STREAM s (a INT KEY) WITH (KAFKA_TOPIC='t')",
        "SELECT emit, changes, final FROM s",
        "SELECT s.key, type, year, month, day, hour, minute FROM s s",
    ] {
        parse_one(text).unwrap_or_else(|e| panic!("{}", e.render(text)));
    }
}

#[test]
fn a_script_knows_the_text_of_each_statement() {
    let text = "--@ skip\nSHOW TOPICS;\n;/* c */ SHOW\n  STREAMS ; -- end\nSHOW TABLES";
    let seen: Vec<_> =
        parse(text).unwrap().into_iter().map(|s| (s.text, s.span.line, s.span.column)).collect();
    assert_eq!(
        seen,
        [
            ("SHOW TOPICS;".into(), 2, 1),
            ("SHOW\n  STREAMS ;".into(), 3, 10),
            ("SHOW TABLES;".to_string(), 5, 1)
        ]
    );
    assert!(parse(" -- nothing").unwrap().is_empty());
}

#[test]
fn a_prompt_knows_when_to_ask_for_more() {
    for (text, expected) in [
        ("", true),
        ("-- c", true),
        ("SHOW TOPICS", false),
        ("SHOW TOPICS; -- c", true),
        ("SHOW TOPICS; SHOW", false),
        ("SELECT ';", false),
        ("SELECT 1 /* ;", false),
        ("PRINT `a;", false),
    ] {
        assert_eq!(is_complete(text), expected, "{text}");
    }
}

#[test]
fn errors_name_the_place_the_word_and_what_would_be_valid() {
    for (text, expected) in [
        ("SELCT * FROM s;", "line 1:1: Unknown statement 'SELCT' (did you mean SELECT?)"),
        ("SELECT *\nFORM s;", "line 2:1: unexpected 'FORM', expected ',', AS or FROM (did you mean FROM?)"),
        ("SELECT a FROM;", "line 1:14: unexpected ';', expected a stream or table"),
        ("SELECT a FROM s WHER b;", "line 1:22: unexpected 'b', expected"),
        ("SELECT a FROM s WHERE;", "line 1:22: unexpected ';', expected an expression"),
        ("SELECT a FROM s WHERE a = ;", "line 1:27: unexpected ';', expected an expression"),
        ("SELECT a FROM s GROUP BY a WHERE b;", "line 1:28: WHERE comes too late"),
        (
            "SELECT a FROM s EMIT CHANGE;",
            "line 1:22: unexpected 'CHANGE', expected CHANGES or FINAL (did you mean CHANGES?)",
        ),
        (
            "SELECT (a FROM s;",
            "line 1:11: unexpected 'FROM', expected ',' or ')' (expected ')' to close the '(' of line 1:8)",
        ),
        ("SELECT a FROM s ORDER BY a EMIT CHANGES;", "ORDER BY is not supported"),
        (
            "SELECT a FROM s LIMIT -1;",
            "line 1:23: Pull queries don't support negative integers in the LIMIT clause.",
        ),
        ("SELECT a FROM s LIMIT 1.5;", "Value must be integer for command: LIMIT"),
        ("SELECT a FROM s LIMIT 'a';", "line 1:23: unexpected ''a'', expected a number of rows"),
        ("RUN SCRIPT 'a.sql';", "line 1:1: Unknown statement 'RUN'"),
        ("SELECT 9223372036854775808 FROM s;", "Invalid numeric literal: 9223372036854775808"),
        ("SELECT -1.8E308 FROM s;", "Number overflows DOUBLE: -1.8E308"),
        ("SELECT a FROM a JOIN b;", "expected WITHIN or ON"),
        ("SELECT 1 FROM s WINDOW TUMBLING (SIZE 5 MINUTS);", "did you mean MINUTES?"),
        ("SELECT 1 FROM s WINDOW TUMBLING (SIZE 0 MINUTES);", "SIZE must be more than zero"),
        ("SELECT 1 FROM s GROUP BY a, a;", "Duplicate GROUP BY expression: A"),
        ("SELECT 1 FROM s GROUP BY ();", "GROUP BY requires at least one expression"),
        ("SELECT select FROM s;", "line 1:8: unexpected 'select', expected an expression"),
        (
            "CREATE STREAM table (a INT);",
            "TABLE is a reserved word: to use it as a source name write `TABLE`",
        ),
        ("CREATE STREAM `a b` (a INT);", "Source names may only contain alphanumeric values, '_' or '-'."),
        (
            "CREATE STREAM s (a INT PRIMARY KEY);",
            "Line: 1, Col: 18: Column `A` is a 'PRIMARY KEY' column: please use 'KEY' for streams.",
        ),
        (
            "CREATE TABLE s (a INT KEY);",
            "Line: 1, Col: 17: Column `A` is a 'KEY' column: please use 'PRIMARY KEY' for tables.",
        ),
        ("CREATE STREM s (a INT);", "unexpected 'STREM', expected STREAM"),
        ("CREATE STREAM s (a INT) WITH (x=y);", "line 1:33: expected a literal"),
        ("CREATE STREAM s (a INT) WITH (x=1, X=2);", "Duplicate property X"),
        ("SHOW TOPIC;", "did you mean TOPICS?"),
        ("SHOW TOPICS TOPICS;", "line 1:13: unexpected 'TOPICS', expected ';' (a statement ends with ;)"),
        ("INSERT INTO s (a, b) VALUES (1);", "expected a value for each of 2 columns, found 1"),
        ("SELECT a ? b FROM s;", "unexpected '?'"),
        ("SELECT 'abc FROM s;", "line 1:8: string without closing quote"),
        ("SELECT (a, b) FROM s;", "missing ')' at ','"),
        ("CREATE STREAM s (a INT(KEY));", "line 1:24: unexpected 'KEY', expected a length"),
        ("SELECT ARRAY[] FROM s;", "Array constructor cannot be empty."),
        ("SELECT CASE END FROM s;", "expected an expression"),
        ("SELECT a LIKE 'x' ESCAPE 'ab' FROM s;", "ESCAPE takes exactly one character"),
        ("DROP STREAM;", "expected a source name"),
        ("SELECT * FROM (SELECT 1 FROM s) EMIT CHANGES;", "subqueries are not supported"),
    ] {
        let error = fails(text).replace("Syntax Error\n", "");
        assert!(error.contains(expected), "{text}\n  {error}\n  {expected}");
    }
}

#[test]
fn deep_and_long_text_is_an_error_not_a_crash() {
    for text in [
        format!("SELECT {}1{} FROM s;", "(".repeat(5000), ")".repeat(5000)),
        format!("SELECT {}1 FROM s;", "NOT ".repeat(5000)),
        format!("SELECT {}1 FROM s;", "- ".repeat(5000)),
        format!("SELECT 1{} FROM s;", " + 1".repeat(5000)),
        format!("SELECT a{} FROM s;", "[1]".repeat(5000)),
        format!("CREATE STREAM s (a {}INT{});", "ARRAY<".repeat(5000), ">".repeat(5000)),
        "EXPLAIN ".repeat(5000),
    ] {
        fails(&text);
    }
}

proptest::proptest! {
    #[test]
    fn any_text_is_read_or_refused(text in ".{0,80}") {
        if let Err(error) = parse(&text) {
            error.render(&text);
        }
    }

    #[test]
    fn any_words_are_read_or_refused(
        words in proptest::collection::vec(proptest::sample::select(vec![
            "SELECT", "FROM", "a", "b", "s", "*", ",", "(", ")", "WHERE", "GROUP", "BY", "=", "->", "[", "]", "1", "'x'", "CASE",
            "WHEN", "THEN", "END", "CREATE", "STREAM", "TABLE", "AS", "WITH", "WINDOW", "TUMBLING", "SIZE", "MINUTES", "JOIN",
            "ON", "NOT", "IN", "IS", "NULL", ";", "=>", ":=", "MAP", "ARRAY", "STRUCT", "<", ">", "INT", "EMIT", "-", ".", "é",
        ]), 0..25)
    ) {
        let text = words.join(" ");
        match parse(&text) {
            Ok(statements) => for statement in statements {
                if let Statement::Select(query) = &statement.node {
                    let printed = query.to_string();
                    let again = parse_one(&printed).map(|s| s.node.clone());
                    proptest::prop_assert!(matches!(&again, Ok(Statement::Select(q)) if q.to_string() == printed), "{}", printed);
                }
            },
            Err(error) => { error.render(&text); }
        }
    }
}

#[test]
fn a_script_is_cut_at_its_semicolons_and_read_where_it_stands() {
    let script = "-- first\nSELECT ';' FROM a;\n\n  SELECT\n ${x} FROM b";
    let pieces = split(script).unwrap();
    let texts: Vec<&str> = pieces.iter().map(|piece| piece.text.as_str()).collect();
    assert_eq!(texts, ["SELECT ';' FROM a;", "SELECT\n ${x} FROM b"]);
    assert_eq!((pieces[1].start.line, pieces[1].start.column), (4, 3));
    let error = parse_piece(&pieces[1]).unwrap_err().to_string();
    assert!(error.starts_with("line 5:2: Syntax Error\nunexpected '$'"), "{error}");
    assert_eq!(split("RUN SCRIPT 'a.sql';").unwrap()[0].run_script(), Some("a.sql".to_owned()));
    assert_eq!(pieces[0].run_script(), None);
}
