-- What a general store sorts its shelves by. A new one is a new migration: filters and links in the shop rely on the codes.
CREATE TABLE categories (
    category text    PRIMARY KEY,
    name     text    NOT NULL,
    place    integer NOT NULL UNIQUE
);
INSERT INTO categories (category, name, place) VALUES
    ('gifts', 'Gifts', 1),
    ('homeware', 'Homeware', 2),
    ('kitchen', 'Kitchen & dining', 3),
    ('furniture', 'Furniture', 4),
    ('lighting', 'Lighting', 5),
    ('garden', 'Garden & outdoor', 6),
    ('toys', 'Toys & games', 7),
    ('stationery', 'Stationery & craft', 8),
    ('books', 'Books', 9),
    ('electronics', 'Electronics', 10),
    ('clothing', 'Clothing', 11),
    ('jewellery', 'Jewellery & watches', 12),
    ('beauty', 'Health & beauty', 13),
    ('sports', 'Sports & leisure', 14),
    ('pets', 'Pets', 15),
    ('seasonal', 'Seasonal & party', 16);

-- The name a seller trades under, as identity last told it; asked for once, when a seller lists for the first time.
CREATE TABLE sellers (
    seller_id uuid PRIMARY KEY,
    name      text NOT NULL
);

-- A deleted listing stays as a row: its id is never used again, and orders still refer to it.
CREATE TABLE listings (
    product_id  uuid        PRIMARY KEY,
    seller_id   uuid        NOT NULL,
    seller_name text        NOT NULL,
    title       text        NOT NULL,
    description text        NOT NULL,
    brand       text        NOT NULL,
    category    text        NOT NULL REFERENCES categories,
    price_minor bigint      NOT NULL CHECK (price_minor BETWEEN 1 AND 100000000),
    currency    text        NOT NULL,
    image_url   text,
    revision    bigint      NOT NULL DEFAULT 1 CHECK (revision > 0),
    listed_at   timestamptz NOT NULL,
    updated_at  timestamptz NOT NULL,
    deleted_at  timestamptz
);

-- One index per way to page, each in the order of its pages; the condition is repeated in every query, or the planner cannot use them.
CREATE INDEX listings_newest ON listings (listed_at DESC, product_id DESC) WHERE deleted_at IS NULL;
CREATE INDEX listings_of_category ON listings (category, listed_at DESC, product_id DESC) WHERE deleted_at IS NULL;
CREATE INDEX listings_of_seller ON listings (seller_id, listed_at DESC, product_id DESC) WHERE deleted_at IS NULL;
