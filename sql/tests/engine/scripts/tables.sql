CREATE TABLE users (id INT PRIMARY KEY, name STRING, age INT) WITH (KAFKA_TOPIC='users', VALUE_FORMAT='JSON', PARTITIONS=1);
INSERT INTO users (ROWTIME, id, name, age) VALUES (1, 1, 'Ann', 30);
INSERT INTO users (ROWTIME, id, name, age) VALUES (2, 2, 'Bob', 17);
SELECT * FROM users;
===
CREATE TABLE adults AS SELECT id, name, age FROM users WHERE age >= 18;
SELECT * FROM adults;
===
INSERT INTO users (ROWTIME, id, name, age) VALUES (3, 2, 'Bob', 18);
INSERT INTO users (ROWTIME, id, name, age) VALUES (4, 1, 'Ann', 3);
SELECT * FROM adults;
SELECT name FROM adults WHERE id = 2;
SELECT name FROM adults WHERE id = 1;
