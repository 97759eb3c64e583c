-- What leaves this database: published by the relay ('events') or handled in this process (other lanes). A row waits while an
-- earlier one of its aggregate is unsent, a parked one included: nothing overtakes within an aggregate.
CREATE TABLE outbox (
    position     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id     uuid        NOT NULL,
    lane         text        NOT NULL,
    topic        text,
    aggregate_id uuid        NOT NULL,
    payload      json        NOT NULL,
    trace_parent text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    attempts     integer     NOT NULL DEFAULT 0,
    not_before   timestamptz,
    last_error   text,
    parked_at    timestamptz,
    sent_at      timestamptz,
    CHECK ((lane = 'events') = (topic IS NOT NULL))
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);

-- Both repeat the relay's condition, or the planner reads what was sent long ago.
CREATE INDEX outbox_waiting ON outbox (lane, position) WHERE sent_at IS NULL;
CREATE INDEX outbox_waiting_by_aggregate ON outbox (lane, aggregate_id, position) WHERE sent_at IS NULL;
-- For pruning. Sent rows are written again in the order they were sent, which is all this kind of index needs.
CREATE INDEX outbox_sent ON outbox USING brin (sent_at);

-- Events this service has handled. Pruned by age, hence the small index on time: rows arrive in its order.
CREATE TABLE inbox (
    event_id    uuid        PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX inbox_by_age ON inbox USING brin (received_at);

-- Replies kept for a repeat of the same request; committed with the effect they describe.
CREATE TABLE idempotency_keys (
    subject      text        NOT NULL,
    method       text        NOT NULL,
    route        text        NOT NULL,
    key          text        NOT NULL,
    request_hash bytea       NOT NULL,
    status       integer     NOT NULL,
    body         bytea,
    location     text,
    created_at   timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (subject, method, route, key)
);
CREATE INDEX idempotency_keys_by_age ON idempotency_keys USING brin (created_at);

-- Events this service gave up on, until an operator replays or discards them.
CREATE TABLE dead_letters (
    dead_letter_id uuid        PRIMARY KEY,
    event_id       text        NOT NULL,
    topic          text        NOT NULL,
    envelope       json        NOT NULL,
    times          integer     NOT NULL DEFAULT 1,
    received_at    timestamptz NOT NULL DEFAULT now(),
    last_error     text,
    UNIQUE (topic, event_id)
);
