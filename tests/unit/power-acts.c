/*
 * The work: all that the receiver and the submitter do to the store, in any order, with bodies from a few
 * bytes to many pages. What it is about is chosen among what came before, whether or not that was kept.
 */

#include "power.h"

#define TRIES 8U

static const char *const types[] = { "categorization", "annotation", "comparison", "brand-new" };

/* Choosing among what came before. */

static Act *pick_act(Power *p, int kind, bool (*fits)(const Act *a))
{
        for (unsigned i = 0; i < TRIES && p->n_acts > 1; i++) {
                Act *a = p->acts[pick(p, p->n_acts - 1)]; /* the last one is being made */

                if ((int)a->kind == kind && (!fits || fits(a)))
                        return a;
        }
        return NULL;
}

static bool is_response(const Act *a)
{
        return a->delivery.proposed == VERDICT_STORED && !a->delivery.is_snapshot;
}

static bool is_invalid(const Act *a)
{
        return a->delivery.proposed == VERDICT_INVALID;
}

static bool is_kept_invalid(const Act *a)
{
        return is_invalid(a) && a->acknowledged && a->outcome.delivery > 0;
}

/* Making. */

/* Mostly small, as bodies are, at times one of many pages. */
static void fill_body(Power *p, Act *a)
{
        size_t size = 40 + pick(p, pick(p, 10) == 0 ? 30000 : 1500);
        int n;

        a->body = malloc(size + 1);
        assert_non_null(a->body);
        n = snprintf(a->body, size, "{\"number\":%u,\"text\":\"", a->number);
        for (size_t i = (size_t)n; i < size; i++)
                a->body[i] = (char)('a' + (i * (a->number + 1) + i / 64) % 26);
        a->body[size] = '\0';
        a->delivery.body = a->body;
        a->delivery.body_size = size;
}

static void fill_delivery(Power *p, Act *a, Verdict proposed)
{
        uint64_t digest = disk_chance(&p->chance);

        a->kind = ACT_DELIVERY;
        a->job.change = (StoreChange){ .kind = STORE_DELIVERY, .delivery = &a->delivery };
        a->delivery = (StoreDelivery){
                .source = SOURCE_CALLBACK,
                .received_at = a->time,
                .key_label = "live",
                .remote = "192.0.2.7",
                .status = proposed == VERDICT_INVALID ? 422 : 200,
                .duration = 1000,
                .proposed = proposed,
                .type = types[pick(p, ELEMENTSOF(types))],
                .task_status = TASK_COMPLETED,
                .is_test = pick(p, 4) == 0,
                .has_document = proposed != VERDICT_INVALID,
                .created_at = T0 - (int64_t)pick(p, 5) * HOUR,
                .completed_at = proposed == VERDICT_STORED ? T0 + (int64_t)pick(p, 100) * SECOND : TIME_NONE,
                .due_at = TIME_NONE,
                .metadata = a->metadata,
                .n_metadata = pick(p, 3),
        };
        a->metadata[0] = (StoreMetadata){ "color", pick(p, 2) ? "blue" : "red" };
        a->metadata[1] = (StoreMetadata){ "batch", types[pick(p, ELEMENTSOF(types))] };
        memcpy(a->delivery.digest, &digest, sizeof(digest));
        fill_body(p, a);
}

static void name_task(Act *a, unsigned n)
{
        snprintf(a->task_id, sizeof(a->task_id), "task-%u", n);
        a->delivery.task_id = a->task_id;
}

/* Of some submission, if there is one. */
static bool name_submission(Power *p, Act *a)
{
        Act *s = pick_act(p, ACT_SUBMISSION, NULL);

        if (s)
                strcpy(a->id, s->id);
        return s != NULL;
}

static void make_first(Power *p, Act *a)
{
        fill_delivery(p, a, VERDICT_STORED);
        name_task(a, p->n_tasks++);
        if (pick(p, 3) == 0 && name_submission(p, a))
                a->delivery.ref = a->id;
}

static void make_revision(Power *p, Act *a)
{
        fill_delivery(p, a, VERDICT_STORED);
        name_task(a, pick(p, p->n_tasks + 1));
}

/* The same again: its bytes, or only its response. */
static void make_again(Power *p, Act *a)
{
        Act *b = pick_act(p, ACT_DELIVERY, is_response);

        if (!b) {
                make_first(p, a);
                return;
        }
        fill_delivery(p, a, VERDICT_STORED);
        strcpy(a->task_id, b->task_id);
        a->delivery.task_id = a->task_id;
        memcpy(a->delivery.digest, b->delivery.digest, sizeof(a->delivery.digest));
        if (pick(p, 3) > 0) {
                a->delivery.body = b->delivery.body;
                a->delivery.body_size = b->delivery.body_size;
        }
}

static void make_invalid(Power *p, Act *a)
{
        Act *b = pick(p, 3) == 0 ? pick_act(p, ACT_DELIVERY, is_invalid) : NULL;

        fill_delivery(p, a, VERDICT_INVALID);
        a->delivery.problems = "[{\"path\":\"response\"}]";
        if (pick(p, 2))
                name_task(a, pick(p, p->n_tasks + 2));
        if (b) {
                a->delivery.body = b->delivery.body;
                a->delivery.body_size = b->delivery.body_size;
        }
}

static void make_failure(Power *p, Act *a)
{
        Act *s = pick_act(p, ACT_SUBMISSION, NULL);

        fill_delivery(p, a, VERDICT_ATTACHMENT_FAILURE);
        a->delivery.task_status = TASK_ERROR;
        if (pick(p, 3) == 0) {
                name_task(a, pick(p, p->n_tasks + 1));
                return;
        }
        a->delivery.has_document = false;
        a->delivery.type = NULL;
        if (!s)
                return; /* nobody's */
        if (pick(p, 2)) {
                strcpy(a->id, s->id);
                a->delivery.ref = a->id;
        } else {
                strcpy(a->url, s->url);
                a->urls[0] = a->url;
                a->delivery.attachments = a->urls;
                a->delivery.n_attachments = 1;
        }
}

static void fill_account(Power *p, Act *a)
{
        static const TaskStatus statuses[] = { TASK_PENDING, TASK_PENDING, TASK_CANCELED, TASK_ERROR };

        fill_delivery(p, a, VERDICT_STORED);
        a->delivery.source = SOURCE_RECONCILE;
        a->delivery.key_label = a->delivery.remote = NULL;
        a->delivery.task_status = statuses[pick(p, ELEMENTSOF(statuses))];
        a->delivery.completed_at = TIME_NONE;
        a->delivery.due_at = a->time + HOUR;
        a->delivery.is_snapshot = true;
        name_task(a, pick(p, 2) ? p->n_tasks++ : pick(p, p->n_tasks + 1));
}

static void make_account(Power *p, Act *a)
{
        fill_account(p, a);
}

static void make_retry(Power *p, Act *a)
{
        Act *b = pick_act(p, ACT_DELIVERY, is_kept_invalid);

        make_first(p, a);
        if (!b)
                return;
        a->delivery.source = SOURCE_RETRY;
        a->delivery.retry_of = b->outcome.delivery;
}

static void make_discard(Power *p, Act *a)
{
        Act *b = pick_act(p, ACT_DELIVERY, is_kept_invalid);

        a->job.change = (StoreChange){ .kind = STORE_DISCARD, .number = b ? b->outcome.delivery : 1 };
}

static void make_prune(Power *p, Act *a)
{
        StorePruning pruning = { .limit = 1 + pick(p, 5) };

        if (pick(p, 3) == 0) {
                pruning.begins = true; /* counts the time, and finds nothing that is so old */
                pruning.age = INT64_MAX;
        } else {
                a->kind = ACT_PRUNE;
                pruning.upto = a->target = pick(p, p->n_acts + 1);
        }
        a->job.change = (StoreChange){ .kind = STORE_PRUNE, .pruning = pruning };
}

static void make_submit(Power *p, Act *a)
{
        a->kind = ACT_SUBMISSION;
        a->job.change = (StoreChange){ .kind = STORE_SUBMISSION, .submission = &a->submission };
        snprintf(a->id, sizeof(a->id), "%032u", a->number);
        snprintf(a->url, sizeof(a->url), "http://www.example.com/%u.jpg", a->number % 5);
        snprintf(a->key, sizeof(a->key), "key-%u", pick(p, 40));
        a->urls[0] = a->url;
        fill_body(p, a);
        a->submission = (StoreSubmission){
                .id = a->id,
                .type = "categorization",
                .created_at = a->time,
                .next_at = a->time,
                .expires_at = a->time + 100 * HOUR,
                .idempotency_key = pick(p, 2) ? a->key : NULL,
                .params = a->body,
                .params_size = strlen(a->body),
                .attachments = a->urls,
                .n_attachments = 1,
        };
}

static void make_move(Power *p, Act *a)
{
        static const struct {
                unsigned from;
                SubmissionState to;
        } moves[] = {
                { SUBMISSION_IN(SUBMISSION_QUEUED), SUBMISSION_SENDING },
                { SUBMISSION_IN(SUBMISSION_QUEUED), SUBMISSION_SENDING },
                { SUBMISSION_IN(SUBMISSION_QUEUED), SUBMISSION_SENDING },
                { SUBMISSION_IN(SUBMISSION_SENDING), SUBMISSION_UNKNOWN },
                { SUBMISSION_IN(SUBMISSION_SENDING), SUBMISSION_REJECTED },
                { SUBMISSION_IN(SUBMISSION_SENDING), SUBMISSION_QUEUED },
                { SUBMISSION_IN(SUBMISSION_UNKNOWN), SUBMISSION_QUEUED },
                { SUBMISSION_IN(SUBMISSION_QUEUED), SUBMISSION_CANCELED },
                { SUBMISSION_IN(SUBMISSION_QUEUED) | SUBMISSION_IN(SUBMISSION_UNKNOWN), SUBMISSION_EXPIRED },
                { SUBMISSION_IN(SUBMISSION_REJECTED) | SUBMISSION_IN(SUBMISSION_EXPIRED),
                                SUBMISSION_QUEUED },
        };
        unsigned i = pick(p, ELEMENTSOF(moves));
        bool left = moves[i].to == SUBMISSION_SENDING || moves[i].to == SUBMISSION_UNKNOWN;

        a->job.change = (StoreChange){ .kind = STORE_MOVE, .id = a->id, .now = a->time, .move = &a->move };
        if (pick(p, 4) == 0)
                a->job.change.reason = "for a reason";
        (void)name_submission(p, a);
        a->move = (StoreMove){
                .from = moves[i].from,
                .to = moves[i].to,
                .now = a->time,
                .next_at = a->time + HOUR,
                .sent_at = left ? a->time : TIME_NONE,
                .floor_at = TIME_NONE,
                .ended_at = TIME_NONE,
                .grace = TIME_NONE,
                .attempt = moves[i].to == SUBMISSION_SENDING,
                .status = moves[i].to == SUBMISSION_REJECTED ? 400 : 0,
                .error = moves[i].to == SUBMISSION_REJECTED ? "rejected" : NULL,
                .expires_at = TIME_NONE,
                .live_by = (int)pick(p, 3) - 1,
                .live_day = (int64_t)pick(p, 3),
        };
}

static void make_accept(Power *p, Act *a)
{
        fill_account(p, a);
        a->kind = ACT_ACCOUNT;
        a->job.change = (StoreChange){ .kind = STORE_ACCEPT, .id = a->id, .delivery = &a->delivery };
        (void)name_submission(p, a);
}

static void make_other(Power *p, Act *a)
{
        static const StoreChangeKind kinds[] = { STORE_WANT_CANCEL, STORE_WANT_CANCEL, STORE_FORGET_CANCEL,
                STORE_FLUSH, STORE_RECOVER, STORE_HOLD, STORE_HOLD, STORE_LIFT_HOLD, STORE_NOTHING };
        StoreChange *change = &a->job.change;

        (void)name_submission(p, a);
        *change = (StoreChange){ .kind = kinds[pick(p, ELEMENTSOF(kinds))], .id = a->id, .now = a->time };
        if (change->kind == STORE_WANT_CANCEL)
                change->from = ~0U;
        else if (change->kind == STORE_RECOVER)
                change->recovery.grace = SECOND;
        else if (change->kind == STORE_HOLD) {
                change->hold = (QueueHold)pick(p, _QUEUE_HOLD_MAX);
                change->reason = "for a reason";
        }
}

static const struct {
        unsigned weight;
        void (*make)(Power *p, Act *a);
} makers[] = {
        { 30, make_first },
        { 10, make_revision },
        { 10, make_again },
        { 8, make_invalid },
        { 6, make_failure },
        { 6, make_account },
        { 4, make_retry },
        { 3, make_discard },
        { 3, make_prune },
        { 12, make_submit },
        { 20, make_move },
        { 10, make_accept },
        { 8, make_other },
};

Act *act_new(Power *p)
{
        unsigned sum = 0, n, i = 0;
        Act *a = calloc(1, sizeof(Act));

        assert_non_null(a);
        assert_true(p->n_acts < ACTS_MAX);
        p->acts[p->n_acts++] = a;
        a->power = p;
        a->kind = ACT_OTHER;
        a->number = p->n_acts;
        a->time = T0 + (int64_t)p->n_acts * SECOND;

        FOREACH_ARRAY(m, makers, ELEMENTSOF(makers))
                sum += m->weight;
        for (n = pick(p, sum); n >= makers[i].weight; i++)
                n -= makers[i].weight;
        makers[i].make(p, a);
        return a;
}

bool act_is_old(const Act *a, const Act *prune)
{
        bool stands = a->outcome.verdict == VERDICT_REVISED ||
                      (a->outcome.verdict == VERDICT_STORED && !a->delivery.is_snapshot &&
                                      !a->outcome.repeated);

        if (prune->kind != ACT_PRUNE || stands)
                return false;
        /* Where it only repeats another one, the row is that one's, and older. */
        return a->outcome.repeated || a->outcome.delivery <= prune->target;
}
