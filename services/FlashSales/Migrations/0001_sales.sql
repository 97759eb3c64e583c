-- A sale: so many units of one product at one price, for whoever is let in between two moments. What inventory has set aside for it
-- (allotted, as of revision allotted_revision) follows what this table says; a worker makes up for a crash between the two.
CREATE TABLE sales (
    sale_id            uuid        PRIMARY KEY,
    seller_id          uuid        NOT NULL,
    product_id         uuid        NOT NULL,
    title              text        NOT NULL,
    units              integer     NOT NULL CHECK (units BETWEEN 1 AND 100000),
    price_minor        bigint      NOT NULL CHECK (price_minor > 0),
    currency           text        NOT NULL,
    starts_at          timestamptz NOT NULL,
    ends_at            timestamptz NOT NULL CHECK (ends_at > starts_at),
    limit_per_customer smallint    NOT NULL CHECK (limit_per_customer BETWEEN 1 AND 10),
    admission_rate     integer     NOT NULL CHECK (admission_rate BETWEEN 1 AND 10000),     -- people a second
    inside_limit       integer     NOT NULL CHECK (inside_limit > 0),                       -- people inside at once
    admission_seconds  integer     NOT NULL CHECK (admission_seconds BETWEEN 30 AND 900),   -- an admission lapses after
    waiting_list       integer     NOT NULL CHECK (waiting_list >= 0),                      -- units' worth of people who may wait for what comes back
    shards             smallint    NOT NULL DEFAULT 1 CHECK (shards BETWEEN 1 AND 64),
    status             text        NOT NULL CHECK (status IN ('preparing', 'scheduled', 'cancelled', 'ended')),
    end_reason         text        CHECK (end_reason IN ('sold_out', 'time', 'by_seller', 'by_operator')),
    revision           bigint      NOT NULL DEFAULT 1,
    -- The draw: made once, at the start. Numbers below early are shuffled under the seed; see WaitingRoom/StartDraw.
    drawn_at           timestamptz,
    seed               bytea,
    early              bigint,
    allotted           integer     NOT NULL DEFAULT 0,
    allotted_revision  bigint      NOT NULL DEFAULT 0,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    ended_at           timestamptz,
    CHECK ((drawn_at IS NULL) = (seed IS NULL) AND (drawn_at IS NULL) = (early IS NULL)),
    CHECK ((status IN ('ended', 'cancelled')) = (ended_at IS NOT NULL))
) WITH (fillfactor = 80);
CREATE INDEX sales_of_a_seller ON sales (seller_id, sale_id DESC);
CREATE INDEX sales_live ON sales (starts_at) WHERE status IN ('preparing', 'scheduled');
