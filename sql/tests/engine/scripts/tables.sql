CREATE TABLE users (id INT PRIMARY KEY, name STRING, age INT) WITH (KAFKA_TOPIC='users', VALUE_FORMAT='JSON', PARTITIONS=1);
INSERT INTO users (ROWTIME, id, name, age) VALUES (1, 1, 'Ann', 30);
INSERT INTO users (ROWTIME, id, name, age) VALUES (2, 2, 'Bob', 17);
SELECT * FROM users;
---
Table USERS created
Inserted 1 row
Inserted 1 row
error: line 1:15: The `USERS` table isn't queryable. To derive a queryable table, you can do 'CREATE TABLE QUERYABLE_USERS AS SELECT * FROM USERS'. See https://cnfl.io/queries for more info.
===
CREATE TABLE adults AS SELECT id, name, age FROM users WHERE age >= 18;
SELECT * FROM adults;
---
Created query with ID CTAS_ADULTS_1
1 | Ann | 30
===
INSERT INTO users (ROWTIME, id, name, age) VALUES (3, 2, 'Bob', 18);
INSERT INTO users (ROWTIME, id, name, age) VALUES (4, 1, 'Ann', 3);
SELECT * FROM adults;
SELECT name FROM adults WHERE id = 2;
SELECT name FROM adults WHERE id = 1;
---
Inserted 1 row
Inserted 1 row
2 | Bob | 18
Bob
