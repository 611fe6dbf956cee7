-- The order of change over all types but AuditEvent (7): the log of accesses may be most of what there is,
-- and nobody who asks what changed should walk through it.
DROP INDEX resource_changed;
CREATE INDEX resource_changed ON resource (updated, id, type) WHERE type <> 7;
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('resource', 'resource_changed', '1000000 2 1 1');
{only sqlite}ANALYZE sqlite_schema;
