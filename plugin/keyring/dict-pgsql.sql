-- SPDX-License-Identifier: LGPL-2.1-or-later
-- Keyrings in PostgreSQL, by way of Dovecot's dict proxy. The trigger keeps
-- changes that are made at the same time from undoing each other: mail-seal
-- stores nothing where it is missing.

CREATE TABLE mail_seal (
	username VARCHAR(255) NOT NULL PRIMARY KEY,
	revision BIGINT NOT NULL,
	writers TEXT NOT NULL,
	keyring TEXT NOT NULL
);

CREATE FUNCTION mail_seal_next() RETURNS trigger AS $$
BEGIN
	IF NEW.revision = OLD.revision + 1 THEN
		RETURN NEW;
	END IF;
	RETURN NULL;
END
$$ LANGUAGE plpgsql;

CREATE TRIGGER mail_seal_next BEFORE UPDATE ON mail_seal
	FOR EACH ROW EXECUTE FUNCTION mail_seal_next();
