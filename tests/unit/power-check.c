/*
 * What must hold after a cut, asked of the database that the store's own code has just opened: it is whole,
 * what was promised is there byte for byte, everything that follows from the log follows from it still, and
 * every submission can go on.
 */

#include "power.h"

#include "store-rules.h"

/* Promises. */

static bool may_be_gone(const Power *p, const Act *a)
{
        if (a->may_be_gone)
                return true;
        FOREACH_ARRAY(b, p->acts + p->n_acts - p->n_group, p->n_group)
                if (act_is_old(a, *b))
                        return true;
        return false;
}

typedef struct Found {
        const Act *act;
        bool same, named;
} Found;

static int see_delivery(const StoredDelivery *d, void *userdata)
{
        Found *f = userdata;
        const StoreDelivery *sent = &f->act->delivery;

        f->same = d->body_size == sent->body_size && memcmp(d->body, sent->body, d->body_size) == 0;
        /* Where it only repeats another one, the row is that one's. */
        f->named = f->act->outcome.repeated ||
                   (streq_ptr(d->ref, sent->ref) && d->received_at == sent->received_at &&
                                   (d->verdict == f->act->outcome.verdict ||
                                                   d->verdict == VERDICT_DISCARDED) &&
                                   d->revision == f->act->outcome.revision &&
                                   (!sent->task_id || streq_ptr(d->task_id, sent->task_id)));
        return 0;
}

static bool check_delivery(Power *p, StoreReader *reader, const Act *a)
{
        Found f = { .act = a };
        int r;

        if (a->outcome.delivery == 0)
                return true; /* from a source that asks again and again, and told nothing new */
        r = store_get_delivery(reader, a->outcome.delivery, true, see_delivery, &f);
        if (r < 0)
                return power_broken(p, "delivery %llu can't be read: %s",
                                (unsigned long long)a->outcome.delivery, store_reader_error(reader));
        if (r == 0 && may_be_gone(p, a))
                return true;
        if (r == 0)
                return power_broken(p, "callback %u, acknowledged as delivery %llu, is lost", a->number,
                                (unsigned long long)a->outcome.delivery);
        if (!f.same || !f.named)
                return power_broken(p, "delivery %llu is not what was acknowledged as callback %u",
                                (unsigned long long)a->outcome.delivery, a->number);
        return true;
}

typedef struct Standing {
        SubmissionState state;
        char task_id[40];
        bool whole;
} Standing;

static int see_submission(const Submission *s, void *userdata)
{
        Standing *x = userdata;

        x->state = s->state;
        x->whole = s->params && s->params_size > 0;
        snprintf(x->task_id, sizeof(x->task_id), "%s", s->task_id ?: "");
        return 0;
}

static bool check_submission(Power *p, StoreReader *reader, const Act *a)
{
        Standing x = { 0 };
        int r;

        r = store_get_submission(reader, a->id, true, see_submission, &x);
        if (r < 0)
                return power_broken(p, "submission %s can't be read: %s", a->id, store_reader_error(reader));
        if (r == 0 || !x.whole)
                return power_broken(p, "submission %s, acknowledged by act %u, is lost", a->id, a->number);
        if (a->kind == ACT_ACCOUNT &&
                        (x.state != SUBMISSION_ACCEPTED || !streq(x.task_id, a->delivery.task_id)))
                return power_broken(p, "submission %s is %s and has task \"%s\", act %u gave it task %s",
                                a->id, submission_state_to_string(x.state), x.task_id, a->number,
                                a->delivery.task_id);
        return true;
}

static bool check_promises(Power *p, const char *path)
{
        _cleanup_(store_reader_closep) StoreReader *reader = NULL;
        _cleanup_free_ char *error = NULL;
        int r;

        r = store_reader_open(path, 0, &reader, &error);
        if (r < 0)
                return power_broken(p, "it can't be read: %s", error ?: strerror(-r));
        FOREACH_ARRAY(i, p->acts, p->n_acts) {
                const Act *a = *i;

                if (!a->acknowledged)
                        continue;
                if (a->kind == ACT_DELIVERY && !check_delivery(p, reader, a))
                        return false;
                if (a->kind == ACT_SUBMISSION && a->job.change.added.addition == STORE_ADDED &&
                                !check_submission(p, reader, a))
                        return false;
                if (a->kind == ACT_ACCOUNT && a->job.change.moved == 0 && !check_submission(p, reader, a))
                        return false;
        }
        return true;
}

/* The whole. */

static bool obeys(Power *p, sqlite3 *db)
{
        char why[512];

        return store_obeys_rules(db, why, sizeof(why)) || power_broken(p, "%s", why);
}

/* What was being sent is taken up, and the next callback is stored. */
static bool go_on(Power *p, Store *s)
{
        static const char body[] = "{\"after\":\"the cut\"}";
        const StoreDelivery d = {
                .received_at = T0,
                .body = body,
                .body_size = sizeof(body) - 1,
                .status = 200,
                .proposed = VERDICT_STORED,
                .task_id = "after-the-cut",
                .type = "annotation",
                .task_status = TASK_COMPLETED,
                .created_at = T0,
                .completed_at = T0,
                .due_at = TIME_NONE,
        };
        StoreOutcome o;
        uint64_t n;
        int r;

        r = store_begin(s);
        if (r >= 0)
                r = store_recover_submissions(s, T0, 0, 0, &n);
        if (r >= 0)
                r = store_record_delivery(s, &d, &o);
        if (r >= 0)
                r = store_commit(s);
        p->met->went_on++;
        return r >= 0 || power_broken(p, "it can't go on: %s", store_error(s));
}

bool power_check(Power *p, uint64_t *ret_digest)
{
        _cleanup_(store_closep) Store *s = NULL;
        _cleanup_free_ char *error = NULL;
        bool goes_on = pick(p, 8) == 0;
        sqlite3 *db = NULL;
        char path[128];
        bool ok;
        int r;

        snprintf(path, sizeof(path), "%s/scale.db", p->cut);
        r = store_open(path, STORE_RECEIVER, &s, &error);
        if (r < 0)
                return power_broken(p, "it can't be opened: %s", error ?: strerror(-r));
        assert_int_equal(sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL), SQLITE_OK);
        ok = check_promises(p, path) && obeys(p, db);
        if (ok)
                *ret_digest = store_digest(db);
        if (ok && goes_on)
                ok = go_on(p, s) && obeys(p, db);
        assert_int_equal(sqlite3_close(db), SQLITE_OK);
        return ok;
}
