-- A place in the queue is good for one claim: who lost theirs (a declined card, a waiting list left) joins again for another try. The rank is
-- the place's name after the draw.
ALTER TABLE claims ADD COLUMN rank bigint NOT NULL DEFAULT 0;
ALTER TABLE claims ALTER COLUMN rank DROP DEFAULT;
CREATE INDEX places_used_up ON claims (sale_id, shard) INCLUDE (rank) WHERE state IN ('released', 'missed');
