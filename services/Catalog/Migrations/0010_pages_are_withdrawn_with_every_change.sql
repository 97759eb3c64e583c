-- Rendered product pages lie in the state store for minutes. Whatever changes a listing, by whatever path, takes its page away: the command to do
-- so is in the transaction of the change, and the relay sees to it until it is done.
CREATE FUNCTION withdraw_product_pages() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO outbox (event_id, lane, aggregate_id, payload)
    SELECT gen_random_uuid(), 'product-pages', product_id, '{}' FROM changed;
    RETURN NULL;
END $$;

-- Of a statement, not of a row: an import changes hundreds in one.
CREATE TRIGGER pages_are_withdrawn AFTER UPDATE ON listings
    REFERENCING NEW TABLE AS changed FOR EACH STATEMENT EXECUTE FUNCTION withdraw_product_pages();
