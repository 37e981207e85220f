-- How old a delivery is at least, whatever the clock on the wall said when it came and says now.
--
-- The receiver counts the time for which it runs, by a clock that nobody sets, and notes now and then which
-- was the newest delivery: that one, and each before it, is as old as what was counted since. Time in which it
-- did not run is not counted. What was there before this table begins with an age of nothing.

-- One row at most: how long it ran so far, in microseconds, and the clock on the wall when that was noted.
CREATE TABLE running_time (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        counted INTEGER NOT NULL,
        noted_at INTEGER NOT NULL
) STRICT;

-- The newest delivery when so much had been counted. They are thinned out, so that there are some hundred.
CREATE TABLE mark (
        delivery INTEGER PRIMARY KEY,   -- may have been pruned; 0: there was none yet
        counted INTEGER NOT NULL
) STRICT;

-- What may be pruned is found by its number, no longer by `received_at`.
DROP INDEX delivery_by_age;
CREATE INDEX delivery_aside ON delivery (n) WHERE fingerprint IS NOT NULL;
