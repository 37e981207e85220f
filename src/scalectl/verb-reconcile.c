/*
 * reconcile, backfill: the submitter does them, however long they take; these verbs begin one, say how far
 * it is, and show what came of it. To leave them early is no harm: it goes on. A submitter that is restarted
 * knows nothing of it any more: only what is seen to be done, of the one that was begun, is done.
 */

#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#include "basic/time-util.h"
#include "scalectl/api.h"
#include "scalectl/format.h"
#include "scalectl/json-text.h"

#define POLL_NSEC (200 * 1000 * 1000L)

typedef struct Round {
        const Ctl *ctl;
        const char *verb, *path;
        const char *counts; /* the member that says how far it is */
        unsigned before;    /* others that may have to end first; they are told of meanwhile */
} Round;

/* One call, its report in *ret. 0, or an exit status. */
static int ask(const Round *x, const char *method, ApiUrl *url, Buffer *text, json_t **ret)
{
        int r;

        r = api_call(x->ctl, API_SUBMIT, method, url, text);
        if (r != 0)
                return r;
        *ret = api_json(text);
        return json_is_string(json_object_get(*ret, "state")) ? 0 : api_complain_broken();
}

static bool is_in_state(const json_t *report, const char *state)
{
        return streq_ptr(json_string_value(json_object_get(report, "state")), state);
}

static void show_progress(const Round *x, const json_t *report, bool end)
{
        double total = json_number_value(json_object_get(report, "total"));
        json_int_t done = json_integer_value(json_object_get(report, x->counts));

        if (!isatty(STDERR_FILENO))
                return;
        if (end)
                (void)fputs("\r\x1b[K", stderr);
        else
                progress_bar(stderr, total > 0 ? (double)done / total : -1, (uint64_t)done, x->counts);
}

/* A line for each member: the counts of a finished round. */
static void print_report(const json_t *report, bool utc)
{
        const char *name;
        json_t *value;

        json_object_foreach((json_t *)(uintptr_t)report, name, value) {
                _cleanup_free_ char *text = format_member(name, value, utc), *label = format_clean(name);

                printf("%-12s %s\n", strna(label), strna(text));
        }
}

static int finish(const Round *x, const json_t *report, const Buffer *text)
{
        const char *error = json_string_value(json_object_get(report, "error"));

        if (x->ctl->json)
                json_text_print_line(buffer_text(text), text->size, x->ctl->term.width > 0, stdout);
        else
                print_report(report, x->ctl->utc);
        if (is_in_state(report, "done"))
                return 0;
        complain("it was given up%s%s: run `scalectl %s` again", error ? ": " : "", error ?: "", x->verb);
        return EX_TEMPFAIL;
}

/* It was begun, and there is no knowing what came of it. */
static int complain_lost(const Round *x, const char *why)
{
        complain("%sit is not known what came of it: run `scalectl %s` again", why, x->verb);
        return EX_TEMPFAIL;
}

static int follow(const Round *x, ApiUrl *url)
{
        const struct timespec pause = { .tv_nsec = POLL_NSEC };
        json_auto_t *report = NULL;
        _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
        unsigned others = 0;
        int r;

        r = ask(x, "POST", url, &text, &report);
        if (r != 0)
                return r;
        while (r == 0 && is_in_state(report, "running") && others <= x->before) {
                ApiUrl again = api_url(x->path);
                json_t *newer = NULL;

                show_progress(x, report, false);
                (void)nanosleep(&pause, NULL);
                buffer_done(&text);
                r = ask(x, "GET", &again, &text, &newer);
                others += !json_equal(
                                json_object_get(report, "started_at"), json_object_get(newer, "started_at"));
                json_decref(report);
                report = newer;
        }
        show_progress(x, report, true);

        if (r != 0)
                return complain_lost(x, "");
        if (others > x->before || is_in_state(report, "none"))
                return complain_lost(x, "the submitter was restarted, or another one was begun since: ");
        return finish(x, report, &text);
}

int verb_reconcile(Ctl *ctl, int argc, char **argv)
{
        /* One of the interval's may be running. */
        const Round x = { ctl, "reconcile", "/v1/reconcile", "asked", .before = 1 };
        ApiUrl url;
        unsigned n;
        int r;

        r = options_read(ctl, verb_find("reconcile"), NULL, 0, NULL, argc, argv, 0, 0, &n);
        if (r != 0)
                return r;
        url = api_url(x.path);
        return follow(&x, &url);
}

typedef struct BackfillOptions {
        int64_t since, until;
} BackfillOptions;

static const Option backfill_options[] = {
        { "--since", OPTION_TIME, offsetof(BackfillOptions, since) },
        { "--until", OPTION_TIME, offsetof(BackfillOptions, until) },
};

int verb_backfill(Ctl *ctl, int argc, char **argv)
{
        const Round x = { ctl, "backfill", "/v1/backfill", "seen", .before = 0 };
        BackfillOptions o = { TIME_NONE, TIME_NONE };
        ApiUrl url;
        unsigned n;
        int r;

        r = options_read(ctl, verb_find("backfill"), backfill_options, ELEMENTSOF(backfill_options), &o,
                        argc, argv, 0, 0, &n);
        if (r != 0)
                return r;
        url = api_url(x.path);
        api_url_add_time(&url, "since", o.since);
        api_url_add_time(&url, "until", o.until);
        return follow(&x, &url);
}
