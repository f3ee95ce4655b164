-- Up to which order the words that a search finds orders by were looked at, since accents are left out of them.
CREATE TABLE @.rewritten (
    up_to text COLLATE "C" NOT NULL
);
INSERT INTO @.rewritten (up_to) VALUES ('');
