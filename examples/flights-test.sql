-- What flights.sql makes of a few flights. Run it with: millstream test examples/flights-test.sql

--@test: departures have the names of their airlines
RUN SCRIPT 'flights.sql';
INSERT INTO airlines (carrier, name) VALUES ('UA', 'United');
INSERT INTO flights (ROWTIME, carrier, flight, origin, dest, dep_delay) VALUES (0, 'UA', 1545, 'EWR', 'IAH', 2);
INSERT INTO flights (ROWTIME, carrier, flight, origin, dest, dep_delay) VALUES (1, 'UA', 1546, 'EWR', 'IAH', NULL);
INSERT INTO flights (ROWTIME, carrier, flight, origin, dest, dep_delay) VALUES (2, 'ZZ', 1, 'EWR', 'IAH', 9);
INSERT INTO flights (ROWTIME, carrier, flight, origin, dest, dep_delay) VALUES (3600000, 'UA', 1547, 'EWR', 'ORD', 200);
ASSERT VALUES departures (carrier, airline, flight, delay) VALUES ('UA', 'United', 1545, 2);
ASSERT VALUES departures (carrier, airline, flight, delay) VALUES ('UA', 'United', 1547, 200);
ASSERT VALUES late_departures (carrier, dest, delay) VALUES ('UA', 'ORD', 200);

--@test: delays are counted per airline, and per airport and hour
RUN SCRIPT 'flights.sql';
INSERT INTO airlines (carrier, name) VALUES ('UA', 'United');
INSERT INTO flights (ROWTIME, carrier, flight, origin, dest, dep_delay) VALUES (0, 'UA', 1, 'EWR', 'IAH', 2);
INSERT INTO flights (ROWTIME, carrier, flight, origin, dest, dep_delay) VALUES (10, 'UA', 2, 'EWR', 'IAH', 4);
INSERT INTO flights (ROWTIME, carrier, flight, origin, dest, dep_delay) VALUES (3600000, 'UA', 3, 'EWR', 'IAH', 6);
ASSERT VALUES carriers (airline, departures, worst_delay) VALUES ('United', 1, 2);
ASSERT VALUES carriers (airline, departures, average_delay) VALUES ('United', 2, 3.0E0);
ASSERT VALUES delays_per_hour (origin, departures, WINDOWSTART) VALUES ('EWR', 1, 0);
ASSERT VALUES delays_per_hour (origin, departures, WINDOWSTART) VALUES ('EWR', 2, 0);
ASSERT VALUES delays_per_hour (origin, departures, WINDOWSTART, WINDOWEND) VALUES ('EWR', 1, 3600000, 7200000);

--@test: a flight is known by its carrier
--@expected.message: Cannot drop FLIGHTS.
RUN SCRIPT 'flights.sql';
DROP STREAM flights;
