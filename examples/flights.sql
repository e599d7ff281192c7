-- Delays of the flights from New York: the job of `millstream demo`.
-- Load the data with flights-source.json and airlines-source.json, write it out with late-departures-sink.json.

SET 'auto.offset.reset' = 'earliest';

-- The records are of 2013: kept for longer than the usual seven days, here and in the streams made of them.
CREATE STREAM flights (
    carrier STRING KEY,
    flight INT,
    origin STRING,
    dest STRING,
    dep_delay INT
) WITH (KAFKA_TOPIC = 'flights', KEY_FORMAT = 'KAFKA', VALUE_FORMAT = 'JSON', PARTITIONS = 4, RETENTION_MS = -1);

CREATE TABLE airlines (
    carrier STRING PRIMARY KEY,
    name STRING
) WITH (KAFKA_TOPIC = 'airlines', KEY_FORMAT = 'KAFKA', VALUE_FORMAT = 'JSON', PARTITIONS = 4);

-- Cancelled flights have no delay.
CREATE STREAM departures AS
    SELECT f.carrier AS carrier, a.name AS airline, f.flight AS flight, f.origin AS origin, f.dest AS dest, f.dep_delay AS delay
    FROM flights f
    JOIN airlines a ON f.carrier = a.carrier
    WHERE f.dep_delay IS NOT NULL
    EMIT CHANGES;

-- The grace period is long because history is loaded: one partition may be months ahead of another.
CREATE TABLE delays_per_hour AS
    SELECT origin, COUNT(*) AS departures, AVG(delay) AS average_delay, MAX(delay) AS worst_delay
    FROM departures
    WINDOW TUMBLING (SIZE 1 HOUR, RETENTION 10000 DAYS, GRACE PERIOD 365 DAYS)
    GROUP BY origin
    EMIT CHANGES;

CREATE TABLE carriers AS
    SELECT airline, COUNT(*) AS departures, AVG(delay) AS average_delay, MAX(delay) AS worst_delay
    FROM departures
    GROUP BY airline
    EMIT CHANGES;

CREATE STREAM late_departures AS
    SELECT carrier, airline, flight, origin, dest, delay
    FROM departures
    WHERE delay >= 180
    EMIT CHANGES;
