-- Names of schemas, tables and columns that need quoting.
-- expect: 18 records
-- snapshot
CREATE SCHEMA "My-Schema";
CREATE TABLE "My-Schema"."Two Words" ("Id" int PRIMARY KEY, "first part" text, "a-b" text, "2nd" int, "Maß" text, "x.y" text);
CREATE TABLE "BIG" ("KEY" int PRIMARY KEY, "mixedCase" text);
CREATE TABLE "with.dot" (id int PRIMARY KEY, "a$b" text);
CREATE TABLE "表" ("鍵" int PRIMARY KEY, "値" text);
CREATE TABLE "qu""ote" (id int PRIMARY KEY, "d""q" text, "s'q" text);
CREATE TABLE "table" ("order" int PRIMARY KEY, "group" text);
INSERT INTO "My-Schema"."Two Words" VALUES (1, 'a', 'b', 2, 'm', 'xy');
INSERT INTO "BIG" VALUES (1, 'c');
INSERT INTO "with.dot" VALUES (1, 'd');
INSERT INTO "表" VALUES (1, '値');
INSERT INTO "qu""ote" VALUES (1, 'd', 's');
INSERT INTO "table" VALUES (1, 'g');
-- stream
UPDATE "My-Schema"."Two Words" SET "first part" = 'A', "Id" = 2;
DELETE FROM "My-Schema"."Two Words";
UPDATE "BIG" SET "mixedCase" = 'C';
INSERT INTO "with.dot" VALUES (2, 'x');
UPDATE "表" SET "値" = NULL;
INSERT INTO "qu""ote" VALUES (2, 'd', NULL), (3, NULL, 's');
DELETE FROM "table";
