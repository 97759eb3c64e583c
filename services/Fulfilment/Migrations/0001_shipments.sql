-- What we know of an order besides its parcels. Confirmation and cancellation may arrive in either order; both lock this row first.
CREATE TABLE orders (
    order_id  uuid    PRIMARY KEY,
    cancelled boolean NOT NULL
);

-- One parcel: what one seller sends from one warehouse for one order. A confirmation that comes again finds its parcels by this key.
CREATE TABLE shipments (
    shipment_id        uuid        PRIMARY KEY,
    order_id           uuid        NOT NULL REFERENCES orders,
    seller_id          uuid        NOT NULL,
    warehouse          text        NOT NULL,
    buyer_id           uuid        NOT NULL,
    status             text        NOT NULL CHECK (status IN ('created', 'shipped', 'out_for_delivery', 'delivered', 'cancelled')),
    carrier            text,
    tracking_number    text        UNIQUE,
    shipments_of_order integer     NOT NULL CHECK (shipments_of_order > 0),
    ship_to            jsonb       NOT NULL,
    contact_email      text        NOT NULL,
    contact_name       text        NOT NULL,
    created_at         timestamptz NOT NULL,
    updated_at         timestamptz NOT NULL,
    UNIQUE (order_id, seller_id, warehouse),
    CHECK (status NOT IN ('shipped', 'out_for_delivery', 'delivered') OR tracking_number IS NOT NULL)
);
CREATE INDEX shipments_of_seller ON shipments (seller_id, shipment_id DESC);
CREATE INDEX shipments_of_buyer ON shipments (buyer_id, shipment_id DESC);

CREATE TABLE shipment_lines (
    shipment_id uuid    NOT NULL REFERENCES shipments,
    product_id  uuid    NOT NULL,
    title       text    NOT NULL,
    quantity    integer NOT NULL CHECK (quantity > 0),
    PRIMARY KEY (shipment_id, product_id)
);
