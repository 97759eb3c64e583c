-- What a shop tells about itself. The version is the ETag, and it orders the announcements: listeners ignore an older one.
ALTER TABLE sellers
    ADD COLUMN about      text   NOT NULL DEFAULT '',
    ADD COLUMN logo_url   text,
    ADD COLUMN version    bigint NOT NULL DEFAULT 1 CHECK (version > 0),
    ADD COLUMN updated_at timestamptz;
