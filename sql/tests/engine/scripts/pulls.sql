CREATE STREAM visits (page STRING KEY, user INT) WITH (KAFKA_TOPIC='visits', VALUE_FORMAT='JSON', PARTITIONS=4);
CREATE TABLE counts AS SELECT page, COUNT(*) AS n FROM visits GROUP BY page;
CREATE TABLE by_user WITH (KEY_FORMAT='JSON') AS SELECT user, page, COUNT(*) AS n FROM visits GROUP BY user, page;
CREATE TABLE stays AS SELECT page, COUNT(*) AS n FROM visits WINDOW SESSION (10 SECONDS) GROUP BY page;
INSERT INTO visits (ROWTIME, page, user) VALUES (1000, 'a', 1);
INSERT INTO visits (ROWTIME, page, user) VALUES (2000, 'b', 1);
INSERT INTO visits (ROWTIME, page, user) VALUES (4500, 'a', 2);
-- All of a session is found by its start, and by its end.
SELECT page, windowstart, windowend, n FROM stays WHERE page = 'a' AND windowstart = 1000;
SELECT page, windowstart, windowend, n FROM stays WHERE page = 'a' AND windowstart < 2000 AND windowend >= 4500;
SELECT page, windowstart FROM stays WHERE page = 'a' AND windowstart > 1000;
-- A day ends at 24 o'clock.
SELECT page FROM stays WHERE page = 'a' AND windowstart < '1970-01-01T24';
SELECT page, n FROM counts WHERE page IN ('a', 'zz', 'b') AND n > 1;
SELECT page, rowpartition FROM counts WHERE page = 'a';
SELECT user, n FROM by_user WHERE user IN ('1', 2);
SELECT pag FROM counts WHERE pge = 'a';
SELECT page, n FROM counts WHERE windowstart = 5;
---
Stream VISITS created
Created query with ID CTAS_COUNTS_1
Created query with ID CTAS_BY_USER_2
Created query with ID CTAS_STAYS_3
Inserted 1 row
Inserted 1 row
Inserted 1 row
a | 1000 | 4500 | 2
a | 1000 | 4500 | 2
a
a | 2
error: line 1:14: Pull queries don't support the following columns in SELECT clauses: `ROWPARTITION`
error: line 1:44: '1' can not be converted to the type of the key column: USER INTEGER KEY
error: Line: 1, Col: 30: WHERE column 'PGE' cannot be resolved. (did you mean PAGE?)
error: Line: 1, Col: 34: WHERE column 'WINDOWSTART' cannot be resolved. (window bounds exist in windowed sources and in the SELECT of windowed aggregations)
===
-- Tables are not read whole any more.
SET 'ksql.query.pull.table.scan.enabled' = 'false';
SELECT page, n FROM counts WHERE page = 'A' || '' OR page = LCASE('A');
SELECT page, n FROM counts WHERE (page = 'a' AND n > 5) OR (page = 'b' AND n < 5);
SELECT page, n FROM counts WHERE page > 'a';
SELECT user, page, n FROM by_user WHERE user = 3 - 1 AND page = 'a';
SELECT * FROM counts;
SELECT * FROM counts WHERE n = 2;
SELECT * FROM counts WHERE page = CAST(n AS STRING);
SELECT * FROM counts WHERE page > 'a' AND page < 'c';
SELECT * FROM counts WHERE page < 'a' OR page > 'b';
SELECT * FROM counts WHERE page LIKE 'a%';
SELECT * FROM by_user WHERE user = 1;
SELECT * FROM by_user WHERE user > 1 AND page > 'a';
SET 'ksql.query.pull.range.scan.enabled' = 'false';
SELECT page, n FROM counts WHERE page > 'a';
---
Successfully changed local property 'ksql.query.pull.table.scan.enabled' to 'false'. Use the UNSET command to revert your change.
a | 2
b | 1
b | 1
2 | a | 1
error: Missing WHERE clause. See https://cnfl.io/queries for more info.
Add EMIT CHANGES if you intended to issue a push query. (compare every key column with a constant in WHERE, or SET 'ksql.query.pull.table.scan.enabled'='true' to read the whole table)
error: line 1:28: WHERE clause missing key column for disjunct: (N = 2). See https://cnfl.io/queries for more info.
Add EMIT CHANGES if you intended to issue a push query. (compare every key column with a constant in WHERE, or SET 'ksql.query.pull.table.scan.enabled'='true' to read the whole table)
error: line 1:28: A comparison must be between a key column and a resolvable expression. See https://cnfl.io/queries for more info.
Add EMIT CHANGES if you intended to issue a push query. (compare every key column with a constant in WHERE, or SET 'ksql.query.pull.table.scan.enabled'='true' to read the whole table)
error: line 1:43: A comparison condition on the key column cannot be combined with other comparisons such as an IN predicate. See https://cnfl.io/queries for more info.
Add EMIT CHANGES if you intended to issue a push query. (compare every key column with a constant in WHERE, or SET 'ksql.query.pull.table.scan.enabled'='true' to read the whole table)
error: line 1:28: Query requires table scan to be enabled. See https://cnfl.io/queries for more info.
Add EMIT CHANGES if you intended to issue a push query. (compare every key column with a constant in WHERE, or SET 'ksql.query.pull.table.scan.enabled'='true' to read the whole table)
error: line 1:28: Query requires table scan to be enabled. See https://cnfl.io/queries for more info.
Add EMIT CHANGES if you intended to issue a push query. (compare every key column with a constant in WHERE, or SET 'ksql.query.pull.table.scan.enabled'='true' to read the whole table)
error: line 1:29: Multi-column sources must specify every key in the WHERE clause. Specified: [USER] Expected: [USER, PAGE]. See https://cnfl.io/queries for more info.
Add EMIT CHANGES if you intended to issue a push query. (compare every key column with a constant in WHERE, or SET 'ksql.query.pull.table.scan.enabled'='true' to read the whole table)
error: line 1:29: Query requires table scan to be enabled. See https://cnfl.io/queries for more info.
Add EMIT CHANGES if you intended to issue a push query. (compare every key column with a constant in WHERE, or SET 'ksql.query.pull.table.scan.enabled'='true' to read the whole table)
Successfully changed local property 'ksql.query.pull.range.scan.enabled' to 'false'. Use the UNSET command to revert your change.
error: line 1:34: Query requires table scan to be enabled. See https://cnfl.io/queries for more info.
Add EMIT CHANGES if you intended to issue a push query. (compare every key column with a constant in WHERE, or SET 'ksql.query.pull.table.scan.enabled'='true' to read the whole table)
===
-- Clients hear of rows that go away, and not of those that never passed.
SET 'auto.offset.reset' = 'earliest';
SET 'cache.max.bytes.buffering' = '0';
CREATE TABLE prices (item STRING PRIMARY KEY, price INT) WITH (KAFKA_TOPIC='prices', VALUE_FORMAT='JSON', PARTITIONS=1);
INSERT INTO prices VALUES ('pen', 1);
INSERT INTO prices VALUES ('desk', 100);
INSERT INTO prices VALUES ('desk', 10);
INSERT INTO prices VALUES ('desk', 60);
SELECT item, price FROM prices WHERE price > 50 EMIT CHANGES LIMIT 3;
SELECT 1 + NULL FROM prices EMIT CHANGES;
SELECT item FROM prices WHERE item LIKE 12 EMIT CHANGES;
---
Successfully changed local property 'auto.offset.reset' to 'earliest'. Use the UNSET command to revert your change.
Successfully changed local property 'cache.max.bytes.buffering' to '0'. Use the UNSET command to revert your change.
Table PRICES created
Inserted 1 row
Inserted 1 row
Inserted 1 row
Inserted 1 row
desk | 100
desk | null (deleted)
desk | 60
error: line 1:8: Error processing expression: (1 + null). Arithmetic on types INTEGER and null are not supported. (give NULL a type: CAST(NULL AS INTEGER))
error: line 1:41: Error in WHERE expression: The column type for Like condition must be VARCHAR. The column type is INTEGER
===
-- All windows of a key are in the partition of the key.
INSERT INTO visits (ROWTIME, page, user) VALUES (100000, 'a', 1);
INSERT INTO visits (ROWTIME, page, user) VALUES (200000, 'a', 1);
INSERT INTO visits (ROWTIME, page, user) VALUES (200000, 'c', 1);
CREATE STREAM stay_changes (page STRING KEY, n BIGINT) WITH (KAFKA_TOPIC='STAYS', VALUE_FORMAT='JSON', WINDOW_TYPE='SESSION');
SELECT DISTINCT page, rowpartition FROM visits ORDER BY page;
SELECT page, rowpartition, COUNT(*) > 0 AS found FROM stay_changes GROUP BY page, rowpartition ORDER BY page;
---
Inserted 1 row
Inserted 1 row
Inserted 1 row
Stream STAY_CHANGES created
a | 0
b | 0
c | 2
a | 0 | true
b | 0 | true
c | 2 | true
