-- When the hospital approved an app for its staff: opened from the chart it asks for no consent.
ALTER TABLE oauth_client ADD COLUMN approved BIGINT;
