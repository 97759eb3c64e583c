-- One row per (order, attempt), written before the provider hears of it. A row without a buyer is a tombstone: the undo came first, and the
-- charge that arrives after it is refused.
--
-- charging   somebody acts on it while lease_until is ahead; after that anyone may take it over with a higher fence
-- captured   the money is taken
-- refused    a definite no; refusal says why
-- undoing    an undo has begun: nothing may be charged any more, the provider is being asked to cancel or to pay back
-- cancelled  undone before any money moved
-- refunded   undone after
CREATE TABLE payment_attempts (
    order_id               uuid        NOT NULL,
    attempt                smallint    NOT NULL CHECK (attempt > 0),
    payment_id             uuid        NOT NULL,
    buyer_id               uuid,
    amount_minor           bigint      CHECK (amount_minor > 0),
    currency               text,
    payment_method         text,
    provider_customer      text,
    reservation_expires_at timestamptz,
    status                 text        NOT NULL CHECK (status IN ('charging', 'captured', 'refused', 'undoing', 'cancelled', 'refunded')),
    refusal                text,
    undo_reason            text,
    intent_id              text,
    close_intent           boolean     NOT NULL DEFAULT false,   -- refused here, still confirmable at the provider: cancel it there
    fence                  integer     NOT NULL DEFAULT 1,       -- grows with every change of hands; who holds an older one writes nothing
    lease_until            timestamptz NOT NULL,
    created_at             timestamptz NOT NULL,
    updated_at             timestamptz NOT NULL,
    captured_at            timestamptz,
    PRIMARY KEY (order_id, attempt),
    CHECK (status IN ('cancelled', 'undoing') OR buyer_id IS NOT NULL AND amount_minor IS NOT NULL AND currency IS NOT NULL),
    CHECK (status <> 'refused' OR refusal IS NOT NULL)           -- and kept when the attempt is undone afterwards: the buyer may ask why
) WITH (fillfactor = 70);

-- Repeats the worker's condition, or the planner reads every payment there ever was.
CREATE INDEX payment_attempts_unfinished ON payment_attempts (lease_until) WHERE status IN ('charging', 'undoing') OR close_intent;
CREATE INDEX payment_attempts_of_buyer ON payment_attempts (buyer_id, payment_id DESC);
