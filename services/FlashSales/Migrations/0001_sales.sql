-- A sale: so many units of one product at one price, for whoever is let in between two moments. A refused one is the tombstone of a
-- sale that never was: it goes when inventory holds nothing for it.
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
    status             text        NOT NULL CHECK (status IN ('preparing', 'refused', 'scheduled', 'cancelled', 'ended')),
    end_reason         text        CHECK (end_reason IN ('sold_out', 'time', 'by_seller', 'by_operator')),
    revision           bigint      NOT NULL DEFAULT 1,
    -- The draw: made once, at the start. Numbers below early are shuffled under the seed; see WaitingRoom/StartDraw.
    drawn_at           timestamptz,
    seed               bytea,
    early              bigint,
    -- Who asked for it and how: a request that is repeated after a crash finds the sale it began.
    asked_key          text        UNIQUE,
    asked_hash         bytea,
    -- What inventory sets aside. It was last asked for allotment_wanted, by question allotment_version, and last said that it has allotted,
    -- as of question allotted_version. When allotment_due_at comes, somebody looks whether that is what should be; null: nothing to look at.
    allotment_wanted   integer     NOT NULL,
    allotment_version  bigint      NOT NULL DEFAULT 1,
    allotted           integer     NOT NULL DEFAULT 0,
    allotted_version   bigint      NOT NULL DEFAULT 0,
    allotment_due_at   timestamptz,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    ended_at           timestamptz,
    CHECK ((drawn_at IS NULL) = (seed IS NULL) AND (drawn_at IS NULL) = (early IS NULL)),
    CHECK ((status IN ('refused', 'ended', 'cancelled')) = (ended_at IS NOT NULL)),
    CHECK ((status IN ('ended', 'cancelled')) = (end_reason IS NOT NULL))
) WITH (fillfactor = 80);
CREATE INDEX sales_of_a_seller ON sales (seller_id, sale_id DESC);
CREATE INDEX sales_live ON sales (starts_at) WHERE status IN ('preparing', 'scheduled');
CREATE INDEX sales_over ON sales (ended_at) WHERE status IN ('cancelled', 'ended');
CREATE INDEX sales_to_settle ON sales (allotment_due_at) WHERE allotment_due_at IS NOT NULL;
