-- PostGIS: geometries and geographies with and without SRID, of each shape, in arrays and keys, with typmods, defaults and nulls.
-- ours: slot.stream.params=binary=true
-- expect: 44 records
-- snapshot
CREATE EXTENSION postgis;
CREATE TABLE shape (id int PRIMARY KEY, g geometry, gt geometry(Point, 4326), gz geometry(PointZ), gg geography, gp geography(Point, 4326), ga geometry[], gga geography[]);
CREATE TABLE required (id int PRIMARY KEY, g geometry NOT NULL, gg geography NOT NULL, d geometry NOT NULL DEFAULT 'POINT(1 2)', n geography DEFAULT 'SRID=4326;POINT(3 4)');
CREATE TABLE keyed (g geometry(Point, 4326) PRIMARY KEY, note text);
CREATE TABLE full_row (id int PRIMARY KEY, g geometry, t text);
ALTER TABLE full_row REPLICA IDENTITY FULL;
CREATE DOMAIN place AS geometry(Point, 4326);
CREATE TABLE of_domain (id int PRIMARY KEY, p place);
INSERT INTO shape VALUES
 (1, 'POINT(1 2)', 'SRID=4326;POINT(1.5 -2.25)', 'POINT Z (1 2 3)', 'POINT(10 20)', 'SRID=4326;POINT(-71.06 42.28)', ARRAY['POINT(1 2)', 'SRID=3857;LINESTRING(0 0, 1 1)', NULL]::geometry[], ARRAY['POINT(1 2)']::geography[]),
 (2, 'SRID=4326;LINESTRING(0 0, 1.1 1, 2 -1)', NULL, NULL, 'SRID=4267;LINESTRING(0 0, 1 1)', NULL, '{}', NULL),
 (3, 'POLYGON((0 0, 10 0, 10 10, 0 0), (1 1, 2 1, 2 2, 1 1))', NULL, NULL, 'POLYGON((0 0, 10 0, 10 10, 0 0))', NULL, NULL, '{}'),
 (4, 'SRID=3857;GEOMETRYCOLLECTION(POINT(1 2), MULTIPOINT(3 4, 5 6))', NULL, NULL, 'MULTIPOLYGON(((0 0, 1 0, 1 1, 0 0)))', NULL, NULL, NULL),
 (5, 'POINT EMPTY', 'SRID=4326;POINT EMPTY', NULL, 'GEOMETRYCOLLECTION EMPTY', NULL, NULL, NULL),
 (6, 'POINT ZM (1 2 3 4)', NULL, 'POINT Z (1e10 -1e-10 0)', 'POINT(180 90)', NULL, NULL, NULL),
 (7, 'SRID=4326;MULTILINESTRING((0 0, 1 1), (2 2, 3 3))', NULL, NULL, NULL, NULL, NULL, NULL),
 (8, 'CIRCULARSTRING(0 0, 1 1, 2 0)', NULL, NULL, NULL, NULL, NULL, NULL),
 (9, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO required (id, g, gg) VALUES (1, 'POINT(1 1)', 'POINT(2 2)');
INSERT INTO keyed VALUES ('SRID=4326;POINT(1 2)', 'a');
INSERT INTO full_row VALUES (1, 'SRID=4326;POINT(1 2)', 'a');
INSERT INTO of_domain VALUES (1, 'SRID=4326;POINT(1 2)'), (2, NULL);
-- stream
INSERT INTO shape SELECT id + 100, g, gt, gz, gg, gp, ga, gga FROM shape;
UPDATE shape SET gt = 'SRID=4326;POINT(7 8)' WHERE id = 101;
UPDATE shape SET id = 201 WHERE id = 101;
DELETE FROM shape WHERE id = 102;
INSERT INTO required (id, g, gg) VALUES (2, 'LINESTRING(1 1, 2 2)', 'POINT(3 3)');
UPDATE required SET d = 'POINT(0 0)' WHERE id = 1;
DELETE FROM required WHERE id = 1;
INSERT INTO keyed VALUES ('SRID=4326;POINT(3 4)', 'b');
UPDATE keyed SET note = 'c' WHERE note = 'a';
DELETE FROM keyed WHERE note = 'b';
UPDATE full_row SET t = 'b';
UPDATE full_row SET g = 'POINT(9 9)';
DELETE FROM full_row;
INSERT INTO of_domain VALUES (3, 'SRID=4326;POINT(3 4)');
-- stream
-- A large geometry that an update leaves alone.
CREATE TABLE large (id int PRIMARY KEY, g geometry, gg geography, n int);
ALTER TABLE large ALTER COLUMN g SET STORAGE EXTERNAL, ALTER COLUMN gg SET STORAGE EXTERNAL;
INSERT INTO large SELECT 1, ST_MakeLine(array_agg(ST_Point(n, n * 0.5))), ST_SetSRID(ST_MakeLine(array_agg(ST_Point(n % 90, n % 45 + n * 0.0001))), 4326)::geography, 0 FROM generate_series(1, 400) n;
UPDATE large SET n = 1;
