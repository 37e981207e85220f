/*
 * The store as everybody sees it: groups of changes, how it stands, and which driver has what is asked for.
 *
 * A group is one transaction. A change that fails by itself is taken out, and the rest is done again from
 * the beginning; every round takes one out, so it ends. When the disk or the database is at fault, all of
 * the group fail, and nothing of it is kept.
 *
 * Whether there is a point in writing is looked at once a round, and after a group that failed:
 *
 * - without room nothing is tried, and it goes on when there is room.
 * - after any failure it is the store itself that tries whether it goes on, by a write of no consequence:
 * whoever asks is not told that all is well before it is.
 * - after a failed sync, and when the files are no longer those that were opened, it ends.
 */

#include <stdio.h>

#include "basic/parse.h"
#include "store/driver.h"

#define ROUND_USEC USEC_PER_SEC            /* how often it is looked whether there is a point in writing */
#define ROOM_MIN   (UINT64_C(1024) * 1024) /* bytes free without which a group is not even tried */
#define REDO_MAX   3U                      /* how often a group is done again as it was */

/* Changes. */

static int do_nothing(_unused_ Store *s, _unused_ StoreChange *change)
{
        return 0;
}

static int keep_delivery(Store *s, StoreChange *change)
{
        return store_record_delivery(s, change->delivery, &change->outcome);
}

static int discard(Store *s, StoreChange *change)
{
        return store_discard_delivery(s, change->number);
}

static int prune(Store *s, StoreChange *change)
{
        const StorePruning *pruning = &change->pruning;
        StorePruned *pruned = &change->pruned;
        int r = 0;

        *pruned = (StorePruned){ .upto = pruning->upto, .next = pruning->after };
        if (pruning->begins)
                r = store_count_time(s, now_monotonic(), now_realtime(), &pruned->time);
        if (r >= 0 && pruning->begins)
                r = store_find_older(s, pruning->age, &pruned->upto);
        if (r < 0)
                return r;
        return store_prune_deliveries(
                        s, &pruned->next, pruned->upto, pruning->limit, &pruned->deleted, &pruned->more);
}

static int add_submission(Store *s, StoreChange *change)
{
        return store_add_submission(s, change->submission, &change->added.addition, change->added.id);
}

static int hold_with(Store *s, const StoreChange *change)
{
        if (!change->reason)
                return 0;
        return store_hold_queue(s, QUEUE_HELD_ACCOUNT, change->reason, change->now);
}

static int move(Store *s, StoreChange *change)
{
        int r;

        r = change->moved = store_move_submission(s, change->id, change->move);
        if (r == 0 && change->move->live_by != 0)
                r = store_count_live(s, change->move->live_day, change->move->live_by);
        return r < 0 ? r : hold_with(s, change);
}

static int accept(Store *s, StoreChange *change)
{
        change->moved = store_accept_submission(s, change->id, change->delivery);
        return change->moved < 0 ? change->moved : hold_with(s, change);
}

static int want_cancel(Store *s, StoreChange *change)
{
        change->moved = store_want_cancel(s, change->id, change->from, change->now);
        return change->moved;
}

static int forget_cancel(Store *s, StoreChange *change)
{
        change->moved = store_forget_cancel(s, change->id, change->now);
        return change->moved;
}

static int flush(Store *s, StoreChange *change)
{
        return store_flush_submissions(s, change->now, &change->flushed);
}

static int hold(Store *s, StoreChange *change)
{
        return store_hold_queue(s, change->hold, change->reason, change->now);
}

static int lift_hold(Store *s, StoreChange *change)
{
        return store_lift_account_hold(s, change->now);
}

/* What an earlier process left, or a copy that was put back. */
static int recover(Store *s, StoreChange *change)
{
        const StoreRecovery *recovery = &change->recovery;
        StoreRecovered *recovered = &change->recovered;
        StoreDoubt doubt = { change->now, change->now, recovery->ended_at, recovery->grace,
                recovery->is_test };
        uint64_t n;
        int r;

        *recovered = (StoreRecovered){ .copied_at = TIME_NONE };
        r = store_lift_account_hold(s, change->now);
        if (r >= 0)
                r = store_take_copied(s, &recovered->copied_at);
        if (r > 0) {
                if (recovered->copied_at > 0)
                        doubt.at = MIN(recovered->copied_at, change->now);
                r = store_doubt_submissions(s, &doubt, &recovered->n_doubted);
        }
        if (r >= 0)
                r = store_recover_submissions(s, change->now, recovery->ended_at, recovery->grace, &n);
        return r;
}

static int (*const verbs[_STORE_CHANGE_KIND_MAX])(Store *s, StoreChange *change) = {
        [STORE_NOTHING] = do_nothing,
        [STORE_DELIVERY] = keep_delivery,
        [STORE_DISCARD] = discard,
        [STORE_PRUNE] = prune,
        [STORE_SUBMISSION] = add_submission,
        [STORE_MOVE] = move,
        [STORE_ACCEPT] = accept,
        [STORE_WANT_CANCEL] = want_cancel,
        [STORE_FORGET_CANCEL] = forget_cancel,
        [STORE_FLUSH] = flush,
        [STORE_HOLD] = hold,
        [STORE_LIFT_HOLD] = lift_hold,
        [STORE_RECOVER] = recover,
};

/* Opening. */

int store_open_with(const StoreDriver *driver, const char *location, StoreRole role, Store **ret,
                char **ret_error)
{
        *ret_error = NULL;
        return driver->open(location, role, ret, ret_error);
}

int store_open(const char *location, StoreRole role, Store **ret, char **ret_error)
{
        return store_open_with(&sqlite_driver, location, role, ret, ret_error);
}

Store *store_close(Store *s)
{
        return s ? s->driver->close(s) : NULL;
}

const char *store_error(const Store *s)
{
        return s->driver->error(s);
}

uint64_t store_last_event(const Store *s)
{
        return s->last_event;
}

StoreCounts store_counts(const Store *s)
{
        StoreCounts counts = {};

        s->driver->count(s, &counts);
        return counts;
}

/* How it stands. */

static void set_health(Store *s, int error, const char *reason)
{
        if (s->state == STORE_FATAL)
                return;
        s->state = error >= 0                                     ? STORE_WELL
                   : error == -ENOTRECOVERABLE || error == -EIDRM ? STORE_FATAL
                                                                  : STORE_WAITING;
        s->failure = error;
        snprintf(s->reason, sizeof(s->reason), "%s", reason);
}

StoreHealth store_health(const Store *s)
{
        return (StoreHealth){ .state = s->state, .error = s->failure, .reason = s->reason };
}

static void note_failure(Store *s, int error)
{
        set_health(s, error, error == -ENOSPC ? "no room on the disk" : store_error(s));
        s->checked = now_monotonic(); /* the next try is a round away */
}

void store_check(Store *s)
{
        if (s->state != STORE_FATAL && s->driver->check(s) == -EIDRM)
                set_health(s, -EIDRM, store_error(s));
}

void store_set_min_free(Store *s, uint64_t min_free)
{
        atomic_store(&s->min_free, min_free);
}

uint64_t store_min_free(const Store *s)
{
        return MAX(atomic_load(&s->min_free), ROOM_MIN);
}

/* A disk that failed is believed to take writes again when it has taken one: not whoever comes next tries it
 * out. */
static void look(Store *s)
{
        int r;

        r = s->driver->check(s);
        if (r < 0) {
                set_health(s, r, store_error(s));
                return;
        }
        if (s->state == STORE_WELL)
                return;
        r = s->driver->probe(s);
        if (r < 0)
                note_failure(s, r);
        else
                set_health(s, 0, "");
}

void store_tend(Store *s)
{
        uint64_t now = now_monotonic();
        int r;

        if (s->state == STORE_FATAL)
                return;
        if (s->checked == 0 || now - s->checked >= ROUND_USEC) {
                s->checked = now;
                look(s);
        }
        if (s->state == STORE_FATAL)
                return;
        r = s->driver->tend(s);
        if (r < 0)
                set_health(s, r, store_error(s));
}

/* Groups. */

static int begin(Store *s, StoreChange *const *changes, size_t n)
{
        int r;

        assert(!s->in_group);
        r = s->driver->begin(s, changes, n);
        s->in_group = r >= 0;
        return r;
}

int store_begin(Store *s)
{
        return begin(s, NULL, 0);
}

int store_commit(Store *s)
{
        int r;

        assert(s->in_group);
        r = s->driver->commit(s);
        if (r < 0)
                return r;
        s->last_event = (uint64_t)s->event;
        s->in_group = false;
        return 0;
}

void store_rollback(Store *s)
{
        s->driver->rollback(s);
        s->in_group = false;
}

/* 0; 1: again, without the one that failed by itself; negative errno: all fail. */
static int try_group(Store *s, StoreChange *const *changes, size_t n)
{
        int r;

        r = begin(s, changes, n);
        if (r < 0)
                return r;
        FOREACH_ARRAY(change, changes, n) {
                if ((*change)->result < 0)
                        continue;
                r = verbs[(*change)->kind](s, *change);
                if (r >= 0)
                        continue;
                store_rollback(s);
                if (s->driver->at_fault(s))
                        return r;
                (*change)->result = r;
                return 1;
        }
        r = store_commit(s);
        if (r < 0)
                store_rollback(s);
        return r;
}

int store_write(Store *s, StoreChange *const *changes, size_t n)
{
        size_t n_left = n;
        unsigned redone = 0;
        int r = 0;

        FOREACH_ARRAY(change, changes, n)
                (*change)->result = 0;
        if (s->state != STORE_WELL) /* of these it is known that they are not kept */
                r = s->failure == -EINPROGRESS ? -EBUSY : s->failure;
        else {
                while (n_left > 0) {
                        r = try_group(s, changes, n);
                        if (r > 0)
                                n_left--;
                        else if (r != -EAGAIN || ++redone > REDO_MAX)
                                break;
                }
                r = r == -EAGAIN ? -EBUSY : MIN(r, 0);
                if (r < 0)
                        note_failure(s, r);
        }
        if (r >= 0)
                return 0;
        FOREACH_ARRAY(change, changes, n)
                if ((*change)->result == 0)
                        (*change)->result = r;
        return r;
}

/* Reading. */

int store_reader_open(const char *location, uint64_t time_limit, StoreReader **ret, char **ret_error)
{
        *ret_error = NULL;
        return sqlite_driver.reading->open(location, time_limit, ret, ret_error);
}

StoreReader *store_reader_close(StoreReader *r)
{
        return r ? r->reading->close(r) : NULL;
}

const char *store_reader_error(const StoreReader *r)
{
        return r->reading->error(r);
}

void store_reader_interrupt(StoreReader *r)
{
        r->reading->interrupt(r);
}

int store_reader_changed(StoreReader *r)
{
        return r->reading->changed(r);
}

int store_get_stats(StoreReader *r, StoreStats *ret)
{
        return r->reading->get_stats(r, ret);
}

int store_get_task(StoreReader *r, const char *task_id, StoreTaskFn fn, void *userdata)
{
        return r->reading->get_task(r, task_id, fn, userdata);
}

int store_list_tasks(StoreReader *r, const TaskFilter *filter, StoreTaskFn fn, void *userdata, TaskPage *ret)
{
        return r->reading->list_tasks(r, filter, fn, userdata, ret);
}

int store_list_revisions(StoreReader *r, const char *task_id, unsigned after, unsigned limit,
                StoreRevisionFn fn, void *userdata)
{
        return r->reading->list_revisions(r, task_id, after, limit, fn, userdata);
}

int store_list_deliveries(StoreReader *r, Verdict verdict, const char *task_id, uint64_t after,
                unsigned limit, StoreDeliveryFn fn, void *userdata)
{
        return r->reading->list_deliveries(r, verdict, task_id, after, limit, fn, userdata);
}

int store_list_deliveries_back(StoreReader *r, Verdict verdict, const char *task_id, uint64_t before,
                unsigned limit, StoreDeliveryFn fn, void *userdata)
{
        return r->reading->list_deliveries_back(r, verdict, task_id, before, limit, fn, userdata);
}

int store_get_delivery(StoreReader *r, uint64_t n, bool with_body, StoreDeliveryFn fn, void *userdata)
{
        return r->reading->get_delivery(r, n, with_body, fn, userdata);
}

int store_list_events(StoreReader *r, uint64_t after, unsigned limit, bool with_task, StoreEventFn fn,
                void *userdata)
{
        return r->reading->list_events(r, after, limit, with_task, fn, userdata);
}

int store_get_event_time(StoreReader *r, uint64_t seq, int64_t *ret)
{
        return r->reading->get_event_time(r, seq, ret);
}

int store_get_submission(
                StoreReader *r, const char *id, bool with_params, StoreSubmissionFn fn, void *userdata)
{
        return r->reading->get_submission(r, id, with_params, fn, userdata);
}

int store_list_submissions(StoreReader *r, SubmissionState state, uint64_t after, unsigned limit,
                StoreSubmissionFn fn, void *userdata)
{
        return r->reading->list_submissions(r, state, after, limit, fn, userdata);
}

int store_list_submissions_back(StoreReader *r, SubmissionState state, uint64_t before, unsigned limit,
                StoreSubmissionFn fn, void *userdata)
{
        return r->reading->list_submissions_back(r, state, before, limit, fn, userdata);
}

int store_list_due(StoreReader *r, SubmissionState state, int64_t now, unsigned limit, StoreSubmissionFn fn,
                void *userdata)
{
        return r->reading->list_due(r, state, now, limit, fn, userdata);
}

int store_get_next_due(StoreReader *r, SubmissionState state, int64_t *ret)
{
        return r->reading->get_next_due(r, state, ret);
}

int store_list_cancel_wanted(
                StoreReader *r, uint64_t after, unsigned limit, StoreSubmissionFn fn, void *userdata)
{
        return r->reading->list_cancel_wanted(r, after, limit, fn, userdata);
}

int store_get_queue(StoreReader *r, int64_t now, StoreQueue *ret)
{
        return r->reading->get_queue(r, now, ret);
}

int store_find_task_of_submission(
                StoreReader *r, const char *id, char ret_task_id[static CALLBACK_ID_MAX + 1])
{
        return r->reading->find_task_of_submission(r, id, ret_task_id);
}

int store_list_pending_tasks(StoreReader *r, int64_t due_before, int64_t after_due, uint64_t after_id,
                unsigned limit, StorePendingFn fn, void *userdata)
{
        return r->reading->list_pending_tasks(r, due_before, after_due, after_id, limit, fn, userdata);
}
