-- introspects: 1 for a resource server that an operator lets look at the tokens of every client (RFC 7662 section 2.1); NULL
-- or 0: at those issued to itself.
ALTER TABLE oauth_client ADD COLUMN introspects SMALLINT;
-- The hospital's own systems did so before.
UPDATE oauth_client SET introspects = 1 WHERE kind = 'backend' AND class = 'system';
-- removed: when its developer took the app away; it stays shut out. Milliseconds.
ALTER TABLE client_registration ADD COLUMN removed BIGINT;
