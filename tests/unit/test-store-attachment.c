#include "test-store-outbox.h"

/* Failed attachments, and the submissions that they are about; and everything at once, at random. */

static const char *const A = "https://example.com/a.png", *const B = "https://example.com/b.png";

static StoreDelivery failure_of(const char *const *urls, size_t n, const char *ref, const char *body)
{
        StoreDelivery d = attachment_of(NULL, ref, body);

        d.attachments = urls;
        d.n_attachments = n;
        return d;
}

/* The events of a failure: whose it was taken for. */
static void assert_last_event(Fixture *f, const char *submission, const char *task_id)
{
        Seen s = list_events(f, store_last_event(f->store) - 1);

        assert_int_equal(s.kinds[0], EVENT_ATTACHMENT_FAILED);
        assert_string_equal(s.submissions[0], submission);
        assert_string_equal(s.task_ids[0], task_id);
}

static void accept_as(Fixture *f, const char *id, const char *task_id)
{
        StoreDelivery account = snapshot_of(task_id, "account", TASK_PENDING);

        assert_int_equal(accept(f, id, &account), 0);
}

/* What the answer, the delivery and the task say: the same as of a failure that names its task. */
static void assert_said(Fixture *f, StoreOutcome o, const char *task_id, const char *body)
{
        Seen s = list_deliveries(f, VERDICT_ATTACHMENT_FAILURE, *task_id ? task_id : NULL);

        assert_string_equal(o.task_id, task_id);
        assert_string_equal(o.type, "categorization");
        assert_true(s.n > 0);
        assert_string_equal(s.types[s.n - 1], "categorization");
        if (*task_id)
                assert_string_equal(get_task(f, task_id).response, body);
}

/* A bare failure, once it is tied, is what it would be in an envelope. */
static void test_what_a_tied_failure_says(void **state)
{
        Fixture *f = *state;
        StoreDelivery by_ref = failure_of(NULL, 0, "s1", "by ref"),
                      by_url = failure_of(&B, 1, NULL, "by url"), soon = failure_of(&A, 1, "s3", "soon"),
                      nobody = failure_of(NULL, 0, NULL, "nobody's");
        StoreOutcome o;
        uint64_t deleted;
        bool more;

        add_with(f, "s1", &A, 1);
        accept_as(f, "s1", "a");
        add_with(f, "s2", &B, 1);
        accept_as(f, "s2", "b");
        add_with(f, "s3", &A, 1);
        put(f, "s3", SUBMISSION_SENDING);

        assert_said(f, record(f->store, &by_ref), "a", "by ref");
        assert_said(f, record(f->store, &by_ref), "a", "by ref"); /* again */
        assert_said(f, record(f->store, &by_url), "b", "by url");
        assert_said(f, record(f->store, &by_url), "b", "by url");
        assert_said(f, record(f->store, &soon), "", NULL);
        accept_as(f, "s3", "c");
        assert_said(f, record(f->store, &soon), "c", "soon");
        o = record(f->store, &nobody);
        assert_string_equal(o.task_id, "");
        assert_string_equal(o.type, "");
        check_consistency(f);

        /* What a task stands on is not pruned: that of nobody goes. */
        assert_int_equal(store_begin(f->store), 0);
        assert_int_equal(store_prune_deliveries(f->store, &(uint64_t){ 0 }, INT64_MAX, 100, &deleted, &more),
                        0);
        assert_int_equal(store_commit(f->store), 0);
        assert_string_equal(get_task(f, "a").response, "by ref");
        assert_string_equal(get_task(f, "c").response, "soon");
        check_consistency(f);
}

static void test_by_reference(void **state)
{
        Fixture *f = *state;
        StoreDelivery known = failure_of(&A, 1, "s1", "failed"), soon = failure_of(&A, 1, "s2", "failed");

        add_with(f, "s1", &A, 1);
        add_with(f, "s2", &A, 1);
        accept_as(f, "s1", "a");
        put(f, "s2", SUBMISSION_SENDING);

        assert_outcome(record(f->store, &known), VERDICT_ATTACHMENT_FAILURE, 1, 0, false);
        assert_int_equal(get_task(f, "a").status, TASK_ERROR);
        assert_string_equal(get_task(f, "a").document, "account");
        assert_last_event(f, "s1", "a");
        assert_int_equal(list_deliveries(f, VERDICT_ATTACHMENT_FAILURE, "a").n, 1);
        assert_outcome(record(f->store, &known), VERDICT_DUPLICATE, 1, 0, true);

        /* Before the task is known: it fails as soon as it is. */
        assert_outcome(record(f->store, &soon), VERDICT_ATTACHMENT_FAILURE, 2, 0, false);
        assert_last_event(f, "s2", "n/a");
        assert_string_equal(list_events(f, store_last_event(f->store) - 1).types[0], "categorization");
        assert_int_equal(state_of(f, "s2"), SUBMISSION_SENDING);
        accept_as(f, "s2", "b");
        assert_int_equal(get_task(f, "b").status, TASK_ERROR);
        assert_int_equal(list_pending(f, INT64_MAX).n, 0);
        assert_int_equal(list_deliveries(f, _VERDICT_ERRNO, "b").n, 1);
        check_consistency(f);
}

static void test_by_url(void **state)
{
        Fixture *f = *state;
        const char *both[] = { A, B }, *other[] = { B, "https://example.com/c.png" };
        StoreDelivery a = failure_of(&A, 1, NULL, "a failed"), ab = failure_of(both, 2, NULL, "both failed"),
                      bc = failure_of(other, 2, NULL, "others failed"),
                      done = response_of("t-done", "done", 1);

        /* In the order of arrival; only those that are open. */
        add_with(f, "queued", both, 2);
        add_with(f, "rejected", both, 2);
        put(f, "rejected", SUBMISSION_SENDING);
        put(f, "rejected", SUBMISSION_REJECTED);
        add_with(f, "done", both, 2);
        accept_as(f, "done", "t-done");
        record(f->store, &done);
        add_with(f, "one", &A, 1);
        put(f, "one", SUBMISSION_UNKNOWN);
        add_with(f, "two", both, 2);
        accept_as(f, "two", "t-two");
        add_with(f, "three", both, 2);
        accept_as(f, "three", "t-three");

        assert_outcome(record(f->store, &ab), VERDICT_ATTACHMENT_FAILURE, 2, 0, false);
        assert_last_event(f, "two", "t-two"); /* the oldest that has both */
        assert_int_equal(get_task(f, "t-two").status, TASK_ERROR);
        assert_outcome(record(f->store, &a), VERDICT_ATTACHMENT_FAILURE, 3, 0, false);
        assert_last_event(f, "one", "n/a");

        /* The same words again are about the next one, until there is none. */
        assert_outcome(record(f->store, &a), VERDICT_ATTACHMENT_FAILURE, 4, 0, false);
        assert_last_event(f, "three", "t-three");
        assert_outcome(record(f->store, &a), VERDICT_DUPLICATE, 3, 0, true);
        assert_outcome(record(f->store, &bc), VERDICT_ATTACHMENT_FAILURE, 5, 0, false);
        assert_last_event(f, "n/a", "n/a"); /* an orphan */
        assert_int_equal(get_task(f, "t-done").status, TASK_COMPLETED);
        check_consistency(f);
}

/* Tried again, it can be found again; certain that there was no task, what failed was another's. */
static void test_tried_again(void **state)
{
        Fixture *f = *state;
        StoreDelivery a = failure_of(&A, 1, NULL, "a failed"), b = failure_of(&A, 1, NULL, "a failed again");

        add_with(f, "s1", &A, 1);
        put(f, "s1", SUBMISSION_UNKNOWN);
        put(f, "s1", SUBMISSION_EXPIRED);
        record(f->store, &a);
        assert_last_event(f, "n/a", "n/a");
        put(f, "s1", SUBMISSION_UNKNOWN);
        record(f->store, &b);
        assert_last_event(f, "s1", "n/a");
        check_consistency(f);

        put(f, "s1", SUBMISSION_QUEUED);
        put(f, "s1", SUBMISSION_SENDING);
        check_consistency(f);
        accept_as(f, "s1", "t");
        assert_int_equal(get_task(f, "t").status, TASK_PENDING);
        check_consistency(f);
}

/* A reference that nobody knows leaves the URLs to go by. */
static void test_unknown_reference(void **state)
{
        Fixture *f = *state;
        StoreDelivery a = failure_of(&A, 1, "somebody's", "a failed");

        add_with(f, "s1", &A, 1);
        accept_as(f, "s1", "t");
        record(f->store, &a);
        assert_last_event(f, "s1", "t");
}

static void test_odd_lists(void **state)
{
        Fixture *f = *state;
        const char *twice[] = { A, A }, *many[SUBMISSION_ATTACHMENTS_MAX + 1];
        StoreDelivery none = failure_of(NULL, 0, NULL, "none"), d = failure_of(twice, 2, NULL, "twice");

        FOREACH_ARRAY(i, many, ELEMENTSOF(many))
                *i = B;
        add_with(f, "s1", twice, 2);
        put(f, "s1", SUBMISSION_SENDING);
        assert_int_equal(ask_file(f, "SELECT count(*) FROM attachment"), 1);
        record(f->store, &none);
        assert_last_event(f, "n/a", "n/a");
        record(f->store, &d);
        assert_last_event(f, "s1", "n/a");
        add_with(f, "s2", many, SUBMISSION_ATTACHMENTS_MAX);
        put(f, "s2", SUBMISSION_SENDING);
        d = failure_of(many, ELEMENTSOF(many), NULL, "too many");
        record(f->store, &d);
        assert_last_event(f, "n/a", "n/a");
}

/* Everything at once. */

typedef struct Walk {
        Fixture *fixture;
        uint64_t dice;
        unsigned base, n; /* numbers of submissions so far */
} Walk;

static unsigned roll(Walk *w, unsigned n)
{
        w->dice = w->dice * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        return (unsigned)(w->dice >> 33) % n;
}

static unsigned any_number(Walk *w)
{
        return w->base + roll(w, w->n - w->base + 1);
}

static void any_id(Walk *w, char id[static SUBMISSION_ID_SIZE])
{
        snprintf(id, SUBMISSION_ID_SIZE, "s%u", any_number(w));
}

static int walk_add(Walk *w)
{
        const char *urls[] = { A, B };
        char id[SUBMISSION_ID_SIZE] = "", got[SUBMISSION_ID_SIZE], key[16];
        StoreSubmission n = submission_of(id);
        StoreAddition a;
        int r;

        snprintf(id, sizeof(id), "s%u", w->n);
        snprintf(key, sizeof(key), "key%u", roll(w, 50));
        if (roll(w, 3) == 0)
                n.idempotency_key = key;
        n.attachments = urls + roll(w, 2);
        n.n_attachments = 1;
        r = store_add_submission(w->fixture->store, &n, &a, got);
        w->n += r == 0 && a == STORE_ADDED;
        return r;
}

static int walk_move(Walk *w)
{
        char id[SUBMISSION_ID_SIZE];
        StoreMove m = move_of(roll(w, 128) & ~SUBMISSION_IN(SUBMISSION_ACCEPTED),
                        (SubmissionState)roll(w, _SUBMISSION_STATE_MAX));

        if (m.to == SUBMISSION_ACCEPTED)
                m.to = SUBMISSION_SENDING;
        m.sent_at = roll(w, 2) == 0 ? T0 : TIME_NONE;
        any_id(w, id);
        return store_move_submission(w->fixture->store, id, &m);
}

static int walk_accept(Walk *w)
{
        char id[SUBMISSION_ID_SIZE], task_id[16] = "";
        StoreDelivery d = snapshot_of(task_id, "account", (TaskStatus)roll(w, _TASK_STATUS_MAX));
        unsigned n = any_number(w);

        snprintf(id, sizeof(id), "s%u", n);
        snprintf(task_id, sizeof(task_id), "t%u", roll(w, 4) > 0 ? n : any_number(w));
        return store_accept_submission(w->fixture->store, id, &d);
}

static int walk_record(Walk *w)
{
        static const Source sources[] = { SOURCE_CALLBACK, SOURCE_RECONCILE, SOURCE_BACKFILL };
        char ref[SUBMISSION_ID_SIZE], task_id[16], body[16];
        StoreMetadata m = { TASK_SUBMISSION_KEY, ref };
        unsigned task = any_number(w), kind = roll(w, 6);
        StoreDelivery d;
        StoreOutcome o;

        snprintf(task_id, sizeof(task_id), "t%u", task);
        snprintf(body, sizeof(body), "body %u", roll(w, 40));
        d = kind == 0   ? invalid_of(task_id, body)
            : kind == 1 ? attachment_of(task_id, NULL, body)
            : kind == 2 ? failure_of(roll(w, 2) == 0 ? &A : &B, 1, NULL, body)
            : kind == 3 ? snapshot_of(task_id, body, (TaskStatus)roll(w, _TASK_STATUS_MAX))
                        : response_of(task_id, body, (uint8_t)roll(w, 3));
        if (kind != 3)
                d.source = sources[roll(w, 3)];
        if (kind > 3)
                d.has_document = roll(w, 3) > 0;
        snprintf(ref, sizeof(ref), "s%u", roll(w, 8) == 0 ? any_number(w) : task);
        if (roll(w, 3) == 0)
                d.ref = ref;
        if (roll(w, 3) == 0) {
                d.metadata = &m;
                d.n_metadata = 1;
                d.submission = ref;
        }
        return store_record_delivery(w->fixture->store, &d, &o);
}

static int walk_other(Walk *w)
{
        Store *s = w->fixture->store;
        char id[SUBMISSION_ID_SIZE];
        uint64_t n;
        bool more;

        any_id(w, id);
        switch (roll(w, 6)) {
        case 0:
                return store_recover_submissions(s, T0, 0, 0, &n);
        case 1:
                return store_flush_submissions(s, T0, &n);
        case 2:
                return store_forget_cancel(s, id, T0);
        case 3:
                return store_hold_queue(s, (QueueHold)roll(w, _QUEUE_HOLD_MAX), id, T0);
        case 4:
                return store_prune_deliveries(s, &(uint64_t){ 0 }, UINT64_MAX, 3, &n, &more);
        default:
                return store_want_cancel(s, id, roll(w, 128), T0);
        }
}

static int count(_unused_ const TaskDocument *t, void *userdata)
{
        ++*(uint64_t *)userdata;
        return 0;
}

static void test_random_walk(void **state)
{
        static int (*const steps[])(Walk * w) = { walk_add, walk_add, walk_move, walk_move, walk_move,
                walk_accept, walk_record, walk_record, walk_record, walk_other };
        TaskFilter filter = { .start_time = TIME_NONE,
                .end_time = TIME_NONE,
                .status = _TASK_STATUS_INVALID,
                .is_test = -1,
                .limit = 1000 };
        Fixture *f = *state;
        TaskPage page;
        uint64_t n = 0;

        for (unsigned seed = 1; seed <= 8; seed++) {
                Walk w = { .fixture = f, .dice = seed, .base = seed * 1000, .n = seed * 1000 };

                for (int group = 0; group < 60; group++) {
                        assert_int_equal(store_begin(f->store), 0);
                        for (unsigned i = roll(&w, 12); i > 0; i--) {
                                int r = steps[roll(&w, ELEMENTSOF(steps))](&w);

                                if (r < 0)
                                        fail_msg("%u: %d: %s", seed, r, store_error(f->store));
                        }
                        if (roll(&w, 8) == 0)
                                store_rollback(f->store);
                        else
                                assert_int_equal(store_commit(f->store), 0);
                }
                check_consistency(f);
        }
        assert_int_equal(store_list_tasks(f->reader, &filter, count, &n, &page), 0);
        assert_int_equal(n, page.total);
        assert_true(n > 100);
        assert_true(get_queue(f).by_state[SUBMISSION_ACCEPTED] > 50);
        assert_true(ask_file(f, "SELECT count(*) FROM attachment WHERE open = 1") > 0);
        assert_true(ask_file(f, "SELECT count(*) FROM account") > 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
        const struct CMUnitTest tests[] = {
                TEST(test_what_a_tied_failure_says),
                TEST(test_by_reference),
                TEST(test_by_url),
                TEST(test_tried_again),
                TEST(test_unknown_reference),
                TEST(test_odd_lists),
                TEST(test_random_walk),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
