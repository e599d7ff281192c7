CREATE STREAM trades (symbol STRING KEY, kind STRING, price DOUBLE, qty INT) WITH (KAFKA_TOPIC='trades', VALUE_FORMAT='JSON', PARTITIONS=1);
INSERT INTO trades (ROWTIME, symbol, kind, price, qty) VALUES (1000, 'A', 'buy', 10.0, 1);
INSERT INTO trades (ROWTIME, symbol, kind, price, qty) VALUES (2000, 'A', 'sell', 12.0, 2);
INSERT INTO trades (ROWTIME, symbol, kind, price, qty) VALUES (11000, 'A', 'buy', 8.0, 3);
INSERT INTO trades (ROWTIME, symbol, kind, price, qty) VALUES (3000, 'B', 'buy', 5.0, 4);
CREATE TABLE totals AS SELECT symbol, COUNT(*) AS n, SUM(qty) AS qty, AVG(price) AS mean, MIN(price) AS low, MAX(price) AS high FROM trades GROUP BY symbol;
SELECT * FROM totals;
SELECT symbol, mean FROM totals WHERE symbol = 'A';
SELECT symbol, ROWTIME FROM totals WHERE symbol IN ('B', 'C');
===
CREATE TABLE per_kind AS SELECT kind, COUNT(*) AS n, SUM(price * qty) AS volume FROM trades GROUP BY kind;
SELECT * FROM per_kind;
===
CREATE TABLE windows AS SELECT symbol, COUNT(*) AS n, SUM(qty) AS qty FROM trades WINDOW TUMBLING (SIZE 10 SECONDS) GROUP BY symbol;
SELECT * FROM windows;
SELECT symbol, WINDOWSTART, n FROM windows WHERE symbol = 'A' AND WINDOWSTART >= 10000;
SELECT symbol, WINDOWEND, n FROM windows WHERE WINDOWEND = 10000;
DESCRIBE windows;
===
CREATE TABLE hops AS SELECT symbol, COUNT(*) AS n FROM trades WINDOW HOPPING (SIZE 10 SECONDS, ADVANCE BY 5 SECONDS) GROUP BY symbol;
SELECT * FROM hops WHERE symbol = 'A';
===
CREATE TABLE busy AS SELECT symbol, COUNT(*) AS n FROM trades GROUP BY symbol HAVING COUNT(*) > 2;
SELECT * FROM busy;
INSERT INTO trades (ROWTIME, symbol, kind, price, qty) VALUES (12000, 'B', 'sell', 5.5, 1);
INSERT INTO trades (ROWTIME, symbol, kind, price, qty) VALUES (13000, 'B', 'sell', 5.5, 1);
SELECT * FROM busy;
===
CREATE TABLE pairs WITH (KEY_FORMAT='JSON') AS SELECT symbol, kind, COUNT(*) AS n FROM trades GROUP BY symbol, kind;
SELECT * FROM pairs;
SELECT n FROM pairs WHERE symbol = 'B' AND kind = 'sell';
===
CREATE TABLE rounded AS SELECT CAST(price AS INT) AS dollars, COUNT(*) AS n FROM trades GROUP BY CAST(price AS INT);
SELECT * FROM rounded;
