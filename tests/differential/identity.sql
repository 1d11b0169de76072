-- Replica identity default, full, by index and nothing; large values that an update leaves alone.
-- expect: 38 records
-- snapshot
CREATE TABLE by_key (id int PRIMARY KEY, small text, large text, raw bytea, j jsonb, words text[], n int NOT NULL);
CREATE TABLE by_row (id int PRIMARY KEY, small text, large text, raw bytea, n int NOT NULL);
CREATE TABLE by_index (id int PRIMARY KEY, code varchar(9) NOT NULL, land char(2) NOT NULL, large text, n int);
CREATE TABLE by_nothing (id int PRIMARY KEY, what text);
CREATE UNIQUE INDEX by_index_code ON by_index (land, code);
ALTER TABLE by_row REPLICA IDENTITY FULL;
ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_code;
ALTER TABLE by_nothing REPLICA IDENTITY NOTHING;
ALTER TABLE by_key ALTER large SET STORAGE EXTERNAL, ALTER raw SET STORAGE EXTERNAL, ALTER j SET STORAGE EXTERNAL, ALTER words SET STORAGE EXTERNAL;
ALTER TABLE by_row ALTER large SET STORAGE EXTERNAL, ALTER raw SET STORAGE EXTERNAL;
ALTER TABLE by_index ALTER large SET STORAGE EXTERNAL;
INSERT INTO by_key SELECT n, 's' || n, repeat(sha256(n::text::bytea)::text, 50), decode(repeat(md5(n::text), 100), 'hex'), jsonb_build_object('k', repeat(md5(n::text), 100)), array_fill(md5(n::text), ARRAY[100]), n FROM generate_series(1, 4) n;
INSERT INTO by_row SELECT id, small, large, raw, n FROM by_key;
INSERT INTO by_index SELECT n, 'c' || n, 'SE', repeat(md5(n::text), 100), n FROM generate_series(1, 3) n;
INSERT INTO by_nothing VALUES (1, 'seen');
-- stream
UPDATE by_key SET small = 'new', n = n + 10 WHERE id = 1;
UPDATE by_key SET large = repeat('y', 3000) WHERE id = 2;
UPDATE by_key SET id = 40 WHERE id = 4;
DELETE FROM by_key WHERE id = 2;
UPDATE by_row SET small = 'new', n = n + 10 WHERE id = 1;
UPDATE by_row SET large = NULL WHERE id = 2;
UPDATE by_row SET id = 40 WHERE id = 4;
DELETE FROM by_row WHERE id = 2;
-- stream
UPDATE by_index SET n = 50 WHERE id = 1;
UPDATE by_index SET code = 'new', n = 51 WHERE id = 2;
UPDATE by_index SET id = 300 WHERE id = 3;
DELETE FROM by_index WHERE code = 'c1';
INSERT INTO by_nothing VALUES (2, 'two'), (3, NULL);
-- stream
ALTER TABLE by_key REPLICA IDENTITY FULL;
UPDATE by_key SET n = n + 1 WHERE id = 3;
DELETE FROM by_key WHERE id = 3;
