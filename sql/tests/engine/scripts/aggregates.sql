CREATE STREAM trades (symbol STRING KEY, kind STRING, price DOUBLE, qty INT) WITH (KAFKA_TOPIC='trades', VALUE_FORMAT='JSON', PARTITIONS=1);
INSERT INTO trades (ROWTIME, symbol, kind, price, qty) VALUES (1000, 'A', 'buy', 10.0, 1);
INSERT INTO trades (ROWTIME, symbol, kind, price, qty) VALUES (2000, 'A', 'sell', 12.0, 2);
INSERT INTO trades (ROWTIME, symbol, kind, price, qty) VALUES (11000, 'A', 'buy', 8.0, 3);
INSERT INTO trades (ROWTIME, symbol, kind, price, qty) VALUES (3000, 'B', 'buy', 5.0, 4);
CREATE TABLE totals AS SELECT symbol, COUNT(*) AS n, SUM(qty) AS qty, AVG(price) AS mean, MIN(price) AS low, MAX(price) AS high FROM trades GROUP BY symbol;
SELECT * FROM totals;
SELECT symbol, mean FROM totals WHERE symbol = 'A';
SELECT symbol, ROWTIME FROM totals WHERE symbol IN ('B', 'C');
---
Stream TRADES created
Inserted 1 row
Inserted 1 row
Inserted 1 row
Inserted 1 row
Created query with ID CTAS_TOTALS_1
A | 3 | 6 | 10.0 | 8.0 | 12.0
B | 1 | 4 | 5.0 | 5.0 | 5.0
A | 10.0
B | 3000
===
CREATE TABLE per_kind AS SELECT kind, COUNT(*) AS n, SUM(price * qty) AS volume FROM trades GROUP BY kind;
SELECT * FROM per_kind;
---
Created query with ID CTAS_PER_KIND_2
buy | 3 | 54.0
sell | 1 | 24.0
===
CREATE TABLE windows AS SELECT symbol, COUNT(*) AS n, SUM(qty) AS qty FROM trades WINDOW TUMBLING (SIZE 10 SECONDS) GROUP BY symbol;
SELECT * FROM windows;
SELECT symbol, WINDOWSTART, n FROM windows WHERE symbol = 'A' AND WINDOWSTART >= 10000;
SELECT symbol, WINDOWEND, n FROM windows WHERE WINDOWEND = 10000;
DESCRIBE windows;
---
Created query with ID CTAS_WINDOWS_3
A | 0 | 10000 | 2 | 3
A | 10000 | 20000 | 1 | 3
B | 0 | 10000 | 1 | 4
A | 10000 | 1
A | 10000 | 2
B | 10000 | 1
SYMBOL | VARCHAR(STRING) (primary key) (Window type: TUMBLING)
N | BIGINT
QTY | INTEGER
===
CREATE TABLE hops AS SELECT symbol, COUNT(*) AS n FROM trades WINDOW HOPPING (SIZE 10 SECONDS, ADVANCE BY 5 SECONDS) GROUP BY symbol;
SELECT * FROM hops WHERE symbol = 'A';
---
Created query with ID CTAS_HOPS_4
A | 0 | 10000 | 2
A | 5000 | 15000 | 1
A | 10000 | 20000 | 1
===
CREATE TABLE busy AS SELECT symbol, COUNT(*) AS n FROM trades GROUP BY symbol HAVING COUNT(*) > 2;
SELECT * FROM busy;
INSERT INTO trades (ROWTIME, symbol, kind, price, qty) VALUES (12000, 'B', 'sell', 5.5, 1);
INSERT INTO trades (ROWTIME, symbol, kind, price, qty) VALUES (13000, 'B', 'sell', 5.5, 1);
SELECT * FROM busy;
---
Created query with ID CTAS_BUSY_5
A | 3
Inserted 1 row
Inserted 1 row
A | 3
B | 3
===
CREATE TABLE pairs WITH (KEY_FORMAT='JSON') AS SELECT symbol, kind, COUNT(*) AS n FROM trades GROUP BY symbol, kind;
SELECT * FROM pairs;
SELECT n FROM pairs WHERE symbol = 'B' AND kind = 'sell';
SELECT kind, n FROM pairs WHERE kind = 'sell' AND symbol = 'B' AND n > 5;
SELECT symbol, n FROM totals WHERE symbol = 'A' AND symbol = 'B';
SELECT symbol, n FROM totals WHERE symbol = 'A' AND n < 3;
SELECT symbol, n FROM totals WHERE symbol = 'A' OR n = 3;
SELECT symbol, n FROM totals WHERE symbol = 'A' AND LCASE(symbol) = 'b';
SELECT symbol, n FROM totals WHERE symbol = 'A' LIMIT 0;
---
Created query with ID CTAS_PAIRS_6
A | buy | 2
A | sell | 1
B | buy | 1
B | sell | 2
2
A | 3
B | 3
===
CREATE TABLE rounded AS SELECT CAST(price AS INT) AS dollars, COUNT(*) AS n FROM trades GROUP BY CAST(price AS INT);
SELECT * FROM rounded;
---
Created query with ID CTAS_ROUNDED_7
5 | 3
8 | 1
10 | 1
12 | 1
