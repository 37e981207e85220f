#pragma once

/* Databases as a whole: what must hold, and whether two of them are the same. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "store/sqlite/writer.h"

/* What must hold whatever was done: each of these counts what contradicts it. */

static const char *const store_rules[] = {
        "SELECT count(*) FROM pragma_foreign_key_check",
        "SELECT count(*) FROM pragma_integrity_check WHERE integrity_check <> 'ok'",

        /* The log. */
        "SELECT count(*) FROM delivery WHERE verdict NOT BETWEEN 0 AND 4 OR source NOT BETWEEN 0 AND 3",
        "SELECT count(*) FROM delivery d WHERE (verdict = 3) <> (n IN (SELECT delivery FROM quarantine))",
        ("SELECT count(*) FROM quarantine WHERE superseded_by <> 0 AND discarded = 0"),
        ("SELECT count(*) FROM revision v LEFT JOIN delivery d ON d.n = v.delivery "
         "WHERE d.task IS NOT v.task OR d.revision IS NOT v.number "
         "   OR d.verdict IS NOT iif(v.number = 1, 0, 2)"),
        ("SELECT count(*) FROM delivery d WHERE verdict IN (0, 2) AND revision > 0 "
         "AND n NOT IN (SELECT delivery FROM revision)"),
        ("SELECT count(*) FROM delivery WHERE (verdict = 2 OR verdict = 0 AND revision > 0) "
         "AND n NOT IN (SELECT delivery FROM event)"),

        /* Counters, of what there is. */
        "SELECT coalesce((SELECT sum(count) FROM tally), 0) - (SELECT count(*) FROM task)",
        ("SELECT count(*) FROM (SELECT iif(type > 32, -1, type) AS type, status, is_test, count(*) AS n "
         "FROM task GROUP BY 1, 2, 3) a "
         "LEFT JOIN tally b USING (type, status, is_test) WHERE b.count IS NOT a.n"),
        ("SELECT count(*) FROM (SELECT created_at / 3600000000 AS hour, iif(type > 32, -1, type) AS type, "
         "status, is_test, "
         "count(*) AS n FROM task GROUP BY 1, 2, 3, 4) a "
         "LEFT JOIN tally_by_hour b USING (hour, type, status, is_test) WHERE b.count IS NOT a.n"),
        "SELECT coalesce((SELECT sum(count) FROM tally_by_hour), 0) - (SELECT count(*) FROM task)",
        ("SELECT coalesce((SELECT sum(count) FROM tally_of_submissions), 0) - "
         "(SELECT count(*) FROM submission)"),
        ("SELECT count(*) FROM (SELECT state, count(*) AS n FROM submission GROUP BY 1) a "
         "LEFT JOIN tally_of_submissions b USING (state) WHERE b.count IS NOT a.n"),
        ("SELECT count(*) FROM (SELECT iif(q.discarded = 1, 5, d.verdict) AS verdict, count(*) AS n, "
         "sum(coalesce(r.count, 0)) AS repeats FROM delivery d LEFT JOIN quarantine q ON q.delivery = d.n "
         "LEFT JOIN repeat r ON r.delivery = d.n GROUP BY 1) a "
         "LEFT JOIN tally_of_verdicts b USING (verdict) "
         "WHERE b.deliveries IS NOT a.n OR b.repeats IS NOT a.repeats"),
        "SELECT coalesce((SELECT sum(deliveries) FROM tally_of_verdicts), 0) - (SELECT count(*) FROM "
        "delivery)",

        /* Tasks, of their revisions: the one that was completed last is the current one. */
        ("SELECT count(*) FROM task t WHERE revisions <> "
         "(SELECT count(*) FROM revision WHERE task = t.id)"),
        ("SELECT count(*) FROM task t WHERE revision <> coalesce((SELECT number FROM revision "
         "WHERE task = t.id ORDER BY completed_at DESC, number DESC LIMIT 1), 0)"),
        ("SELECT count(*) FROM task t WHERE revision > 0 AND response IS NOT "
         "(SELECT delivery FROM revision WHERE task = t.id AND number = t.revision)"),
        /* Without one, why there is none. */
        ("SELECT count(*) FROM task t WHERE revision = 0 AND response > 0 AND response NOT IN "
         "(SELECT n FROM delivery WHERE verdict = 4)"),
        /* Only who was asked says that one was recalled. */
        ("SELECT count(*) FROM task t LEFT JOIN delivery d ON d.n = t.document "
         "WHERE t.revisions > 0 AND t.status = 0 AND coalesce(d.source, 0) NOT IN (1, 2)"),
        "SELECT count(*) FROM task WHERE status = 0 AND due_at IS NULL",
        ("SELECT count(*) FROM metadata m LEFT JOIN task t ON t.id = m.task "
         "WHERE t.created_at IS NOT m.created_at"),

        /* Events: no gaps. */
        "SELECT coalesce((SELECT max(seq) FROM event), 0) - (SELECT count(*) FROM event)",
        ("SELECT count(*) FROM task t WHERE last_event <> "
         "coalesce((SELECT max(seq) FROM event WHERE task = t.id), 0)"),
        "SELECT count(*) FROM event WHERE kind NOT BETWEEN 0 AND 9",

        /* Submissions: what is queued or unknown is looked at some time, what is being sent is taken up by
         * the next start, what is accepted has its task, and all else has ended. */
        "SELECT count(*) FROM submission WHERE state NOT BETWEEN 0 AND 6",
        "SELECT count(*) FROM submission WHERE (state IN (0, 2)) <> (next_at IS NOT NULL)",
        "SELECT count(*) FROM submission WHERE (state = 3) <> (task IS NOT NULL)",
        "SELECT count(*) FROM submission WHERE n NOT IN (SELECT submission FROM parameters)",
        "SELECT count(*) FROM submission s JOIN task t ON t.id = s.task WHERE t.submission IS NULL",
        "SELECT count(*) FROM task t JOIN submission s ON s.n = t.submission WHERE s.task IS NOT t.id",
        ("SELECT count(*) FROM submission s JOIN task t ON t.id = s.task "
         "WHERE s.cancel_wanted = 1 AND t.status <> 0"),
        /* Open exactly while there is, or may be, a pending task of which nothing failed yet. */
        ("SELECT count(*) FROM attachment a JOIN submission s ON s.n = a.submission "
         "WHERE a.open <> (s.state IN (1, 2, 3) AND s.failure = 0)"),
        ("SELECT count(*) FROM attachment a JOIN task t ON t.submission = a.submission "
         "WHERE t.status <> 0"),
        ("SELECT count(*) FROM attachment a JOIN submission s ON s.n = a.submission "
         "JOIN task t ON t.id = s.task WHERE t.submission <> s.n"),
        "SELECT count(*) FROM account a JOIN task t USING (submission) WHERE t.document IS NOT NULL",
};

/* False: the sentence says what doesn't hold. */
static inline bool store_obeys_rules(sqlite3 *db, char *ret_why, size_t size)
{
        FOREACH_ARRAY(sql, store_rules, ELEMENTSOF(store_rules)) {
                sqlite3_stmt *statement = NULL;
                int64_t n = -1;

                if (sqlite3_prepare_v2(db, *sql, -1, &statement, NULL) == SQLITE_OK &&
                                sqlite3_step(statement) == SQLITE_ROW)
                        n = sqlite3_column_int64(statement, 0);
                sqlite3_finalize(statement);
                if (n == 0)
                        continue;
                snprintf(ret_why, size, "%s: %lld, %s", *sql, (long long)n, sqlite3_errmsg(db));
                return false;
        }
        return true;
}

/* The content of all tables, of a database at the current schema. */

static const char *const store_contents[] = {
        "SELECT * FROM type ORDER BY 1",
        "SELECT * FROM delivery ORDER BY 1",
        "SELECT * FROM repeat ORDER BY 1",
        "SELECT * FROM quarantine ORDER BY 1",
        "SELECT * FROM task ORDER BY 1",
        "SELECT * FROM revision ORDER BY 1, 2",
        "SELECT * FROM event ORDER BY 1",
        "SELECT * FROM metadata ORDER BY 1, 2, 3, 4",
        "SELECT * FROM tally ORDER BY 1, 2, 3",
        "SELECT * FROM tally_by_hour ORDER BY 1, 2, 3, 4",
        "SELECT * FROM tally_of_verdicts ORDER BY 1",
        "SELECT * FROM submission ORDER BY 1",
        "SELECT * FROM parameters ORDER BY 1",
        "SELECT * FROM account ORDER BY 1",
        "SELECT * FROM attachment ORDER BY 1, 2",
        "SELECT * FROM tally_of_submissions ORDER BY 1",
        "SELECT * FROM queue ORDER BY 1",
        "SELECT * FROM live_day ORDER BY 1",
};

static inline uint64_t store_mix(uint64_t h, const void *data, size_t size)
{
        return (h ^ (uint64_t)store_fingerprint(data, size)) * UINT64_C(0x100000001b3) + size;
}

static inline uint64_t store_mix_row(uint64_t h, sqlite3_stmt *statement)
{
        for (int i = 0; i < sqlite3_column_count(statement); i++) {
                int type = sqlite3_column_type(statement, i);
                const void *data = type == SQLITE_NULL ? "" : sqlite3_column_blob(statement, i);

                h = store_mix(h, &type, sizeof(type));
                h = store_mix(h, data ?: "", (size_t)sqlite3_column_bytes(statement, i));
        }
        return h;
}

static inline uint64_t store_digest(sqlite3 *db)
{
        uint64_t h = 1;

        FOREACH_ARRAY(sql, store_contents, ELEMENTSOF(store_contents)) {
                sqlite3_stmt *statement;

                assert_int_equal(sqlite3_prepare_v2(db, *sql, -1, &statement, NULL), SQLITE_OK);
                while (sqlite3_step(statement) == SQLITE_ROW)
                        h = store_mix_row(h, statement);
                assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
                h = store_mix(h, *sql, strlen(*sql));
        }
        return h;
}
