CREATE STREAM s (id INT KEY, n INT, t STRING, ns ARRAY<INT>, m MAP<STRING, INT>, b BOOLEAN)
    WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
INSERT INTO s VALUES (1, 5, 'abc', ARRAY[1, 2, 3], MAP('a' := 1, 'bb' := 2), true);
INSERT INTO s VALUES (2, 0, 'x', ARRAY[4, CAST(NULL AS INT)], MAP('c' := CAST(NULL AS INT)), false);
INSERT INTO s (id) VALUES (3);
---
Stream S created
Inserted 1 row
Inserted 1 row
Inserted 1 row
===
-- Lambdas read what is around them, also other lambdas' parameters.
CREATE STREAM lambdas AS SELECT id, TRANSFORM(ns, x => x + n) AS plus, FILTER(ns, x => x <> 2) AS some,
    REDUCE(ns, 0, (sum, x) => sum + x) AS sum, TRANSFORM(ns, x => REDUCE(ns, x, (a, y) => a + y * n)) AS nested FROM s;
SELECT * FROM lambdas;
---
Created query with ID CSAS_LAMBDAS_1
1 | [6, 7, 8] | [1, 3] | 6 | [31, 32, 33]
2 | null | [4] | null | [null, null]
3 | null | null | 0 | null
===
CREATE STREAM maps AS SELECT id, TRANSFORM(m, (k, v) => UCASE(k), (k, v) => LEN(k)) AS lengths,
    FILTER(m, (k, v) => LEN(k) > 1 AND v % 2 = 0) AS even, REDUCE(m, 10, (sum, k, v) => sum + v) AS sum FROM s;
SELECT * FROM maps;
---
Created query with ID CSAS_MAPS_2
1 | {A: 1, BB: 2} | {bb: 2} | 13
2 | {C: 1} | {} | null
3 | null | null | 10
===
-- An error outside of calls makes the whole expression NULL; in a call only the call.
CREATE STREAM errors AS SELECT id, 10 / n AS quotient, IFNULL(CAST(PARSE_DATE(t, 'yyyy') AS STRING), 'no date') AS date,
    IFNULL(10 / n, -1) AS lost, 10 / n IS NULL AS known, ARRAY[n, 10 / n] AS items, STRUCT(a := n, q := 10 / n) AS pair,
    CASE WHEN n = 0 THEN 0 ELSE 10 / n END AS lazy, NOT b AS opposite, n IS NULL OR 10 / n > 1 AS short FROM s;
SELECT * FROM errors;
---
Created query with ID CSAS_ERRORS_3
1 | 2 | no date | 2 | false | [5, 2] | {A: 5, Q: 2} | 2 | false | true
2 | null | no date | null | null | [0, null] | {A: 0, Q: null} | 0 | true | null
3 | null | no date | null | null | [null, null] | {A: null, Q: null} | null | null | true
===
CREATE STREAM kept AS SELECT id, n FROM s WHERE NOT (10 / n > 3);
CREATE STREAM also AS SELECT id, n FROM s WHERE n = 0 OR 10 / n > 1;
SELECT * FROM kept;
SELECT * FROM also;
---
Created query with ID CSAS_KEPT_4
Created query with ID CSAS_ALSO_5
1 | 5
1 | 5
2 | 0
===
CREATE TABLE per WITH (KEY_FORMAT='JSON') AS SELECT b, ATTR(n) AS attr, COLLECT_SET(t) AS texts, HISTOGRAM(t) AS times, STDDEV_SAMPLE(n) AS deviation,
    TOPK(n, t, id, 2) AS top, COUNT_DISTINCT(t) AS texts_known, SUM_LIST(ns) AS total FROM s WHERE b IS NOT NULL GROUP BY b;
SELECT * FROM per;
---
Created query with ID CTAS_PER_6
false | 0 | [x] | {x: 1} | 0.0 | [{sort_col: 0, col0: x, col1: 2}] | 1 | 4
true | 5 | [abc] | {abc: 1} | 0.0 | [{sort_col: 5, col0: abc, col1: 1}] | 1 | 6
===
SELECT TRANSFORM(ns, id => id) FROM s;
SELECT TRANSFORM(ns, (x, y) => x) FROM s;
SELECT REDUCE(ns, '', (a, x) => x) FROM s;
SELECT FILTER(ns, x => x) FROM s;
SELECT x => x FROM s;
CREATE TABLE never AS SELECT b, MIN(NOTHING(n)) FROM s GROUP BY b;
SET 'ksql.functions.collect_list.limit' = '1';
CREATE TABLE limited WITH (KEY_FORMAT='JSON') AS SELECT b, COLLECT_LIST(id) AS ids FROM s WHERE b IS NOT NULL GROUP BY b;
SELECT * FROM limited;
CREATE STREAM lines (id INT KEY, n INT) WITH (KAFKA_TOPIC='lines', VALUE_FORMAT='DELIMITED', PARTITIONS=1);
CREATE TABLE average AS SELECT id, AVG(n) FROM lines GROUP BY id;
DESCRIBE FUNCTION reduce;
---
error: line 1:22: Lambda function argument can't be a column name: ID
error: line 1:8: Function 'transform' does not accept parameters (ARRAY<INTEGER>, LAMBDA).
Valid alternatives are:
transform(ARRAY<T>, LAMBDA (T) => R)
transform(MAP<K, V>, LAMBDA (K, V) => R, LAMBDA (K, V) => W)
For detailed information on a function run: DESCRIBE FUNCTION <Function-Name>;
error: line 1:8: Function 'reduce' does not accept parameters (ARRAY<INTEGER>, STRING, LAMBDA): its lambda returns INTEGER where STRING is due
error: line 1:8: Function 'filter' does not accept parameters (ARRAY<INTEGER>, LAMBDA): its lambda returns INTEGER where BOOLEAN is due
error: line 1:8: a lambda stands among the arguments of a function only
error: line 1:37: Can't find any functions with the name 'NOTHING' (SHOW FUNCTIONS lists them all)
Successfully changed local property 'ksql.functions.collect_list.limit' to '1'. Use the UNSET command to revert your change.
Created query with ID CTAS_LIMITED_7
false | [2]
true | [1]
Stream LINES created
error: line 1:25: One of the functions used in the statement has an intermediate type that the value format can not handle. Please remove the function or change the format.
Name        : REDUCE
Overview    : What the lambda makes of the second argument and all items, or entries, one by one.
Type        : SCALAR
Category    : LAMBDA
Variations  :

	Variation   : REDUCE(ARRAY<T>, S, LAMBDA (S, T) => S)
	Returns     : S

	Variation   : REDUCE(MAP<K, V>, S, LAMBDA (S, K, V) => S)
	Returns     : S
