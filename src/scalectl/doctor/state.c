/* What the daemons say of themselves: whether they can store, what waits, and what went wrong. */

#include "basic/parse.h"
#include "basic/time-util.h"
#include "scalectl/doctor/doctor.h"
#include "scalectl/text/format.h"

#define LOG_LARGE UINT64_C(268435456) /* it is copied back from 16 MiB on */
#define OLD_USEC  ((int64_t)USEC_PER_HOUR)

static const char not_seen[] = "see what is said of its socket";

/* A number of a member, 0 where there is none. */
static uint64_t number(const json_t *o, const char *name)
{
        json_int_t n = json_integer_value(json_object_get(o, name));

        return n > 0 ? (uint64_t)n : 0;
}

static const char *text(const json_t *o, const char *name)
{
        return json_string_value(json_object_get(o, name)) ?: "";
}

static void look_whether_ready(Doctor *d, const char *socket, const char *what)
{
        unsigned status = 0;
        int r;

        r = doctor_ask(socket, "/readyz", &status, NULL);
        if (r == -EACCES)
                doctor_warn(d, not_seen, "whether %s can be stored is not for you to see", what);
        else if (r < 0)
                doctor_fail(d, not_seen, "whether %s can be stored is not known", what);
        else if (status != 200)
                doctor_fail(d,
                                "the daemon's log says why: a full disk is mended by making room, and it "
                                "goes on by "
                                "itself",
                                "%s can't be stored now, and are refused", what);
        else
                doctor_ok(d, "%s can be stored", what);
}

void doctor_check_ready(Doctor *d)
{
        if (!doctor_skips(d, DOCTOR_RECEIVER))
                look_whether_ready(d, d->settings->query.socket, "callbacks");
        if (d->submitter && !doctor_skips(d, DOCTOR_SUBMITTER))
                look_whether_ready(d, d->settings->submit.socket, "submissions");
}

/* The receiver's figures, or NULL, which was said. */
static json_t *get_stats(Doctor *d)
{
        json_t *stats = NULL;

        if (doctor_ask(d->settings->query.socket, "/v1/stats", NULL, &stats) < 0 || !stats)
                doctor_warn(d, not_seen, "the receiver's figures can't be had");
        return stats;
}

void doctor_check_log(Doctor *d)
{
        json_auto_t *stats = get_stats(d);
        char size[FORMAT_SIZE_SIZE];
        uint64_t n;

        if (!stats)
                return;
        n = number(json_object_get(stats, "disk"), "wal_bytes");
        format_size(n, size);
        if (n > LOG_LARGE)
                doctor_warn(d,
                                "end what reads without an end, as a backup or an export; if there is none, "
                                "the log "
                                "of the daemon says what else keeps it",
                                "%s of the write-ahead log are in use, so something keeps it from starting "
                                "over",
                                size);
        else
                doctor_ok(d, "%s of the write-ahead log are in use", size);
}

void doctor_check_quarantine(Doctor *d)
{
        json_auto_t *stats = get_stats(d);
        uint64_t n;

        if (!stats)
                return;
        n = number(json_object_get(stats, "by_verdict"), "invalid");
        if (n > 0)
                doctor_warn(d,
                                "`scalectl quarantine` shows what was wrong with each; `scalectl quarantine "
                                "retry "
                                "N` takes it in when that is mended, `scalectl quarantine discard N` puts "
                                "it away",
                                "deliveries in the quarantine: %llu", (unsigned long long)n);
        else
                doctor_ok(d, "the quarantine is empty");
}

/* The submitter's queue, or NULL: there is nothing to look at, or it was said. */
static json_t *get_queue(Doctor *d)
{
        json_t *queue = NULL;

        if (!d->submitter)
                doctor_ok(d, "nothing is submitted from here");
        else if (doctor_ask(d->settings->submit.socket, "/v1/queue", NULL, &queue) < 0 || !queue)
                doctor_warn(d, not_seen, "the queue can't be looked at");
        return queue;
}

/* What the submitter says that the queue waits for, in its words. */
static void tell_of_waiting(Doctor *d, const json_t *waiting)
{
        const char *severity = text(waiting, "severity"), *why = text(waiting, "text");

        if (streq(severity, "error"))
                doctor_fail(d, text(waiting, "help"), "what is queued waits: %s", why);
        else if (streq(severity, "warning"))
                doctor_warn(d, text(waiting, "help"), "what is queued waits: %s", why);
        else
                doctor_ok(d, "the queue runs%s%s", *why ? ", and something waits: " : "", why);
}

void doctor_check_queue(Doctor *d)
{
        json_auto_t *queue = get_queue(d);
        char since[FORMAT_TIME_SIZE];
        const char *hold, *reason;

        if (!queue)
                return;
        hold = text(queue, "hold");
        reason = text(queue, "reason");
        format_json_time(json_object_get(queue, "since"), d->utc, since);
        if (streq(hold, "held_account"))
                doctor_fail(d,
                                "see to the account or the key, then `scalectl queue resume`; a new key is "
                                "tried "
                                "after a reload",
                                "the API refuses the account, so nothing is sent since %s: %s", since,
                                reason);
        else if (streq(hold, "held"))
                doctor_warn(d, "`scalectl queue resume` lets it go on", "the queue is held since %s%s%s",
                                since, *reason ? ": " : "", reason);
        else if (streq(hold, "running"))
                tell_of_waiting(d, json_object_get(queue, "waiting"));
        else
                doctor_fail(d, "see that both are of one version",
                                "the queue says of itself what this program does not understand");
}

/* Where each submission is that needs a look. */
static void look_at_states(Doctor *d, const json_t *by_state)
{
        static const struct {
                const char *state, *what, *advice;
        } states[] = {
                { "unknown", "of which it is not known whether they have a task",
                                "the API is asked about them by itself; if they stay, see why with "
                                "`scalectl queue "
                                "list --state unknown`" },
                { "rejected", "that the API rejected",
                                "`scalectl queue list --state rejected` says why; `scalectl queue retry ID` "
                                "or `scalectl queue drop ID`" },
                { "expired", "that were given up after five days",
                                "`scalectl queue list --state expired` says why; `scalectl queue retry ID` "
                                "or `scalectl queue drop ID`" },
        };

        FOREACH_ARRAY(s, states, ELEMENTSOF(states))
                if (number(by_state, s->state) > 0)
                        doctor_warn(d, s->advice, "submissions %s: %llu", s->what,
                                        (unsigned long long)number(by_state, s->state));
}

void doctor_check_submissions(Doctor *d)
{
        json_auto_t *queue = get_queue(d);
        char since[FORMAT_TIME_SIZE];
        int64_t oldest;

        if (!queue)
                return;
        look_at_states(d, json_object_get(queue, "by_state"));
        if (time_parse(text(queue, "oldest"), &oldest) >= 0 && now_realtime() - oldest > OLD_USEC)
                doctor_warn(d, "`scalectl queue list` says what each waits for, and when it is tried next",
                                "the oldest submission waits since %s", format_time(oldest, d->utc, since));
        if (d->said == 0)
                doctor_ok(d, "no submission waits for long, or for somebody");
}

void doctor_check_live_tasks(Doctor *d)
{
        json_auto_t *queue = get_queue(d);
        const json_t *cap;
        unsigned long long today;

        if (!queue)
                return;
        cap = json_object_get(queue, "live_per_day");
        today = number(queue, "live_today");
        if (!cap)
                doctor_ok(d, "live tasks today: %llu, and no cap", today);
        else if (today >= (unsigned long long)json_integer_value(cap))
                doctor_warn(d, "what waits goes on at midnight UTC, or with a higher [submit] live_per_day",
                                "live tasks today: %llu, which is all that [submit] live_per_day allows",
                                today);
        else
                doctor_ok(d, "live tasks today: %llu of %llu", today,
                                (unsigned long long)json_integer_value(cap));
}
