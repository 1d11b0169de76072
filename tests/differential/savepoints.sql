-- Parts of transactions that never were: savepoints rolled back, errors caught, whole transactions undone.
-- expect: 24 records
-- snapshot
CREATE TABLE draft (id int PRIMARY KEY, v text);
INSERT INTO draft VALUES (1, 'a');
-- stream
BEGIN;
INSERT INTO draft VALUES (2, 'stays');
SAVEPOINT one;
INSERT INTO draft VALUES (3, 'goes');
UPDATE draft SET v = 'goes' WHERE id = 1;
ROLLBACK TO one;
INSERT INTO draft VALUES (3, 'second attempt');
SAVEPOINT two;
INSERT INTO draft VALUES (4, 'goes too');
SAVEPOINT three;
DELETE FROM draft WHERE id = 2;
RELEASE three;
ROLLBACK TO two;
SAVEPOINT four;
UPDATE draft SET v = 'released' WHERE id = 1;
RELEASE four;
COMMIT;
BEGIN; INSERT INTO draft VALUES (80, 'never'); DELETE FROM draft; ROLLBACK;
-- stream
DO $$ BEGIN
  FOR n IN 10..20 LOOP
    BEGIN
      INSERT INTO draft VALUES (n, 'attempt');
      IF n % 4 = 0 THEN RAISE EXCEPTION 'every fourth'; END IF;
    EXCEPTION WHEN others THEN
      INSERT INTO draft VALUES (n + 100, 'caught');
    END;
  END LOOP;
END $$;
-- stream
BEGIN;
INSERT INTO draft SELECT n, 'many' FROM generate_series(200, 208) n;
COMMIT;
