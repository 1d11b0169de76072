-- Values that come to an enum, or change their names, while its tables are streamed; and defaults with quotes. (Of an array of an enum Debezium shows the values of the start for ever.)
-- expect: 14 records
-- snapshot
CREATE TYPE mood AS ENUM ('sad', 'ok');
CREATE TYPE odd AS ENUM ('a', 'b''c');
CREATE TABLE person (id int PRIMARY KEY, e mood, f mood DEFAULT 'ok');
CREATE TABLE odds (id int PRIMARY KEY, o odd DEFAULT 'b''c', o2 odd NOT NULL DEFAULT 'b''c', t text DEFAULT 'd''e', t2 text NOT NULL DEFAULT 'd''e');
INSERT INTO person VALUES (1, 'sad');
INSERT INTO odds VALUES (1);
-- stream
INSERT INTO person VALUES (2, 'ok');
INSERT INTO odds VALUES (2);
DELETE FROM odds WHERE id = 1;
-- stream
ALTER TYPE mood ADD VALUE 'mid' BEFORE 'ok';
-- stream
INSERT INTO person VALUES (3, 'sad');
INSERT INTO person VALUES (4, 'mid');
INSERT INTO person VALUES (5, NULL, NULL);
-- stream
ALTER TYPE mood RENAME VALUE 'sad' TO 'blue';
-- stream
UPDATE person SET e = 'blue' WHERE id = 2;
DELETE FROM person WHERE id = 3;
INSERT INTO person VALUES (6, 'ok', 'blue');
-- away
ALTER TYPE mood ADD VALUE 'glad';
INSERT INTO person VALUES (7, 'glad');
