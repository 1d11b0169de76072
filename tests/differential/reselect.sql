-- Values that the log does not have, read again by ReselectColumnsPostProcessor: large values that an update leaves alone, and nulls.
-- config: post.processors=again
-- config: again.type=io.debezium.processors.reselect.ReselectColumnsPostProcessor
-- under: all
-- under: some again.reselect.columns.include.list=public.large:(t|b|j),public.twokeys:.*; again.reselect.null.values=false; unavailable.value.placeholder=hex:4e4f4e45; binary.handling.mode=base64
-- under: other again.reselect.columns.exclude.list=PUBLIC.LARGE:T,public.large:jb; again.reselect.use.event.key=true; message.key.columns=public.twokeys:a,b; hstore.handling.mode=map; binary.handling.mode=hex; decimal.handling.mode=string
-- expect: 36 records
-- snapshot
CREATE EXTENSION hstore;
CREATE TABLE large (id int PRIMARY KEY, note text NOT NULL, t text, v varchar(20000), c char(4000), b bytea, j json, jb jsonb, x xml, ta text[], ia int[], la bigint[], ua uuid[], ba bytea[], h hstore, n numeric, np numeric(1000,2), m text DEFAULT 'd', vb varbit);
DO $$ DECLARE col text; BEGIN
  FOR col IN SELECT attname FROM pg_attribute WHERE attrelid = 'large'::regclass AND attnum > 0 AND attstorage <> 'p' LOOP
    EXECUTE format('ALTER TABLE large ALTER %I SET STORAGE EXTERNAL', col);
  END LOOP;
END $$;
CREATE TABLE twokeys (a bigint, b varchar(9), big text, PRIMARY KEY (b, a));
ALTER TABLE twokeys ALTER big SET STORAGE EXTERNAL;
CREATE TABLE whole (id int PRIMARY KEY, note text, big text);
ALTER TABLE whole ALTER big SET STORAGE EXTERNAL;
ALTER TABLE whole REPLICA IDENTITY FULL;
CREATE TABLE keyless (v text, n int);
CREATE TABLE nulls (id numeric(6,2) PRIMARY KEY, i int, d date, ts timestamp, tz timestamptz(3), iv interval, p point, u uuid, bo bool, r int4range, ip inet, e text);
INSERT INTO large VALUES (0, 'snapshot');
-- stream
INSERT INTO large VALUES (1, 'first', repeat('t', 5000), repeat('v', 5000), 'c', decode(repeat('00ff', 3000), 'hex'), ('{"a": "' || repeat('j', 5000) || '"}')::json, ('{"b": "' || repeat('j', 5000) || '"}')::jsonb, ('<x>' || repeat('x', 5000) || '</x>')::xml, array_fill('element'::text, ARRAY[1000]), array_fill(7, ARRAY[2000]), array_fill(8, ARRAY[2000]), array_fill('a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid, ARRAY[300]), array_fill('\x0102'::bytea, ARRAY[1000]), hstore('key', repeat('h', 5000)), repeat('12345', 1500)::numeric, 1.5, NULL, repeat('10', 20000)::varbit);
INSERT INTO large (id, note) VALUES (2, 'of nulls');
INSERT INTO twokeys VALUES (1, 'one', repeat('1', 4000)), (2, 'two', repeat('2', 4000)), (1, 'two', repeat('3', 4000));
INSERT INTO whole VALUES (1, NULL, repeat('w', 4000));
INSERT INTO keyless VALUES (NULL, 1);
INSERT INTO nulls (id) VALUES (1.5), (2);
-- stream
UPDATE large SET note = 'second';
UPDATE twokeys SET a = a + 10;
UPDATE whole SET note = 'n';
-- stream
BEGIN;
UPDATE large SET note = 'third' WHERE id = 1;
UPDATE large SET note = 'fourth', t = 'small' WHERE id = 1;
UPDATE large SET id = 5 WHERE id = 1;
COMMIT;
DELETE FROM nulls WHERE id = 2;
-- away
UPDATE large SET note = 'gone later' WHERE id = 2;
UPDATE twokeys SET b = 'other' WHERE a = 12;
DELETE FROM large WHERE id = 2;
