-- The dates of AuditEvents (7) by id: a patient may have any number of them, so that one of them is not found
-- by reading all that are of its patient.
CREATE INDEX idx_date_log ON idx_date (id, param, low, high) WHERE type = 7;
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('idx_date', 'idx_date_log', '1000000 1 1 1 1');
-- All resources but those, in the order of their ids: what is asked of all types passes the log by, which may
-- be most of what there is, and on SQLite, whose rows have their bodies beside them,
-- reads no bodies.
{only sqlite}CREATE INDEX resource_record ON resource (id, type, deleted, method, patient, key) WHERE type <> 7;
{only postgres}CREATE INDEX resource_record ON resource (id) WHERE type <> 7;
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('resource', 'resource_record', '1000000 1 1 1 1 1 1');
-- What type a hold is on: whoever asks what is held back in a record passes the log by here too.
ALTER TABLE hold ADD COLUMN type SMALLINT NOT NULL DEFAULT 0;
UPDATE hold SET type = (SELECT r.type FROM resource r WHERE r.id = hold.doc)
WHERE EXISTS (SELECT 1 FROM resource r WHERE r.id = hold.doc);
DROP INDEX hold_patient;
CREATE INDEX hold_patient ON hold (patient, type, doc);
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('hold', 'hold_patient', '10000 10 5 2 1 1');
{only sqlite}ANALYZE sqlite_schema;
