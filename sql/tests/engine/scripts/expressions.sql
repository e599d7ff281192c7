CREATE STREAM e (i INT, b BIGINT, d DOUBLE, m DECIMAL(6,2), s STRING, t BOOLEAN, a ARRAY<INT>, h MAP<STRING, INT>) WITH (KAFKA_TOPIC='e', VALUE_FORMAT='JSON', PARTITIONS=1);
INSERT INTO e VALUES (7, 70, 1.5, 12.34, 'tea', TRUE, ARRAY[1, 2, 3], MAP('x' := 1));
INSERT INTO e (s) VALUES ('none');
SELECT i + 1, i / 2, i / 0, i % 4, b * i, d / 0, m + 1, m * 2 FROM e;
SELECT i > 5, i <> 7, NOT (i = 7), i IS NULL, d IS DISTINCT FROM 1.5, s BETWEEN 'a' AND 'u' FROM e;
SELECT i IN (1, 7), s IN ('tea', 'cup'), i NOT IN (1, 2), s LIKE 't%', s LIKE '_ea' FROM e;
SELECT CASE WHEN i > 5 THEN 'big' WHEN i > 0 THEN 'small' ELSE 'none' END, CAST(i AS STRING), CAST(s AS INT) FROM e;
SELECT a[1], a[-1], a[9], h['x'], h['y'], ARRAY[i, 1][1], s + '!', s || '?' FROM e;
SELECT COALESCE(i, 0), ABS(-1), ROUND(d), SUBSTRING(s, 2), LEN(s), CONCAT(s, 'x') FROM e;
---
Stream E created
Inserted 1 row
Inserted 1 row
8 | 3 | null | 3 | 490 | inf | 13.34 | 24.68
null | null | null | null | null | null | null | null
true | false | false | false | false | true
false | false | true | true | true | true
true | true | true | true | true
false | false | true | false | false
big | 7 | null
none | null | null
1 | 3 | null | 1 | null | 7 | tea! | tea?
null | null | null | null | null | null | none! | none?
7 | 1 | 2 | ea | 3 | teax
0 | 1 | null | one | 4 | nonex
