-- Letters that are not about the safety of an account, and who does not want them.

-- A letter by its name (digest) that the holder of an account does not want.
CREATE TABLE letter_refused (
    account TEXT   NOT NULL,
    letter  TEXT   NOT NULL,
    since   BIGINT NOT NULL,
    PRIMARY KEY (account, letter)
);

-- The quarter of the hospital's calendar, 2026-Q4, for which an account's digest was taken care of: by whichever
-- process wrote the row, and once.
CREATE TABLE digest (
    account TEXT   NOT NULL,
    quarter TEXT   NOT NULL,
    at      BIGINT NOT NULL,
    PRIMARY KEY (account, quarter)
);
CREATE INDEX digest_at ON digest (at);
