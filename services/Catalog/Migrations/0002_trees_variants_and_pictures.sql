-- A listing is for everybody or only for its seller; it may bear the seller's own key (SKU), come in several forms (variants), have
-- attributes as its category defines them, pictures, and a rating.

-- Categories are a tree now. The sixteen there were stay its roots: links, filters and listings keep their codes.
ALTER TABLE categories ADD COLUMN parent text REFERENCES categories;

INSERT INTO categories (category, name, parent, place) VALUES
    ('gifts-cards', 'Cards & wrapping', 'gifts', 101),
    ('gifts-keepsakes', 'Keepsakes & frames', 'gifts', 102),
    ('homeware-textiles', 'Cushions, throws & rugs', 'homeware', 201),
    ('homeware-decoration', 'Vases, clocks & decoration', 'homeware', 202),
    ('homeware-candles', 'Candles & scents', 'homeware', 203),
    ('homeware-storage', 'Baskets & storage', 'homeware', 204),
    ('kitchen-tableware', 'Cups, plates & glasses', 'kitchen', 301),
    ('kitchen-cookware', 'Pots, pans & tins', 'kitchen', 302),
    ('kitchen-utensils', 'Knives & utensils', 'kitchen', 303),
    ('furniture-seating', 'Chairs, sofas & stools', 'furniture', 401),
    ('furniture-tables', 'Tables & desks', 'furniture', 402),
    ('furniture-storage', 'Shelves & cupboards', 'furniture', 403),
    ('lighting-lamps', 'Table & floor lamps', 'lighting', 501),
    ('lighting-pendants', 'Ceiling & wall lights', 'lighting', 502),
    ('lighting-decorative', 'Lanterns & string lights', 'lighting', 503),
    ('garden-pots', 'Pots & planters', 'garden', 601),
    ('garden-tools', 'Tools & watering', 'garden', 602),
    ('garden-wildlife', 'Birds & wildlife', 'garden', 603),
    ('toys-soft', 'Soft toys & dolls', 'toys', 701),
    ('toys-games', 'Games & puzzles', 'toys', 702),
    ('toys-construction', 'Building & vehicles', 'toys', 703),
    ('toys-outdoor', 'Outdoor toys', 'toys', 704),
    ('stationery-paper', 'Notebooks & paper', 'stationery', 801),
    ('stationery-writing', 'Pens & pencils', 'stationery', 802),
    ('stationery-craft', 'Craft & stickers', 'stationery', 803),
    ('books-fiction', 'Fiction', 'books', 901),
    ('books-nonfiction', 'Non-fiction', 'books', 902),
    ('books-children', 'Children''s books', 'books', 903),
    ('electronics-phones', 'Phones', 'electronics', 1001),
    ('electronics-computers', 'Computers & accessories', 'electronics', 1002),
    ('electronics-laptops', 'Laptops', 'electronics-computers', 1003),
    ('electronics-audio', 'Headphones & audio', 'electronics', 1004),
    ('electronics-cables', 'Cables & charging', 'electronics', 1005),
    ('clothing-shirts', 'Shirts & tops', 'clothing', 1101),
    ('clothing-knitwear', 'Knitwear', 'clothing', 1102),
    ('clothing-outerwear', 'Coats & jackets', 'clothing', 1103),
    ('clothing-shoes', 'Shoes & socks', 'clothing', 1104),
    ('clothing-accessories', 'Scarves, hats & bags', 'clothing', 1105),
    ('jewellery-rings', 'Rings & bracelets', 'jewellery', 1201),
    ('jewellery-earrings', 'Earrings & necklaces', 'jewellery', 1202),
    ('jewellery-watches', 'Watches', 'jewellery', 1203),
    ('beauty-skin', 'Skin care', 'beauty', 1301),
    ('beauty-bath', 'Bath & shaving', 'beauty', 1302),
    ('sports-fitness', 'Fitness & yoga', 'sports', 1401),
    ('sports-games', 'Balls & rackets', 'sports', 1402),
    ('pets-dogs', 'Dogs', 'pets', 1501),
    ('pets-cats', 'Cats', 'pets', 1502),
    ('seasonal-party', 'Party', 'seasonal', 1601),
    ('seasonal-christmas', 'Christmas', 'seasonal', 1602);

CREATE INDEX categories_of_parent ON categories (parent);

-- What may be said of a listing of a category and of all below it. A name means one thing on the way from a root down.
CREATE TABLE category_attributes (
    category text     NOT NULL REFERENCES categories,
    name     text     NOT NULL CHECK (name ~ '^[a-z][a-z0-9-]*$'),
    label    text     NOT NULL,
    type     text     NOT NULL CHECK (type IN ('text', 'number', 'boolean', 'choice')),
    unit     text     CHECK (unit IS NULL OR type = 'number'),
    least    numeric  CHECK (least IS NULL OR type = 'number'),
    most     numeric  CHECK (most IS NULL OR type = 'number'),
    choices  text[]   CHECK ((choices IS NULL) = (type <> 'choice')),
    required boolean  NOT NULL DEFAULT false,                    -- of a published listing; a draft may still lack it
    facet    boolean  NOT NULL DEFAULT true,                     -- shoppers may narrow by it
    place    smallint NOT NULL,
    PRIMARY KEY (category, name)
);

INSERT INTO category_attributes (category, name, label, type, choices, place)
SELECT category, 'colour', 'Colour', 'choice',
       ARRAY['black', 'white', 'grey', 'silver', 'gold', 'brown', 'beige', 'cream', 'red', 'orange', 'yellow', 'green', 'blue', 'purple', 'pink', 'clear', 'multicoloured'], 1
FROM categories WHERE parent IS NULL AND category <> 'books';

INSERT INTO category_attributes (category, name, label, type, choices, place)
SELECT category, 'material', 'Material', 'choice',
       ARRAY['cotton', 'wool', 'linen', 'silk', 'leather', 'polyester', 'wood', 'bamboo', 'metal', 'steel', 'brass', 'iron', 'aluminium', 'silver', 'gold',
             'glass', 'ceramic', 'enamel', 'stone', 'paper', 'plastic', 'rubber', 'wax', 'wicker', 'mixed'], 2
FROM categories WHERE parent IS NULL AND category NOT IN ('books', 'beauty');

INSERT INTO category_attributes (category, name, label, type, unit, least, most, choices, required, facet, place) VALUES
    ('homeware', 'width', 'Width', 'number', 'cm', 0.1, 1000, NULL, false, false, 3),
    ('homeware', 'height', 'Height', 'number', 'cm', 0.1, 1000, NULL, false, false, 4),
    ('homeware-candles', 'burning-time', 'Burning time', 'number', 'h', 1, 1000, NULL, false, true, 5),
    ('kitchen', 'dishwasher-safe', 'Dishwasher safe', 'boolean', NULL, NULL, NULL, NULL, false, true, 3),
    ('kitchen', 'capacity', 'Capacity', 'number', 'l', 0.01, 200, NULL, false, true, 4),
    ('furniture', 'width', 'Width', 'number', 'cm', 1, 1000, NULL, false, false, 3),
    ('furniture', 'height', 'Height', 'number', 'cm', 1, 1000, NULL, false, false, 4),
    ('furniture', 'depth', 'Depth', 'number', 'cm', 1, 1000, NULL, false, false, 5),
    ('furniture', 'assembly', 'Needs assembly', 'boolean', NULL, NULL, NULL, NULL, false, true, 6),
    ('lighting', 'power-source', 'Power', 'choice', NULL, NULL, NULL, ARRAY['mains', 'battery', 'USB', 'solar', 'candle'], false, true, 3),
    ('lighting', 'dimmable', 'Dimmable', 'boolean', NULL, NULL, NULL, NULL, false, true, 4),
    ('lighting', 'brightness', 'Brightness', 'number', 'lm', 1, 100000, NULL, false, false, 5),
    ('garden', 'weatherproof', 'Weatherproof', 'boolean', NULL, NULL, NULL, NULL, false, true, 3),
    ('garden-pots', 'diameter', 'Diameter', 'number', 'cm', 1, 300, NULL, false, true, 4),
    ('toys', 'age-from', 'Age from', 'number', 'years', 0, 99, NULL, false, true, 3),
    ('toys-games', 'players', 'Players', 'number', NULL, 1, 100, NULL, false, true, 4),
    ('stationery-paper', 'pages', 'Pages', 'number', NULL, 1, 10000, NULL, false, false, 3),
    ('stationery-paper', 'ruling', 'Ruling', 'choice', NULL, NULL, NULL, ARRAY['plain', 'lined', 'squared', 'dotted'], false, true, 4),
    ('books', 'author', 'Author', 'text', NULL, NULL, NULL, NULL, false, true, 1),
    ('books', 'format', 'Format', 'choice', NULL, NULL, NULL, ARRAY['hardback', 'paperback', 'board book', 'spiral-bound'], false, true, 2),
    ('books', 'pages', 'Pages', 'number', NULL, 1, 10000, NULL, false, false, 3),
    ('books', 'language', 'Language', 'text', NULL, NULL, NULL, NULL, false, true, 4),
    ('books-children', 'age-from', 'Age from', 'number', 'years', 0, 18, NULL, false, true, 5),
    ('electronics', 'wireless', 'Wireless', 'boolean', NULL, NULL, NULL, NULL, false, true, 3),
    ('electronics', 'model', 'Model', 'text', NULL, NULL, NULL, NULL, false, false, 4),
    ('electronics-phones', 'screen-size', 'Screen size', 'number', 'in', 1, 20, NULL, true, true, 5),
    ('electronics-phones', 'storage', 'Storage', 'number', 'GB', 1, 8192, NULL, false, true, 6),
    ('electronics-phones', 'waterproof', 'Waterproof', 'boolean', NULL, NULL, NULL, NULL, false, true, 7),
    ('electronics-computers', 'interface', 'Connects by', 'choice', NULL, NULL, NULL, ARRAY['USB-A', 'USB-C', 'Bluetooth', 'HDMI', 'Ethernet'], false, true, 5),
    ('electronics-laptops', 'screen-size', 'Screen size', 'number', 'in', 5, 25, NULL, true, true, 6),
    ('electronics-laptops', 'memory', 'Memory', 'number', 'GB', 1, 1024, NULL, false, true, 7),
    ('electronics-laptops', 'storage', 'Storage', 'number', 'GB', 1, 65536, NULL, false, true, 8),
    ('electronics-audio', 'battery-life', 'Battery life', 'number', 'h', 0.5, 1000, NULL, false, true, 5),
    ('electronics-cables', 'length', 'Length', 'number', 'm', 0.05, 100, NULL, false, true, 5),
    ('clothing', 'fit', 'Fit', 'choice', NULL, NULL, NULL, ARRAY['slim', 'regular', 'relaxed'], false, true, 3),
    ('clothing', 'size', 'Size', 'choice', NULL, NULL, NULL, ARRAY['XS', 'S', 'M', 'L', 'XL', 'XXL', 'one size'], false, true, 4),
    ('clothing', 'washable', 'Machine washable', 'boolean', NULL, NULL, NULL, NULL, false, true, 5),
    ('clothing-shirts', 'sleeve', 'Sleeve', 'choice', NULL, NULL, NULL, ARRAY['sleeveless', 'short', 'long'], false, true, 6),
    ('clothing-outerwear', 'waterproof', 'Waterproof', 'boolean', NULL, NULL, NULL, NULL, false, true, 6),
    ('clothing-shoes', 'shoe-size', 'Shoe size', 'number', 'UK', 0, 20, NULL, false, true, 6),
    ('jewellery', 'stone', 'Stone', 'text', NULL, NULL, NULL, NULL, false, true, 3),
    ('jewellery-watches', 'water-resistance', 'Water resistance', 'number', 'm', 0, 1000, NULL, false, true, 4),
    ('beauty', 'volume', 'Volume', 'number', 'ml', 1, 10000, NULL, false, true, 3),
    ('beauty', 'vegan', 'Vegan', 'boolean', NULL, NULL, NULL, NULL, false, true, 4),
    ('beauty', 'scent', 'Scent', 'text', NULL, NULL, NULL, NULL, false, true, 5),
    ('sports', 'weight', 'Weight', 'number', 'kg', 0.01, 500, NULL, false, true, 3),
    ('pets', 'pet-size', 'For pets of size', 'choice', NULL, NULL, NULL, ARRAY['small', 'medium', 'large'], false, true, 3),
    ('seasonal', 'pieces', 'Pieces', 'number', NULL, 1, 10000, NULL, false, true, 3),
    ('gifts', 'personalised', 'Can be personalised', 'boolean', NULL, NULL, NULL, NULL, false, true, 3);

ALTER TABLE listings
    ADD COLUMN status             text             NOT NULL DEFAULT 'published' CHECK (status IN ('draft', 'published')),
    ADD COLUMN sku                text,
    -- Of its variants, in the seller's order; a listing has variants exactly when it has these.
    ADD COLUMN option_names       text[]           NOT NULL DEFAULT '{}',
    -- Attributes live in the state store `documents` under this key, written before the row points there; the hash says whether they
    -- differ. What shoppers narrow by stays here too, in words: events, lists and the index need no document.
    ADD COLUMN document_id        uuid,
    ADD COLUMN document_hash      text,
    ADD COLUMN facets             jsonb            NOT NULL DEFAULT '[]',
    ADD COLUMN missing_attributes text[]           NOT NULL DEFAULT '{}',
    ADD COLUMN rating_average     double precision,
    ADD COLUMN rating_count       integer          NOT NULL DEFAULT 0,
    ADD COLUMN rating_version     bigint           NOT NULL DEFAULT 0;

-- What shoppers page through holds no drafts: a seller's thousand drafts must not lie in the way of the newest twenty listings.
CREATE INDEX listings_published_newest ON listings (listed_at DESC, product_id DESC) WHERE deleted_at IS NULL AND status = 'published';
CREATE INDEX listings_published_of_category ON listings (category, listed_at DESC, product_id DESC) WHERE deleted_at IS NULL AND status = 'published';
DROP INDEX listings_newest;
DROP INDEX listings_of_category;

-- A variant is bought, stocked and priced by its id like any product. A removed one stays as a row: its id means nothing else ever,
-- and comes back when the seller adds the same SKU to the same listing again.
CREATE TABLE variants (
    variant_id    uuid        PRIMARY KEY,
    product_id    uuid        NOT NULL REFERENCES listings,
    sku           text        NOT NULL,
    option_values text[]      NOT NULL,
    price_minor   bigint      NOT NULL CHECK (price_minor BETWEEN 1 AND 100000000),
    place         smallint    NOT NULL,
    deleted_at    timestamptz
);
CREATE INDEX variants_of_listing ON variants (product_id, place);

-- Listings and variants share a seller's SKUs; those of what was deleted are free again.
CREATE TABLE skus (
    seller_id  uuid NOT NULL,
    sku        text NOT NULL,
    product_id uuid NOT NULL REFERENCES listings,
    variant_id uuid,
    PRIMARY KEY (seller_id, sku)
);
CREATE INDEX skus_of_listing ON skus (product_id);

-- Which documents were written, before they are: one that no listing came to point at (a crash, a lost race), or that none points at
-- any more, is free and removed some time later.
CREATE TABLE attribute_documents (
    document_id uuid        PRIMARY KEY,
    product_id  uuid        NOT NULL,
    free_since  timestamptz
);
CREATE INDEX attribute_documents_free ON attribute_documents (free_since) WHERE free_since IS NOT NULL;

-- A removed picture stays as a row, so that late news of it does not bring it back.
CREATE TABLE listing_images (
    product_id uuid        NOT NULL REFERENCES listings,
    image_id   text        NOT NULL,
    status     text        NOT NULL CHECK (status IN ('processing', 'ready', 'rejected')),
    reason     text,
    renditions jsonb       NOT NULL DEFAULT '[]',
    place      integer     NOT NULL,
    removed_at timestamptz,
    PRIMARY KEY (product_id, image_id)
);
