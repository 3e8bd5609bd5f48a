-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Keyrings in SQLite, by way of Dovecot's dict proxy. The trigger keeps changes
-- that are made at the same time from undoing each other: mail-seal stores
-- nothing where it is missing.

CREATE TABLE mail_seal (
	username TEXT NOT NULL PRIMARY KEY,
	revision INTEGER NOT NULL,
	writers TEXT NOT NULL,
	keyring TEXT NOT NULL
);

CREATE TRIGGER mail_seal_next BEFORE UPDATE ON mail_seal
	WHEN NEW.revision <> OLD.revision + 1
BEGIN
	SELECT RAISE(IGNORE);
END;
