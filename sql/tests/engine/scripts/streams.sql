CREATE STREAM orders (id INT KEY, item STRING, price DOUBLE, qty INT) WITH (KAFKA_TOPIC='orders', VALUE_FORMAT='JSON', PARTITIONS=1);
INSERT INTO orders (ROWTIME, id, item, price, qty) VALUES (1000, 1, 'tea', 2.5, 4);
INSERT INTO orders (ROWTIME, id, item, price, qty) VALUES (2000, 2, 'cup', 7, 1);
INSERT INTO orders (ROWTIME, id, item) VALUES (3000, 3, 'pot');
SELECT * FROM orders;
===
CREATE STREAM dear AS SELECT id, item, price * qty AS total FROM orders WHERE price > 1;
SELECT ROWTIME, id, item, total FROM dear;
===
INSERT INTO orders (ROWTIME, id, item, price, qty) VALUES (4000, 4, 'pan', 30.0, 2);
SELECT id, total FROM dear WHERE total >= 10 LIMIT 5;
===
CREATE STREAM by_item AS SELECT item, id, price FROM orders PARTITION BY item;
SELECT * FROM by_item;
DESCRIBE by_item;
PRINT 'BY_ITEM' FROM BEGINNING LIMIT 2;
===
CREATE STREAM csv WITH (VALUE_FORMAT='DELIMITED', KAFKA_TOPIC='csv') AS SELECT id, UCASE(item) AS item, qty FROM orders;
PRINT csv FROM BEGINNING LIMIT 4;
===
CREATE STREAM more (id INT KEY, item STRING, total DOUBLE) WITH (KAFKA_TOPIC='more', VALUE_FORMAT='JSON', PARTITIONS=1);
INSERT INTO more SELECT id, item, total FROM dear;
SELECT id, total FROM more;
