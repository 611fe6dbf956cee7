-- How the hospital reaches an account holder, and links that it mailed.

-- address: confirmed from its mailbox. folded: the same in lower case, for looking it up; several accounts may have
-- one. language: of the page on which it was confirmed. resets_from: no reset link before this time, because the
-- address changed.
CREATE TABLE account_email (
    account     TEXT   NOT NULL PRIMARY KEY,
    address     TEXT   NOT NULL,
    folded      TEXT   NOT NULL,
    language    TEXT   NOT NULL,
    confirmed   BIGINT NOT NULL,
    resets_from BIGINT NOT NULL
);
CREATE INDEX account_email_folded ON account_email (folded);

-- hash: SHA-256 of 256 random bits. purpose: 1 a new password, 2 to confirm an address. address: where it went.
-- used: when it was; it works once.
CREATE TABLE mailed_link (
    hash     {blob}   NOT NULL PRIMARY KEY,
    purpose  SMALLINT NOT NULL,
    account  TEXT     NOT NULL,
    address  TEXT     NOT NULL,
    language TEXT     NOT NULL,
    created  BIGINT   NOT NULL,
    expires  BIGINT   NOT NULL,
    used     BIGINT
);
CREATE INDEX mailed_link_account ON mailed_link (account, purpose);
CREATE INDEX mailed_link_expires ON mailed_link (expires);

-- When an operator said that the holder must choose a new password before anything else. NULL: need not.
ALTER TABLE account ADD COLUMN must_change BIGINT;
