-- Columns of the key that the filters leave out of the row are in the key all the same, in the stream. (Of a snapshot's rows Debezium makes keys of the wrong values, so there are none.)
-- under: excluded column.exclude.list=public.one.id,public.two.b
-- under: included column.include.list=public.one.v,public.two.v,public.zz_marker.*
-- under: by_columns column.exclude.list=public.one.v,public.two.v; message.key.columns=public.one:v;public.two:v,a
-- expect: 11 records
-- snapshot
CREATE TABLE one (id int PRIMARY KEY, v text);
CREATE TABLE two (a int, b text, v text, PRIMARY KEY (b, a));
-- stream
INSERT INTO one VALUES (9, 'x');
UPDATE one SET v = 'y';
UPDATE one SET id = 10;
DELETE FROM one;
INSERT INTO two VALUES (1, 'k', 'x');
UPDATE two SET v = 'y';
DELETE FROM two;
