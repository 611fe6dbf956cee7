-- What somebody typed on a page (path) and could not send before they were signed out, for want of use. fields: as a
-- form posts them, without secrets. The last one of an account.
CREATE TABLE draft (
    account TEXT   NOT NULL PRIMARY KEY,
    path    TEXT   NOT NULL,
    fields  TEXT   NOT NULL,
    expires BIGINT NOT NULL
);
CREATE INDEX draft_expires ON draft (expires);
