-- Where goods lie. Lower positions are preferred when several warehouses could serve an order equally well.
CREATE TABLE warehouses (
    code     text     PRIMARY KEY,
    position smallint NOT NULL UNIQUE
);
INSERT INTO warehouses (code, position) VALUES ('north', 1), ('midlands', 2), ('south', 3);

-- stock is on hand, reserved is held for orders; what can be sold is the difference. version moves whenever that difference does,
-- so a commit (both fall together) disturbs nobody's plan. No index but the key: counter updates stay inside their page (HOT).
CREATE TABLE stock_levels (
    product_id uuid    NOT NULL,
    warehouse  text    NOT NULL REFERENCES warehouses (code),
    seller_id  uuid    NOT NULL,
    stock      integer NOT NULL,
    reserved   integer NOT NULL DEFAULT 0,
    version    bigint  NOT NULL DEFAULT 1,
    PRIMARY KEY (product_id, warehouse),
    CONSTRAINT never_oversold CHECK (stock >= 0 AND reserved BETWEEN 0 AND stock)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);
CREATE INDEX stock_levels_of_a_seller ON stock_levels (seller_id, product_id, warehouse);

-- One row for each (order, attempt), whatever became of it. A row that is there before its reserve is a tombstone.
--   held       units are counted in stock_levels.reserved
--   committed  units left the house
--   refused    there was not enough; `shortages` is what the caller was told
--   released   given back by the order itself: neither a reserve nor a commit can come after it
--   expired    given back by the sweep: a commit that still comes takes units anew, or is refused
CREATE TABLE reservation_attempts (
    order_id   uuid        NOT NULL,
    attempt    smallint    NOT NULL CHECK (attempt > 0),
    state      text        NOT NULL CHECK (state IN ('held', 'committed', 'refused', 'released', 'expired')),
    shortages  jsonb,
    expires_at timestamptz NOT NULL,
    due_at     timestamptz NOT NULL,       -- when the sweep looks next: expires_at at first, later while ordering wants it kept
    changed_at timestamptz NOT NULL,
    PRIMARY KEY (order_id, attempt)
);
-- The sweep's question; the condition must repeat its WHERE clause, or every reservation ever made is read.
CREATE INDEX reservations_to_sweep ON reservation_attempts (due_at) WHERE state = 'held';

-- What an attempt holds or took. Written once with its attempt and never updated: state lives in the row above.
CREATE TABLE reservations (
    order_id   uuid     NOT NULL,
    attempt    smallint NOT NULL,
    product_id uuid     NOT NULL,
    warehouse  text     NOT NULL,
    quantity   integer  NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (order_id, attempt, product_id, warehouse)   -- a repeated reserve finds its own rows
);

-- The book of what came and went, append-only. For every product and warehouse the quantities add up to stock on hand.
CREATE TABLE movements (
    movement_id bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    product_id  uuid        NOT NULL,
    warehouse   text        NOT NULL,
    quantity    integer     NOT NULL CHECK (quantity <> 0),
    kind        text        NOT NULL CHECK (kind IN ('receive', 'adjust', 'commit', 'return')),
    order_id    uuid,
    attempt     smallint,
    moved_at    timestamptz NOT NULL
);

-- Products whose availability moved, a row for each transaction; a loop turns them into one event per window and deletes them.
CREATE TABLE touches (
    touch_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    products uuid[] NOT NULL
);

-- The tables that are probed by key in batches live in memory or on flash; the default of 4 makes the planner read them whole instead.
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET random_page_cost = 1.1', current_database()); END $$;
