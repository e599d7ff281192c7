CREATE TABLE airlines (code STRING PRIMARY KEY, name STRING) WITH (KAFKA_TOPIC='airlines', VALUE_FORMAT='JSON', PARTITIONS=1);
CREATE STREAM flights (id INT KEY, carrier STRING, delay INT) WITH (KAFKA_TOPIC='flights', VALUE_FORMAT='JSON', PARTITIONS=1);
INSERT INTO airlines (ROWTIME, code, name) VALUES (1, 'UA', 'United');
INSERT INTO airlines (ROWTIME, code, name) VALUES (1, 'DL', 'Delta');
INSERT INTO flights (ROWTIME, id, carrier, delay) VALUES (100, 1, 'UA', 5);
INSERT INTO flights (ROWTIME, id, carrier, delay) VALUES (200, 2, 'XX', 7);
INSERT INTO flights (ROWTIME, id, carrier, delay) VALUES (300, 3, 'DL', 30);
INSERT INTO flights (ROWTIME, id, carrier) VALUES (400, 4, NULL);
CREATE STREAM named AS SELECT f.carrier AS carrier, f.id AS id, a.name AS airline, f.delay AS delay FROM flights f JOIN airlines a ON f.carrier = a.code;
SELECT * FROM named;
---
Table AIRLINES created
Stream FLIGHTS created
Inserted 1 row
Inserted 1 row
Inserted 1 row
Inserted 1 row
Inserted 1 row
Inserted 1 row
Created query with ID CSAS_NAMED_2
UA | 1 | United | 5
DL | 3 | Delta | 30
===
CREATE STREAM maybe AS SELECT f.carrier AS carrier, f.id AS id, a.code AS code, a.name AS airline FROM flights f LEFT JOIN airlines a ON f.carrier = a.code WHERE f.delay IS NULL OR f.delay < 20;
SELECT * FROM maybe;
---
Created query with ID CSAS_MAYBE_3
UA | 1 | UA | United
XX | 2 | null | null
null | 4 | null | null
===
INSERT INTO airlines (ROWTIME, code, name) VALUES (350, 'UA', 'United Airlines');
INSERT INTO flights (ROWTIME, id, carrier, delay) VALUES (500, 5, 'UA', 9);
SELECT id, airline FROM named;
---
Inserted 1 row
Inserted 1 row
1 | United
3 | Delta
5 | United Airlines
===
CREATE TABLE worst AS SELECT a.code, COUNT(*) AS n, AVG(f.delay) AS mean FROM flights f JOIN airlines a ON f.carrier = a.code GROUP BY a.code;
SELECT * FROM worst;
---
Created query with ID CTAS_WORST_4
DL | 1 | 30.0
UA | 2 | 7.0
