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
===
CREATE STREAM maybe AS SELECT f.carrier AS carrier, f.id AS id, a.code AS code, a.name AS airline FROM flights f LEFT JOIN airlines a ON f.carrier = a.code WHERE f.delay IS NULL OR f.delay < 20;
SELECT * FROM maybe;
===
INSERT INTO airlines (ROWTIME, code, name) VALUES (350, 'UA', 'United Airlines');
INSERT INTO flights (ROWTIME, id, carrier, delay) VALUES (500, 5, 'UA', 9);
SELECT id, airline FROM named;
===
CREATE TABLE worst AS SELECT a.name, COUNT(*) AS n, AVG(f.delay) AS mean FROM flights f JOIN airlines a ON f.carrier = a.code GROUP BY a.name;
SELECT * FROM worst;
