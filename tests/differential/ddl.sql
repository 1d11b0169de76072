-- Columns added, dropped, renamed and retyped between rows; tables made, renamed and dropped; another key.
-- expect: 14 records
-- snapshot
CREATE TABLE plan (id int PRIMARY KEY, a text, b int);
INSERT INTO plan VALUES (1, 'x', 1);
-- stream
ALTER TABLE plan ADD COLUMN c numeric(8,2) NOT NULL DEFAULT 2.5;
INSERT INTO plan VALUES (2, 'y', 2, 3.75);
UPDATE plan SET b = 7 WHERE id = 1;
-- stream
ALTER TABLE plan DROP COLUMN b;
INSERT INTO plan VALUES (3, 'z', 4);
-- stream
ALTER TABLE plan RENAME COLUMN a TO title;
UPDATE plan SET title = 'renamed' WHERE id = 3;
-- stream
ALTER TABLE plan ALTER COLUMN c TYPE double precision, ALTER COLUMN c SET DEFAULT 0.125;
INSERT INTO plan (id, title) VALUES (4, 'float');
-- stream
ALTER TABLE plan ALTER COLUMN c DROP NOT NULL, ALTER COLUMN c DROP DEFAULT;
INSERT INTO plan (id, title) VALUES (5, 'five');
-- stream
CREATE TABLE later (k text PRIMARY KEY, v jsonb);
INSERT INTO later VALUES ('a', '{"x": 1}');
-- stream
ALTER TABLE later RENAME TO latest;
INSERT INTO latest VALUES ('b', '{}');
-- stream
ALTER TABLE plan DROP CONSTRAINT plan_pkey;
ALTER TABLE plan ADD PRIMARY KEY (id, title);
-- stream
INSERT INTO plan VALUES (6, 'two parts', 1);
UPDATE plan SET title = 'moved' WHERE id = 6;
-- stream
DROP TABLE latest;
ALTER TABLE plan ADD COLUMN e text[], ADD COLUMN f varchar(6) DEFAULT 'six';
INSERT INTO plan (id, title, e) VALUES (7, 'last', '{p,q}');
