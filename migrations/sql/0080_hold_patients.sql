-- A hold says in whose record its resource stands: searches in one record ask first whether that has any.
-- Resources that had moved to another record left theirs behind.
UPDATE hold SET patient = (SELECT r.patient FROM resource r WHERE r.id = hold.doc)
WHERE EXISTS (SELECT 1 FROM resource r WHERE r.id = hold.doc AND r.patient <> hold.patient);
