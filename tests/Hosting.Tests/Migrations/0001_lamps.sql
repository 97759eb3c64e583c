-- What the sample app of these tests owns.
CREATE TABLE lamps (
    lamp_id uuid PRIMARY KEY,
    lit     integer NOT NULL DEFAULT 0
);
