-- What a buyer ordered and where it stands. The id is a version 7 UUID, so its order is the order of time. version is the ETag: it
-- moves with everything a buyer can see of the order. A buyer's wish to cancel is a fact of its own: a saga under way meets it when
-- it confirms.
CREATE TABLE orders (
    order_id            uuid        PRIMARY KEY,
    buyer_id            uuid        NOT NULL,
    cart_id             uuid        NOT NULL,
    status              text        NOT NULL CHECK (status IN ('PENDING', 'CONFIRMED', 'PAYMENT_FAILED', 'FAILED', 'CANCELLED', 'SHIPPED', 'DELIVERED')),
    reason              text,
    attempt             smallint    NOT NULL DEFAULT 1 CHECK (attempt > 0),
    total_minor         bigint      NOT NULL CHECK (total_minor > 0),
    currency            text        NOT NULL,
    ship_to             jsonb       NOT NULL,
    contact             jsonb       NOT NULL,
    allocations         jsonb,
    cancel_requested_at timestamptz,
    cancel_reason       text,
    parked_reason       text,
    parked_at           timestamptz,
    version             integer     NOT NULL DEFAULT 1,
    created_at          timestamptz NOT NULL,
    updated_at          timestamptz NOT NULL,
    CHECK ((parked_reason IS NULL) = (parked_at IS NULL))
) WITH (fillfactor = 80);
CREATE INDEX orders_of_a_buyer ON orders (buyer_id, order_id DESC);
CREATE INDEX orders_open ON orders (status, order_id DESC) WHERE status IN ('PENDING', 'PAYMENT_FAILED');
CREATE INDEX orders_parked ON orders (order_id DESC) WHERE parked_reason IS NOT NULL;

-- Title and price as the buyer agreed to them; nothing that happens to a listing later changes a past order.
CREATE TABLE order_lines (
    order_id         uuid     NOT NULL REFERENCES orders (order_id),
    line_no          smallint NOT NULL,
    product_id       uuid     NOT NULL,
    seller_id        uuid     NOT NULL,
    title            text     NOT NULL,
    quantity         integer  NOT NULL CHECK (quantity BETWEEN 1 AND 99),
    unit_price_minor bigint   NOT NULL CHECK (unit_price_minor > 0),
    PRIMARY KEY (order_id, line_no)
);

-- One try to reserve and pay, and the saga in charge of it. status is what the try came to; settled_at says that no saga will touch it
-- again. A cancellation after the confirmation opens it once more.
CREATE TABLE attempts (
    order_id       uuid        NOT NULL REFERENCES orders (order_id),
    attempt        smallint    NOT NULL,
    status         text        NOT NULL CHECK (status IN ('pending', 'confirmed', 'payment_failed', 'failed', 'cancelled')),
    payment_method text,
    saga           text        NOT NULL DEFAULT 'checkout' CHECK (saga IN ('checkout', 'cancellation')),
    started_at     timestamptz NOT NULL,      -- of the saga in charge
    ended_at       timestamptz,
    settled_at     timestamptz,
    check_at       timestamptz NOT NULL,      -- when the watch asks after its saga
    PRIMARY KEY (order_id, attempt)
);
-- The watch's question; the condition must repeat its WHERE clause, or it reads every order ever placed.
CREATE INDEX attempts_under_way ON attempts (check_at) WHERE settled_at IS NULL;

-- The saga's diary: a row for each step of an attempt, rewritten when the step runs again.
CREATE TABLE saga_steps (
    order_id uuid        NOT NULL,
    attempt  smallint    NOT NULL,
    step     text        NOT NULL,
    outcome  text        NOT NULL CHECK (outcome IN ('done', 'refused', 'processing', 'failed')),
    error    text,
    times    integer     NOT NULL DEFAULT 1,
    first_at timestamptz NOT NULL,
    at       timestamptz NOT NULL,
    PRIMARY KEY (order_id, attempt, step)
);

-- What we heard of the parcels. stage only grows: news that comes late changes nothing.
CREATE TABLE shipments (
    shipment_id     uuid        PRIMARY KEY,
    order_id        uuid        NOT NULL REFERENCES orders (order_id),
    seller_id       uuid        NOT NULL,
    warehouse       text,
    stage           smallint    NOT NULL,
    carrier         text,
    tracking_number text,
    updated_at      timestamptz NOT NULL
);
CREATE INDEX shipments_of_an_order ON shipments (order_id);

-- Everything here is looked up by key, in memory or on flash; the default of 4 makes the planner read whole tables instead.
DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET random_page_cost = 1.1', current_database()); END $$;
