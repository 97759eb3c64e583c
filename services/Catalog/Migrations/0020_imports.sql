-- A seller's file on its way in. How far it was read stands in the row and moves in the transaction that stores the rows of the file, so
-- that whatever breaks, the next request goes on exactly there.
CREATE TABLE imports (
    import_id       uuid        PRIMARY KEY,
    seller_id       uuid        NOT NULL,
    idempotency_key text,
    status          text        NOT NULL CHECK (status IN ('open', 'completed', 'failed')),
    reason          text,
    columns         text[],                                  -- null until the header was read
    delimiter       smallint    NOT NULL DEFAULT 44,
    bytes           bigint      NOT NULL DEFAULT 0,          -- up to the end of the last row stored
    rows            bigint      NOT NULL DEFAULT 0,          -- of the file, header and empty ones included
    lines           bigint      NOT NULL DEFAULT 0,
    skipping        boolean     NOT NULL DEFAULT false,      -- in the middle of a row that is too long to be read
    created         bigint      NOT NULL DEFAULT 0,
    updated         bigint      NOT NULL DEFAULT 0,
    unchanged       bigint      NOT NULL DEFAULT 0,
    failed          bigint      NOT NULL DEFAULT 0,
    run             bigint      NOT NULL DEFAULT 1,          -- each request that goes on takes the next number; only the newest may store
    started_at      timestamptz NOT NULL,
    updated_at      timestamptz NOT NULL,
    UNIQUE (seller_id, idempotency_key)
);
CREATE INDEX imports_of_seller ON imports (seller_id, started_at DESC, import_id DESC);

CREATE TABLE import_errors (
    import_id   uuid   NOT NULL REFERENCES imports ON DELETE CASCADE,
    number      bigint GENERATED ALWAYS AS IDENTITY,
    row_number  bigint NOT NULL,
    line        bigint NOT NULL,
    column_name text,
    message     text   NOT NULL,
    PRIMARY KEY (import_id, number)
);
