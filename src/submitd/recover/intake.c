/*
 * A task that was asked for is made into the body of the callback that should have brought it, and goes
 * where callbacks go: the same checks, the same log, the same rule for what is new. So whichever comes
 * first, a callback or the answer to a question, the other one finds its response known.
 */

#include "submitd/recover/intake.h"

#include <inttypes.h>

#include "basic/log.h"
#include "basic/time-util.h"
#include "daemon/message.h"
#include "store/outbox.h"
#include "submitd/api/answer.h"
#include "task/callback.h"

#define BODY_MAX (64U << 20) /* an answer is bounded by less, and compact JSON adds little */

/* What lives until the delivery is on disk. */
typedef struct Taking {
        Buffer body;
        char submission[SUBMISSION_ID_SIZE];
        void (*done)(const Receipt *receipt, void *userdata);
        void *userdata;
} Taking;

static Taking *taking_free(Taking *t)
{
        if (!t)
                return NULL;
        buffer_done(&t->body);
        free(t);
        return NULL;
}
DEFINE_CLEANUP(Taking *, taking_free)

void intake_tell_invalid(const Receipt *receipt)
{
        log_event(LOG_WARNING, MESSAGE_DELIVERY_INVALID,
                        LOG_FIELDS(LOG_NUMBER("DELIVERY", receipt->outcome.delivery),
                                        LOG_TEXT("TASK_ID", receipt->task_id),
                                        LOG_TEXT("TASK_TYPE", receipt->type),
                                        LOG_TEXT("VERDICT", verdict_to_string(receipt->outcome.verdict))),
                        "What the API told of task %s is not valid, and is in the quarantine as delivery "
                        "%" PRIu64 ".",
                        strna(receipt->task_id), receipt->outcome.delivery);
}

static void finish(const Receipt *receipt, void *userdata)
{
        _cleanup_(taking_freep) Taking *t = userdata;

        t->done(receipt, t->userdata);
}

/* Metadata is anybody's: what doesn't look like an id of ours is none. */
static bool is_submission_id(const char *s)
{
        return s && strlen(s) == SUBMISSION_ID_SIZE - 1 && strspn(s, "0123456789abcdef") == strlen(s);
}

/* Hands over the body. Takes `t` on success. */
static int hand_over(const Intake *in, Taking *t, Source source)
{
        const ReceiveInput input = {
                .body = t->body.data,
                .body_size = t->body.size,
                .source = source,
                .ref = *t->submission ? t->submission : NULL,
                .started = now_monotonic(),
                .strict = in->strict,
                .invalid_status = 422,
        };

        return receive(in->port, in->reader, &input, finish, t);
}

static Taking *taking_new(void (*done)(const Receipt *receipt, void *userdata), void *userdata)
{
        Taking *t = calloc(1, sizeof(Taking));

        if (t)
                *t = (Taking){ .body = BUFFER_INIT(BODY_MAX), .done = done, .userdata = userdata };
        return t;
}

int intake_take(const Intake *in, const json_t *task, Source source, const char *submission,
                void (*done)(const Receipt *receipt, void *userdata), void *userdata)
{
        _cleanup_(taking_freep) Taking *t = taking_new(done, userdata);
        int r;

        if (!t)
                return -ENOMEM;
        r = callback_body_from_task(task, &t->body);
        if (r < 0)
                return r;
        if (!submission)
                submission = outcome_task_submission(task);
        if (is_submission_id(submission))
                memcpy(t->submission, submission, SUBMISSION_ID_SIZE);

        r = hand_over(in, t, source);
        if (r < 0)
                return r;
        t = NULL; /* finish() frees it */
        return 0;
}

int intake_take_unreadable(const Intake *in, const void *bytes, size_t size, Source source,
                void (*done)(const Receipt *receipt, void *userdata), void *userdata)
{
        _cleanup_(taking_freep) Taking *t = taking_new(done, userdata);
        int r;

        if (!t)
                return -ENOMEM;
        r = buffer_append(&t->body, bytes, size);
        if (r >= 0)
                r = hand_over(in, t, source);
        if (r < 0)
                return r;
        t = NULL; /* finish() frees it */
        return 0;
}

bool intake_failed_alone(int error)
{
        return error == -EMSGSIZE || error == -ENOBUFS || error == -EUCLEAN;
}
