-- How far `candor import` came, committed with the data that it speaks of.
-- file: SHA-256 of the content, hex. done: entries (bundle) or lines (NDJSON) behind us, refused ones
-- included. finished: when the last one was, 0 while there are more.
CREATE TABLE import_file (
    file     TEXT    NOT NULL PRIMARY KEY,
    done     BIGINT  NOT NULL,
    loaded   BIGINT  NOT NULL,
    finished BIGINT  NOT NULL
);

-- Entries that were refused, so that a resumed import names them all at its end.
CREATE TABLE import_refusal (
    file   TEXT   NOT NULL,
    entry  BIGINT NOT NULL,
    reason TEXT   NOT NULL,
    PRIMARY KEY (file, entry)
);
