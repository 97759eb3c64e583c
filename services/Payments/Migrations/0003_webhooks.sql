-- What the provider told us, by its own event id: a second delivery finds the first. A worker acts on the rows.
CREATE TABLE webhooks (
    event_id    text        PRIMARY KEY,
    type        text        NOT NULL,
    order_id    uuid,
    attempt     smallint,
    intent_id   text,
    received_at timestamptz NOT NULL DEFAULT now(),
    not_before  timestamptz NOT NULL DEFAULT now(),
    tries       integer     NOT NULL DEFAULT 0,
    outcome     text                                             -- null until it is settled
);
CREATE INDEX webhooks_waiting ON webhooks (not_before) WHERE outcome IS NULL;
