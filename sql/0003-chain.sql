-- What ties the database to its write-ahead log, and tells it from a copy.

-- One row. Every transaction writes a link: a random value, and the value before it. So a log begins behind a
-- value that its database has, and one that lies beside another database is told from its own. What a link
-- looks like is said in store/sqlite/chain.c.
CREATE TABLE chain (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        link BLOB NOT NULL
) STRICT;

INSERT INTO chain (id, link) VALUES (1, zeroblob(40));

-- One row at most: the database was turned back. It is a copy, made at that time, and what was done since is
-- not in it. The row goes when that was seen to.
CREATE TABLE copied (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        at INTEGER NOT NULL
) STRICT;
