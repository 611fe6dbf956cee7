-- What a signed-in browser called itself, as families: `Firefox, Windows`. Empty: not known.
ALTER TABLE session ADD COLUMN agent TEXT NOT NULL DEFAULT '';
