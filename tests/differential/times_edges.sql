-- The ends of time and of the day, in each time.precision.mode; arrays of them, with nulls; and types that arrays treat otherwise; xml with a declaration.
-- under: connect time.precision.mode=connect
-- under: adaptive time.precision.mode=adaptive
-- under: isostring time.precision.mode=isostring
-- expect: 12 records
-- snapshot
CREATE EXTENSION ltree;
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN any_mood AS mood;
CREATE TABLE edge (id int PRIMARY KEY, t time, t3 time(3), d date, t24 time DEFAULT '24:00', z timetz, z0 timetz(0), x xml);
CREATE TABLE many (id int PRIMARY KEY, d date[], z timetz[], s2 timestamptz(2)[], s timestamptz[], l ltree[], e mood[], a any_mood[], v tsvector[]);
INSERT INTO edge (id, t, t3, d, z, z0, x) VALUES (1, '24:00', '24:00', 'infinity', '24:00+00', '23:00-01', '<?xml version="1.0"?><a>é</a>'), (2, '00:00', '23:59:59.9999', '-infinity', '24:00+02', '24:00-01', '<b/>');
INSERT INTO many VALUES
 (1, '{infinity,-infinity,2020-01-01}', '{24:00+00,23:00-01,24:00+02,24:00-01,12:34:56.789+02}', '{-infinity,2020-01-01 00:00Z}', '{-infinity}', '{a.b,NULL}', '{sad,ok}', '{sad,ok}', '{a}'),
 (2, '{}', '{}', '{}', '{}', '{a.b}', '{sad,NULL}', '{sad,NULL}', '{a,NULL}'),
 (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
-- stream
INSERT INTO edge SELECT id + 10, t, t3, d, t24, z, z0, x FROM edge;
INSERT INTO many SELECT id + 10, d, z, s2, s, l, e, a, v FROM many;
DELETE FROM edge WHERE id = 1;
