-- Which orders have words in the index that were made before accents were left out of them: those after `up_to`, the last of
-- them included.
CREATE TABLE rewritten (
    up_to INTEGER NOT NULL,
    last INTEGER NOT NULL
) STRICT;
INSERT INTO rewritten (up_to, last) SELECT 0, coalesce(max(place), 0) FROM orders;
