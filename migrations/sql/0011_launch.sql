-- Launches from an EHR: what its backend said, until the app comes with the token (kept as its hash).
-- client_id: the app it is meant for. context: JSON, smart/launch.rs has its shape.
CREATE TABLE launch (
    hash      {blob} NOT NULL PRIMARY KEY,
    client_id TEXT   NOT NULL,
    context   TEXT   NOT NULL,
    created   BIGINT NOT NULL,
    expires   BIGINT NOT NULL
);
CREATE INDEX launch_expires ON launch (expires);

-- The same, as it goes along with the request and the grant that came of it. NULL: no EHR launch.
ALTER TABLE authorize_request ADD COLUMN context TEXT;
ALTER TABLE auth_grant ADD COLUMN context TEXT;
