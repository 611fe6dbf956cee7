-- Who may not see an older version, and until when: decided for each version as it was, again
-- whenever its resource is decided. history.hidden_until, which knew no audience, is unused.
CREATE TABLE history_hold (
    doc      BIGINT  NOT NULL,
    version  INTEGER NOT NULL,
    audience BIGINT  NOT NULL,
    starts   BIGINT  NOT NULL,
    ends     BIGINT  NOT NULL,
    exempt   BIGINT  NOT NULL,
    PRIMARY KEY (doc, version, audience, starts)
) {without_rowid};

-- What older versions refer to: their resource is decided again when the holds of that change.
CREATE TABLE history_reference (
    target BIGINT NOT NULL,
    doc    BIGINT NOT NULL,
    PRIMARY KEY (target, doc)
) {without_rowid};

-- Versions from before this step: hidden from everybody on the patient's side as long as they were.
INSERT INTO history_hold (doc, version, audience, starts, ends, exempt)
SELECT doc, version, audience, 0, hidden_until, 0
FROM history CROSS JOIN (SELECT 1 AS audience UNION ALL SELECT 4 UNION ALL SELECT 5 UNION ALL SELECT 6 UNION ALL SELECT 7) AS everybody
WHERE hidden_until > 0;

-- What ended by the clock alone is entered into the ledger.
CREATE INDEX hold_ends ON hold (ends, doc);

-- Proportions, as in 0004_statistics.
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('hold', 'hold_ends', '10000 2 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('history_hold', 'history_hold', '10000 4 2 1 1');
{only sqlite}INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES ('history_reference', 'history_reference', '500000 3 1');
{only sqlite}ANALYZE sqlite_schema;
