/*
 * Groups of changes, and how it stands with the store.
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

#include "store/sqlite/writer.h"

#include <inttypes.h>
#include <stdio.h>

#define ROUND_USEC USEC_PER_SEC            /* free space and files are looked at this often */
#define ROOM_MIN   (UINT64_C(1024) * 1024) /* bytes free without which a group is not even tried */

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
        if (s->state != STORE_FATAL && writer_check_files(s) == -EIDRM)
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

/* 0, or negative errno and why. */
static int check_room(const Store *s, char *why, size_t size)
{
        uint64_t free_bytes, wanted = store_min_free(s);
        int r;

        r = store_free_space(s->connection.path, &free_bytes);
        if (r < 0) {
                snprintf(why, size, "the free space beside %s can't be read: %s", s->connection.path,
                                strerror(-r));
                return r;
        }
        snprintf(why, size,
                        "%" PRIu64 " KiB are free beside the database, [store] min_free asks for %" PRIu64
                        " KiB",
                        free_bytes / 1024, wanted / 1024);
        return free_bytes >= wanted ? 0 : -ENOSPC;
}

/* A disk that failed is believed to take writes again when it has taken one: not whoever comes next tries it
 * out. */
static void look(Store *s)
{
        char why[256];
        int r;

        store_check(s);
        if (s->state == STORE_FATAL)
                return;
        r = check_room(s, why, sizeof(why));
        if (r < 0) {
                set_health(s, r, why);
                return;
        }
        if (s->state == STORE_WELL)
                return;
        r = writer_probe(s);
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
        r = checkpoint_tend(s);
        if (r == -ENOTRECOVERABLE)
                set_health(s, r, "a checkpoint could not be synced to the disk");
        else if (r == -EIDRM)
                set_health(s, r, store_error(s));
}

/* Groups. */

/* 0; 1: again, without the one that failed by itself; negative errno: all fail. */
static int try_group(Store *s, StoreChange *const *changes, size_t n)
{
        int r;

        r = store_begin(s);
        if (r < 0)
                return r;
        FOREACH_ARRAY(change, changes, n) {
                if ((*change)->result < 0)
                        continue;
                r = verbs[(*change)->kind](s, *change);
                if (r >= 0)
                        continue;
                store_rollback(s);
                if (s->connection.at_fault)
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
        int r = 0;

        FOREACH_ARRAY(change, changes, n)
                (*change)->result = 0;
        if (s->state != STORE_WELL)
                r = s->failure;
        else {
                while (n_left > 0 && (r = try_group(s, changes, n)) > 0)
                        n_left--;
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
