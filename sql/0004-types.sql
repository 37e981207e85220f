-- Lists and counters don't depend on how many types there are.
--
-- The first 32 types (store/types.h) are kinds of their own; all that come later share one, which has the
-- number -1 in the counters. Their tasks keep the number of their type, and are in list order together.

CREATE INDEX task_of_others ON task (status, is_test, created_at) WHERE type > 32;

INSERT INTO tally (type, status, is_test, count)
        SELECT -1, status, is_test, sum(count) FROM tally WHERE type > 32 GROUP BY status, is_test;
DELETE FROM tally WHERE type > 32;

INSERT INTO tally_by_hour (hour, type, status, is_test, count)
        SELECT hour, -1, status, is_test, sum(count) FROM tally_by_hour WHERE type > 32
        GROUP BY hour, status, is_test;
DELETE FROM tally_by_hour WHERE type > 32;

-- Those of the API come first, whatever is sent before them.
INSERT OR IGNORE INTO type (name) VALUES ('categorization'), ('comparison'), ('datacollection'),
        ('annotation'), ('transcription'), ('audiotranscription');
