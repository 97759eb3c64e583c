-- The keys that sign access tokens, shared by every replica. private_key is PKCS#8, or AES-GCM over it when wrapped_by names the secret
-- that holds the wrapping key.
CREATE TABLE signing_keys (
    key_id      text        PRIMARY KEY,
    public_x    bytea       NOT NULL,
    public_y    bytea       NOT NULL,
    private_key bytea       NOT NULL,
    wrapped_by  text,
    created_at  timestamptz NOT NULL
);
