#include "test-store-common.h"

#include "basic/time-util.h"
#include "store/sqlite/read.h"
#include "store/sqlite/writer.h"

/* The model: what a list should give, by looking at everything. */

#define TASKS   400U
#define FILTERS 1500U

typedef struct Model {
        char id[16];
        unsigned order; /* of arrival */
        int64_t created_at;
        unsigned type;
        TaskStatus status;
        bool is_test;
        int color, size; /* metadata; -1: none */
        uint64_t last_event;
        uint64_t documents;
} Model;

static Model model[TASKS];
static unsigned n_model;
static uint64_t random_state;

/* The last ones come when so many are there that they share a kind. */
static const char *const types[] = { "annotation", "comparison", "transcription", "new type", "late",
        "later", "other" };
static const char *const colors[] = { "red", "green", "", "a much longer value \xc3\xa4" };
static const char *const sizes[] = { "1", "2", "3" };

/* A generator of our own: the same sequence everywhere. */
static unsigned roll(unsigned n)
{
        random_state = random_state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (unsigned)((random_state >> 33) % n);
}

/* Few different times, on and around the hours, and before 1970 too. */
static int64_t roll_time(void)
{
        static const int64_t offsets[] = { 0, 1, -1, 17 * SECOND, HOUR / 2, HOUR - 1 };
        int64_t base = roll(10) == 0 ? -3 * HOUR : T0 - T0 % HOUR;

        return base + (int64_t)roll(6) * HOUR + offsets[roll(ELEMENTSOF(offsets))];
}

static void record_model(Store *s, Model *m, bool again)
{
        StoreMetadata metadata[2];
        size_t n = 0;
        char body[64];
        StoreDelivery d;

        snprintf(body, sizeof(body), "%s-%u", m->id, (unsigned)m->documents);
        d = response_of(m->id, body, (uint8_t)(m->documents + 1));
        if (m->color >= 0)
                metadata[n++] = (StoreMetadata){ "color", colors[m->color] };
        if (m->size >= 0)
                metadata[n++] = (StoreMetadata){ "size", sizes[m->size] };
        d.metadata = metadata;
        d.n_metadata = n;
        d.type = types[m->type];
        d.created_at = m->created_at;
        d.is_test = m->is_test;
        d.task_status = m->status;
        d.completed_at = T0 + (int64_t)m->documents;
        assert_int_equal(record(s, &d).verdict, again ? VERDICT_REVISED : VERDICT_STORED);
        m->documents++;
        m->last_event = store_last_event(s);
}

static void roll_task(Model *m)
{
        static const TaskStatus statuses[] = { TASK_COMPLETED, TASK_COMPLETED, TASK_CANCELED, TASK_ERROR };

        m->created_at = roll_time();
        m->type = roll(10) == 0 ? 3 : roll(5) == 0 ? 4 + roll(3) : roll(3);
        m->status = statuses[roll(ELEMENTSOF(statuses))];
        m->is_test = roll(4) == 0;
        m->color = (int)roll(ELEMENTSOF(colors) + 1) - 1;
        m->size = (int)roll(ELEMENTSOF(sizes) + 1) - 1;
}

/* Types that have a kind of their own, and no tasks: their first deliveries were refused. */
static void fill_types(Store *s)
{
        assert_int_equal(store_begin(s), 0);
        assert_true(sqlite_rows.find_type(s, "new type", &(int64_t){ 0 }) == 0);
        for (unsigned i = 0; i < STORE_TYPES_OWN; i++) {
                char name[32];
                int64_t id;

                snprintf(name, sizeof(name), "made-up-%u", i);
                assert_int_equal(sqlite_rows.find_type(s, name, &id), 0);
        }
        assert_int_equal(store_commit(s), 0);
}

static void fill(Store *s)
{
        fill_types(s);
        n_model = 0;
        random_state = 42;
        for (unsigned i = 0; i < TASKS; i++) {
                Model *m = &model[n_model++];

                *m = (Model){ .order = i };
                snprintf(m->id, sizeof(m->id), "task-%u", (i * 7919) % 100003);
                roll_task(m);
                record_model(s, m, false);
                if (roll(4) == 0) { /* something about an earlier one changes */
                        m = &model[roll(n_model)];
                        roll_task(m);
                        record_model(s, m, true);
                }
        }
}

static bool has_metadata(const Model *m, const StoreMetadata *wanted)
{
        if (streq(wanted->key, "color"))
                return m->color >= 0 && streq(colors[m->color], wanted->value);
        if (streq(wanted->key, "size"))
                return m->size >= 0 && streq(sizes[m->size], wanted->value);
        return false;
}

static bool matches(const Model *m, const TaskFilter *f)
{
        for (size_t i = 0; i < f->n_metadata; i++)
                if (!has_metadata(m, &f->metadata[i]))
                        return false;
        return (f->start_time == TIME_NONE || m->created_at >= f->start_time) &&
               (f->end_time == TIME_NONE || m->created_at <= f->end_time) &&
               (f->status < 0 || m->status == f->status) && (!f->type || streq(types[m->type], f->type)) &&
               (f->is_test < 0 || m->is_test == (f->is_test == 1)) && m->last_event > f->after_seq;
}

static int compare(const void *a, const void *b)
{
        const Model *x = *(const Model *const *)a, *y = *(const Model *const *)b;

        if (x->created_at != y->created_at)
                return x->created_at > y->created_at ? -1 : 1;
        return x->order > y->order ? -1 : 1;
}

/* In the order of the feed. */
static int compare_events(const void *a, const void *b)
{
        const Model *x = *(const Model *const *)a, *y = *(const Model *const *)b;

        return x->last_event < y->last_event ? -1 : 1;
}

static size_t expect(const TaskFilter *f, const Model **ret)
{
        size_t n = 0;

        for (unsigned i = 0; i < n_model; i++)
                if (matches(&model[i], f))
                        ret[n++] = &model[i];
        qsort(ret, n, sizeof(ret[0]), f->after_seq > 0 ? compare_events : compare);
        return n;
}

typedef struct Page {
        const Model **expected;
        size_t n_expected, at, n;
} Page;

static int check_task(const TaskDocument *t, void *userdata)
{
        Page *p = userdata;
        const Model *m;
        char body[64];

        assert_true(p->at < p->n_expected);
        m = p->expected[p->at++];
        p->n++;
        assert_string_equal(t->task_id, m->id);
        assert_int_equal(t->created_at, m->created_at);
        assert_int_equal(t->status, m->status);
        assert_int_equal(t->is_test, m->is_test);
        assert_string_equal(t->type, types[m->type]);
        snprintf(body, sizeof(body), "%s-%u", m->id, (unsigned)m->documents - 1);
        assert_int_equal(t->response_size, strlen(body));
        assert_memory_equal(t->response, body, t->response_size);
        assert_memory_equal(t->document, body, t->document_size);
        return 0;
}

static void roll_filter(TaskFilter *f, StoreMetadata metadata[static 2])
{
        *f = (TaskFilter){
                .start_time = roll(3) == 0 ? roll_time() : TIME_NONE,
                .end_time = roll(3) == 0 ? roll_time() : TIME_NONE,
                .status = roll(2) == 0 ? (TaskStatus)roll(_TASK_STATUS_MAX) : _TASK_STATUS_INVALID,
                .type = roll(3) == 0 ? types[roll(ELEMENTSOF(types))] : NULL,
                .is_test = (int)roll(4) - 1,
                .metadata = metadata,
                .after_seq = roll(4) == 0 ? roll(TASKS + TASKS / 3) : 0,
                .limit = 1 + roll(90),
        };
        if (f->is_test > 1)
                f->is_test = -1;
        if (roll(3) == 0)
                metadata[f->n_metadata++] = (StoreMetadata){ "color", colors[roll(ELEMENTSOF(colors))] };
        if (roll(3) == 0)
                metadata[f->n_metadata++] = (StoreMetadata){ "size", sizes[roll(ELEMENTSOF(sizes))] };
        if (roll(50) == 0)
                f->type = "no such type";
}

/* Page after page by the cursor, then somewhere by offset. */
static void check_filter(StoreReader *reader, TaskFilter *f)
{
        const Model *expected[TASKS];
        Page p = { .expected = expected, .n_expected = expect(f, expected) };
        TaskPage page = { .has_more = true };

        while (page.has_more) {
                p.n = 0;
                assert_int_equal(store_list_tasks(reader, f, check_task, &p, &page), 0);
                assert_int_equal(page.total, p.n_expected);
                assert_int_equal(page.has_more, p.at < p.n_expected);
                assert_true(p.n == f->limit || !page.has_more);
                f->has_cursor = true;
                f->cursor = page.next;
        }
        assert_int_equal(p.at, p.n_expected);

        f->has_cursor = false;
        f->offset = roll(TASKS);
        p.at = MIN((size_t)f->offset, p.n_expected);
        assert_int_equal(store_list_tasks(reader, f, check_task, &p, &page), 0);
        assert_int_equal(page.total, p.n_expected);
        assert_int_equal(page.has_more, p.at < p.n_expected);
        assert_int_equal(p.at, MIN(p.n_expected, (size_t)f->offset + f->limit));
}

static void test_lists_against_model(void **state)
{
        Fixture *f = *state;
        size_t n_found = 0;

        fill(f->store);
        for (unsigned i = 0; i < FILTERS; i++) {
                StoreMetadata metadata[2];
                const Model *expected[TASKS];
                TaskFilter filter;

                roll_filter(&filter, metadata);
                n_found += expect(&filter, expected) > 0;
                check_filter(f->reader, &filter);
        }
        assert_true(n_found > FILTERS / 3); /* the filters are not all empty */
}

static int count_task(_unused_ const TaskDocument *t, void *userdata)
{
        ++*(unsigned *)userdata;
        return 0;
}

static TaskFilter any(unsigned limit)
{
        return (TaskFilter){
                .start_time = TIME_NONE,
                .end_time = TIME_NONE,
                .status = _TASK_STATUS_INVALID,
                .is_test = -1,
                .limit = limit,
        };
}

static void test_edges(void **state)
{
        Fixture *f = *state;
        TaskFilter filter = any(10);
        TaskPage page;
        unsigned n = 0;

        assert_int_equal(store_list_tasks(f->reader, &filter, count_task, &n, &page), 0);
        assert_int_equal(n, 0);
        assert_int_equal(page.total, 0);
        assert_false(page.has_more);

        fill(f->store);
        filter.start_time = T0;
        filter.end_time = T0 - 1;
        assert_int_equal(store_list_tasks(f->reader, &filter, count_task, &n, &page), 0);
        assert_int_equal(page.total, 0);

        filter = any(1000);
        filter.start_time = INT64_MIN + 1;
        filter.end_time = INT64_MAX;
        assert_int_equal(store_list_tasks(f->reader, &filter, count_task, &n, &page), 0);
        assert_int_equal(n, TASKS);
        assert_int_equal(page.total, TASKS);
        assert_false(page.has_more);

        filter.offset = UINT64_MAX;
        n = 0;
        assert_int_equal(store_list_tasks(f->reader, &filter, count_task, &n, &page), 0);
        assert_int_equal(n, 0);
        assert_int_equal(page.total, TASKS);

        filter = any(1000);
        filter.has_cursor = true;
        filter.cursor = (TaskCursor){ INT64_MIN, 0 };
        assert_int_equal(store_list_tasks(f->reader, &filter, count_task, &n, &page), 0);
        assert_int_equal(n, 0);
        filter.cursor = (TaskCursor){ INT64_MAX, UINT64_MAX };
        assert_int_equal(store_list_tasks(f->reader, &filter, count_task, &n, &page), 0);
        assert_int_equal(n, TASKS);
}

static int stop_at_three(_unused_ const TaskDocument *t, void *userdata)
{
        return ++*(unsigned *)userdata == 3 ? -ECANCELED : 0;
}

static void test_callback_stops(void **state)
{
        Fixture *f = *state;
        TaskFilter filter = any(100);
        TaskPage page;
        unsigned n = 0;

        fill(f->store);
        assert_int_equal(store_list_tasks(f->reader, &filter, stop_at_three, &n, &page), -ECANCELED);
        assert_int_equal(n, 3);
        n = 0;
        assert_int_equal(store_list_tasks(f->reader, &filter, count_task, &n, &page), 0);
        assert_int_equal(n, 100);
}

static int dawdle(_unused_ const TaskDocument *t, void *userdata)
{
        ++*(unsigned *)userdata;
        usleep(2000);
        return 0;
}

/* In our own loops, and in the middle of one statement. */
static void test_time_limit(void **state)
{
        _cleanup_(store_reader_closep) StoreReader *hasty = NULL;
        Fixture *f = *state;
        TaskFilter filter = any(400);
        TaskPage page;
        unsigned n = 0;

        fill(f->store);
        hasty = open_reader(f->path, 300000);
        assert_int_equal(store_list_tasks(hasty, &filter, dawdle, &n, &page), -ETIME);
        assert_true(n < 400);
        assert_non_null(strstr(store_reader_error(hasty), "longer"));

        /* It works again, and the snapshot of the call that failed is gone: the WAL can start over. */
        filter.limit = 1;
        assert_int_equal(store_list_tasks(hasty, &filter, count_task, &n, &page), 0);
        assert_int_equal(checkpoint_finish(sqlite_of(f->store), 0), 0);

        sqlite_reader_of(hasty)->deadline = now_monotonic() - 1;
        assert_int_equal(connection_run(&sqlite_reader_of(hasty)->connection,
                                         "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) "
                                         "SELECT count(*) FROM n",
                                         "Could not read"),
                        -ETIME);
}

/* Many tasks of one moment: a page in the middle begins where it should, and costs what the first one does.
 */
static int add_steps(void *userdata)
{
        ++*(unsigned *)userdata;
        return 0;
}

static void test_pages_cost_the_same(void **state)
{
        Fixture *f = *state;
        unsigned first = 0, deep = 0, n = 0;
        TaskFilter filter = any(10);
        TaskPage page;
        StoreOutcome o;

        assert_int_equal(store_begin(f->store), 0);
        for (unsigned i = 0; i < 5000; i++) {
                char id[16];
                StoreDelivery d;

                snprintf(id, sizeof(id), "t%u", i);
                d = response_of(id, "body", 1);
                assert_int_equal(store_record_delivery(f->store, &d, &o), 0);
        }
        assert_int_equal(store_commit(f->store), 0);

        /* Counted in steps of SQLite's machine, so that no clock has a say. */
        sqlite3_progress_handler(sqlite_reader_of(f->reader)->connection.db, 10, add_steps, &first);
        assert_int_equal(store_list_tasks(f->reader, &filter, count_task, &n, &page), 0);
        filter.has_cursor = true;
        filter.cursor = (TaskCursor){ T0 - HOUR, 2500 };
        sqlite3_progress_handler(sqlite_reader_of(f->reader)->connection.db, 10, add_steps, &deep);
        assert_int_equal(store_list_tasks(f->reader, &filter, count_task, &n, &page), 0);
        assert_int_equal(page.next.id, 2490);
        assert_int_equal(page.total, 5000);
        assert_true(first > 0);
        assert_true(deep < 2 * first);

        /* Along the feed too: an export of what is new does not look at all of it for each batch. */
        first = deep = 0;
        filter = any(10);
        filter.after_seq = 1;
        filter.without_total = true;
        sqlite3_progress_handler(sqlite_reader_of(f->reader)->connection.db, 10, add_steps, &first);
        assert_int_equal(store_list_tasks(f->reader, &filter, count_task, &n, &page), 0);
        assert_int_equal(page.until_seq, 5000);
        filter.has_cursor = true;
        filter.cursor = (TaskCursor){ 2500, 0 };
        filter.until_seq = page.until_seq;
        sqlite3_progress_handler(sqlite_reader_of(f->reader)->connection.db, 10, add_steps, &deep);
        assert_int_equal(store_list_tasks(f->reader, &filter, count_task, &n, &page), 0);
        assert_true(page.has_more);
        assert_int_equal(page.next.created_at, 2510);
        assert_true(first < 1000 && deep < 2 * first + 10);
}

/* A task of each of n types that nobody knows, then the steps that a page of all takes, one of a single
 * type, and the figures. */
static void cost_of_types(Fixture *f, unsigned n, unsigned ret[static 3])
{
        sqlite3 *db = sqlite_reader_of(f->reader)->connection.db;
        TaskFilter filter = any(10);
        unsigned shown = 0;
        TaskPage page;
        StoreOutcome o;
        StoreStats stats;

        assert_int_equal(store_begin(f->store), 0);
        for (unsigned i = 0; i < n; i++) {
                char id[32], type[40];
                StoreDelivery d;

                snprintf(id, sizeof(id), "n%u-%u", n, i);
                snprintf(type, sizeof(type), "made-up-%u-%u", n, i);
                d = response_of(id, "body", 1);
                d.type = type;
                d.created_at = T0 + (int64_t)i;
                assert_int_equal(store_record_delivery(f->store, &d, &o), 0);
        }
        assert_int_equal(store_commit(f->store), 0);

        sqlite3_progress_handler(db, 10, add_steps, &ret[0]);
        assert_int_equal(store_list_tasks(f->reader, &filter, count_task, &shown, &page), 0);
        assert_int_equal(shown, 10);
        assert_true(page.total >= n);

        filter.type = "made-up-300-299";
        sqlite3_progress_handler(db, 10, add_steps, &ret[1]);
        assert_int_equal(store_list_tasks(f->reader, &filter, count_task, &shown, &page), 0);
        assert_int_equal(page.total, 1);
        assert_int_equal(shown, 11);

        sqlite3_progress_handler(db, 10, add_steps, &ret[2]);
        assert_int_equal(store_get_stats(f->reader, &stats), 0);
        assert_int_equal(stats.tasks, page.total - 1 + (n == 300 ? 300 : 6300));
        assert_true(stats.n_by_type <= STORE_TYPES_OWN + 1);
        assert_string_equal(stats.by_type[0].type, STORE_TYPES_OTHERS);
        sqlite3_progress_handler(db, 0, NULL, NULL);
}

/* 66,000 of them, and there was no list any more. */
static void test_made_up_types_cost_nothing(void **state)
{
        unsigned few[3] = {}, many[3] = {};

        cost_of_types(*state, 300, few);
        cost_of_types(*state, 6000, many);
        for (size_t i = 0; i < ELEMENTSOF(few); i++) {
                assert_true(few[i] > 0);
                if (many[i] > 2 * few[i])
                        fail_msg("%zu: %u steps with 300 types, %u with 6300", i, few[i], many[i]);
        }
}

#define METADATA_LISTS 6U

/* More tasks of one batch, each with a number of its own, none but the first three canceled; then the steps
 * that lists take which have little to give. */
static void cost_of_metadata(Fixture *f, unsigned from, unsigned to, unsigned ret[static METADATA_LISTS])
{
        const StoreMetadata batch = { "batch", "1" }, row = { "row", "77" };
        const StoreMetadata rare_first[] = { row, batch }, rare_last[] = { batch, row };
        const unsigned n_shown[] = { 1, 1, 3, 10, 10, 1 }, totals[] = { 1, 1, 3, to, 0, 1 };
        TaskFilter lists[METADATA_LISTS];
        StoreOutcome o;

        assert_int_equal(store_begin(f->store), 0);
        for (unsigned i = from; i < to; i++) {
                StoreMetadata metadata[] = { batch, { "row", NULL } };
                char id[16], number[16];
                StoreDelivery d;

                snprintf(id, sizeof(id), "t%u", i);
                snprintf(number, sizeof(number), "%u", i);
                metadata[1].value = number;
                d = response_of(id, "body", 1);
                d.metadata = metadata;
                d.n_metadata = ELEMENTSOF(metadata);
                d.created_at = T0 + (int64_t)i;
                if (i < 3)
                        d.task_status = TASK_CANCELED;
                assert_int_equal(store_record_delivery(f->store, &d, &o), 0);
        }
        assert_int_equal(store_commit(f->store), 0);

        FOREACH_ARRAY(l, lists, ELEMENTSOF(lists)) {
                *l = any(10);
                l->metadata = &batch;
                l->n_metadata = 1;
        }
        lists[0].metadata = rare_first;
        lists[1].metadata = rare_last;
        lists[0].n_metadata = lists[1].n_metadata = 2;
        lists[2].status = TASK_CANCELED;
        lists[3].has_cursor = true; /* the second page */
        lists[3].cursor = (TaskCursor){ T0 + 400, 401, to };
        lists[4].without_total = true;
        lists[5].metadata = rare_last;
        lists[5].n_metadata = 2;
        lists[5].type = "annotation";

        for (size_t i = 0; i < METADATA_LISTS; i++) {
                unsigned shown = 0;
                TaskPage page;

                sqlite3_progress_handler(sqlite_reader_of(f->reader)->connection.db, 10, add_steps, &ret[i]);
                assert_int_equal(store_list_tasks(f->reader, &lists[i], count_task, &shown, &page), 0);
                assert_int_equal(shown, n_shown[i]);
                assert_int_equal(page.total, totals[i]);
        }
        sqlite3_progress_handler(sqlite_reader_of(f->reader)->connection.db, 0, NULL, NULL);
}

/* Whatever else has the same metadata. */
static void test_metadata_costs_what_there_is_of_the_least(void **state)
{
        unsigned few[METADATA_LISTS] = {}, many[METADATA_LISTS] = {};

        cost_of_metadata(*state, 0, 500, few);
        cost_of_metadata(*state, 500, 8000, many);
        for (size_t i = 0; i < METADATA_LISTS; i++) {
                assert_true(few[i] > 0);
                if (many[i] > 2 * few[i])
                        fail_msg("%zu: %u steps for 500 tasks, %u for 8000", i, few[i], many[i]);
        }
}

/* Plans. */

/* Counters are few, so going through them is fine; what else may be gone through was selected before. */
static bool is_few(const char *detail)
{
        static const char *const few[] = { "SCAN tally", "SCAN a", "SCAN tally_of_verdicts", "SCAN w",
                "SCAN tally_of_submissions", "SCAN m", "SCAN mark", "SCAN CONSTANT ROW",
                "SCAN (subquery-1)" };

        FOREACH_ARRAY(i, few, ELEMENTSOF(few))
                if (streq(detail, *i))
                        return true;
        return false;
}

static void check_plan(Connection *c, const char *sql, bool may_sort)
{
        _cleanup_free_ char *explain = NULL;
        sqlite3_stmt *statement;

        assert_true(asprintf(&explain, "EXPLAIN QUERY PLAN %s", sql) > 0);
        assert_int_equal(sqlite3_prepare_v2(c->db, explain, -1, &statement, NULL), SQLITE_OK);
        while (sqlite3_step(statement) == SQLITE_ROW) {
                const char *detail = (const char *)sqlite3_column_text(statement, 3);

                if (strncmp(detail, "SCAN", 4) == 0 && !is_few(detail))
                        fail_msg("%s\n%s", sql, detail);
                if (strstr(detail, "TEMP B-TREE") && !may_sort)
                        fail_msg("%s\n%s", sql, detail);
                if (strstr(detail, "AUTOMATIC"))
                        fail_msg("%s\n%s", sql, detail);
        }
        assert_int_equal(sqlite3_finalize(statement), SQLITE_OK);
}

static void check_list_plans(Connection *c, const TaskFilter *f, size_t lead)
{
        for (int part = TASK_LIST_PAGE; part <= TASK_LIST_COUNT; part++) {
                _cleanup_free_ char *sql = task_list_sql(f, (TaskListPart)part, lead);

                assert_non_null(sql);
                check_plan(c, sql, false);
        }
}

static void test_plans(void **state)
{
        Fixture *f = *state;
        Connection *c = &sqlite_of(f->store)->connection;
        StoreMetadata metadata[STORE_METADATA_MAX];
        TaskFilter filter = any(10);

        for (int i = 0; i < _W_MAX; i++)
                check_plan(c, store_writer_sql[i], false);
        for (int i = 0; i < _R_MAX; i++) /* a handful of counters, and the deliveries of one task */
                check_plan(c, store_reader_sql[i],
                                i == R_TALLY || i == R_DELIVERIES_OF_TASK || i == R_DELIVERIES_BACK_OF_TASK);
        for (int i = 0; i < _OW_MAX; i++)
                check_plan(c, outbox_writer_sql[i], false);
        for (int i = 0; i < _OR_MAX; i++)
                check_plan(c, outbox_reader_sql[i], false);

        FOREACH_ARRAY(m, metadata, ELEMENTSOF(metadata))
                *m = (StoreMetadata){ "k", "v" };
        filter.metadata = metadata;
        filter.n_metadata = 1;
        check_list_plans(c, &filter, 0);
        filter.n_metadata = STORE_METADATA_MAX;
        check_list_plans(c, &filter, 3);
        filter.status = TASK_COMPLETED;
        check_list_plans(c, &filter, STORE_METADATA_MAX - 1);
        filter.after_seq = 1;
        check_list_plans(c, &filter, 0);
        filter.n_metadata = 0;
        check_list_plans(c, &filter, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_lists_against_model),
                TEST(test_edges),
                TEST(test_callback_stops),
                TEST(test_time_limit),
                TEST(test_pages_cost_the_same),
                TEST(test_made_up_types_cost_nothing),
                TEST(test_metadata_costs_what_there_is_of_the_least),
                TEST(test_plans),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
