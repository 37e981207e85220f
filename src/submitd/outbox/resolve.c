/*
 * Whether there is a task for a submission that nobody answered.
 *
 * What proves that there is one: the store has met it (a callback came), or a list of the API's tasks shows
 * it; that is taken at once, from whatever page. What proves that there is none is only this: a listing
 * that began when the request could not make one any more, that reached back to before the request, and of
 * which every page came and was whole. A listing with a failed page proves nothing and is begun anew, later.
 *
 * A request may leave until the last moment at which somebody waits for it, and the API may work on it for
 * as long as we would have waited then; that its connection broke, or that we died, doesn't stop it, and an
 * error may come from a proxy that has given up earlier. So it can't make a task any more when [api]
 * timeout, as it was when the request left, has passed since it came to its end on our side, and lists show
 * what it made when `settle` has passed after that. The end of one whose process died is when the next
 * process found it. Both are kept with the submission, by the clock that counts from the machine's start:
 * time of day may jump, and a process that is started again and again must not wait anew each time.
 *
 * How far a listing has to reach is said in resolve-list.c. New tasks come in front, so that while pages are
 * turned they push others to later pages: some are shown twice, none is left out.
 */

#include "submitd/outbox/resolve-internal.h"

#include <stdio.h>

#include "basic/log.h"

#define SCAN_USEC USEC_PER_SEC

int resolver_new(Outbox *o, Resolver **ret)
{
        Resolver *r = calloc(1, sizeof(Resolver));

        if (!r)
                return -ENOMEM;
        r->outbox = o;
        *ret = r;
        return 0;
}

static void unknown_forget(Unknown *u)
{
        Resolver *r = u->resolver;

        for (Unknown **i = &r->unknown; *i; i = &(*i)->next)
                if (*i == u) {
                        *i = u->next;
                        r->n--;
                        break;
                }
        save_done(&u->save);
        free(u);
}

Resolver *resolver_free(Resolver *r)
{
        if (!r)
                return NULL;

        while (r->unknown)
                unknown_forget(r->unknown);
        free(r);
        return NULL;
}

unsigned resolver_count(const Resolver *r)
{
        return r->n;
}

void resolver_hurry(Resolver *r)
{
        r->failures = 0;
        r->list_at = 0;
}

Unknown *unknown_find(const Resolver *r, const char *id)
{
        for (Unknown *u = r->unknown; u; u = u->next)
                if (streq(u->id, id))
                        return u;
        return NULL;
}

static Unknown *add(Resolver *r, const char *id, int64_t ended_at, int64_t grace)
{
        Unknown *u = calloc(1, sizeof(Unknown));

        if (!u)
                return NULL; /* the row is unknown: it is found again by a scan */
        u->resolver = r;
        snprintf(u->id, sizeof(u->id), "%s", id);
        u->ended_at = ended_at;
        u->grace = grace;
        u->settled_at = outbox_settles_at(r->outbox, ended_at, grace);
        u->next = r->unknown;
        r->unknown = u;
        r->n++;
        return u;
}

void resolver_add(Resolver *r, const Sending *x)
{
        Unknown *u = unknown_find(r, x->id) ?: add(r, x->id, x->ended_at, x->grace);

        if (!u)
                return;
        u->attempts = x->attempts;
        u->status = x->save.move.status;
        u->is_test = x->is_test;
        u->sent_at = x->sent_at;
        u->floor_at = x->floor_at;
        u->expires_at = x->expires_at;
        u->live_day = x->live_day;
}

/* Those that are unknown and not in memory. */

static int take_row(const Submission *s, void *userdata)
{
        Resolver *r = userdata;
        Unknown *u;

        if (unknown_find(r, s->id) || r->n >= UNKNOWN_MAX - UNKNOWN_RESERVED)
                return 0;
        u = add(r, s->id, s->ended_at, s->grace);
        if (!u)
                return -ENOMEM;
        u->attempts = s->attempts;
        u->status = s->status;
        u->is_test = s->is_test;
        u->sent_at = s->sent_at;
        u->floor_at = s->floor_at;
        u->expires_at = s->expires_at;
        u->live_day = s->sent_at == TIME_NONE ? 0 : s->sent_at / (int64_t)USEC_PER_DAY;
        return 0;
}

static int scan(Resolver *r, const StoreQueue *queue)
{
        uint64_t now = outbox_monotonic(r->outbox);

        if (queue->by_state[SUBMISSION_UNKNOWN] == r->n)
                return 0;
        if (r->scan_at > now) {
                outbox_wake_at(r->outbox, r->scan_at);
                return 0;
        }
        r->scan_at = now + SCAN_USEC;
        return store_list_submissions(
                        r->outbox->options.reader, SUBMISSION_UNKNOWN, 0, UNKNOWN_MAX, take_row, r);
}

/* What is found out. */

static void on_saved(Save *s, int result, void *userdata)
{
        Unknown *u = userdata;
        Outbox *o = s->outbox;
        bool accepts = s->kind == SAVE_ACCEPT;

        if (result == 0 && accepts && s->outcome == STORE_MOVED_ON)
                o->stats.duplicates++;
        else if (result == 0 && s->outcome == 0) {
                o->stats.resolved_found += accepts;
                o->stats.resolved_absent += !accepts && s->move.sent_at == TIME_NONE;
                o->stats.canceled += !accepts && s->move.to == SUBMISSION_CANCELED;
                o->stats.expired += !accepts && s->move.to == SUBMISSION_EXPIRED;
                if (accepts && s->account->news)
                        outbox_tell_task(o, s->account);
        }
        unknown_forget(u);
}

static Save *begin_save(Unknown *u)
{
        save_done(&u->save);
        save_init(&u->save, u->resolver->outbox, u->id, on_saved, u);
        u->saving = true;
        return &u->save;
}

int unknown_accept(Unknown *u, const json_t *task)
{
        Account *account;
        Save *s;
        int r;

        r = account_new(task, outbox_realtime(u->resolver->outbox), &account);
        if (r < 0)
                return r;
        s = begin_save(u);
        s->kind = SAVE_ACCEPT;
        s->account = account;
        save_submit(s);
        return 0;
}

/* `maybe`: there may be a task for it. */
static void leave_unknown(Unknown *u, SubmissionState to, bool maybe, const char *why)
{
        Save *s = begin_save(u);
        Outbox *o = s->outbox;

        s->kind = SAVE_MOVE;
        s->move = (StoreMove){
                .from = SUBMISSION_IN(SUBMISSION_UNKNOWN),
                .to = to,
                .now = outbox_realtime(o),
                .sent_at = maybe ? u->sent_at : TIME_NONE,
                .floor_at = maybe ? u->floor_at : TIME_NONE,
                .ended_at = maybe ? u->ended_at : TIME_NONE,
                .grace = maybe ? u->grace : TIME_NONE,
                .is_test = u->is_test,
                .status = u->status,
                .expires_at = TIME_NONE,
        };
        s->move.next_at =
                        outbox_next_try(s->move.now, backoff_delay(u->attempts, &o->chance), u->expires_at);
        snprintf(s->error, sizeof(s->error), "%s", why);
        if (!maybe && !u->is_test) {
                s->live_by = -1;
                s->live_day = u->live_day;
        }
        save_submit(s);
}

static int take_wish(const Submission *s, void *userdata)
{
        *(bool *)userdata = s->cancel_wanted;
        return 0;
}

void unknown_conclude_absent(Unknown *u)
{
        Outbox *o = u->resolver->outbox;
        bool cancel = false;

        /* A wish that comes after this is seen when it is taken out of the queue. */
        (void)store_get_submission(o->options.reader, u->id, false, take_wish, &cancel);
        if (cancel)
                leave_unknown(u, SUBMISSION_CANCELED, false, "canceled: there is no task for it");
        else /* as what was not sent: nothing is given up before a try when its time is over */
                leave_unknown(u, u->sent_at >= u->expires_at ? SUBMISSION_EXPIRED : SUBMISSION_QUEUED, false,
                                "nobody answered, and the API's list shows that there is no task");
}

void unknown_expire(Unknown *u, const char *why)
{
        leave_unknown(u, SUBMISSION_EXPIRED, true, why);
}

/* What the store knows. */

typedef struct Known {
        bool unknown; /* its state still is */
        json_t *task;
} Known;

static int take_state(const Submission *s, void *userdata)
{
        Known *k = userdata;

        k->unknown = s->state == SUBMISSION_UNKNOWN;
        return 0;
}

static int take_task(const TaskDocument *d, void *userdata)
{
        Known *k = userdata;

        return task_document_to_json(d, &k->task);
}

/* 0; negative errno. Afterwards the submission may be in good hands. */
static int look_into_store(Unknown *u)
{
        StoreReader *reader = u->resolver->outbox->options.reader;
        char task_id[CALLBACK_ID_MAX + 1];
        Known k = { 0 };
        int r;

        r = store_get_submission(reader, u->id, false, take_state, &k);
        if (r < 0)
                return r;
        if (r == 0 || !k.unknown) {
                unknown_forget(u); /* somebody else's: a callback accepted it */
                return 0;
        }
        r = store_find_task_of_submission(reader, u->id, task_id);
        if (r > 0)
                r = store_get_task(reader, task_id, take_task, &k);
        if (r > 0)
                r = unknown_accept(u, k.task);
        json_decref(k.task);
        return MIN(r, 0);
}

static int look_into_store_for_all(Resolver *r, uint64_t now)
{
        Unknown *next;
        int q;

        for (Unknown *u = r->unknown; u; u = next) {
                next = u->next;
                if (u->saving || u->settled_at > now)
                        continue;
                q = look_into_store(u);
                if (q < 0)
                        return q;
        }
        return 0;
}

/* When the next one settles; UINT64_MAX: never. */
static uint64_t next_settled(const Resolver *r)
{
        uint64_t at = UINT64_MAX;

        for (const Unknown *u = r->unknown; u; u = u->next)
                if (!u->saving)
                        at = MIN(at, u->settled_at);
        return at;
}

/* Whom no listing can tell about, because it was sent with the other kind of key, has a last day too. */
static void expire_uncovered(Resolver *r)
{
        for (Unknown *u = r->unknown; u; u = u->next)
                if (!u->saving && u->is_test != r->is_test && u->expires_at <= outbox_realtime(r->outbox))
                        unknown_expire(u, "nobody answered, and the key that it was sent with is gone");
}

int resolver_run(Resolver *r, const StoreQueue *queue)
{
        uint64_t now = outbox_monotonic(r->outbox), at;
        int q;

        q = scan(r, queue);
        if (q >= 0 && r->listing)
                listing_go_on(r, now);
        if (q < 0 || r->listing)
                return q;

        at = MAX(next_settled(r), r->list_at);
        if (at > now || !outbox_may_ask(r->outbox)) {
                if (at > now && at != UINT64_MAX)
                        outbox_wake_at(r->outbox, at);
                return 0;
        }
        q = look_into_store_for_all(r, now);
        if (q < 0)
                return q;
        if (!listing_begin(r, now) && r->n > 0)
                outbox_wake_at(r->outbox, now + LOOK_USEC);
        expire_uncovered(r);
        return 0;
}
