-- Sign-in under attack, and access that ends in every process at once.

-- One row. Whatever takes access away raises it in its own transaction; a server that remembers who
-- holds a token compares it with every request, so it never remembers longer than it is true.
CREATE TABLE auth_generation (
    id    {row_key} NOT NULL PRIMARY KEY,
    value BIGINT    NOT NULL
);
INSERT INTO auth_generation (id, value) VALUES (1, 0);

-- Tries to sign in by name (keyed hash), whether or not an account has it: both look alike, in time too.
-- failures: in a row, from places where the person never was. address: keyed hash of where the last
-- success came from. Rows without an account go after a day.
CREATE TABLE sign_in (
    name     {blob} NOT NULL PRIMARY KEY,
    account  TEXT,
    failures BIGINT NOT NULL,
    address  {blob},
    last     BIGINT NOT NULL
);
CREATE INDEX sign_in_account ON sign_in (account);
CREATE INDEX sign_in_last ON sign_in (last);

-- Browsers in which somebody signed in before, as the hash of a cookie that outlives the session.
CREATE TABLE known_device (
    hash    {blob} NOT NULL,
    account TEXT   NOT NULL,
    created BIGINT NOT NULL,
    PRIMARY KEY (hash, account)
);
CREATE INDEX known_device_account ON known_device (account);
CREATE INDEX known_device_created ON known_device (created);
