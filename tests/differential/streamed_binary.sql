-- Values in binary form, in transactions in progress and others: the events of text.
-- ours: slot.stream.params=proto_version=2;streaming=on;binary=true
-- config: include.unknown.datatypes=false
-- expect: 812 records
-- snapshot
CREATE EXTENSION citext;
CREATE EXTENSION ltree;
SELECT format('ALTER DATABASE %I SET logical_decoding_work_mem = ''64kB''', current_database()) \gexec
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN posint AS int CHECK (VALUE > 0);
CREATE DOMAIN doc AS jsonb;
CREATE TABLE t (id bigint PRIMARY KEY, i2 smallint, i4 int, o oid, f4 real, f8 float8, b bool, n numeric, np numeric(12,3), t text, v varchar(30), c char(5), q "char", nm name, ci citext, j json, jb jsonb, d doc, x xml, lt ltree, u uuid, by bytea, m mood, p posint, da date, ti time, ts timestamp, ts3 timestamp(3), tz timestamptz, iv interval);
ALTER TABLE t REPLICA IDENTITY FULL;
-- stream
INSERT INTO t (id) VALUES (1);
INSERT INTO t VALUES (2, -32768, -2147483648, 4294967295, -0.5, 1e300, true, -123456789012345678901234567890.000012300, -1.5, 'ä€😀', 'v', 'c', 'q', 'a name', 'CiText', '{"a" : 1}', '{"b" : [1, 2.50]}', '{"d": null}', '<x a="1">y</x>', 'Top.Science', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '\x00ff10', 'ok', 7, '2024-02-29', '23:59:59.999999', '2024-02-29 12:34:56.789012', '1969-12-31 23:59:59.999', '2024-02-29 12:00:00.5+05', '1 year -2 months 3 days 04:05:06.789');
INSERT INTO t VALUES (3, 32767, 2147483647, 0, 'NaN', '-Infinity', false, 0, 99999999.999, '', '', '', '', '', '', 'null', '"x"', '[]', '', '', '00000000-0000-0000-0000-000000000000', '', 'sad', 1, '0001-01-01 BC', '24:00', '0001-01-01 00:00:00', '9999-12-31 23:59:59.999', '1900-01-01 00:00:00+00', '-1 microsecond');
INSERT INTO t (id, da, ts, tz, n, f8) VALUES (4, 'infinity', 'infinity', '-infinity', 12300, 0.1), (5, '-infinity', '-infinity', 'infinity', 1e-20, 1e21);
UPDATE t SET i4 = 5, o = 3000000000 WHERE id > 1;
UPDATE t SET id = -id WHERE id = 2;
-- stream
INSERT INTO t (id, t, jb, n, ts) SELECT n, repeat('large', 20), jsonb_build_object('n', n), n / 7.0, timestamp '2020-01-01' + n * interval '1 day 1 microsecond' FROM generate_series(1001, 1800) n;
