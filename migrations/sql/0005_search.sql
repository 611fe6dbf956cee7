-- What sorting and the longer half of a text need beside the hashes (src/search/extract/rows.rs).
ALTER TABLE idx_token ADD COLUMN text TEXT {collate} NOT NULL DEFAULT '';
ALTER TABLE idx_reference ADD COLUMN text TEXT {collate} NOT NULL DEFAULT '';
ALTER TABLE idx_string ADD COLUMN more TEXT NOT NULL DEFAULT '';

-- Full text by the database's own engine: one row for each rendition, under its surrogate id.
{only sqlite}CREATE VIRTUAL TABLE idx_text USING fts5(narrative, content, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 2');
{only postgres}CREATE TABLE idx_text (id BIGINT NOT NULL PRIMARY KEY, narrative TSVECTOR NOT NULL, content TSVECTOR NOT NULL);
{only postgres}CREATE INDEX idx_text_narrative ON idx_text USING gin (narrative);
{only postgres}CREATE INDEX idx_text_content ON idx_text USING gin (content);
