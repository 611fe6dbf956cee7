-- When each client asked to be registered, was verified and was enabled (45 CFR 170.404(b)(1): ten business
-- days, then five). origin: operator (command line), open (registered itself: nobody verified it).
CREATE TABLE client_registration (
    client_id TEXT   NOT NULL PRIMARY KEY,
    origin    TEXT   NOT NULL,
    received  BIGINT NOT NULL,
    verified  BIGINT,
    enabled   BIGINT
);
