/*
 * What the API says of a task is no callback, but it goes the same way: parsed, held against the rules,
 * recorded. What can't be recorded now is found by the next reconciliation, so a failure is a line in the
 * log and no more.
 */

#include "submitd/socket/keep.h"

#include "basic/log.h"
#include "basic/time-util.h"
#include "submitd/recover/intake.h"

typedef struct Keeping {
        void (*done)(void *userdata);
        void *userdata;
        size_t size;
        char body[];
} Keeping;

static void on_kept(const Receipt *receipt, void *userdata)
{
        _cleanup_free_ Keeping *k = userdata;

        if (receipt->status == 503)
                log_warning_errno(receipt->error, "What the API told of task %s could not be stored",
                                strna(receipt->task_id));
        else if (receipt->outcome.verdict == VERDICT_INVALID)
                intake_tell_invalid(receipt);
        if (k->done)
                k->done(k->userdata);
}

int keep_task(SubmitContext *c, const void *body, size_t size, void (*done)(void *userdata), void *userdata)
{
        _cleanup_free_ Keeping *k = NULL;
        int r;

        k = malloc(sizeof(Keeping) + size + 1);
        if (!k)
                return -ENOMEM;
        k->done = done;
        k->userdata = userdata;
        k->size = size;
        memcpy(k->body, body, size);

        r = receive(c->port, c->base.reader,
                        &(ReceiveInput){
                                        .body = k->body,
                                        .body_size = size,
                                        .source = SOURCE_RECONCILE,
                                        .started = now_monotonic(),
                                        .invalid_status = 422,
                        },
                        on_kept, k);
        if (r < 0)
                return r;
        TAKE_PTR(k);
        return 0;
}
