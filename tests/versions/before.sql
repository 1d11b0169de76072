CREATE EXTENSION IF NOT EXISTS hstore;
CREATE TYPE mood AS ENUM ('sad', 'ok', 'happy');
CREATE DOMAIN positive AS int CHECK (VALUE > 0);
CREATE TYPE pair AS (a int, b text);
CREATE TABLE kinds (
  id int PRIMARY KEY, flag bool, small smallint, big bigint, exact numeric(10,2), any_exact numeric,
  single real, double float8, line text DEFAULT 'none', short varchar(20) NOT NULL DEFAULT 'x', fixed char(5),
  octets bytea, day date DEFAULT '2020-01-02', clock time(3), moment timestamp, instant timestamptz(3),
  span interval, code uuid, tree json, btree jsonb, map hstore, address inet, range int4range,
  numbers int[], words text[], feeling mood, limited positive, spot point, bits bit(5), composed pair,
  twice int GENERATED ALWAYS AS (small * 2) STORED);
INSERT INTO kinds VALUES (1, true, 2, 3, 4.5, 6.789, 1.5, 2.25, 'text', 'short', 'ab', '\x0102', '2021-02-03',
  '10:11:12.345', '2022-03-04 05:06:07.891011', '2022-03-04 05:06:07.891+02', '1 day 02:03:04',
  '00000000-0000-0000-0000-00000000000a', '{"a": 1}', '{"b": [2]}', 'k=>v', '10.0.0.1/8', '[1,5)',
  '{1,2,NULL}', '{a,"b c"}', 'ok', 7, '(1,2)', B'10101', '(1,x)');
INSERT INTO kinds (id) VALUES (2);
CREATE TABLE plain (id int PRIMARY KEY, note text);
INSERT INTO plain SELECT n, 'note ' || n FROM generate_series(1, 5) n;
CREATE TABLE whole (id int PRIMARY KEY, large text, note text);
ALTER TABLE whole REPLICA IDENTITY FULL;
CREATE TABLE large (id int PRIMARY KEY, large text, note text);
ALTER TABLE large ALTER large SET STORAGE EXTERNAL;
ALTER TABLE whole ALTER large SET STORAGE EXTERNAL;
INSERT INTO whole VALUES (1, repeat('w', 9000), 'first');
INSERT INTO large VALUES (1, repeat('l', 9000), 'first');
CREATE TABLE keyless (a int, b text);
INSERT INTO keyless VALUES (1, 'only');
CREATE TABLE part (id int, day date, note text, PRIMARY KEY (id, day)) PARTITION BY RANGE (day);
CREATE TABLE part_2020 PARTITION OF part FOR VALUES FROM ('2020-01-01') TO ('2021-01-01');
CREATE TABLE part_2021 PARTITION OF part FOR VALUES FROM ('2021-01-01') TO ('2022-01-01');
INSERT INTO part VALUES (1, '2020-05-05', 'in 2020'), (2, '2021-05-05', 'in 2021');
