-- A shopper is one customer at the provider; we keep names of cards there, never a card.
CREATE TABLE customers (
    buyer_id          uuid        PRIMARY KEY,
    provider_customer text        NOT NULL,
    created_at        timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE payment_methods (
    method_id       uuid        PRIMARY KEY,
    buyer_id        uuid        NOT NULL REFERENCES customers,
    provider_method text        NOT NULL UNIQUE,
    brand           text        NOT NULL,
    last4           text        NOT NULL,
    exp_month       smallint    NOT NULL,
    exp_year        smallint    NOT NULL,
    is_default      boolean     NOT NULL,
    created_at      timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX payment_methods_of_buyer ON payment_methods (buyer_id, method_id);
CREATE UNIQUE INDEX one_default_method ON payment_methods (buyer_id) WHERE is_default;
