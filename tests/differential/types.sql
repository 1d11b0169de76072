-- Every scalar type: ordinary, lowest, highest and missing values, by snapshot and by stream; and defaults.
-- expect: 38 records
-- snapshot
CREATE EXTENSION citext;
CREATE EXTENSION hstore;
CREATE EXTENSION ltree;
CREATE TYPE size AS ENUM ('small', 'quite large', 'XL');
CREATE DOMAIN share AS numeric(5,4) CHECK (VALUE BETWEEN 0 AND 1);
CREATE DOMAIN nested AS share;
CREATE TABLE number (id int PRIMARY KEY, s smallint, i int, b bigint, o oid, r real, d double precision, n numeric, p numeric(9,3), w numeric(38,10), m money, yes boolean, sh share, ne nested);
CREATE TABLE text_like (id int PRIMARY KEY, c char(4), v varchar(12), t text, ci citext, nm name, raw bytea, x xml, j json, jb jsonb, u uuid, h hstore, l ltree, ts tsvector, e size);
CREATE TABLE moment (id int PRIMARY KEY, d date, t time, t0 time(0), t2 time(2), tz timetz, ts timestamp, ts0 timestamp(0), ts3 timestamp(3), tsz timestamptz, tsz3 timestamptz(3), span interval);
CREATE TABLE other (id int PRIMARY KEY, a inet, n cidr, m macaddr, m8 macaddr8, r int4range, r8 int8range, nr numrange, dr daterange, tr tsrange, zr tstzrange, b1 bit, b7 bit(7), vb varbit(9), p point);
CREATE TABLE with_default (id serial PRIMARY KEY, i int NOT NULL DEFAULT 17, b bigint DEFAULT -5, yes boolean NOT NULL DEFAULT true, t text NOT NULL DEFAULT 'as is', v varchar(4) DEFAULT NULL, n numeric(7,2) NOT NULL DEFAULT 10.25, r real DEFAULT 0.5, d date NOT NULL DEFAULT '2021-03-04', ts timestamp DEFAULT '2021-03-04 05:06:07.000008', at timestamptz NOT NULL DEFAULT now(), u uuid DEFAULT '11111111-2222-3333-4444-555555555555', j jsonb NOT NULL DEFAULT '{}', e size DEFAULT 'XL', bt bit(2) DEFAULT B'10');
INSERT INTO number VALUES
 (1, 12, 1234, 123456, 77, 1.5, 2.25, 10.010, 999999.999, 1234567890.0987654321, '12.34', true, 0.5, 0.125),
 (2, -32768, -2147483648, -9223372036854775808, 0, -1e-38, -1e-300, -1e-20, -999999.999, -0.0000000001, '-0.05', false, 0, 0),
 (3, 32767, 2147483647, 9223372036854775807, 4294967295, 3.4e38, 1.7e308, 12345678901234567890.5, 0, 9999999999999999999999999999.9999999999, '92233720368547758.07', NULL, 1, 1),
 (4, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
 (5, 0, 0, 0, 1, 'NaN', 'Infinity', 1e25, 0.001, 1, '0', true, 0.1, 0.2),
 (6, 1, 1, 1, 1, 16777216, 0.30000000000000004, 100, 1, 1, '1', true, 0.1, 0.2);
INSERT INTO text_like VALUES
 (1, 'ab', 'größer', E'two\nlines "quoted" \\ tab\t', 'Mixed', 'a name', '\x0001fe', '<a b="1">c</a>', '{"b" : [1, null],  "a":2}', '{"b": [1, null], "a": 2.50}', '0b9f4a52-93a5-4f7e-9d55-0c2a6d0a1b2c', 'a=>1, b=>NULL', 'Top.Mid.Leaf', 'quick:2 fox:3', 'quite large'),
 (2, '', '', '', '', '', '', '<e/>', '[]', '0', '00000000-0000-0000-0000-000000000000', '', '', '', 'small'),
 (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
 (4, '€', '🚀', repeat('水', 150), 'ÅÄÖ', 'n', decode(repeat('c3', 60), 'hex'), NULL, '"text"', 'true', NULL, 'k=>"v w"', 'A.b_C', 'x', 'XL');
INSERT INTO moment VALUES
 (1, '2024-02-29', '13:14:15.161718', '13:14:15', '13:14:15.16', '13:14:15.1617+02', '2024-02-29 13:14:15.161718', '2024-02-29 13:14:15', '2024-02-29 13:14:15.161', '2024-02-29 13:14:15.161718+00', '2024-02-29 13:14:15.161-05', '1 year 2 mons 3 days 04:05:06.78'),
 (2, '1970-01-01', '00:00', '00:00', '00:00', '00:00Z', '1970-01-01', '1970-01-01', '1970-01-01', '1970-01-01Z', '1970-01-01Z', '0'),
 (3, '1969-07-20', '23:59:59.999999', '23:59:59', '23:59:59.99', '23:59:59.9-12', '1969-07-20 20:17:40.5', '1969-07-20', '1969-07-20 20:17:40.123', '1969-07-20 20:17:40Z', '1969-07-20 20:17:40.001Z', '-1 day +00:00:01'),
 (4, '9999-12-31', NULL, NULL, NULL, NULL, '9999-12-31 23:59:59.999999', '0001-01-01', '1582-10-14', '9999-12-31 00:00Z', '1900-01-01Z', '-2 years'),
 (5, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO other VALUES
 (1, '192.168.7.9/16', '192.168.0.0/16', '02:00:5e:10:00:01', '02:00:5e:ff:fe:10:00:01', '[2,9)', '(,100]', '[0.5,1.5)', '[2022-01-01,2022-12-31]', '[2022-01-01 01:02:03,)', '[2022-01-01 00:00+00,2022-01-02 00:00+00)', '1', '1010011', '110', '(2.5,-1)'),
 (2, 'fe80::1', '10.0.0.0/8', '00:00:00:00:00:00', '00:00:00:00:00:00:00:00', 'empty', 'empty', '(,)', '(,)', '(,)', '(,)', '0', '0000000', '', '(0,0)'),
 (3, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL);
INSERT INTO with_default (at) VALUES ('2022-02-02 02:02:02Z');
-- stream
INSERT INTO number SELECT id + 100, s, i, b, o, r, d, n, p, w, m, yes, sh, ne FROM number;
INSERT INTO text_like SELECT id + 100, c, v, t, ci, nm, raw, x, j, jb, u, h, l, ts, e FROM text_like;
INSERT INTO moment SELECT id + 100, d, t, t0, t2, tz, ts, ts0, ts3, tsz, tsz3, span FROM moment;
INSERT INTO other SELECT id + 100, a, n, m, m8, r, r8, nr, dr, tr, zr, b1, b7, vb, p FROM other;
INSERT INTO with_default (at) VALUES ('2022-02-02 02:02:02Z');
