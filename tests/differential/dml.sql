-- Rows found by the snapshot, then inserted, changed and deleted; several statements in one transaction.
-- expect: 29 records
-- snapshot
CREATE TABLE guest (id serial PRIMARY KEY, name varchar(30) NOT NULL, mail text, vip boolean DEFAULT false, nights int);
INSERT INTO guest (name, mail, nights) VALUES ('Lena', 'lena@example.com', 2), ('Öz', NULL, NULL), ('', '', -1);
CREATE TABLE room (number int PRIMARY KEY, label text);
CREATE TABLE lobby (id int PRIMARY KEY, what text);
INSERT INTO lobby VALUES (1, 'a single row');
-- stream
INSERT INTO guest (name, nights) VALUES ('Maro', 7);
UPDATE guest SET mail = 'oz@example.com', nights = 3 WHERE name = 'Öz';
DELETE FROM guest WHERE name = '';
-- stream
BEGIN;
INSERT INTO guest (name) VALUES ('Nia'), ('Olu'), ('Pia');
UPDATE guest SET vip = NOT vip WHERE nights IS NULL;
DELETE FROM guest WHERE name LIKE 'O%';
INSERT INTO room VALUES (101, 'blue'), (102, NULL);
COMMIT;
UPDATE guest SET name = name;
DELETE FROM lobby;
INSERT INTO lobby VALUES (1, 'back again');
BEGIN; UPDATE room SET label = 'never'; ROLLBACK;
TRUNCATE room;
INSERT INTO room SELECT n, 'room ' || n FROM generate_series(201, 203) n;
