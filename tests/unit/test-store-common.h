#pragma once

/* What the store's tests share: a database in a directory of its own, and deliveries in few words. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include <dirent.h>

#include "store/driver.h"

/* The same tests run over more than one driver. */
#ifdef MEMORY_DRIVER
#        include "memory-driver.h"
#        define TEST_DRIVER (&memory_driver)
static const bool in_memory = true; /* there is no file to be looked at */
#else
#        define TEST_DRIVER (&sqlite_driver)
_unused_ static const bool in_memory = false;
#endif

#define T0     INT64_C(1700000000000000) /* microseconds: some time in 2023 */
#define SECOND INT64_C(1000000)
#define HOUR   (3600 * SECOND)

typedef struct Fixture {
        char directory[64];
        char path[80];
        Store *store;
        StoreReader *reader;
} Fixture;

static inline Store *open_store(const char *path)
{
        _cleanup_free_ char *error = NULL;
        Store *s = NULL;
        int r;

        r = store_open_with(TEST_DRIVER, path, STORE_RECEIVER, &s, &error);
        if (r < 0)
                fail_msg("store_open: %d: %s", r, error);
        return s;
}

static inline StoreReader *open_reader(const char *path, uint64_t limit)
{
        _cleanup_free_ char *error = NULL;
        StoreReader *reader = NULL;
        int r;

        r = TEST_DRIVER->reading->open(path, limit, &reader, &error);
        if (r < 0)
                fail_msg("store_reader_open: %d: %s", r, error);
        return reader;
}

static inline int setup_directory(void **state)
{
        Fixture *f = calloc(1, sizeof(Fixture));

        assert_non_null(f);
        snprintf(f->directory, sizeof(f->directory), "%s", "/tmp/test-store-XXXXXX");
        assert_non_null(mkdtemp(f->directory));
        snprintf(f->path, sizeof(f->path), "%s/scale.db", f->directory);
        *state = f;
        return 0;
}

static inline int setup(void **state)
{
        Fixture *f;

        setup_directory(state);
        f = *state;
        f->store = open_store(f->path);
        f->reader = open_reader(f->path, 0);
        return 0;
}

static inline int teardown(void **state)
{
        Fixture *f = *state;
        struct dirent *entry;
        DIR *d;

        store_reader_close(f->reader);
        store_close(f->store);
#ifdef MEMORY_DRIVER
        memory_driver_forget();
#endif

        d = opendir(f->directory);
        assert_non_null(d);
        while ((entry = readdir(d)))
                if (entry->d_name[0] != '.')
                        assert_int_equal(unlinkat(dirfd(d), entry->d_name, 0), 0);
        closedir(d);
        assert_int_equal(rmdir(f->directory), 0);
        free(f);
        return 0;
}

/* A valid response: the response is `digest`, the bytes are `body`. */
static inline StoreDelivery response_of(const char *task_id, const char *body, uint8_t digest)
{
        StoreDelivery d = {
                .source = SOURCE_CALLBACK,
                .received_at = T0,
                .key_label = "live",
                .remote = "192.0.2.7",
                .body = body,
                .body_size = strlen(body),
                .status = 200,
                .duration = 1500,
                .proposed = VERDICT_STORED,
                .task_id = task_id,
                .type = "annotation",
                .task_status = TASK_COMPLETED,
                .has_document = true,
                .created_at = T0 - HOUR,
                .completed_at = T0 - SECOND,
        };

        d.digest[0] = digest;
        return d;
}

static inline StoreDelivery invalid_of(const char *task_id, const char *body)
{
        StoreDelivery d = response_of(task_id, body, 0);

        d.proposed = VERDICT_INVALID;
        d.status = 422;
        d.problems = "[{\"path\":\"response\"}]";
        d.has_document = false;
        d.created_at = d.completed_at = TIME_NONE;
        return d;
}

static inline StoreDelivery attachment_of(const char *task_id, const char *ref, const char *body)
{
        StoreDelivery d = response_of(task_id, body, 0);

        d.proposed = VERDICT_ATTACHMENT_FAILURE;
        d.ref = ref;
        d.task_status = TASK_ERROR;
        d.has_document = task_id != NULL;
        d.completed_at = TIME_NONE;
        if (!task_id)
                d.type = NULL;
        return d;
}

/* One delivery, one group. */
static inline StoreOutcome record(Store *s, const StoreDelivery *d)
{
        StoreOutcome o = { 0 };
        int r;

        assert_int_equal(store_begin(s), 0);
        r = store_record_delivery(s, d, &o);
        if (r < 0)
                fail_msg("store_record_delivery: %d: %s", r, store_error(s));
        r = store_commit(s);
        if (r < 0)
                fail_msg("store_commit: %d: %s", r, store_error(s));
        return o;
}

#define assert_outcome(o, v, n, rev, rep)                                                 \
        do {                                                                              \
                StoreOutcome _o = (o);                                                    \
                assert_string_equal(verdict_to_string(_o.verdict), verdict_to_string(v)); \
                assert_int_equal(_o.delivery, (n));                                       \
                assert_int_equal(_o.revision, (rev));                                     \
                assert_int_equal(_o.repeated, (rep));                                     \
        } while (0)
