-- A sign-in. Its refresh tokens form a chain: each use hands out the next one.
CREATE TABLE sessions (
    session_id uuid        PRIMARY KEY,
    account_id uuid        NOT NULL REFERENCES accounts,
    started_at timestamptz NOT NULL,
    expires_at timestamptz NOT NULL,
    revoked_at timestamptz,
    reason     text
);
CREATE INDEX sessions_of_account ON sessions (account_id, expires_at);

-- Only the hash is kept: who reads this table cannot sign in with it. A used token stays for a week, because a second use of it is how a
-- theft shows.
CREATE TABLE refresh_tokens (
    token_hash bytea       PRIMARY KEY,
    session_id uuid        NOT NULL REFERENCES sessions ON DELETE CASCADE,
    issued_at  timestamptz NOT NULL,
    used_at    timestamptz
);
CREATE INDEX refresh_tokens_of_session ON refresh_tokens (session_id);
