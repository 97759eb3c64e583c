-- The version of the profile that the name comes from; 0 where identity was only asked. An older one never replaces a newer.
ALTER TABLE sellers ADD COLUMN version bigint NOT NULL DEFAULT 0;
