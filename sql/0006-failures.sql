-- Why a task failed stays with it: the delivery of the failed attachment is its `response`, as long as there is no
-- revision.

-- A failure that came before its task was known names none. It is kept as long as its submission has it.
CREATE INDEX submission_by_failure ON submission (failure) WHERE failure > 0;

UPDATE task SET response = (
        SELECT max(d.n) FROM delivery d WHERE d.task = task.id AND d.fingerprint IS NOT NULL AND d.verdict = 4)
WHERE status = 3 AND revisions = 0;

UPDATE task SET response = (
        SELECT d.n FROM submission s JOIN delivery d ON d.n = s.failure
        WHERE s.n = task.submission AND d.verdict = 4)
WHERE status = 3 AND revisions = 0 AND response IS NULL;
