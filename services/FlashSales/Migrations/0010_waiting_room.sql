-- How many of a sale's numbers replicas have taken to hand out: a block at a time, in a statement of its own. Numbers may get lost with a
-- replica; none is given twice.
CREATE TABLE queue_numbers (
    sale_id uuid    NOT NULL REFERENCES sales,
    late    boolean NOT NULL,
    next    bigint  NOT NULL CHECK (next >= 0),
    PRIMARY KEY (sale_id, late)
) WITH (fillfactor = 20);

-- A place in a sale's queue, one per account. Numbers taken before the draw (late = false) are shuffled by it, the later ones follow in
-- their order. Whoever left keeps the row: coming back is another number. (No reference to the sale: one check less for each that joins.)
CREATE TABLE places (
    sale_id   uuid        NOT NULL,
    buyer_id  uuid        NOT NULL,
    late      boolean     NOT NULL,
    number    bigint      NOT NULL CHECK (number >= 0),
    joined_at timestamptz NOT NULL,
    left_at   timestamptz,
    PRIMARY KEY (sale_id, buyer_id)
) WITH (fillfactor = 90);
CREATE UNIQUE INDEX one_place_per_number ON places (sale_id, late, number);

-- Ranks that hold nobody up: their people have their answer or left. A gap is one that admission finds empty when it comes there (left
-- before, or a number that was never handed out).
CREATE TABLE ranks_done (
    sale_id uuid    NOT NULL,
    rank    bigint  NOT NULL,
    gap     boolean NOT NULL,
    PRIMARY KEY (sale_id, rank)
);
CREATE INDEX gaps_ahead ON ranks_done (sale_id, rank) WHERE gap;

-- How admission went, step by step, two a second at most; each step is made once, from the one before it. At a step's time everybody below
-- head was let in, and until the next one says more, head moves on with the sale's rate as far as room allows.
CREATE TABLE admissions (
    sale_id       uuid        NOT NULL REFERENCES sales,
    step          bigint      NOT NULL CHECK (step >= 0),
    at            timestamptz NOT NULL,
    head          bigint      NOT NULL CHECK (head >= 0),
    room          integer     NOT NULL CHECK (room >= 0),
    let_in        bigint      NOT NULL CHECK (let_in <= head),              -- head, or as many as there are in the queue
    expired_below bigint      NOT NULL CHECK (expired_below <= let_in),
    inside        integer     NOT NULL,
    PRIMARY KEY (sale_id, step)
);
CREATE INDEX admissions_by_time ON admissions (sale_id, at);

-- What an account left so that a claim can become an order without asking anything: where to, for whom, and how it is paid. Without a
-- payment method the account's default at the time is charged.
CREATE TABLE express_checkouts (
    buyer_id       uuid        PRIMARY KEY,
    address_id     uuid        NOT NULL,
    name           text        NOT NULL,
    line1          text        NOT NULL,
    line2          text,
    city           text        NOT NULL,
    postal_code    text        NOT NULL,
    country        text        NOT NULL,
    contact_email  text        NOT NULL,
    contact_name   text        NOT NULL,
    payment_method uuid,
    changed_at     timestamptz NOT NULL
) WITH (fillfactor = 90);
