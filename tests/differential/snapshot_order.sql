-- The order in which a snapshot reads tables is that of table.include.list, as source.snapshot shows.
-- config: table.include.list=public.zebra,public.m.*,public.ant,public.mole,public.zz_marker
-- expect: 5 records
-- snapshot
CREATE TABLE ant (id int PRIMARY KEY);
CREATE TABLE mole (id int PRIMARY KEY);
CREATE TABLE mouse (id int PRIMARY KEY);
CREATE TABLE zebra (id int PRIMARY KEY);
INSERT INTO ant VALUES (1);
INSERT INTO mole VALUES (1);
INSERT INTO mouse VALUES (1);
INSERT INTO zebra VALUES (1);
-- stream
INSERT INTO ant VALUES (2);
