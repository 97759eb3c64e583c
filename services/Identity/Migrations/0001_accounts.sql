-- One account per e-mail address as people mean it: trimmed and in lower case, see EmailAddress.
CREATE TABLE accounts (
    account_id    uuid        PRIMARY KEY,
    email         text        NOT NULL UNIQUE CHECK (email = lower(email)),
    name          text        NOT NULL,
    password_hash text        NOT NULL,
    is_operator   boolean     NOT NULL DEFAULT false,
    created_at    timestamptz NOT NULL
);

-- An account is at most one seller.
CREATE TABLE sellers (
    seller_id    uuid        PRIMARY KEY,
    account_id   uuid        NOT NULL UNIQUE REFERENCES accounts,
    display_name text        NOT NULL,
    created_at   timestamptz NOT NULL
);

CREATE TABLE addresses (
    address_id  uuid        PRIMARY KEY,
    account_id  uuid        NOT NULL REFERENCES accounts,
    name        text        NOT NULL,
    line1       text        NOT NULL,
    line2       text,
    city        text        NOT NULL,
    postal_code text        NOT NULL,
    country     text        NOT NULL,
    created_at  timestamptz NOT NULL
);
CREATE INDEX addresses_of_account ON addresses (account_id, created_at, address_id);
