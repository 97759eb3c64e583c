-- What shoppers were asked for a product, and since when. Written by the database itself: whichever statement changes a price that is
-- shown, the entry is in its transaction, and no way to write a listing can forget it. What a draft costs is nobody's business: an entry
-- is made when a price becomes visible.
CREATE TABLE price_history (
    product_id  uuid        NOT NULL,                        -- of a listing or of a variant
    entry       bigint      GENERATED ALWAYS AS IDENTITY,    -- their order; two may bear the same time
    price_minor bigint      NOT NULL,
    currency    text        NOT NULL,
    since       timestamptz NOT NULL,
    PRIMARY KEY (product_id, entry)
);

-- The time is the clock's and not the transaction's: writers of one listing wait for each other, so their entries are in order.
CREATE FUNCTION remember_price(product uuid, price bigint, in_currency text) RETURNS void LANGUAGE sql AS $$
    INSERT INTO price_history (product_id, price_minor, currency, since)
    SELECT product, price, in_currency, clock_timestamp()
    WHERE NOT EXISTS (
        SELECT FROM (SELECT price_minor, currency FROM price_history WHERE product_id = product ORDER BY entry DESC LIMIT 1) AS newest
        WHERE newest.price_minor = price AND newest.currency = in_currency)
$$;

-- They look at the rows as they are at the end of the transaction: a listing and its variants are written one after the other, and what
-- they cost in between was never shown.
CREATE FUNCTION remember_price_of_listing() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM remember_price(product_id, price_minor, currency) FROM listings
        WHERE product_id = NEW.product_id AND status = 'published' AND deleted_at IS NULL;
    PERFORM remember_price(v.variant_id, v.price_minor, l.currency) FROM listings l JOIN variants v USING (product_id)
        WHERE l.product_id = NEW.product_id AND l.status = 'published' AND l.deleted_at IS NULL AND v.deleted_at IS NULL;
    RETURN NULL;
END $$;

CREATE FUNCTION remember_price_of_variant() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM remember_price(v.variant_id, v.price_minor, l.currency) FROM variants v JOIN listings l USING (product_id)
        WHERE v.variant_id = NEW.variant_id AND v.deleted_at IS NULL AND l.status = 'published' AND l.deleted_at IS NULL;
    RETURN NULL;
END $$;

CREATE CONSTRAINT TRIGGER listing_is_priced AFTER INSERT ON listings DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    EXECUTE FUNCTION remember_price_of_listing();
CREATE CONSTRAINT TRIGGER listing_price_changes AFTER UPDATE OF price_minor, currency, status ON listings DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((NEW.price_minor, NEW.currency, NEW.status) IS DISTINCT FROM (OLD.price_minor, OLD.currency, OLD.status))
    EXECUTE FUNCTION remember_price_of_listing();
CREATE CONSTRAINT TRIGGER variant_is_priced AFTER INSERT ON variants DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    EXECUTE FUNCTION remember_price_of_variant();
CREATE CONSTRAINT TRIGGER variant_price_changes AFTER UPDATE OF price_minor, deleted_at ON variants DEFERRABLE INITIALLY DEFERRED FOR EACH ROW
    WHEN ((NEW.price_minor, NEW.deleted_at) IS DISTINCT FROM (OLD.price_minor, OLD.deleted_at))
    EXECUTE FUNCTION remember_price_of_variant();

-- What is known of the listings there are: their price holds since their last change at the latest.
INSERT INTO price_history (product_id, price_minor, currency, since)
SELECT product_id, price_minor, currency, updated_at FROM listings WHERE status = 'published' AND deleted_at IS NULL;
INSERT INTO price_history (product_id, price_minor, currency, since)
SELECT v.variant_id, v.price_minor, l.currency, l.updated_at FROM variants v JOIN listings l USING (product_id)
WHERE v.deleted_at IS NULL AND l.status = 'published' AND l.deleted_at IS NULL;
