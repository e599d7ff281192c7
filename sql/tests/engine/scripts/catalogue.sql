CREATE STREAM a (k STRING KEY, v INT) WITH (KAFKA_TOPIC='a', VALUE_FORMAT='JSON', PARTITIONS=2);
CREATE STREAM IF NOT EXISTS a (k STRING KEY, v INT) WITH (KAFKA_TOPIC='a', VALUE_FORMAT='JSON');
CREATE TABLE counts AS SELECT k, COUNT(*) AS n FROM a GROUP BY k;
SHOW STREAMS;
SHOW TABLES;
SHOW TOPICS;
DESCRIBE counts;
EXPLAIN SELECT v + 1 AS w FROM a WHERE v > 2 EMIT CHANGES;
---
Stream A created
Cannot add stream `A`: A stream with the same name already exists.
Created query with ID CTAS_COUNTS_1
A | a | KAFKA | JSON | false
COUNTS | COUNTS | KAFKA | JSON | false
COUNTS | 2 | 1
a | 2 | 1
K | VARCHAR(STRING) (primary key)
N | BIGINT
Execution plan
--------------
> PROJECT (V + 1) AS W
  > FILTER (V > 2)
    > STREAM A (topic a, key KAFKA, value JSON): V

Processing topology
-------------------
Topologies:
   Sub-topology: 0
    Source: Source-A (topics: [a])
      --> Filter-1
    Processor: Filter-1 (stores: [])
      --> Project-2
      <-- Source-A
    Processor: Project-2 (stores: [])
      --> Client
      <-- Filter-1
    Processor: Client (stores: [])
      --> none
      <-- Project-2


===
DROP STREAM a;
DROP TABLE a;
DROP TABLE counts DELETE TOPIC;
DROP STREAM a;
DROP STREAM IF EXISTS a;
SHOW TOPICS;
---
error: line 1:13: Cannot drop A.
The following streams and/or tables read from this source: [COUNTS].
You need to drop them before dropping A.
error: line 1:12: Incompatible data source type is STREAM, but statement was DROP TABLE (DROP STREAM A)
Source COUNTS was dropped.
Source A was dropped.
Source A does not exist.
a | 2 | 1
===
CREATE TYPE address AS STRUCT<street STRING, zip INT>;
CREATE STREAM people (name STRING KEY, home address) WITH (KAFKA_TOPIC='people', VALUE_FORMAT='JSON', PARTITIONS=1);
DESCRIBE people;
INSERT INTO people VALUES ('Ann', STRUCT(street := 'Elm', zip := 12));
SELECT name, home->zip AS zip FROM people;
SHOW TYPES;
DROP TYPE address;
---
Registered custom type with name 'ADDRESS' and SQL type STRUCT<`STREET` STRING, `ZIP` INTEGER>
Stream PEOPLE created
NAME | VARCHAR(STRING) (key)
HOME | STRUCT<`STREET` STRING, `ZIP` INTEGER>
Inserted 1 row
Ann | 12
ADDRESS | STRUCT<`STREET` STRING, `ZIP` INTEGER>
Dropped type 'ADDRESS'
===
SET 'auto.offset.reset'='earliest';
UNSET 'auto.offset.reset';
DEFINE x='5';
SHOW VARIABLES;
---
Successfully changed local property 'auto.offset.reset' to 'earliest'. Use the UNSET command to revert your change.
Successfully unset local property 'auto.offset.reset' (value was 'earliest').
Defined variable X
X | 5
