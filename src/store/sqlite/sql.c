/*
 * All statements, in one place, so that they can be read beside the schema (sql/) and so that a test can ask
 * for the plan of every one of them: none may walk through a table, but for the handful of counters.
 *
 * Parameters are numbered in the order in which the callers bind them.
 */

#include "store/sqlite/sql.h"

#define TEXT_OF(x) #x
#define NUMBER(x)  TEXT_OF(x)
#define IS_OTHER   "type > " NUMBER(STORE_TYPES_OWN) " "

#define TASK_ROW                                                                                  \
        "task.id, task.type, task.status, task.is_test, task.created_at, task.completed_at, "     \
        "coalesce(task.document, 0), coalesce(task.response, 0), task.revision, task.revisions, " \
        "task.last_event, coalesce(task.submission, 0), task.due_at "

const char *const store_writer_sql[_W_MAX] = {
        [W_NUMBERS] = "SELECT (SELECT coalesce(max(n), 0) FROM delivery), "
                      "       (SELECT coalesce(max(id), 0) FROM task), "
                      "       (SELECT coalesce(max(seq), 0) FROM event), "
                      "       (SELECT link FROM chain WHERE id = 1)",
        [W_GET_LINK] = "SELECT link FROM chain WHERE id = 1",
        [W_SET_LINK] = "UPDATE chain SET link = ?1 WHERE id = 1",
        [W_GET_COPIED] = "SELECT at FROM copied WHERE id = 1",
        [W_SET_COPIED] = "INSERT INTO copied (id, at) VALUES (1, ?1) "
                         "ON CONFLICT (id) DO UPDATE SET at = excluded.at",
        /* When it was copied is not known, but not before the last thing in it. */
        [W_NOTICE_COPY] = "INSERT INTO copied (id, at) "
                          "SELECT 1, coalesce((SELECT time FROM event WHERE seq = (SELECT max(seq) FROM "
                          "event)), 0) "
                          "WHERE true ON CONFLICT (id) DO NOTHING",
        [W_DROP_COPIED] = "DELETE FROM copied WHERE id = 1",

        [W_FIND_TYPE] = "SELECT id FROM type WHERE name = ?1",
        [W_ADD_TYPE] = "INSERT INTO type (name) VALUES (?1)",

        [W_FIND_TASK] = "SELECT " TASK_ROW "FROM task WHERE task_id = ?1",
        [W_FIND_TASK_OF_REF] = "SELECT " TASK_ROW "FROM task WHERE id = "
                               "(SELECT task FROM delivery WHERE ref = ?1 AND task IS NOT NULL "
                               " ORDER BY n DESC LIMIT 1)",
        [W_FIND_TASK_OF_NUMBER] = "SELECT " TASK_ROW "FROM task WHERE id = ?1",
        [W_ADD_TASK] = "INSERT INTO task (id, type, status, is_test, created_at, completed_at, document, "
                       "  response, revision, revisions, last_event, submission, due_at, task_id, metadata) "
                       "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)",
        [W_CHANGE_TASK] = "UPDATE task SET type = ?2, status = ?3, is_test = ?4, created_at = ?5, "
                          "  completed_at = ?6, document = ?7, response = ?8, revision = ?9, "
                          "  revisions = ?10, last_event = ?11, submission = ?12, due_at = ?13 "
                          "WHERE id = ?1",

        [W_GET_METADATA] = "SELECT metadata FROM task WHERE id = ?1",
        [W_SET_METADATA] = "UPDATE task SET metadata = ?1 WHERE id = ?2",
        [W_ADD_METADATA] = "INSERT INTO metadata (key, value, created_at, task) VALUES (?1, ?2, ?3, ?4) "
                           "ON CONFLICT DO NOTHING",
        [W_DROP_METADATA] = "DELETE FROM metadata "
                            "WHERE key = ?1 AND value = ?2 AND created_at = ?3 AND task = ?4",

        [W_ADD_DELIVERY] =
                        "INSERT INTO delivery (n, received_at, source, verdict, status, unchecked, type, "
                        "  task, revision, duration, fingerprint, key_label, remote, ref, named, problems, "
                        "  body) "
                        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, "
                        "  ?17)",
        /* The same bytes, on which no revision stands. Where the body names no task (?4), the path has to.
         */
        [W_FIND_ASIDE] = "SELECT n, revision FROM delivery "
                         "WHERE fingerprint = ?1 AND verdict = ?2 AND body = ?3 "
                         "  AND (?4 IS NOT NULL OR ref IS ?5) "
                         "  AND NOT EXISTS (SELECT 1 FROM quarantine "
                         "                  WHERE delivery = delivery.n AND discarded = 1) "
                         "ORDER BY n LIMIT 1",
        [W_IS_BODY] = "SELECT 1 FROM delivery WHERE n = ?1 AND body = ?2",
        [W_COUNT_REPEAT] =
                        "INSERT INTO repeat (delivery, count, last_at) VALUES (?1, 1, ?2) "
                        "ON CONFLICT (delivery) DO UPDATE SET count = count + 1, last_at = excluded.last_at",
        [W_GET_VERDICT] = "SELECT verdict FROM delivery WHERE n = ?1",

        [W_GET_NAMES] = "SELECT t.task_id, type.name FROM delivery d "
                        "LEFT JOIN task t ON t.id = coalesce(?2, d.task) "
                        "LEFT JOIN type ON type.id = coalesce(?3, d.type) WHERE d.n = ?1",

        [W_FIND_REVISION] = "SELECT number, delivery FROM revision WHERE task = ?1 AND digest = ?2 "
                            "ORDER BY number LIMIT 1",
        [W_ADD_REVISION] = "INSERT INTO revision (task, number, delivery, completed_at, digest) "
                           "VALUES (?1, ?2, ?3, ?4, ?5)",
        [W_SET_REVISION_TIME] = "UPDATE revision SET completed_at = ?3 WHERE task = ?1 AND number = ?2",
        [W_ADD_EVENT] = "INSERT INTO event (seq, time, kind, type, task, status, revision, delivery, named, "
                        "  submission) "
                        "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",

        [W_QUARANTINE] = "INSERT INTO quarantine (delivery, discarded, superseded_by) VALUES (?1, 0, 0)",
        [W_GET_QUARANTINE] = "SELECT q.discarded, coalesce(r.count, 0) FROM quarantine q "
                             "LEFT JOIN repeat r ON r.delivery = q.delivery WHERE q.delivery = ?1",
        [W_DISCARD] = "UPDATE quarantine SET discarded = 1, superseded_by = ?2 WHERE delivery = ?1",

        [W_TALLY] = "INSERT INTO tally (type, status, is_test, count) VALUES (?1, ?2, ?3, ?4) "
                    "ON CONFLICT (type, status, is_test) DO UPDATE SET count = count + excluded.count",
        [W_TALLY_BY_HOUR] = "INSERT INTO tally_by_hour (hour, type, status, is_test, count) "
                            "VALUES (?1, ?2, ?3, ?4, ?5) "
                            "ON CONFLICT (hour, type, status, is_test) "
                            "DO UPDATE SET count = count + excluded.count",
        [W_TALLY_OF_VERDICTS] = "INSERT INTO tally_of_verdicts (verdict, deliveries, repeats) "
                                "VALUES (?1, ?2, ?3) "
                                "ON CONFLICT (verdict) DO UPDATE SET "
                                "  deliveries = deliveries + excluded.deliveries, "
                                "  repeats = repeats + excluded.repeats",

        [W_GET_RUNNING_TIME] = "SELECT counted, noted_at FROM running_time WHERE id = 1",
        [W_SET_RUNNING_TIME] = "INSERT INTO running_time (id, counted, noted_at) VALUES (1, ?1, ?2) "
                               "ON CONFLICT (id) DO UPDATE SET "
                               "  counted = excluded.counted, noted_at = excluded.noted_at",
        [W_ADD_MARK] = "INSERT INTO mark (delivery, counted) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
        /* One of those without which the rest is still close enough: what a mark says of the deliveries up
         * to it, the next one says later. */
        [W_THIN_MARKS] = "DELETE FROM mark WHERE delivery = "
                         "(SELECT delivery FROM mark m WHERE "
                         "   (SELECT counted FROM mark WHERE delivery > m.delivery "
                         "    ORDER BY delivery LIMIT 1) - "
                         "   (SELECT counted FROM mark WHERE delivery < m.delivery "
                         "    ORDER BY delivery DESC LIMIT 1) < (?1 - m.counted) / ?2 LIMIT 1)",
        [W_FIND_MARK] = "SELECT delivery FROM mark WHERE counted <= ?1 ORDER BY delivery DESC LIMIT 1",

        /* Nothing stands on a delivery without a revision, unless it gave its task the document or says why
         * there is no response. */
        [W_FIND_OLD] = "SELECT d.n, CASE WHEN q.discarded = 1 THEN 5 ELSE d.verdict END, coalesce(r.count, "
                       "0), "
                       "  EXISTS (SELECT 1 FROM task "
                       "          WHERE id = d.task AND (document = d.n OR response = d.n)) "
                       "  OR EXISTS (SELECT 1 FROM submission WHERE failure = d.n AND failure > 0) "
                       "FROM delivery d INDEXED BY delivery_aside "
                       "LEFT JOIN quarantine q ON q.delivery = d.n LEFT JOIN repeat r ON r.delivery = d.n "
                       "WHERE d.fingerprint IS NOT NULL AND d.n > ?1 AND d.n <= ?2 "
                       "ORDER BY d.n LIMIT ?3",
        [W_DROP_DELIVERY] = "DELETE FROM delivery WHERE n = ?1",
        [W_DROP_REPEAT] = "DELETE FROM repeat WHERE delivery = ?1",
        [W_DROP_QUARANTINE] = "DELETE FROM quarantine WHERE delivery = ?1",

        /* Prepared, because above all the last has to work when there is no memory. */
        [W_BEGIN] = "BEGIN IMMEDIATE",
        [W_COMMIT] = "COMMIT",
        [W_ROLLBACK] = "ROLLBACK",
};

/* A task, without its bodies. */
#define STORED_TASK                                                                           \
        "SELECT t.task_id, type.name, t.status, t.created_at, t.completed_at, t.is_test, "    \
        "       coalesce(t.document, 0), coalesce(t.response, 0), coalesce(t.submission, 0) " \
        "FROM task t LEFT JOIN type ON type.id = t.type "

/* A delivery in full; the body comes last, so that it is not touched unless it is asked for. */
#define STORED_DELIVERY_COLUMNS                                                                           \
        "SELECT d.n, d.received_at, d.source, CASE WHEN q.discarded = 1 THEN 5 ELSE d.verdict END AS "    \
        "decided, "                                                                                       \
        "       d.status, d.key_label, d.remote, d.ref, coalesce(t.task_id, d.named), type.name, "        \
        "d.revision, "                                                                                    \
        "       d.duration, coalesce(r.count, 0), r.last_at, coalesce(q.superseded_by, 0), d.unchecked, " \
        "       d.problems, length(d.body) "
#define STORED_DELIVERY_BODY ", d.body "
#define STORED_DELIVERY_JOINS                         \
        "LEFT JOIN quarantine q ON q.delivery = d.n " \
        "LEFT JOIN repeat r ON r.delivery = d.n "     \
        "LEFT JOIN task t ON t.id = d.task "          \
        "LEFT JOIN type ON type.id = d.type "

_Static_assert(VERDICT_DISCARDED == 5, "the statements above and below say 5");

/* Lists of deliveries in either direction: `beyond` is ">" or "<", `order` is "" or "DESC ". */
#define DELIVERIES(beyond, order)                                                            \
        STORED_DELIVERY_COLUMNS "FROM delivery d " STORED_DELIVERY_JOINS "WHERE d.n " beyond \
                                " ?1 ORDER BY d.n " order "LIMIT ?2"
/* Nearly all are of this kind. */
#define DELIVERIES_STORED(beyond, order)                                                     \
        STORED_DELIVERY_COLUMNS "FROM delivery d " STORED_DELIVERY_JOINS "WHERE d.n " beyond \
                                " ?1 AND d.verdict = 0 ORDER BY d.n " order "LIMIT ?2"
#define DELIVERIES_OF_VERDICT(beyond, order)                                                 \
        STORED_DELIVERY_COLUMNS "FROM delivery d " STORED_DELIVERY_JOINS "WHERE d.n " beyond \
                                " ?1 AND d.verdict = ?3 AND d.verdict > 0 "                  \
                                "ORDER BY d.n " order "LIMIT ?2"
#define DELIVERIES_OF_QUARANTINE(beyond, order)                                              \
        STORED_DELIVERY_COLUMNS                                                              \
        "FROM quarantine w CROSS JOIN delivery d ON d.n = w.delivery " STORED_DELIVERY_JOINS \
        "WHERE w.discarded = ?3 AND w.delivery " beyond " ?1 ORDER BY w.delivery " order "LIMIT ?2"
/* Those with a revision, those without, those that came before there was a task, and the failure that came
 * before it was known which. */
#define DELIVERIES_OF_TASK(beyond, order)                                                      \
        STORED_DELIVERY_COLUMNS                                                                \
        "FROM (SELECT delivery AS n FROM revision WHERE task = ?4 AND delivery " beyond " ?1 " \
        "      UNION ALL "                                                                     \
        "      SELECT n FROM delivery "                                                        \
        "      WHERE task = ?4 AND fingerprint IS NOT NULL AND n " beyond " ?1 "               \
        "      UNION ALL "                                                                     \
        "      SELECT n FROM delivery WHERE named = ?5 AND n " beyond " ?1 "                   \
        "      UNION ALL "                                                                     \
        "      SELECT failure FROM submission "                                                \
        "      WHERE n = (SELECT submission FROM task WHERE id = ?4) "                         \
        "        AND failure > 0 AND failure " beyond " ?1) w "                                \
        "CROSS JOIN delivery d ON d.n = w.n " STORED_DELIVERY_JOINS                            \
        "WHERE ?3 IS NULL OR decided = ?3 ORDER BY w.n " order "LIMIT ?2"

const char *const store_reader_sql[_R_MAX] = {
        [R_TASK] = STORED_TASK "WHERE t.id = ?1",
        [R_TASK_BY_KEY] = "SELECT id FROM task WHERE task_id = ?1",
        [R_BODY] = "SELECT body FROM delivery WHERE n = ?1",
        [R_RESPONSE] = "SELECT body FROM delivery WHERE n = ?1", /* both are held at a time */
        [R_FIND_TYPE] = "SELECT id FROM type WHERE name = ?1",

        /* Lists: the kinds that there are, and within each a slice of the list from a place on. */
        [R_KINDS] = "SELECT type, status, is_test, count FROM tally WHERE count > 0 "
                    "AND (?1 IS NULL OR type = ?1) AND (?2 IS NULL OR status = ?2) "
                    "AND (?3 IS NULL OR is_test = ?3)",
        [R_KIND_TIES] = "SELECT created_at, id FROM task "
                        "WHERE type = ?1 AND status = ?2 AND is_test = ?3 AND created_at = ?4 AND id < ?5 "
                        "ORDER BY id DESC LIMIT ?6",
        [R_KIND_SLICE] = "SELECT created_at, id FROM task "
                         "WHERE type = ?1 AND status = ?2 AND is_test = ?3 AND created_at < ?4 "
                         "  AND created_at >= ?5 "
                         "ORDER BY created_at DESC, id DESC LIMIT ?6",
        [R_KIND_COUNT] = "SELECT count(*) FROM task "
                         "WHERE type = ?1 AND status = ?2 AND is_test = ?3 AND created_at BETWEEN ?4 AND ?5",
        /* The same of all types that share a kind: ?1 is not used. */
        [R_OTHERS_TIES] =
                        "SELECT created_at, id FROM task INDEXED BY task_of_others "
                        "WHERE " IS_OTHER "AND status = ?2 AND is_test = ?3 AND created_at = ?4 AND id < ?5 "
                        "ORDER BY id DESC LIMIT ?6",
        [R_OTHERS_SLICE] = "SELECT created_at, id FROM task INDEXED BY task_of_others "
                           "WHERE " IS_OTHER "AND status = ?2 AND is_test = ?3 AND created_at < ?4 "
                           "  AND created_at >= ?5 "
                           "ORDER BY created_at DESC, id DESC LIMIT ?6",
        [R_OTHERS_COUNT] = "SELECT count(*) FROM task INDEXED BY task_of_others "
                           "WHERE " IS_OTHER "AND status = ?2 AND is_test = ?3 "
                           "  AND created_at BETWEEN ?4 AND ?5",
        [R_HAS_METADATA] = "SELECT 1 FROM metadata WHERE key = ?1 AND value = ?2 AND created_at = ?3 AND "
                           "task = "
                           "?4",
        [R_COUNT_METADATA] = "SELECT count(*) FROM (SELECT 1 FROM metadata WHERE key = ?1 AND value = ?2 "
                             "                      AND created_at BETWEEN ?3 AND ?4 LIMIT ?5)",
        [R_HOURS] = "SELECT coalesce(sum(count), 0) FROM tally_by_hour WHERE hour BETWEEN ?1 AND ?2 "
                    "AND (?3 IS NULL OR type = ?3) AND (?4 IS NULL OR status = ?4) "
                    "AND (?5 IS NULL OR is_test = ?5)",

        [R_REVISIONS] = "SELECT v.number, v.number = t.revision, v.delivery, d.received_at, v.completed_at, "
                        "       d.source, d.body "
                        "FROM task t CROSS JOIN revision v ON v.task = t.id "
                        "CROSS JOIN delivery d ON d.n = v.delivery "
                        "WHERE t.id = ?1 AND v.number > ?2 ORDER BY v.number LIMIT ?3",

        [R_DELIVERY] = STORED_DELIVERY_COLUMNS STORED_DELIVERY_BODY "FROM delivery d " STORED_DELIVERY_JOINS
                                                                    "WHERE d.n = ?1",
        [R_DELIVERIES] = DELIVERIES(">", ""),
        [R_DELIVERIES_STORED] = DELIVERIES_STORED(">", ""),
        [R_DELIVERIES_OF_VERDICT] = DELIVERIES_OF_VERDICT(">", ""),
        [R_DELIVERIES_OF_QUARANTINE] = DELIVERIES_OF_QUARANTINE(">", ""),
        [R_DELIVERIES_OF_TASK] = DELIVERIES_OF_TASK(">", ""),
        [R_DELIVERIES_BACK] = DELIVERIES("<", "DESC "),
        [R_DELIVERIES_BACK_STORED] = DELIVERIES_STORED("<", "DESC "),
        [R_DELIVERIES_BACK_OF_VERDICT] = DELIVERIES_OF_VERDICT("<", "DESC "),
        [R_DELIVERIES_BACK_OF_QUARANTINE] = DELIVERIES_OF_QUARANTINE("<", "DESC "),
        [R_DELIVERIES_BACK_OF_TASK] = DELIVERIES_OF_TASK("<", "DESC "),

        [R_EVENTS] = "SELECT e.seq, e.time, e.kind, coalesce(t.task_id, e.named), type.name, e.status, "
                     "       e.revision, e.delivery, coalesce(s.id, e.submission), coalesce(e.task, 0) "
                     "FROM event e LEFT JOIN task t ON t.id = e.task LEFT JOIN type ON type.id = e.type "
                     "LEFT JOIN submission s ON s.n = t.submission "
                     "WHERE e.seq > ?1 ORDER BY e.seq LIMIT ?2",
        [R_EVENT_TIME] = "SELECT time FROM event WHERE seq = ?1",
        [R_LAST_EVENT] = "SELECT coalesce(max(seq), 0) FROM event",
        [R_LAST_DELIVERY] = "SELECT coalesce(max(n), 0) FROM delivery",

        [R_TALLY] = "SELECT CASE WHEN a.type < 0 THEN '" STORE_TYPES_OTHERS "' ELSE type.name END AS name, "
                    "       a.status, a.is_test, sum(a.count) AS count FROM tally a "
                    "LEFT JOIN type ON type.id = a.type WHERE a.count > 0 "
                    "GROUP BY name, a.status, a.is_test ORDER BY count DESC",
        [R_VERDICTS] = "SELECT verdict, deliveries, repeats FROM tally_of_verdicts",

        [R_BEGIN] = "BEGIN",
        [R_COMMIT] = "COMMIT",
        [R_ROLLBACK] = "ROLLBACK",
};

/*
 * The outbox's.
 *
 * The statements of the outbox, to be read beside sql/0002-outbox.sql. As in sql.c parameters are
 * numbered in the order in which they are bound, and no statement may walk through a table.
 */

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
        [OW_DOUBT_ATTACHMENTS] =
                        "UPDATE attachment SET open = 1 "
                        "WHERE submission IN (SELECT n FROM submission WHERE state = 0 AND failure = 0)",
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
        [OR_LIST_BACK] = SUBMISSION "WHERE s.n < ?1 ORDER BY s.n DESC LIMIT ?2",
        [OR_LIST_BACK_OF_STATE] = SUBMISSION "WHERE s.state = ?3 AND s.n < ?1 ORDER BY s.n DESC LIMIT ?2",
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
