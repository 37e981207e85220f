/*
 * Changes on their way to the disk. What was decided is kept in memory until it is stored, however often
 * that fails: a full disk must not make a task forgotten that costs money. Should the process end before,
 * the row is still `sending`, and the next one finds out.
 *
 * Only the beginning of a sending is given up when it can't be stored: nothing has left then.
 *
 * finished() is called from the loop, never from within save_submit().
 */

#include "submitd/outbox/save.h"

#include <stdio.h>

#include "basic/log.h"
#include "daemon/message.h"

void save_done(Save *save)
{
        free(save->answer);
        task_snapshot_free(save->snapshot);
        save->answer = NULL;
        save->snapshot = NULL;
}

/* What an administrator should hear of a change, once it is stored. */
static void save_tell(const Save *save)
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

        if (save->hold)
                log_event(LOG_ERR, MESSAGE_QUEUE_HELD, LOG_FIELDS(LOG_TEXT("REASON", save->error)),
                                "The queue is held until `scalectl queue resume` or a reload: %s",
                                save->error);
        if (save->job.change.kind == STORE_ACCEPT && save->job.change.moved == STORE_MOVED_ON)
                log_event(LOG_ERR, MESSAGE_SECOND_TASK,
                                LOG_FIELDS(LOG_TEXT("SUBMISSION", save->id),
                                                LOG_TEXT("TASK_ID", save->snapshot->delivery.task_id)),
                                "Submission %s has two tasks, one of them is %s: see that it is canceled.",
                                save->id, save->snapshot->delivery.task_id);
        if (save->job.change.kind != STORE_MOVE || save->job.change.moved != 0)
                return;
        FOREACH_ARRAY(told, moves, ELEMENTSOF(moves))
                if (told->to == save->move.to)
                        log_event(told->level, told->id,
                                        LOG_FIELDS(LOG_TEXT("SUBMISSION", save->id),
                                                        LOG_NUMBER("STATUS_CODE", save->move.status)),
                                        "Submission %s %s%s%s", save->id, told->what,
                                        *save->error ? ": " : ".", save->error);
}

static void save_finish(Save *save, int result)
{
        Outbox *outbox = save->outbox;

        outbox->n_saves--;
        outbox->n_holds -= save->hold;
        if (result == 0) {
                outbox->disk_failures = 0;
                save_tell(save);
        }
        if (save->finished)
                save->finished(save, result, save->userdata);
        outbox_changed(outbox);
}

static void save_put_off(Save *save, int result)
{
        Outbox *outbox = save->outbox;

        save->result = result;
        save->retry_at = outbox_monotonic(outbox) + backoff_local(save->failures);
        if (save->failures++ == 0 && !save->once)
                log_error_errno(result,
                                "Submission %s: what the API said can't be stored, it is tried again",
                                save->id[0] ? save->id : "n/a");
        if (result == -ENOTRECOVERABLE)
                outbox->fatal = true;
        if (result != -EAGAIN)
                outbox->disk_error = result;
        if (result != -EAGAIN && outbox->disk_at <= outbox_monotonic(outbox))
                outbox->disk_at = outbox_monotonic(outbox) + backoff_local(outbox->disk_failures++);
        LIST_INSERT_HEAD(&outbox->waiting, save, entry);
        outbox_changed(outbox);
}

static void on_committed(CommitJob *job, int result)
{
        Save *save = container_of(job, Save, job);

        if (result < 0)
                save_put_off(save, result);
        else
                save_finish(save, 0);
}

void save_init(Save *save, Outbox *outbox, StoreChangeKind kind, const char *id,
                void (*finished)(Save *save, int result, void *userdata), void *userdata)
{
        *save = (Save){
                .job = { .change = { .kind = kind, .now = outbox_realtime(outbox) }, .done = on_committed },
                .outbox = outbox,
                .finished = finished,
                .userdata = userdata,
        };
        save->job.change.id = save->id;
        snprintf(save->id, sizeof(save->id), "%s", id);
}

static void save_hand_over(Save *save)
{
        Outbox *outbox = save->outbox;
        int r;

        r = outbox->fatal ? -ENOTRECOVERABLE
                          : outbox->options.writer.submit(outbox->options.writer.userdata, &save->job);
        if (r < 0)
                save_put_off(save, r);
}

void save_submit(Save *save)
{
        StoreChange *change = &save->job.change;

        save->move.error = save->error[0] ? save->error : NULL;
        save->move.answer = save->answer;
        if (change->kind == STORE_MOVE)
                change->move = &save->move;
        else if (change->kind == STORE_ACCEPT)
                change->delivery = &save->snapshot->delivery;
        if (save->hold)
                change->reason = save->error;
        save->failures = 0;
        save->outbox->n_saves++;
        save->outbox->n_holds += save->hold;
        save_hand_over(save);
}

void save_hold(Outbox *outbox, const char *reason)
{
        if (outbox->n_holds > 0)
                return; /* another answer said so just before */
        save_init(&outbox->hold, outbox, STORE_HOLD, "", NULL, NULL);
        outbox->hold.job.change.hold = QUEUE_HELD_ACCOUNT;
        outbox->hold.hold = true;
        snprintf(outbox->hold.error, sizeof(outbox->hold.error), "%s", reason);
        save_submit(&outbox->hold);
}

void save_run_waiting(Outbox *outbox)
{
        Save *next;

        for (Save *save = LIST_FIRST(&outbox->waiting); save; save = next) {
                bool over = save->once || outbox->stopping || outbox->fatal;

                next = LIST_NEXT(save, entry);
                if (!over && save->retry_at > outbox_monotonic(outbox)) {
                        outbox_wake_at(outbox, save->retry_at);
                        continue;
                }
                LIST_REMOVE(save, entry);
                if (over)
                        save_finish(save, save->result);
                else
                        save_hand_over(save);
        }
}
