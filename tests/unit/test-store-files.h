#pragma once

/* Databases as files: filled, asked behind the store's back, measured. */

#include "test-store-common.h"
#include "test-store-faults.h"

#include <sys/stat.h>

static inline void record_many(Store *s, const char *prefix, unsigned n, size_t size)
{
        _cleanup_free_ char *body = malloc(size + 1);
        StoreOutcome o;

        assert_non_null(body);
        memset(body, 'x', size);
        body[size] = '\0';
        assert_int_equal(store_begin(s), 0);
        for (unsigned i = 0; i < n; i++) {
                char id[64];
                StoreDelivery d;

                snprintf(id, sizeof(id), "%s-%u", prefix, i);
                d = response_of(id, body, 1);
                assert_int_equal(store_record_delivery(s, &d, &o), 0);
        }
        assert_int_equal(store_commit(s), 0);
}

static inline uint64_t count_tasks(const char *path)
{
        _cleanup_(store_reader_closep) StoreReader *reader = open_reader(path, 0);
        StoreStats stats;

        assert_int_equal(store_get_stats(reader, &stats), 0);
        return stats.tasks;
}

static inline int64_t ask(const char *path, const char *sql)
{
        sqlite3_stmt *statement;
        sqlite3 *db;
        int64_t v;

        assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_prepare_v2(db, sql, -1, &statement, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_step(statement), SQLITE_ROW);
        v = sqlite3_column_int64(statement, 0);
        sqlite3_finalize(statement);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        return v;
}

static inline void tell(const char *path, const char *sql)
{
        sqlite3 *db;

        assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE, NULL),
                        SQLITE_OK);
        assert_int_equal(sqlite3_exec(db, sql, NULL, NULL, NULL), SQLITE_OK);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
}

static inline int64_t size_of(const char *path, const char *suffix)
{
        char name[256];
        struct stat st;

        snprintf(name, sizeof(name), "%s%s", path, suffix);
        return stat(name, &st) < 0 ? -1 : st.st_size;
}
