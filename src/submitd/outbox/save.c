/*
 * Changes on their way to the disk. What was decided is kept in memory until it is stored, however often
 * that fails: a full disk must not make a task forgotten that costs money. Should the process end before,
 * the row is still `sending`, and the next one finds out.
 *
 * Only the beginning of a sending is given up when it can't be stored: nothing has left then.
 *
 * finished() is called from the loop, never from within save_submit().
 */

#include "submitd/outbox/internal.h"

#include <stdio.h>

#include "basic/log.h"
#include "daemon/message.h"

void save_init(Save *s, Outbox *o, const char *id, void (*finished)(Save *s, int result, void *userdata),
                void *userdata)
{
        *s = (Save){ .outbox = o, .finished = finished, .userdata = userdata };
        snprintf(s->id, sizeof(s->id), "%s", id);
}

void save_done(Save *s)
{
        free(s->answer);
        task_snapshot_free(s->snapshot);
        s->answer = NULL;
        s->snapshot = NULL;
}

/* On the writer's thread. */
static int move(Save *s, Store *store)
{
        int r;

        r = store_move_submission(store, s->id, &s->move);
        s->outcome = MAX(r, 0);
        if (r == 0 && s->live_by != 0)
                r = store_count_live(store, s->live_day, s->live_by);
        return MIN(r, 0);
}

/* What an earlier process left, or a copy that was put back. */
static int recover(Save *s, Store *store)
{
        const StoreMove *m = &s->move;
        uint64_t n;
        int r;

        s->copied_at = TIME_NONE;
        r = store_lift_account_hold(store, m->now);
        if (r >= 0)
                r = store_take_copied(store, &s->copied_at);
        if (r > 0) {
                int64_t at = s->copied_at > 0 ? MIN(s->copied_at, m->now) : m->now;

                r = store_doubt_submissions(store,
                                &(StoreDoubt){ m->now, at, m->ended_at, m->grace, m->is_test },
                                &s->n_doubted);
        }
        if (r >= 0)
                r = store_recover_submissions(store, m->now, m->ended_at, m->grace, &n);
        return MIN(r, 0);
}

static int run(CommitJob *job, Store *store)
{
        Save *s = container_of(job, Save, job);
        uint64_t n;
        int r = 0;

        s->outcome = 0;
        switch (s->kind) {
        case SAVE_MOVE:
                r = move(s, store);
                break;
        case SAVE_ACCEPT:
                r = store_accept_submission(store, s->id, &s->snapshot->delivery);
                s->outcome = MAX(r, 0);
                break;
        case SAVE_FORGET_CANCEL:
                r = store_forget_cancel(store, s->id, s->move.now);
                break;
        case SAVE_FLUSH:
                r = store_flush_submissions(store, s->move.now, &n);
                break;
        case SAVE_RECOVER:
                r = recover(s, store);
                break;
        case SAVE_HOLD:
        default:
                break;
        }
        if (r >= 0 && s->hold)
                r = store_hold_queue(store, QUEUE_HELD_ACCOUNT, s->error, s->move.now);
        return MIN(r, 0);
}

/* What an administrator should hear of a change, once it is stored. */
static void tell(const Save *s)
{
        static const struct {
                SubmissionState to;
                int level;
                const char *id, *what;
        } moves[] = {
                { SUBMISSION_REJECTED, LOG_WARNING, MESSAGE_SUBMISSION_REJECTED, "was refused by the API" },
                { SUBMISSION_EXPIRED, LOG_ERR, MESSAGE_SUBMISSION_EXPIRED, "was given up" },
                { SUBMISSION_UNKNOWN, LOG_NOTICE, MESSAGE_SUBMISSION_UNKNOWN,
                                "may have a task or not, which is looked for" },
        };

        if (s->hold)
                log_event(LOG_ERR, MESSAGE_QUEUE_HELD, LOG_FIELDS(LOG_TEXT("REASON", s->error)),
                                "The queue is held until `scalectl queue resume` or a reload: %s", s->error);
        if (s->kind == SAVE_ACCEPT && s->outcome == STORE_MOVED_ON)
                log_event(LOG_ERR, MESSAGE_SECOND_TASK,
                                LOG_FIELDS(LOG_TEXT("SUBMISSION", s->id),
                                                LOG_TEXT("TASK_ID", s->snapshot->delivery.task_id)),
                                "Submission %s has two tasks, one of them is %s: see that it is canceled.",
                                s->id, s->snapshot->delivery.task_id);
        if (s->kind != SAVE_MOVE || s->outcome != 0)
                return;
        FOREACH_ARRAY(m, moves, ELEMENTSOF(moves))
                if (m->to == s->move.to)
                        log_event(m->level, m->id,
                                        LOG_FIELDS(LOG_TEXT("SUBMISSION", s->id),
                                                        LOG_NUMBER("STATUS_CODE", s->move.status)),
                                        "Submission %s %s%s%s", s->id, m->what, *s->error ? ": " : ".",
                                        s->error);
}

static void finish(Save *s, int result)
{
        Outbox *o = s->outbox;

        o->n_saves--;
        o->n_holds -= s->hold;
        if (result == 0) {
                o->disk_failures = 0;
                tell(s);
        }
        if (s->finished)
                s->finished(s, result, s->userdata);
        outbox_changed(o);
}

static void put_off(Save *s, int result)
{
        Outbox *o = s->outbox;

        s->under_way = false;
        s->result = result;
        s->retry_at = outbox_monotonic(o) + backoff_local(s->failures);
        if (s->failures++ == 0 && !s->once)
                log_error_errno(result,
                                "Submission %s: what the API said can't be stored, it is tried again",
                                s->id[0] ? s->id : "n/a");
        if (result == -ENOTRECOVERABLE)
                o->fatal = true;
        if (result != -EAGAIN)
                o->disk_error = result;
        if (result != -EAGAIN && o->disk_at <= outbox_monotonic(o))
                o->disk_at = outbox_monotonic(o) + backoff_local(o->disk_failures++);
        s->next = o->waiting;
        o->waiting = s;
        outbox_changed(o);
}

static void done(CommitJob *job, int result)
{
        Save *s = container_of(job, Save, job);

        s->under_way = false;
        if (result < 0)
                put_off(s, result);
        else
                finish(s, 0);
}

static void hand_over(Save *s)
{
        Outbox *o = s->outbox;
        int r;

        s->job = (CommitJob){ .run = run, .done = done };
        s->under_way = true;
        r = o->fatal ? -ENOTRECOVERABLE : o->options.writer.submit(o->options.writer.userdata, &s->job);
        if (r < 0)
                put_off(s, r);
}

void save_submit(Save *s)
{
        s->move.error = s->error[0] ? s->error : NULL;
        s->move.answer = s->answer;
        s->failures = 0;
        s->outbox->n_saves++;
        s->outbox->n_holds += s->hold;
        hand_over(s);
}

void save_run_waiting(Outbox *o)
{
        Save *s = TAKE_PTR(o->waiting), *next;

        for (; s; s = next) {
                next = s->next;
                if (s->once || o->stopping || o->fatal)
                        finish(s, s->result);
                else if (s->retry_at <= outbox_monotonic(o))
                        hand_over(s);
                else {
                        s->next = o->waiting;
                        o->waiting = s;
                        outbox_wake_at(o, s->retry_at);
                }
        }
}
