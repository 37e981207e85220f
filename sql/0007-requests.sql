-- Until when a request may still be on its way.
--
-- No task made by it can come into being later than `grace` after `ended_at`. That is by the clock that counts
-- from the machine's start, in microseconds: time of day may jump, and a restart of the process doesn't touch it.
-- Both stand beside sent_at, and are gone when that is.

ALTER TABLE submission ADD COLUMN ended_at INTEGER; -- it had left by then, or never would; NULL: it may still leave
ALTER TABLE submission ADD COLUMN grace INTEGER;    -- [api] timeout and settle, as they were when it was sent
