#pragma once

/* What changes are made of. */

#include "store/change.h"

/* A group: begin, any number of verbs, commit. After a failed verb the group must be rolled back: nothing of
 * it is kept. store_commit() returns 0 only when everything is synced to the disk. */
int store_begin(Store *s);
int store_commit(Store *s);
void store_rollback(Store *s);

/* Within a group. Keeps the delivery and what follows from it: task, revision, event, counters. The same
 * bytes again are only counted: the outcome is then a duplicate, or invalid for what is in the quarantine.
 * From a source that asks again and again (reconcile, backfill) a duplicate leaves no row and is not
 * counted. Where it proves that a submission has the task, the outbox knows that from here on. With
 * `retry_of` (never for an invalid one): takes that delivery out of the quarantine; -ENOENT and -EINVAL as
 * store_discard_delivery(). */
int store_record_delivery(Store *s, const StoreDelivery *d, StoreOutcome *ret);

/* Within a group. Takes a quarantined delivery out of the quarantine. 0, -ENOENT: no such delivery,
 * -EINVAL: not in the quarantine. */
int store_discard_delivery(Store *s, uint64_t n);

/* Within a group. Goes on counting, from `monotonic` to `monotonic`, and notes which deliveries are there.
 * Several processes may do so: none counts what another has counted. 0. */
int store_count_time(Store *s, uint64_t monotonic, int64_t realtime, StoreTime *ret);

/* Within a group, after store_count_time(): the newest delivery that is certain to be as old as `age`; 0:
 * none is known to be. *ret_n is for store_prune_deliveries(). 0. */
int store_find_older(Store *s, uint64_t age, uint64_t *ret_n);

/* Within a group. Looks at `limit` deliveries at most, those with numbers behind *after (0 to
 * begin with; then where this left off) up to `upto`, and deletes those on which nothing stands any
 * more: neither a task's document nor a revision, nor the newest of all. Submissions are never pruned.
 * *ret_more: there may be more. */
int store_prune_deliveries(Store *s, uint64_t *after, uint64_t upto, unsigned limit, uint64_t *ret_deleted,
                bool *ret_more);

/* Within a group. Whether the database was turned back: it is a copy that somebody made before, and what was
 * done since (tasks sent, above all) is not in it. 1: yes, and that was seen to once this group is
 * committed: it isn't said again; *ret_at: when the copy was made, as far as that is known. 0: no. */
int store_take_copied(Store *s, int64_t *ret_at);

/* Within a group. *ret_id: the submission that this is, or that the key belongs to. 0. */
int store_add_submission(Store *s, const StoreSubmission *n, StoreAddition *ret,
                char ret_id[static SUBMISSION_ID_SIZE]);

/* Within a group. Makes the events that follow (submission.rejected, submission.expired). Neither to nor
 * from `accepted`, which is final. next_at is only kept for queued and unknown; whoever comes to an end
 * isn't to be canceled any more. 0, STORE_MOVED_ON, STORE_UNKNOWN. */
int store_move_submission(Store *s, const char *id, const StoreMove *m);

/* Within a group. The API has a task for it, whatever state it is in: `snapshot` describes it (its body has
 * a `task` and is kept as the task's document until a delivery brings another). The task is made if it isn't
 * known; one that has come to its end stays as it is, a pending one that has by this snapshot changes.
 * Without its response nothing is completed: such a task is pending, and due at once. Events:
 * task.submitted, then what else follows. Nothing happens when it is accepted with that task already. 0,
 * STORE_UNKNOWN; STORE_MOVED_ON: it has another task (a second one was made: say so). */
int store_accept_submission(Store *s, const char *id, const StoreDelivery *snapshot);

/* Within a group. Remembers that it is to be canceled as soon as that can be done. From the states `from`.
 * 0, STORE_MOVED_ON (also where its task has come to its end), STORE_UNKNOWN. */
int store_want_cancel(Store *s, const char *id, unsigned from, int64_t now);

/* Within a group. No longer: it was canceled, or can't be. The end of its task does the same. 0,
 * STORE_UNKNOWN. */
int store_forget_cancel(Store *s, const char *id, int64_t now);

/* Within a group. All of state queued or unknown: to be looked at now. */
int store_flush_submissions(Store *s, int64_t now, uint64_t *ret_n);

/* Within a group, once, when the process starts: what was `sending` when the last one ended is `unknown`.
 * Its request may have left until `ended_at`, which is now by the clock of Submission.ended_at; `grace` is
 * for those of which it isn't known. */
int store_recover_submissions(Store *s, int64_t now, int64_t ended_at, int64_t grace, uint64_t *ret_n);

/* Within a group, before that, where the database was turned back (see store_take_copied()) to `at`: what
 * was queued then may have been sent since, so that it is `unknown`, and what had come to an end may have
 * been tried again, which a retry finds out. `is_test`: of the key that it may have been sent with. The rest
 * as above; *ret_n: how many were queued. */
typedef struct StoreDoubt {
        int64_t now, at, ended_at, grace;
        bool is_test;
} StoreDoubt;
int store_doubt_submissions(Store *s, const StoreDoubt *d, uint64_t *ret_n);

/* Within a group. Holds the whole queue, or resumes it; an event where that changes anything.
 * An administrator's hold stays what it is when an answer would hold the queue as well. The same hold again
 * only changes the reason, and is no event. `reason` is cut to what QUEUE_REASON_MAX allows; NULL: none. */
int store_hold_queue(Store *s, QueueHold hold, const char *reason, int64_t now);

/* Within a group. Resumes the queue where an answer about the account held it, else does nothing. */
int store_lift_account_hold(Store *s, int64_t now);

/* Within a group. Counts tasks sent with a live key on a day of UTC (days since 1970). No day is forgotten:
 * the clock may show it again. */
int store_count_live(Store *s, int64_t day, int by);
