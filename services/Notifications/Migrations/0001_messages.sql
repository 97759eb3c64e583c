-- The latest that was told about an order, a parcel or an account. Events come in any order: older news than what was told is not told any more.
CREATE TABLE told (
    subject_id uuid    PRIMARY KEY,
    rank       integer NOT NULL
);

-- A shopper's inbox and the queue of e-mails at once. One message per fact and recipient, however often the fact arrives.
--
-- waiting        to be sent, not before not_before; a claim moves not_before ahead, so that a claim whose process died is made again
-- sent           handed to the mail binding
-- undeliverable  given up after too many tries, or there is no address that mail may go to
CREATE TABLE messages (
    message_id uuid        PRIMARY KEY,
    event_id   uuid        NOT NULL,
    recipient  text        NOT NULL,
    buyer_id   uuid        NOT NULL,
    order_id   uuid,
    kind       text        NOT NULL,
    subject    text        NOT NULL,
    text       text        NOT NULL,
    created_at timestamptz NOT NULL,
    email      text        NOT NULL CHECK (email IN ('waiting', 'sent', 'undeliverable')),
    tries      integer     NOT NULL DEFAULT 0,
    not_before timestamptz NOT NULL,
    sent_at    timestamptz,
    last_error text,
    UNIQUE (event_id, recipient)
) WITH (fillfactor = 80);

CREATE INDEX messages_of_buyer ON messages (buyer_id, message_id DESC);
CREATE INDEX messages_waiting ON messages (not_before) WHERE email = 'waiting';
