-- Values in binary form, in transactions in progress and others: the events of text.
-- ours: slot.stream.params=proto_version=2;streaming=on;binary=true
-- config: include.unknown.datatypes=false
-- expect: 824 records
-- snapshot
CREATE EXTENSION citext;
CREATE EXTENSION ltree;
CREATE EXTENSION hstore;
SELECT format('ALTER DATABASE %I SET logical_decoding_work_mem = ''64kB''', current_database()) \gexec
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE DOMAIN posint AS int CHECK (VALUE > 0);
CREATE DOMAIN doc AS jsonb;
CREATE TABLE t (id bigint PRIMARY KEY, i2 smallint, i4 int, o oid, f4 real, f8 float8, b bool, n numeric, np numeric(12,3), t text, v varchar(30), c char(5), q "char", nm name, ci citext, j json, jb jsonb, d doc, x xml, lt ltree, u uuid, by bytea, m mood, p posint, da date, ti time, ts timestamp, ts3 timestamp(3), tz timestamptz, iv interval);
ALTER TABLE t REPLICA IDENTITY FULL;
CREATE TABLE printed (id int PRIMARY KEY, m money, a inet, n cidr, ma macaddr, m8 macaddr8, b1 bit, b11 bit(11), vb varbit, tz timetz, p point, bx box, ls lseg, pa path, po polygon, l line, ci circle, h hstore, ts tsvector, r int4range, nr numrange, dr daterange, tr tsrange, zr tstzrange);
ALTER TABLE printed REPLICA IDENTITY FULL;
CREATE TABLE list (id int PRIMARY KEY, i int[], b bigint[], o oid[], t text[], v varchar(9)[], n numeric(9,2)[], nn numeric[], d date[], ti time[], tz timetz[], ts timestamp[], zs timestamptz[], u uuid[], j jsonb[], y boolean[], f float8[], f4 real[], by bytea[], m mood[], a inet[], r int4range[], c char(3)[], h hstore[]);
-- stream
INSERT INTO t (id) VALUES (1);
INSERT INTO t VALUES (2, -32768, -2147483648, 4294967295, -0.5, 1e300, true, -123456789012345678901234567890.000012300, -1.5, 'ä€😀', 'v', 'c', 'q', 'a name', 'CiText', '{"a" : 1}', '{"b" : [1, 2.50]}', '{"d": null}', '<x a="1">y</x>', 'Top.Science', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '\x00ff10', 'ok', 7, '2024-02-29', '23:59:59.999999', '2024-02-29 12:34:56.789012', '1969-12-31 23:59:59.999', '2024-02-29 12:00:00.5+05', '1 year -2 months 3 days 04:05:06.789');
INSERT INTO t VALUES (3, 32767, 2147483647, 0, 'NaN', '-Infinity', false, 0, 99999999.999, '', '', '', '', '', '', 'null', '"x"', '[]', '', '', '00000000-0000-0000-0000-000000000000', '', 'sad', 1, '0001-01-01 BC', '24:00', '0001-01-01 00:00:00', '9999-12-31 23:59:59.999', '1900-01-01 00:00:00+00', '-1 microsecond');
INSERT INTO printed VALUES
 (1, '-1234.56', '10.0.0.1/24', '10.0.0.0/8', '02:00:5e:10:00:01', '02:00:5e:ff:fe:10:00:01', '1', '00000000101', '101', '12:34:56.789+05:30', '(1.5,-2)', '(1,1),(0,0)', '[(0,0),(1e-7,1e300)]', '[(0,0),(1,0)]', '((0,0),(1,0),(0,1))', '{1,-1,0}', '<(1,2),3>', '"k"=>"v \"q\"", "n"=>NULL', $$fox:3A quick:2 'it''s'$$, '[1,10)', '(0.5,1.50]', '[2024-02-29,)', '["0044-03-15 01:02:03 BC",infinity)', '(,"2024-02-29 12:00:00+05")'),
 (2, '0', '::1', '::/0', NULL, NULL, '0', '00000000000', '', '24:00Z', '(0,-0)', '(2,2),(0,0)', '[(0,0),(0,0)]', '((1,2))', '((1,2))', '{0,1,2}', '<(0,0),0>', '', '', 'empty', '(,)', 'empty', 'empty', '(,)'),
 (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
UPDATE printed SET id = id + 10 WHERE id < 3;
INSERT INTO list VALUES
 (1, '{1,NULL,-3}', '{9223372036854775807}', '{4294967295}', '{a,"b c",NULL,""}', '{v}', '{1.50,NULL}', '{1e-20,100.500}', '{2024-02-29,NULL}', '{12:34:56.789012,24:00}', '{12:34:56+02}', '{"2024-02-29 12:34:56.789012","1500-01-01 00:00"}', '{"2024-02-29 12:34:56+05"}', '{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}', '{"{\"a\": [1, 2.50]}"}', '{t,f,NULL}', '{1e300,NaN}', '{0.1}', '{"\\x00ff"}', '{ok,sad}', '{10.0.0.1/24}', '{"[1,10)",empty}', '{a}', '{"a=>1"}'),
 (2, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}'),
 (3, '{{1,2},{3,4}}', '[0:1]={7,8}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO t (id, da, ts, tz, n, f8) VALUES (4, 'infinity', 'infinity', '-infinity', 12300, 0.1), (5, '-infinity', '-infinity', 'infinity', 1e-20, 1e21);
UPDATE t SET i4 = 5, o = 3000000000 WHERE id > 1;
UPDATE t SET id = -id WHERE id = 2;
-- stream
INSERT INTO t (id, t, jb, n, ts) SELECT n, repeat('large', 20), jsonb_build_object('n', n), n / 7.0, timestamp '2020-01-01' + n * interval '1 day 1 microsecond' FROM generate_series(1001, 1800) n;
