CREATE STREAM orders (id INT KEY, item STRING, price DOUBLE, qty INT) WITH (KAFKA_TOPIC='orders', VALUE_FORMAT='JSON', PARTITIONS=1);
INSERT INTO orders (ROWTIME, id, item, price, qty) VALUES (1000, 1, 'tea', 2.5, 4);
INSERT INTO orders (ROWTIME, id, item, price, qty) VALUES (2000, 2, 'cup', 7, 1);
INSERT INTO orders (ROWTIME, id, item) VALUES (3000, 3, 'pot');
SELECT * FROM orders;
---
Stream ORDERS created
Inserted 1 row
Inserted 1 row
Inserted 1 row
1 | tea | 2.5 | 4
2 | cup | 7.0 | 1
3 | pot | null | null
===
CREATE STREAM dear AS SELECT id, item, price * qty AS total FROM orders WHERE price > 1;
SELECT ROWTIME, id, item, total FROM dear;
---
Created query with ID CSAS_DEAR_1
1000 | 1 | tea | 10.0
2000 | 2 | cup | 7.0
===
INSERT INTO orders (ROWTIME, id, item, price, qty) VALUES (4000, 4, 'pan', 30.0, 2);
SELECT id, total FROM dear WHERE total >= 10 LIMIT 5;
---
Inserted 1 row
1 | 10.0
4 | 60.0
===
CREATE STREAM by_item AS SELECT item, id, price FROM orders PARTITION BY item;
SELECT * FROM by_item;
DESCRIBE by_item;
PRINT 'BY_ITEM' FROM BEGINNING LIMIT 2;
---
Created query with ID CSAS_BY_ITEM_2
tea | 1 | 2.5
cup | 2 | 7.0
pot | 3 | null
pan | 4 | 30.0
ITEM | VARCHAR(STRING) (key)
ID | INTEGER
PRICE | DOUBLE
Key format: KAFKA_STRING
Value format: JSON or KAFKA_STRING
rowtime: 1970/01/01 00:00:01.000 Z, key: tea, value: {"ID":1,"PRICE":2.5}, partition: 0
rowtime: 1970/01/01 00:00:02.000 Z, key: cup, value: {"ID":2,"PRICE":7.0}, partition: 0
===
CREATE STREAM csv WITH (VALUE_FORMAT='DELIMITED', KAFKA_TOPIC='csv') AS SELECT id, UCASE(item) AS item, qty FROM orders;
PRINT csv FROM BEGINNING LIMIT 4;
---
Created query with ID CSAS_CSV_3
Key format: KAFKA_INT or KAFKA_STRING
Value format: KAFKA_STRING
rowtime: 1970/01/01 00:00:01.000 Z, key: 1, value: TEA,4, partition: 0
rowtime: 1970/01/01 00:00:02.000 Z, key: 2, value: CUP,1, partition: 0
rowtime: 1970/01/01 00:00:03.000 Z, key: 3, value: POT,, partition: 0
rowtime: 1970/01/01 00:00:04.000 Z, key: 4, value: PAN,2, partition: 0
===
CREATE STREAM more (id INT KEY, item STRING, total DOUBLE) WITH (KAFKA_TOPIC='more', VALUE_FORMAT='JSON', PARTITIONS=1);
INSERT INTO more SELECT id, item, total FROM dear;
SELECT id, total FROM more;
---
Stream MORE created
Created query with ID INSERTQUERY_5
1 | 10.0
2 | 7.0
4 | 60.0
