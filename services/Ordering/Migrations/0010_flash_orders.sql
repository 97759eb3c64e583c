-- The sale an order is of; null for one out of a cart.
ALTER TABLE orders ADD COLUMN sale_id uuid;

-- Whoever comes first, the claim or its end, writes the row; the other finds it. With abandoned_at it is a tombstone: the claim that comes
-- later makes no order, and told_at says that its buyer was told so.
CREATE TABLE flash_orders (
    order_id     uuid        PRIMARY KEY,
    abandoned_at timestamptz,
    reason       text,
    told_at      timestamptz,
    CHECK ((abandoned_at IS NULL) = (reason IS NULL) AND (told_at IS NULL OR abandoned_at IS NOT NULL))
);
