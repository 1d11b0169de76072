-- Both stopped while much happens, three times: both go on where they were, with nothing lost and nothing twice.
-- expect: 159 records
-- snapshot
CREATE TABLE account (id int PRIMARY KEY, balance int NOT NULL, note text);
INSERT INTO account SELECT n, 50, NULL FROM generate_series(1, 15) n;
-- stream
UPDATE account SET balance = balance + 1 WHERE id <= 4;
-- away
DO $$ BEGIN FOR n IN 1..50 LOOP UPDATE account SET balance = balance - n WHERE id = 1 + n % 15; INSERT INTO account VALUES (100 + n, n, 'new'); COMMIT; END LOOP; END $$;
-- away
BEGIN; DELETE FROM account WHERE id BETWEEN 101 AND 115; UPDATE account SET id = id + 1000 WHERE id = 1; COMMIT;
-- stream
INSERT INTO account VALUES (600, 0, 'live');
-- away
ALTER TABLE account ADD COLUMN extra int DEFAULT 4;
INSERT INTO account VALUES (601, 1, 'x', 5);
UPDATE account SET extra = 6 WHERE id = 2;
-- stream
DELETE FROM account WHERE id > 600;
