-- Accesses as they are noted, many in one row (src/rest/audit/record.rs), until AuditEvents are made of them in the
-- transaction that removes the row. seq grows with time; at: of the first, ms. body: zstd of JSON.
CREATE TABLE audit_journal (
    seq     {row_key} NOT NULL PRIMARY KEY,
    at      BIGINT  NOT NULL,
    entries INTEGER NOT NULL,
    body    {blob}  NOT NULL
);
