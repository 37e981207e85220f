/*
 * wait: until tasks are done. They are named, or are those of submissions, or all that bear some metadata;
 * of these what is still in the outbox counts too, so that a batch can be waited for from the moment on in
 * which it was submitted.
 *
 * What is waited for is asked again and again, and the more seldom the longer that takes. Submissions can't
 * be looked for by their metadata: each that is open is looked at once.
 */

#include <inttypes.h>
#include <jansson.h>
#include <limits.h>
#include <search.h>
#include <unistd.h>

#include "basic/parse.h"
#include "basic/time-util.h"
#include "scalectl/api.h"
#include "scalectl/metadata.h"

#define ROUND_FIRST USEC_PER_SEC
#define ROUND_MOST  (30 * USEC_PER_SEC)
#define ROUND_SHARE 20U /* of the time it takes no more than one part in so many */
#define PAGE        "100"
#define TOLD_MAX    50U /* of what did not end well; all are counted */

typedef struct WaitOptions {
        bool submission;
        OptionList metadata;
        uint64_t timeout;
} WaitOptions;

static const Option wait_options[] = {
        { "--submission", OPTION_FLAG, offsetof(WaitOptions, submission) },
        { "--metadata", OPTION_LIST, offsetof(WaitOptions, metadata) },
        { "--timeout", OPTION_SPAN, offsetof(WaitOptions, timeout) },
};

typedef enum ItemState {
        ITEM_PENDING,
        ITEM_COMPLETED,
        ITEM_FAILED,
        ITEM_PASSED, /* not ours, or counted elsewhere */
} ItemState;

/* Something that is looked at by itself. */
typedef struct Item {
        char *id; /* owned */
        bool submission;
        ItemState state;
} Item;

typedef struct Counts {
        uint64_t completed, pending, failed;
} Counts;

typedef struct Wait {
        const Ctl *ctl;
        const WaitOptions *options;
        Item **items; /* owned */
        size_t n_items, allocated;
        void *known; /* the same, as a tree, to find them by id */
        Counts counts, first;
        uint64_t began; /* monotonic */
        uint64_t told;  /* of what failed */
        bool met, away; /* the daemon answered once; it does not now */
        bool looked;    /* through what is in the outbox */
} Wait;

static void keep(_unused_ void *item)
{
}

static void wait_done(Wait *w)
{
        tdestroy(w->known, keep);
        FOREACH_ARRAY(i, w->items, w->n_items) {
                free((*i)->id);
                free(*i);
        }
        free(w->items);
}

static int compare(const void *a, const void *b)
{
        const Item *x = a, *y = b;

        return strcmp(x->id, y->id);
}

static int no_memory(void)
{
        complain("out of memory");
        return EX_OSERR;
}

/* One more to look at, unless it is known. 0 or an exit status (said). */
static int add_item(Wait *w, const char *id, bool submission)
{
        Item key = { .id = (char *)(uintptr_t)id }, *item, **larger;

        if (tfind(&key, &w->known, compare))
                return 0;
        if (w->n_items == w->allocated) {
                larger = reallocarray(w->items, 2 * w->allocated + 16, sizeof(Item *));
                if (!larger)
                        return no_memory();
                w->items = larger;
                w->allocated = 2 * w->allocated + 16;
        }
        item = calloc(1, sizeof(Item));
        if (item)
                item->id = strdup(id);
        if (!item || !item->id || !tsearch(item, &w->known, compare)) {
                free(item ? item->id : NULL);
                free(item);
                return no_memory();
        }
        item->submission = submission;
        w->items[w->n_items++] = item;
        return 0;
}

/* Asking. */

/* Whether it may answer the next time. */
static bool is_passing(int r, unsigned status)
{
        return r == -ENOENT || r == -ECONNREFUSED || r == -ETIMEDOUT || r == -EPROTO ||
               (r == 0 && status == 503);
}

/* What the daemon says, a new reference; NULL with 0: it is away for the moment. 0 or an exit status (said).
 */
static int ask(Wait *w, ApiUrl *url, json_t **ret)
{
        HttpClientResult result;
        int r, status = 0;

        *ret = NULL;
        if (w->away) {
                api_url_done(url);
                return 0;
        }
        r = api_try(w->ctl, API_QUERY, "GET", url, &result);
        w->away = w->met && is_passing(r, result.status);
        if (w->away)
                ;
        else if (r < 0)
                status = api_complain_unreachable(API_QUERY, w->ctl->settings.query.socket, r, result.error);
        else if (result.status != 200)
                status = api_complain(result.status, &result.body);
        else {
                *ret = api_json(&result.body);
                w->met = true;
                status = *ret ? 0 : api_complain_broken();
        }
        http_client_result_done(&result);
        return status;
}

static const char *text_of(const json_t *object, const char *member)
{
        return json_string_value(json_object_get(object, member)) ?: "";
}

static void tell_failed(Wait *w, const Item *item, const char *state, const char *why)
{
        if (w->told++ < TOLD_MAX)
                complain("%s %s is %s%s%s", item->submission ? "submission" : "task", item->id, state,
                                *why ? ": " : "", why);
}

/* What became of a submission. 0 or an exit status (said). */
static int take_submission(Wait *w, Item *item, const json_t *object)
{
        static const char *const ended[] = { "rejected", "expired", "canceled" };
        const char *state = text_of(object, "state"), *task_id = text_of(object, "task_id");

        if (!metadata_fits(json_object_get(object, "params"), &w->options->metadata))
                item->state = ITEM_PASSED;
        else if (streq(state, "accepted") && *task_id) {
                item->state = ITEM_PASSED;
                if (w->options->metadata.n == 0) /* else it is among the tasks that are counted */
                        return add_item(w, task_id, false);
        } else
                FOREACH_ARRAY(s, ended, ELEMENTSOF(ended))
                        if (streq(state, *s)) {
                                item->state = ITEM_FAILED;
                                tell_failed(w, item, state, text_of(object, "error"));
                        }
        return 0;
}

static void take_task(Wait *w, Item *item, const json_t *object)
{
        const char *status = text_of(object, "status");

        if (streq(status, "completed"))
                item->state = ITEM_COMPLETED;
        else if (!streq(status, "pending")) {
                item->state = ITEM_FAILED;
                tell_failed(w, item, status, text_of(json_object_get(object, "response"), "error"));
        }
}

/* 0 or an exit status (said). */
static int look_at(Wait *w, Item *item)
{
        ApiUrl url = api_url(item->submission ? "/v1/submission" : "/v1/task");
        json_auto_t *object = NULL;
        int r;

        api_url_segment(&url, item->id);
        r = ask(w, &url, &object);
        if (r == EX_NO)
                complain("asked for %s", item->id);
        if (r != 0 || !object)
                return r;
        if (item->submission)
                return take_submission(w, item, object);
        take_task(w, item, object);
        return 0;
}

/* All that has not ended. What is found out of a submission may be a task to look at: it is behind it. */
static int look_at_items(Wait *w)
{
        int r = 0;

        for (size_t i = 0; i < w->n_items && r == 0; i++)
                if (w->items[i]->state == ITEM_PENDING)
                        r = look_at(w, w->items[i]);
        for (size_t i = 0; i < w->n_items; i++) {
                w->counts.pending += w->items[i]->state == ITEM_PENDING;
                w->counts.completed += w->items[i]->state == ITEM_COMPLETED;
                w->counts.failed += w->items[i]->state == ITEM_FAILED;
        }
        return r;
}

/* By metadata. */

/* Those in the outbox that are in this state. 0 or an exit status (said). */
static int find_submissions(Wait *w, const char *state)
{
        _cleanup_free_ char *next = NULL;
        const json_t *more = NULL;
        int r;

        do {
                json_auto_t *page = NULL;
                ApiUrl url = api_url("/v1/submissions");
                const json_t *doc;
                size_t i;

                api_url_add(&url, "state", state);
                api_url_add(&url, "limit", PAGE);
                api_url_add(&url, "after", next);
                r = ask(w, &url, &page);
                if (r != 0 || !page)
                        return r;
                json_array_foreach(json_object_get(page, "docs"), i, doc)
                        if (r == 0)
                                r = add_item(w, text_of(doc, "submission_id"), true);
                free(next);
                next = NULL;
                more = json_object_get(page, "next");
                if (json_is_integer(more) &&
                                asprintf(&next, "%" JSON_INTEGER_FORMAT, json_integer_value(more)) < 0) {
                        next = NULL;
                        r = no_memory();
                }
        } while (r == 0 && next);
        return r;
}

/* What was given up before is looked through once, what is on its way each time. */
static int find_all_submissions(Wait *w)
{
        static const char *const states[] = { "queued", "sending", "unknown", "rejected", "expired",
                "canceled" };
        size_t n = w->looked ? 3 : ELEMENTSOF(states);
        int r = 0;

        for (size_t i = 0; i < n && r == 0; i++)
                r = find_submissions(w, states[i]);
        w->looked = w->looked || (r == 0 && !w->away);
        return r;
}

/* How many tasks that bear it there are. 0 or an exit status (said). */
static int count_tasks(Wait *w)
{
        ApiUrl url = api_url("/v1/stats");
        json_auto_t *stats = NULL;
        const json_t *n;
        const char *status;
        int r;

        r = api_url_add_metadata(&url, &w->options->metadata);
        if (r != 0) {
                api_url_done(&url);
                return r;
        }
        r = ask(w, &url, &stats);
        json_object_foreach(json_object_get(stats, "by_status"), status, n) {
                uint64_t *counter = streq(status, "pending")     ? &w->counts.pending
                                    : streq(status, "completed") ? &w->counts.completed
                                                                 : &w->counts.failed;

                *counter += (uint64_t)json_integer_value(n);
        }
        return r;
}

/* In this order: what leaves the outbox meanwhile is counted twice rather than not at all. */
static int count_by_metadata(Wait *w)
{
        int r;

        r = find_all_submissions(w);
        if (r == 0)
                r = look_at_items(w);
        return r == 0 ? count_tasks(w) : r;
}

/* Telling. */

static void show_progress(const Wait *w)
{
        const Counts *now = &w->counts, *first = &w->first;
        uint64_t since = now->completed + now->failed -
                         MIN(now->completed + now->failed, first->completed + first->failed);
        uint64_t seconds = (now_monotonic() - w->began) / USEC_PER_SEC, left;

        if (!isatty(STDERR_FILENO))
                return;
        fprintf(stderr, "\r\x1b[K%" PRIu64 " completed, %" PRIu64 " pending, %" PRIu64 " failed",
                        now->completed, now->pending, now->failed);
        if (since > 0 && now->pending > 0) {
                left = now->pending * MAX(seconds, 1) / since;
                if (left < 120)
                        fprintf(stderr, ", about %" PRIu64 " s at this rate", left);
                else
                        fprintf(stderr, ", about %" PRIu64 " min at this rate", left / 60);
        }
}

static int print_end(const Wait *w, bool in_time)
{
        const Counts *c = &w->counts;

        if (isatty(STDERR_FILENO))
                (void)fputs("\r\x1b[K", stderr);
        if (w->told > TOLD_MAX)
                complain("%" PRIu64 " more did not end well", w->told - TOLD_MAX);
        printf(w->ctl->json ? "{\"completed\":%" PRIu64 ",\"pending\":%" PRIu64 ",\"failed\":%" PRIu64 "}\n"
                            : "%" PRIu64 " completed, %" PRIu64 " pending, %" PRIu64 " failed\n",
                        c->completed, c->pending, c->failed);
        if (!in_time) {
                complain("--timeout is over");
                return EX_TEMPFAIL;
        }
        return c->failed > 0 ? EX_NO : 0;
}

/* One look at everything. 0 or an exit status (said). */
static int look(Wait *w)
{
        Counts before = w->counts;
        int r;

        w->counts = (Counts){};
        w->away = false;
        r = w->options->metadata.n > 0 ? count_by_metadata(w) : look_at_items(w);
        if (w->away)
                w->counts = before; /* not all of it is known */
        return r;
}

static int wait_for_all(Wait *w)
{
        const uint64_t timeout = w->options->timeout;
        uint64_t round = 0, pause;
        int r;

        w->began = now_monotonic();
        for (bool first = true;; first = false) {
                uint64_t asked = now_monotonic();

                r = look(w);
                if (r != 0)
                        return r;
                if (first)
                        w->first = w->counts;
                if (first && w->counts.completed + w->counts.pending + w->counts.failed == 0) {
                        complain("there is no task with this metadata, and nothing in the outbox");
                        return EX_NO;
                }
                if (!w->away && w->counts.pending == 0)
                        return print_end(w, true);
                show_progress(w);

                round = now_monotonic() - w->began;
                if (timeout > 0 && round >= timeout)
                        return print_end(w, false);
                pause = MIN(MAX(ROUND_SHARE * (now_monotonic() - asked), ROUND_FIRST), ROUND_MOST);
                usleep((useconds_t)(timeout > 0 ? MIN(pause, timeout - round) : pause));
        }
}

int verb_wait(Ctl *ctl, int argc, char **argv)
{
        WaitOptions o = {};
        Wait w = { .ctl = ctl, .options = &o };
        unsigned n;
        int r;

        r = options_read(ctl, wait_options, ELEMENTSOF(wait_options), &o, argc, argv, 0, UINT_MAX, &n);
        if (r != 0)
                return r;
        if ((n > 0) == (o.metadata.n > 0) || (n == 0 && o.submission))
                return options_complain_usage(ctl);
        r = metadata_check(&o.metadata);
        for (unsigned i = 1; i <= n && r == 0; i++)
                r = add_item(&w, argv[i], o.submission);
        if (r == 0)
                r = wait_for_all(&w);
        wait_done(&w);
        return r;
}
