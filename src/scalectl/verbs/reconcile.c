/*
 * reconcile, backfill: the submitter does them, however long they take; these verbs begin one, say how far
 * it is, and show what came of it. To leave them early is no harm: it goes on. A submitter that is restarted
 * knows nothing of it any more: only what is seen to be done, of the one that was begun, is done. A backfill
 * is then gone on with from the time that it had reached: it goes from new to old, and all that is newer is
 * in.
 */

#include <inttypes.h>
#include <time.h>
#include <unistd.h>

#include "basic/parse.h"
#include "basic/time-util.h"
#include "scalectl/api.h"
#include "scalectl/text/format.h"
#include "scalectl/text/json-text.h"

#define POLL_NSEC     (200 * 1000 * 1000L)
#define PATIENCE_USEC (60 * USEC_PER_SEC) /* for a submitter that is gone; and without any way made */
#define SECOND        ((int64_t)USEC_PER_SEC)

typedef struct Round {
        const Ctl *ctl;
        const char *verb, *path;
        const char *counts; /* the member that says how far it is */
        unsigned before;    /* others that may have to end first; they are told of meanwhile */

        /* Of a backfill: what a next one need not go over again. */
        int64_t reached; /* TIME_NONE: nothing */
        bool is_lost;    /* the submitter is gone, or was restarted */
} Round;

static bool is_in_state(const json_t *report, const char *state)
{
        return streq_ptr(json_string_value(json_object_get(report, "state")), state);
}

/* One call, its report in *ret. 0, or an exit status. */
static int ask(Round *round, const char *method, ApiUrl *url, Buffer *text, json_t **ret)
{
        const char *reached;
        unsigned status;
        int r;

        r = api_call_status(round->ctl, API_SUBMIT, method, url, text, &status);
        round->is_lost = r != 0 && status == 0;
        if (r != 0)
                return r;
        *ret = api_json(text);
        reached = json_string_value(json_object_get(*ret, "reached_at"));
        if (reached)
                (void)time_parse(reached, &round->reached);
        return json_is_string(json_object_get(*ret, "state")) ? 0 : api_complain_broken();
}

static void show_progress(const Round *round, const json_t *report, bool end)
{
        double total = json_number_value(json_object_get(report, "total"));
        json_int_t done = json_integer_value(json_object_get(report, round->counts));

        if (!isatty(STDERR_FILENO))
                return;
        if (end)
                (void)fputs("\r\x1b[K", stderr);
        else
                progress_bar(stderr, total > 0 ? (double)done / total : -1, (uint64_t)done, round->counts);
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

/* Given up by a submitter that leaves. */
static bool is_stopping(const json_t *report)
{
        return is_in_state(report, "failed") &&
               streq_ptr(json_string_value(json_object_get(report, "error")), "the submitter is stopping");
}

/* What has to be called to go on with it. */
static void complain_again(const Round *round, const char *why)
{
        char reached[TIME_STAMP_SIZE];

        if (round->reached == TIME_NONE)
                complain("%s: run `scalectl %s` again", why, round->verb);
        else
                complain("%s: all that is newer is in, run `scalectl %s --until %s`, and with the same "
                         "--since, to go on",
                                why, round->verb, time_format(round->reached + SECOND, reached));
}

static int finish(const Round *round, const json_t *report, const Buffer *text)
{
        char why[512];

        const char *error = json_string_value(json_object_get(report, "error"));

        if (round->ctl->json)
                json_text_print_line(buffer_text(text), text->size, round->ctl->term.width > 0, stdout);
        else
                print_report(report, round->ctl->utc);
        if (is_in_state(report, "done"))
                return 0;
        snprintf(why, sizeof(why), "it was given up%s%s", error ? ": " : "", error ?: "");
        complain_again(round, why);
        return EX_TEMPFAIL;
}

/* It was begun, and there is no knowing what came of it. */
static int complain_lost(const Round *round, const char *why)
{
        char text[160];

        snprintf(text, sizeof(text), "%sit is not known what came of it", why);
        complain_again(round, text);
        return EX_TEMPFAIL;
}

static int follow(Round *round, ApiUrl *url)
{
        const struct timespec pause = { .tv_nsec = POLL_NSEC };
        json_auto_t *report = NULL;
        _cleanup_buffer_ Buffer text = BUFFER_INIT(0);
        unsigned others = 0;
        int r;

        r = ask(round, "POST", url, &text, &report);
        if (r != 0)
                return r;
        while (r == 0 && is_in_state(report, "running") && others <= round->before) {
                ApiUrl again = api_url(round->path);
                json_t *newer = NULL;

                show_progress(round, report, false);
                (void)nanosleep(&pause, NULL);
                buffer_done(&text);
                r = ask(round, "GET", &again, &text, &newer);
                others += !json_equal(
                                json_object_get(report, "started_at"), json_object_get(newer, "started_at"));
                json_decref(report);
                report = newer;
        }
        show_progress(round, report, true);

        round->is_lost = round->is_lost || is_in_state(report, "none") || is_stopping(report);
        if (round->is_lost && round->reached != TIME_NONE)
                return EX_TEMPFAIL; /* gone on with, by who called */
        if (r != 0)
                return complain_lost(round, "");
        if (others > round->before || is_in_state(report, "none"))
                return complain_lost(round, "the submitter was restarted, or another one was begun since: ");
        return finish(round, report, &text);
}

int verb_reconcile(Ctl *ctl, int argc, char **argv)
{
        /* One of the interval's may be running. */
        Round x = { ctl, "reconcile", "/v1/reconcile", "asked", .before = 1, .reached = TIME_NONE };
        ApiUrl url;
        unsigned n;
        int r;

        r = options_read(ctl, NULL, 0, NULL, argc, argv, 0, 0, &n);
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

/* Until the submitter is there. */
static bool come_back(const Round *round)
{
        const struct timespec pause = { .tv_nsec = POLL_NSEC };
        uint64_t end = now_monotonic() + PATIENCE_USEC;

        while (now_monotonic() < end) {
                ApiUrl url = api_url(round->path);
                HttpClientResult result;
                int r;

                r = api_try(round->ctl, API_SUBMIT, "GET", &url, &result);
                http_client_result_done(&result);
                if (r == 0 && result.status == 200)
                        return true;
                (void)nanosleep(&pause, NULL);
        }
        return false;
}

/* From the time that was reached, which is shown to the millisecond and may be rounded. */
static int go_on(Round *round, int64_t since)
{
        uint64_t moved_at = now_monotonic();
        int r = EX_TEMPFAIL;

        while (round->is_lost && round->reached != TIME_NONE) {
                int64_t reached = round->reached;
                char text[TIME_STAMP_SIZE];
                ApiUrl url = api_url(round->path);

                complain("the submitter is gone or was restarted: the backfill goes on at %s",
                                time_format(reached, text));
                api_url_add_time(&url, "since", since);
                api_url_add_time(&url, "until", reached + SECOND);
                if (!come_back(round) || now_monotonic() - moved_at > PATIENCE_USEC) {
                        api_url_done(&url);
                        return complain_lost(round, "");
                }
                r = follow(round, &url);
                if (round->reached < reached)
                        moved_at = now_monotonic();
        }
        return r;
}

int verb_backfill(Ctl *ctl, int argc, char **argv)
{
        Round x = { ctl, "backfill", "/v1/backfill", "seen", .before = 0, .reached = TIME_NONE };
        BackfillOptions o = { TIME_NONE, TIME_NONE };
        ApiUrl url;
        unsigned n;
        int r;

        r = options_read(ctl, backfill_options, ELEMENTSOF(backfill_options), &o, argc, argv, 0, 0, &n);
        if (r != 0)
                return r;
        url = api_url(x.path);
        api_url_add_time(&url, "since", o.since);
        api_url_add_time(&url, "until", o.until);
        r = follow(&x, &url);
        return x.is_lost && x.reached != TIME_NONE ? go_on(&x, o.since) : r;
}
