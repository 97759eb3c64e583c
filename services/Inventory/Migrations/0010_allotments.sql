-- Units set aside for a sale. `wanted` is what the sale asked for last, `version` of which question: an older one changes nothing, and
-- a row with wanted = 0 is the tombstone that says so to a question that comes late.
CREATE TABLE allotments (
    sale_id    uuid        PRIMARY KEY,
    product_id uuid        NOT NULL,
    seller_id  uuid        NOT NULL,
    wanted     integer     NOT NULL CHECK (wanted >= 0),
    version    bigint      NOT NULL,
    changed_at timestamptz NOT NULL
);

-- Where they lie. allotted counts everything the sale was given, taken what orders hold or took of it, committed what left the house.
-- What did not leave is counted in stock_levels.reserved: nobody else can buy it, and no count of goods can go below it.
CREATE TABLE allotment_levels (
    sale_id   uuid    NOT NULL REFERENCES allotments (sale_id),
    warehouse text    NOT NULL REFERENCES warehouses (code),
    allotted  integer NOT NULL DEFAULT 0,
    taken     integer NOT NULL DEFAULT 0,
    committed integer NOT NULL DEFAULT 0,
    PRIMARY KEY (sale_id, warehouse),
    CONSTRAINT never_more_than_allotted CHECK (committed >= 0 AND committed <= taken AND taken <= allotted)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.05);

-- Out of which allotment an attempt holds its units; null for ordinary stock.
ALTER TABLE reservation_attempts ADD COLUMN sale_id uuid;
