-- How far each shard of a sale has come. One row per shard, from its first claim on; whoever decides for the shard moves the version on
-- from the one it knew, so that a second decider (an actor that was moved while its old self was still at work) finds out in the very
-- statement: a version of -1 is what fails. Counts are of units, also those waiting.
CREATE TABLE claim_counts (
    sale_id      uuid     NOT NULL REFERENCES sales,
    shard        smallint NOT NULL CHECK (shard >= 0),
    units        integer  NOT NULL CHECK (units > 0),
    waiting_list integer  NOT NULL CHECK (waiting_list >= 0),
    taken        integer  NOT NULL DEFAULT 0,
    paid         integer  NOT NULL DEFAULT 0,
    waiting      integer  NOT NULL DEFAULT 0,
    version      bigint   NOT NULL DEFAULT 0,
    PRIMARY KEY (sale_id, shard),
    CONSTRAINT never_oversold CHECK (taken BETWEEN 0 AND units AND paid BETWEEN 0 AND taken),
    CONSTRAINT nobody_waits_in_vain CHECK (waiting >= 0),
    CONSTRAINT one_decider CHECK (version >= 0)
) WITH (fillfactor = 50);

-- A claim is somebody's units (claimed, then paid or released) or their place on the waiting list (waiting, then claimed or missed).
CREATE TABLE claims (
    claim_id          uuid        PRIMARY KEY,
    sale_id           uuid        NOT NULL,
    shard             smallint    NOT NULL,
    buyer_id          uuid        NOT NULL,
    quantity          smallint    NOT NULL CHECK (quantity BETWEEN 1 AND 10),
    state             text        NOT NULL CHECK (state IN ('waiting', 'claimed', 'paid', 'released', 'missed')),
    reason            text,
    order_id          uuid,
    place             bigint      NOT NULL,                  -- in the order of the shard's decisions
    from_waiting_list boolean     NOT NULL DEFAULT false,
    pay_until         timestamptz,
    ask_at            timestamptz,                           -- when ordering is asked what became of the order
    created_at        timestamptz NOT NULL,
    changed_at        timestamptz NOT NULL,
    CHECK ((state IN ('claimed', 'paid', 'released')) = (order_id IS NOT NULL)),
    CHECK ((order_id IS NOT NULL) = (pay_until IS NOT NULL))
) WITH (fillfactor = 80);
CREATE UNIQUE INDEX one_claim_per_customer ON claims (sale_id, buyer_id) WHERE state IN ('waiting', 'claimed', 'paid');
CREATE INDEX claims_of_a_buyer ON claims (sale_id, buyer_id, created_at DESC);
CREATE UNIQUE INDEX claims_by_order ON claims (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX claims_of_a_shard ON claims (sale_id, shard, place) WHERE state IN ('waiting', 'claimed', 'paid');
CREATE INDEX claims_to_ask_about ON claims (ask_at) WHERE state = 'claimed';

-- Each unit of a sale has a number, and a number has one holder. (The sale itself is referred to by the counts only: one check a batch, not one a row.)
CREATE TABLE claim_units (
    sale_id  uuid    NOT NULL,
    unit_no  integer NOT NULL CHECK (unit_no > 0),
    claim_id uuid    NOT NULL REFERENCES claims,
    CONSTRAINT one_holder_per_unit PRIMARY KEY (sale_id, unit_no)
);
CREATE INDEX units_of_a_claim ON claim_units (claim_id);
