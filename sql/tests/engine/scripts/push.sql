CREATE STREAM s (k STRING KEY, v INT) WITH (KAFKA_TOPIC='s', VALUE_FORMAT='JSON', PARTITIONS=1);
INSERT INTO s (ROWTIME, k, v) VALUES (1, 'a', 1);
INSERT INTO s (ROWTIME, k, v) VALUES (2, 'b', 2);
INSERT INTO s (ROWTIME, k, v) VALUES (3, 'a', 3);
SET 'auto.offset.reset'='earliest';
SELECT k, v, ROWTIME, ROWPARTITION, ROWOFFSET FROM s EMIT CHANGES LIMIT 3;
SELECT v * 10 AS tens FROM s WHERE k = 'a' EMIT CHANGES LIMIT 2;
---
Stream S created
Inserted 1 row
Inserted 1 row
Inserted 1 row
Successfully changed local property 'auto.offset.reset' to 'earliest'. Use the UNSET command to revert your change.
a | 1 | 1 | 0 | 0
b | 2 | 2 | 0 | 1
a | 3 | 3 | 0 | 2
10
30
===
SET 'cache.max.bytes.buffering'='0';
SELECT k, COUNT(*) AS n, SUM(v) AS total FROM s GROUP BY k EMIT CHANGES LIMIT 3;
SELECT COUNT(*) AS n FROM s EMIT CHANGES LIMIT 3;
SELECT v % 2 AS odd, MAX(v) FROM s GROUP BY v % 2 EMIT CHANGES LIMIT 3;
SHOW TOPICS;
---
Successfully changed local property 'cache.max.bytes.buffering' to '0'. Use the UNSET command to revert your change.
a | 1 | 1
b | 1 | 2
a | 2 | 4
1
2
3
1 | 1
0 | 2
1 | 3
s | 1 | 1
