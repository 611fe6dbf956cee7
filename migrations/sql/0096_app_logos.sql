-- Logos of apps, as this server wrote them anew: PNG. hash: base64url of SHA-256, by which it is asked for.
CREATE TABLE app_logo (
    hash    TEXT   NOT NULL PRIMARY KEY,
    image   {blob} NOT NULL,
    created BIGINT NOT NULL
);

-- hash of an app's logo. NULL: it has none.
ALTER TABLE oauth_client ADD COLUMN logo TEXT;
