/*
 * The statements of the outbox, to be read beside sql/0002-outbox.sql. As in sql.c parameters are
 * numbered in the order in which they are bound, and no statement may walk through a table.
 */

#include "store/sqlite/internal.h"

_Static_assert(SUBMISSION_QUEUED == 0 && SUBMISSION_SENDING == 1 && SUBMISSION_UNKNOWN == 2 &&
                                SUBMISSION_ACCEPTED == 3 && TASK_PENDING == 0,
                "the statements below say so");

/* created_at of the oldest of the last tasks that came: one alone may be wrong. */
#define LAST_CREATED "(SELECT min(created_at) FROM task WHERE id > (SELECT max(id) FROM task) - 100)"

#define SUBMISSION_ROW "n, id, type, state, coalesce(task, 0), failure, expires_at "

const char *const outbox_writer_sql[_OW_MAX] = {
        [OW_FIND] = "SELECT " SUBMISSION_ROW "FROM submission WHERE id = ?1",
        [OW_FIND_KEY] = "SELECT id, digest FROM submission WHERE idempotency_key = ?1",
        [OW_GET] = "SELECT " SUBMISSION_ROW "FROM submission WHERE n = ?1",
        [OW_GET_TASK] = "SELECT task_id FROM task WHERE id = ?1",

        [OW_ADD] = "INSERT INTO submission (id, type, state, is_test, cancel_wanted, created_at, "
                   "changed_at, "
                   "  expires_at, next_at, attempts, failure, status, idempotency_key, digest, problems) "
                   "VALUES (?1, ?2, 0, 0, 0, ?3, ?3, ?4, ?5, 0, 0, 0, ?6, ?7, ?8)",
        [OW_ADD_PARAMETERS] = "INSERT INTO parameters (submission, body) VALUES (?1, ?2)",

        /* Whoever ends it doesn't wait for it to be canceled any more; and as soon as it is certain that it
         * has no task, no attachment of that can have failed. */
        [OW_MOVE] = "UPDATE submission SET state = ?2, changed_at = ?3, next_at = ?4, sent_at = ?5, "
                    "  floor_at = ?6, ended_at = ?7, grace = ?8, is_test = ?9, attempts = attempts + ?10, "
                    "  status = ?11, error = ?12, answer = ?13, expires_at = ?14, "
                    "  cancel_wanted = CASE WHEN ?2 > 3 THEN 0 ELSE cancel_wanted END, "
                    "  failure = CASE WHEN ?5 IS NULL THEN 0 ELSE failure END "
                    "WHERE n = ?1",
        [OW_ACCEPT] = "UPDATE submission SET state = 3, changed_at = ?2, next_at = NULL, task = ?3, "
                      "  status = coalesce(?4, status), error = NULL, answer = NULL WHERE n = ?1",
        [OW_SET_CANCEL] = "UPDATE submission SET cancel_wanted = ?2, changed_at = ?3 WHERE n = ?1",
        [OW_END_CANCEL] = "UPDATE submission SET cancel_wanted = 0 WHERE n = ?1 AND cancel_wanted = 1",
        [OW_FLUSH] = "UPDATE submission SET next_at = ?1 WHERE state = ?2",
        [OW_RECOVER] = "UPDATE submission SET state = 2, changed_at = ?1, next_at = ?1 + coalesce(grace, "
                       "?3), "
                       "  ended_at = ?2, grace = coalesce(grace, ?3) WHERE state = 1",
        [OW_RECOVER_UNKNOWN] = "UPDATE submission SET ended_at = ?1, grace = coalesce(grace, ?2) "
                               "WHERE state = 2 AND ended_at IS NULL",

        /* Of what may have been sent since the database was copied all that is known is that the API had its
         * tasks before. Parameters: now, the time of the copy, ended_at, grace, is_test. */
        [OW_DOUBT_ATTACHMENTS] = "UPDATE attachment SET open = 1 "
                                 "WHERE submission IN (SELECT n FROM submission WHERE state = 0)",
        [OW_DOUBT_ENDED] = "UPDATE submission SET sent_at = ?2, ended_at = ?3, grace = ?4, "
                           "  is_test = CASE WHEN attempts > 0 THEN is_test ELSE ?5 END, "
                           "  floor_at = " LAST_CREATED " "
                           "WHERE state IN (4, 5, 6) AND sent_at IS NULL AND ?1 = ?1",
        [OW_DOUBT_UNKNOWN] = "UPDATE submission SET ended_at = ?3, grace = max(coalesce(grace, 0), ?4) "
                             "WHERE state IN (2, 4, 5, 6) AND sent_at IS NOT NULL AND ?5 = ?5",
        [OW_DOUBT_QUEUED] =
                        "UPDATE submission SET state = 2, sent_at = ?2, ended_at = ?3, grace = ?4, "
                        "  is_test = ?5, floor_at = " LAST_CREATED ", changed_at = ?1, next_at = ?1 + ?4 "
                        "WHERE state = 0",
        [OW_SET_FAILURE] = "UPDATE submission SET failure = ?2 WHERE n = ?1",

        [OW_ADD_ATTACHMENT] = "INSERT INTO attachment (submission, hash, url, open) VALUES (?1, ?2, ?3, 0) "
                              "ON CONFLICT DO NOTHING",
        [OW_OPEN_ATTACHMENTS] = "UPDATE attachment SET open = ?2 WHERE submission = ?1 AND open <> ?2",
        [OW_DROP_ATTACHMENTS] = "DELETE FROM attachment WHERE submission = ?1",
        [OW_FIND_ATTACHMENT] = "SELECT submission FROM attachment "
                               "WHERE hash = ?1 AND url = ?2 AND open = 1 ORDER BY submission LIMIT ?3",
        [OW_HAS_ATTACHMENT] = "SELECT 1 FROM attachment WHERE submission = ?1 AND hash = ?2 AND url = ?3",

        [OW_ADD_ACCOUNT] = "INSERT INTO account (submission, body) VALUES (?1, ?2) "
                           "ON CONFLICT (submission) DO UPDATE SET body = excluded.body",
        [OW_DROP_ACCOUNT] = "DELETE FROM account WHERE submission = ?1",

        [OW_TALLY] = "INSERT INTO tally_of_submissions (state, count) VALUES (?1, ?2) "
                     "ON CONFLICT (state) DO UPDATE SET count = count + excluded.count",

        [OW_GET_QUEUE] = "SELECT hold, since FROM queue WHERE id = 1",
        [OW_SET_QUEUE] = "INSERT INTO queue (id, hold, reason, since) VALUES (1, ?1, ?2, ?3) "
                         "ON CONFLICT (id) DO UPDATE SET hold = excluded.hold, reason = excluded.reason, "
                         "  since = excluded.since",

        [OW_COUNT_LIVE] = "INSERT INTO live_day (day, sent) VALUES (?1, ?2) "
                          "ON CONFLICT (day) DO UPDATE SET sent = sent + excluded.sent",
        [OW_UNCOUNT_LIVE] = "UPDATE live_day SET sent = max(0, sent + ?2) WHERE day = ?1",
};

#define SUBMISSION                                                                                       \
        "SELECT s.n, s.id, type.name, s.state, s.is_test, s.cancel_wanted, s.created_at, s.changed_at, " \
        "       s.expires_at, s.next_at, s.attempts, s.sent_at, s.floor_at, s.ended_at, "                \
        "       s.grace, s.idempotency_key, t.task_id, s.status, s.error, s.answer, s.problems "         \
        "FROM submission s LEFT JOIN type ON type.id = s.type LEFT JOIN task t ON t.id = s.task "

const char *const outbox_reader_sql[_OR_MAX] = {
        [OR_SUBMISSION] = SUBMISSION "WHERE s.id = ?1",
        [OR_PARAMETERS] = "SELECT body FROM parameters WHERE submission = ?1",
        [OR_ACCOUNT] = "SELECT body FROM account WHERE submission = ?1",

        [OR_LIST] = SUBMISSION "WHERE s.n > ?1 ORDER BY s.n LIMIT ?2",
        [OR_LIST_OF_STATE] = SUBMISSION "WHERE s.state = ?3 AND s.n > ?1 ORDER BY s.n LIMIT ?2",
        [OR_DUE] = SUBMISSION "WHERE s.state = ?1 AND s.next_at <= ?2 ORDER BY s.next_at, s.n LIMIT ?3",
        [OR_NEXT_DUE] = "SELECT next_at FROM submission WHERE state = ?1 AND next_at IS NOT NULL "
                        "ORDER BY next_at LIMIT 1",
        [OR_CANCEL_WANTED] = SUBMISSION "WHERE s.state = 3 AND s.cancel_wanted = 1 AND s.n > ?1 "
                                        "ORDER BY s.n LIMIT ?2",

        [OR_TALLY] = "SELECT state, count FROM tally_of_submissions",
        [OR_OLDEST] = "SELECT created_at FROM submission WHERE state = ?1 ORDER BY n LIMIT 1",
        [OR_QUEUE] = "SELECT hold, reason, since FROM queue WHERE id = 1",
        [OR_LIVE] = "SELECT sent FROM live_day WHERE day = ?1",

        /* By the outbox, by the reference of a delivery, by the metadata; as in W_FIND_TASK_OF_REF. */
        [OR_FIND_TASK] = "SELECT task_id FROM task WHERE id = coalesce("
                         "(SELECT task FROM submission WHERE id = ?1), "
                         "(SELECT task FROM delivery WHERE ref = ?1 AND task IS NOT NULL "
                         " ORDER BY n DESC LIMIT 1), "
                         "(SELECT task FROM metadata WHERE key = '" TASK_SUBMISSION_KEY "' AND value = ?1 "
                         " ORDER BY created_at LIMIT 1))",
        [OR_PENDING] = "SELECT t.task_id, s.id, t.created_at, t.due_at, t.id "
                       "FROM task t LEFT JOIN submission s ON s.n = t.submission "
                       "WHERE t.status = 0 AND t.due_at < ?1 AND (t.due_at, t.id) > (?2, ?3) "
                       "ORDER BY t.due_at, t.id LIMIT ?4",

        [OR_DATA_VERSION] = "PRAGMA data_version",
};
