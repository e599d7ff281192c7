CREATE STREAM keyless (a INT, b STRING, c INT) WITH (KAFKA_TOPIC='keyless', FORMAT='JSON', PARTITIONS=1);
CREATE STREAM copy AS SELECT * FROM keyless;
CREATE TABLE per_pair AS SELECT a, b, COUNT(*) AS n FROM copy GROUP BY a, b;
CREATE STREAM by_pair AS SELECT * FROM keyless PARTITION BY a, b;
CREATE STREAM dropped WITH (KEY_FORMAT='JSON') AS SELECT * FROM by_pair PARTITION BY NULL;
---
Stream KEYLESS created
Created query with ID CSAS_COPY_1
Created query with ID CTAS_PER_PAIR_2
Created query with ID CSAS_BY_PAIR_3
error: line 1:29: Key format specified for stream without key columns. (PARTITION BY NULL drops the key)
===
CREATE STREAM s (id STRING KEY, a INT, e BOOLEAN) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
INSERT INTO s (ROWTIME, id, a, e) VALUES (1, 'k1', 1, true);
INSERT INTO s (ROWTIME, id) VALUES (2, 'k2');
INSERT INTO s (ROWTIME, id, a, e) VALUES (3, 'k3', 7, false);
INSERT INTO s (ROWTIME, id) VALUES (-1, 'early');
CREATE STREAM by_long AS SELECT * FROM s PARTITION BY CAST(a AS BIGINT);
CREATE STREAM by_time AS SELECT * FROM s PARTITION BY ROWTIME;
CREATE TABLE all_of_it AS SELECT 1 AS k, COUNT(*) AS n FROM s GROUP BY 1;
SELECT * FROM by_long;
SELECT * FROM by_time;
SELECT * FROM all_of_it;
---
Stream S created
Inserted 1 row
Inserted 1 row
Inserted 1 row
error: line 1:37: Failed to insert values into 'S'. ROWTIME must not be negative, but is -1 (it counts the milliseconds since 1970)
Created query with ID CSAS_BY_LONG_5
Created query with ID CSAS_BY_TIME_6
Created query with ID CTAS_ALL_OF_IT_7
1 | 1 | true | k1
null | null | null | k2
7 | 7 | false | k3
1 | 1 | true | k1
2 | null | null | k2
3 | 7 | false | k3
1 | 3
===
SELECT id, e OR id = 'k2' AS x, id = 'k2' OR e AS y, e AND id = 'no' AS z, id = 'no' AND e AS w FROM s;
SELECT id FROM s WHERE e OR id = 'k2';
SELECT id FROM s WHERE e IN (true, 'maybe');
SELECT id FROM s WHERE a IN (1, '2147483648');
---
k1 | true | true | false | false
k2 | null | true | null | false
k3 | false | false | false | false
k1
error: line 1:36: Invalid Predicate: invalid input syntax for type BOOLEAN: "maybe".
k1
===
CREATE STREAM w (k STRING KEY, a INT) WITH (KAFKA_TOPIC='w', VALUE_FORMAT='JSON', PARTITIONS=1, WINDOW_TYPE='TUMBLING', WINDOW_SIZE='10 SECONDS');
CREATE STREAM w2 AS SELECT * FROM w WHERE a > 1;
CREATE TABLE windows AS SELECT id, COUNT(*) AS n FROM s WINDOW TUMBLING (SIZE 1 SECOND) GROUP BY id;
CREATE TABLE windows2 AS SELECT * FROM windows;
CREATE STREAM per_window (id STRING KEY, n BIGINT) WITH (KAFKA_TOPIC='WINDOWS', VALUE_FORMAT='JSON', WINDOW_TYPE='TUMBLING', WINDOW_SIZE='1 SECOND');
CREATE STREAM per_window2 AS SELECT *, WINDOWEND AS ended FROM per_window;
SELECT * FROM per_window2;
---
Stream W created
Created query with ID CSAS_W2_9
Created query with ID CTAS_WINDOWS_10
error: line 1:26: KSQL does not support persistent queries on windowed tables. (declare a stream over the table's topic, with WINDOW_TYPE and WINDOW_SIZE)
Stream PER_WINDOW created
Created query with ID CSAS_PER_WINDOW2_12
k1 | 0 | 1000 | 1 | 1000
k2 | 0 | 1000 | 1 | 1000
k3 | 0 | 1000 | 1 | 1000
===
EXPLAIN SELECT * FROM windows WHERE id = 'a' AND n > 4;
EXPLAIN SELECT id FROM windows WHERE id >= 'a' LIMIT 3;
EXPLAIN SELECT id FROM windows WHERE n > 4;
EXPLAIN SELECT id FROM s WHERE a > 1;
---
Execution plan
--------------
> PULL TABLE WINDOWS (topic WINDOWS, key KAFKA, value JSON): ID, N, WINDOWSTART, WINDOWEND
> KEY LOOKUP by ID
> FILTER ((ID = 'a') AND (N > 4))
> PROJECT WINDOWS.ID, WINDOWS.WINDOWSTART, WINDOWS.WINDOWEND, WINDOWS.N

Execution plan
--------------
> PULL TABLE WINDOWS (topic WINDOWS, key KAFKA, value JSON): ID
> RANGE SCAN over ID
> FILTER (ID >= 'a')
> PROJECT ID
> LIMIT 3

Execution plan
--------------
> PULL TABLE WINDOWS (topic WINDOWS, key KAFKA, value JSON): ID, N
> TABLE SCAN
> FILTER (N > 4)
> PROJECT ID

Execution plan
--------------
> PULL STREAM S (topic s, key KAFKA, value JSON): ID, A
> SCAN of topic s, from its beginning to its end now
> FILTER (A > 1)
> PROJECT ID

