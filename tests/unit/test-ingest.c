/* Ingest: whatever brings a result, it is held against the same rules; and what can be searched for of it.
 */

#include "test.h"

#include <dirent.h>
#include <stdio.h>
#include <unistd.h>

#include "basic/log.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "daemon/ingest.h"
#include "store/outbox.h"
#include "json/parse.h"

#define SUBMISSION "0123456789abcdef0123456789abcdef"

static char dir[] = "/tmp/test-ingest-XXXXXX", path[64];
static Commit *commit;
static sd_event *loop;
static Ingest options;

/* What came of the last one, and what the log said. */
static unsigned n_done, status;
static StoreOutcome outcome;
static size_t n_errors;
static char said[256];

static bool hear(_unused_ int level, _unused_ const char *id, _unused_ const LogField *fields,
                _unused_ size_t n, const char *text)
{
        snprintf(said, sizeof(said), "%s", text);
        return true;
}

static int set_up(_unused_ void **state)
{
        CommitOptions commit_options = { .location = path, .max_jobs = 100 };
        char *error = NULL;

        if (!mkdtemp(dir))
                return -1;
        snprintf(path, sizeof(path), "%s/scale.db", dir);
        options = (Ingest){ .invalid_status = 422 };
        n_done = 0;
        *said = 0;
        if (sd_event_new(&loop) < 0 || commit_new(&commit_options, &commit, &error) < 0 ||
                        store_reader_open(path, 10 * USEC_PER_SEC, &options.reader, &error) < 0)
                return -1;
        return commit_port_new(commit, loop, &options.port);
}

static int tear_down(_unused_ void **state)
{
        struct dirent *entry;
        DIR *d;

        options.port = commit_port_free(options.port);
        store_reader_close(options.reader);
        commit = commit_free(commit);
        loop = sd_event_unref(loop);
        d = opendir(dir);
        assert_non_null(d);
        while ((entry = readdir(d)))
                if (entry->d_name[0] != '.')
                        assert_int_equal(unlinkat(dirfd(d), entry->d_name, 0), 0);
        closedir(d);
        assert_int_equal(rmdir(dir), 0);
        memcpy(dir + strlen(dir) - 6, "XXXXXX", 6);
        return 0;
}

static void on_done(const Receipt *receipt, _unused_ void *userdata)
{
        n_done++;
        status = receipt->status;
        outcome = receipt->outcome;
        n_errors = receipt->problems->n_errors;
}

static void wait_done(void)
{
        unsigned before = n_done;

        while (n_done == before)
                assert_true(sd_event_run(loop, 60 * USEC_PER_SEC) >= 0);
}

/* A task with a field that nobody asked for, which is a warning; its id is made of `n`. */
static json_t *make_task(unsigned n)
{
        json_t *task;
        char id[25];

        snprintf(id, sizeof(id), "5774cc78%016x", n);
        task = json_pack("{s:s, s:s, s:s, s:s, s:s, s:{s:{s:s}}, s:{s:{s:s, s:s}}, s:{s:s}}", "task_id", id,
                        "type", "datacollection", "status", "completed", "created_at",
                        "2016-06-23T09:09:34.752Z", "completed_at", "2016-06-23T09:10:02.798Z", "params",
                        "fields", "page", "Page", "response", "fields", "page", "x", "other", "y",
                        "metadata", TASK_SUBMISSION_KEY, SUBMISSION);
        assert_non_null(task);
        return task;
}

static void body_of(const json_t *task, Buffer *out)
{
        *out = BUFFER_INIT(65536);
        assert_int_equal(callback_body_from_task(task, out), 0);
}

/* The same by each way in. */

static void by_callback(const json_t *task)
{
        Buffer body;

        body_of(task, &body);
        assert_int_equal(ingest(&options,
                                         &(IngestInput){ .body = body.data,
                                                         .body_size = body.size,
                                                         .source = SOURCE_CALLBACK,
                                                         .started = now_monotonic() },
                                         on_done, NULL),
                        0);
        wait_done();
        buffer_done(&body);
}

static void by_task(const json_t *task)
{
        assert_int_equal(ingest_task(&options, task, SOURCE_RECONCILE, SUBMISSION, on_done, NULL), 0);
        wait_done();
}

static void by_bytes(const json_t *task)
{
        Buffer body;

        body_of(task, &body);
        assert_int_equal(ingest_bytes(&options, body.data, body.size, SOURCE_RECONCILE, on_done, NULL), 0);
        buffer_done(&body); /* it was copied */
        wait_done();
}

static void test_every_way_goes_by_the_same_rules(_unused_ void **state)
{
        void (*const ways[])(const json_t *task) = { by_callback, by_task, by_bytes };

        for (unsigned i = 0; i < ELEMENTSOF(ways); i++) {
                json_auto_t *strict = make_task(2 * i), *lenient = make_task(2 * i + 1);

                options.strict = true;
                ways[i](strict);
                assert_int_equal(outcome.verdict, VERDICT_INVALID);
                assert_int_equal(status, 422);
                assert_true(n_errors > 0);

                options.strict = false;
                ways[i](lenient);
                assert_int_equal(outcome.verdict, VERDICT_STORED);
                assert_int_equal(status, 200);
                assert_int_equal(n_errors, 0);
        }
}

static void test_who_comes_later_brings_nothing_new(_unused_ void **state)
{
        json_auto_t *task = make_task(1);

        by_task(task);
        assert_int_equal(outcome.verdict, VERDICT_STORED);
        by_callback(task);
        assert_int_equal(outcome.verdict, VERDICT_DUPLICATE);
        by_bytes(task);
        assert_int_equal(outcome.verdict, VERDICT_DUPLICATE);
}

static void try(const char *body, uint64_t retry_of)
{
        assert_int_equal(ingest(&options,
                                         &(IngestInput){ .body = body,
                                                         .body_size = strlen(body),
                                                         .source = retry_of > 0 ? SOURCE_RETRY
                                                                                : SOURCE_CALLBACK,
                                                         .started = now_monotonic(),
                                                         .retry_of = retry_of },
                                         on_done, NULL),
                        0);
        wait_done();
}

/* What is no JSON is 400 to who sent it; who tries it again asks whether it is valid, and nothing is
 * recorded where it is not. */
static void test_what_is_answered_to_what_is_invalid(_unused_ void **state)
{
        uint64_t recorded;

        try("{", 0);
        assert_int_equal(status, 400);
        assert_int_equal(outcome.verdict, VERDICT_INVALID);
        try("{}", 0);
        assert_int_equal(status, 422);
        recorded = outcome.delivery;
        assert_true(recorded > 0);

        try("{", recorded);
        assert_int_equal(status, 422);
        assert_int_equal(outcome.delivery, 0);

        options.invalid_status = 200;
        try("[", 0);
        assert_int_equal(status, 200);
        assert_int_equal(outcome.verdict, VERDICT_INVALID);
        assert_int_equal(outcome.delivery, recorded + 1);
}

static int take_ref(const StoredDelivery *delivery, void *userdata)
{
        snprintf(userdata, STORE_REF_MAX + 1, "%s", delivery->ref ?: "");
        return 0;
}

static void test_what_is_no_submission_is_none(_unused_ void **state)
{
        static const char *const ids[] = { SUBMISSION, "x", SUBMISSION "0", "../../etc", NULL };
        char ref[STORE_REF_MAX + 1];

        for (unsigned i = 0; i < ELEMENTSOF(ids); i++) {
                json_auto_t *task = make_task(i);

                assert_int_equal(ingest_task(&options, task, SOURCE_BACKFILL, ids[i], on_done, NULL), 0);
                wait_done();
                assert_int_equal(outcome.verdict, VERDICT_STORED);
                assert_int_equal(store_get_delivery(options.reader, outcome.delivery, false, take_ref, ref),
                                1);
                assert_string_equal(ref, i == 0 ? SUBMISSION : "");
        }
}

/* Where nobody waits for what came of it the log says what was not kept as a result. */
static void test_nobody_waits(_unused_ void **state)
{
        json_auto_t *task = make_task(1);

        log_set_sink(hear);
        options.strict = true;
        assert_int_equal(ingest_task(&options, task, SOURCE_RECONCILE, NULL, NULL, NULL), 0);
        while (!*said)
                assert_true(sd_event_run(loop, 60 * USEC_PER_SEC) >= 0);
        log_set_sink(NULL);
        assert_non_null(strstr(said, "is not valid, and is in the quarantine as delivery 1."));
}

/* Metadata. */

static void expect_metadata(const char *text, const char *expected)
{
        json_auto_t *task = NULL;
        char found[256] = "";
        Metadata metadata = {};

        assert_int_equal(json_parse(text, strlen(text), 0, &task, NULL), 0);
        assert_int_equal(metadata_collect(task, &metadata), 0);
        FOREACH_ARRAY(value, metadata.values, metadata.n)
                snprintf(found + strlen(found), sizeof(found) - strlen(found), "%s=%s ", value->key,
                                value->value);
        assert_string_equal(found, expected);
        metadata_done(&metadata);
}

static void test_metadata(_unused_ void **state)
{
        expect_metadata("{}", "");
        expect_metadata("{\"metadata\":5}", "");
        expect_metadata("{\"metadata\":{\"a\":\"x\",\"b\":1,\"c\":0.5,\"d\":true,\"e\":null,\"f\":[],\"g\":{}}}",
                        "a=x b=1 c=0.5 d=true ");
        expect_metadata("{\"metadata\":{\"a\":\"x\",\"" TASK_SUBMISSION_KEY "\":\"y\"}}",
                        TASK_SUBMISSION_KEY "=y a=x ");
}

static void test_metadata_is_bounded(_unused_ void **state)
{
        json_auto_t *task = json_pack("{s:{}}", "metadata");
        json_t *values = json_object_get(task, "metadata");
        char key[METADATA_TEXT_MAX + 2];
        Metadata metadata = {};

        memset(key, 'k', sizeof(key));
        key[sizeof(key) - 1] = 0;
        json_object_set_new(values, key, json_string("too long a key"));
        json_object_set_new(values, "long", json_string(key));
        assert_int_equal(metadata_collect(task, &metadata), 0);
        assert_int_equal(metadata.n, 0);
        metadata_done(&metadata);

        for (unsigned i = 0; i < 2 * STORE_METADATA_MAX; i++) {
                snprintf(key, sizeof(key), "%u", i);
                json_object_set_new(values, key, json_integer(i));
        }
        json_object_set_new(values, TASK_SUBMISSION_KEY, json_string(SUBMISSION));
        assert_int_equal(metadata_collect(task, &metadata), 0);
        assert_int_equal(metadata.n, STORE_METADATA_MAX);
        assert_string_equal(metadata.values[0].key, TASK_SUBMISSION_KEY);
        metadata_done(&metadata);
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(test_every_way_goes_by_the_same_rules, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_who_comes_later_brings_nothing_new, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_what_is_answered_to_what_is_invalid, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_what_is_no_submission_is_none, set_up, tear_down),
                cmocka_unit_test_setup_teardown(test_nobody_waits, set_up, tear_down),
                cmocka_unit_test(test_metadata),
                cmocka_unit_test(test_metadata_is_bounded),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
