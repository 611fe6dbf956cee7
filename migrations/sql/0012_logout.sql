-- Where an app may have people sent after it signed them out: a JSON array, NULL for none.
ALTER TABLE oauth_client ADD COLUMN post_logout_redirect_uris TEXT;
