/*
 * The names that the outside sees. The numbers behind them are in every database, so they are frozen here:
 * a new member goes to the end.
 */

#include "store/outbox.h"

_Static_assert(VERDICT_STORED == 0 && VERDICT_DUPLICATE == 1 && VERDICT_REVISED == 2 &&
                                VERDICT_INVALID == 3 && VERDICT_ATTACHMENT_FAILURE == 4 &&
                                VERDICT_DISCARDED == 5,
                "verdicts are kept in databases by number");
_Static_assert(SOURCE_CALLBACK == 0 && SOURCE_RECONCILE == 1 && SOURCE_BACKFILL == 2 && SOURCE_RETRY == 3,
                "sources are kept in databases by number");
_Static_assert(EVENT_TASK_SUBMITTED == 0 && EVENT_TASK_COMPLETED == 1 && EVENT_TASK_REVISED == 2 &&
                                EVENT_TASK_CANCELED == 3 && EVENT_ATTACHMENT_FAILED == 4 &&
                                EVENT_DELIVERY_INVALID == 5 && EVENT_SUBMISSION_REJECTED == 6 &&
                                EVENT_SUBMISSION_EXPIRED == 7 && EVENT_QUEUE_HELD == 8 &&
                                EVENT_QUEUE_RESUMED == 9,
                "kinds of events are kept in databases by number");
_Static_assert(TASK_PENDING == 0 && TASK_COMPLETED == 1 && TASK_CANCELED == 2 && TASK_ERROR == 3,
                "states of tasks are kept in databases by number");
_Static_assert(SUBMISSION_QUEUED == 0 && SUBMISSION_SENDING == 1 && SUBMISSION_UNKNOWN == 2 &&
                                SUBMISSION_ACCEPTED == 3 && SUBMISSION_REJECTED == 4 &&
                                SUBMISSION_CANCELED == 5 && SUBMISSION_EXPIRED == 6,
                "states of submissions are kept in databases by number");
_Static_assert(QUEUE_RUNNING == 0 && QUEUE_HELD == 1 && QUEUE_HELD_ACCOUNT == 2,
                "holds are kept in databases by number");

static const char *const verdict_table[_VERDICT_MAX] = {
        [VERDICT_STORED] = "stored",
        [VERDICT_DUPLICATE] = "duplicate",
        [VERDICT_REVISED] = "revised",
        [VERDICT_INVALID] = "invalid",
        [VERDICT_ATTACHMENT_FAILURE] = "attachment_failure",
        [VERDICT_DISCARDED] = "discarded",
};
DEFINE_STRING_TABLE(verdict, Verdict, _VERDICT_MAX)

static const char *const source_table[_SOURCE_MAX] = {
        [SOURCE_CALLBACK] = "callback",
        [SOURCE_RECONCILE] = "reconcile",
        [SOURCE_BACKFILL] = "backfill",
        [SOURCE_RETRY] = "retry",
};
DEFINE_STRING_TABLE(source, Source, _SOURCE_MAX)

static const char *const event_kind_table[_EVENT_KIND_MAX] = {
        [EVENT_TASK_SUBMITTED] = "task.submitted",
        [EVENT_TASK_COMPLETED] = "task.completed",
        [EVENT_TASK_REVISED] = "task.revised",
        [EVENT_TASK_CANCELED] = "task.canceled",
        [EVENT_ATTACHMENT_FAILED] = "attachment.failed",
        [EVENT_DELIVERY_INVALID] = "delivery.invalid",
        [EVENT_SUBMISSION_REJECTED] = "submission.rejected",
        [EVENT_SUBMISSION_EXPIRED] = "submission.expired",
        [EVENT_QUEUE_HELD] = "queue.held",
        [EVENT_QUEUE_RESUMED] = "queue.resumed",
};
DEFINE_STRING_TABLE(event_kind, EventKind, _EVENT_KIND_MAX)

static const char *const submission_state_table[_SUBMISSION_STATE_MAX] = {
        [SUBMISSION_QUEUED] = "queued",
        [SUBMISSION_SENDING] = "sending",
        [SUBMISSION_UNKNOWN] = "unknown",
        [SUBMISSION_ACCEPTED] = "accepted",
        [SUBMISSION_REJECTED] = "rejected",
        [SUBMISSION_CANCELED] = "canceled",
        [SUBMISSION_EXPIRED] = "expired",
};
DEFINE_STRING_TABLE(submission_state, SubmissionState, _SUBMISSION_STATE_MAX)

static const char *const queue_hold_table[_QUEUE_HOLD_MAX] = {
        [QUEUE_RUNNING] = "running",
        [QUEUE_HELD] = "held",
        [QUEUE_HELD_ACCOUNT] = "held_account",
};
DEFINE_STRING_TABLE(queue_hold, QueueHold, _QUEUE_HOLD_MAX)

bool submission_id_is_valid(const char *s)
{
        return s && strlen(s) == SUBMISSION_ID_SIZE - 1 &&
               strspn(s, "0123456789abcdef") == SUBMISSION_ID_SIZE - 1;
}
