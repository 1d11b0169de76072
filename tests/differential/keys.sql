-- Changed keys, composite keys in another order than the columns, no key at all, keys of odd types.
-- expect: 39 records
-- snapshot
CREATE TABLE moving (id int PRIMARY KEY, what text);
CREATE TABLE pair (late int, early varchar(8), day date, what text, PRIMARY KEY (early, day, late));
CREATE TABLE keyless (a int, b text);
ALTER TABLE keyless REPLICA IDENTITY FULL;
CREATE TABLE append_only (a int, b text);
CREATE TABLE by_unique (code text NOT NULL UNIQUE, what text);
ALTER TABLE by_unique REPLICA IDENTITY FULL;
CREATE TABLE odd_key (u uuid, n numeric(8,3), at timestamptz(3), raw bytea, PRIMARY KEY (u, n, at, raw));
INSERT INTO moving VALUES (1, 'one'), (2, 'two');
INSERT INTO pair VALUES (1, 'k', '2023-05-06', 'first'), (2, 'k', '2023-05-06', 'second');
INSERT INTO keyless VALUES (5, 'twin'), (5, 'twin'), (NULL, NULL);
INSERT INTO append_only VALUES (1, 'x');
INSERT INTO by_unique VALUES ('c1', 'x');
INSERT INTO odd_key VALUES ('0b9f4a52-93a5-4f7e-9d55-0c2a6d0a1b2c', 3.5, '2023-05-06 07:08:09.010+00', '\x00ff7f');
-- stream
UPDATE moving SET id = 11 WHERE id = 1;
UPDATE moving SET id = 22, what = 'both' WHERE id = 2;
UPDATE moving SET id = id;
UPDATE pair SET late = 7 WHERE late = 1;
UPDATE pair SET what = 'key stays' WHERE late = 2;
DELETE FROM pair WHERE late = 7;
-- stream
UPDATE keyless SET b = 'changed' WHERE a = 5;
DELETE FROM keyless WHERE a IS NULL;
INSERT INTO append_only VALUES (2, 'y');
UPDATE by_unique SET code = 'c2';
DELETE FROM by_unique;
UPDATE odd_key SET n = 4;
DELETE FROM odd_key;
