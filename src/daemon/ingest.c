/*
 * The one door by which a body gets into the store, whether a callback brought it or somebody tries it again
 * out of the quarantine. The steps are those of receive(): parse, look up what is needed, check, hand over.
 * What was decided is only told once it is on disk.
 *
 * A body that breaks the rules is recorded like any other, with its verdict: the log keeps every byte that
 * somebody with a key sent.
 */

#include "daemon/ingest.h"

#include "basic/log.h"
#include "basic/time-util.h"
#include "daemon/message.h"
#include "daemon/metadata.h"
#include "store/outbox.h"
#include "task/params.h"
#include "json/encode.h"

typedef struct Reception {
        CommitJob job;
        Callback *callback;
        json_t *stored; /* the task as stored, where the body had none */
        char *problems; /* as JSON */
        Metadata metadata;
        const char *attachments[SUBMISSION_ATTACHMENTS_MAX];
        size_t n_attachments;
        StoreDelivery delivery;
        bool keep; /* false: only say what was found, record nothing */
        Receipt receipt;
        void (*done)(const Receipt *receipt, void *userdata);
        void *userdata;
} Reception;

static Reception *reception_free(Reception *x)
{
        if (!x)
                return NULL;

        callback_free(x->callback);
        json_decref(x->stored);
        free(x->problems);
        metadata_done(&x->metadata);
        free(x);
        return NULL;
}
DEFINE_CLEANUP(Reception *, reception_free)

static void collect_attachments(Reception *x)
{
        const json_t *attachment;
        size_t i;

        json_array_foreach(x->callback->attachments, i, attachment) {
                const char *url = json_string_value(json_object_get(attachment, "url"));

                if (url && x->n_attachments < SUBMISSION_ATTACHMENTS_MAX)
                        x->attachments[x->n_attachments++] = url;
        }
}

static int take_stored_task(const TaskDocument *task, void *userdata)
{
        return task_document_to_json(task, userdata);
}

static unsigned choose_flags(const ReceiveInput *in)
{
        return (in->strict ? CALLBACK_STRICT : 0) |
               (source_is_poll(in->source) ? CALLBACK_ALLOW_ACCOUNT : 0);
}

/* Parses and checks. 0, CALLBACK_NOT_JSON, CALLBACK_INVALID or negative errno. */
static int examine(Reception *x, StoreReader *reader, const ReceiveInput *in)
{
        int r;

        r = callback_parse(in->body, in->body_size, &x->callback);
        if (r != 0)
                return r;

        if (callback_needs_stored_task(x->callback)) {
                r = store_get_task(reader, x->callback->task_id, take_stored_task, &x->stored);
                if (r < 0)
                        return r;
        }
        return callback_check(x->callback, x->stored, choose_flags(in));
}

/* What is to be answered when it ends as `finding` says. What was JSON or not matters to who sent it; who
 * tries it again asks whether it is valid by now. */
static unsigned choose_status(int finding, const ReceiveInput *in)
{
        if (finding == 0 || in->invalid_status == 200)
                return 200;
        return finding == CALLBACK_NOT_JSON && in->retry_of == 0 ? 400 : in->invalid_status;
}

static Verdict choose_verdict(int finding, const Callback *c)
{
        if (finding != 0)
                return VERDICT_INVALID;
        return c->kind == CALLBACK_ATTACHMENT_FAILURE ? VERDICT_ATTACHMENT_FAILURE : VERDICT_STORED;
}

/* When a task should be done: the time that its urgency allows, from its creation on. */
static int64_t choose_due(const Callback *c, int64_t now)
{
        const char *urgency = json_string_value(json_object_get(c->task, "urgency"));
        int64_t created = c->created_at != TIME_NONE ? c->created_at : now;

        return created + (int64_t)task_urgency_usec(urgency);
}

/* Which submission the task says that it was made by. */
static const char *find_submission(const Callback *c)
{
        return json_string_value(json_object_get(json_object_get(c->task, "metadata"), TASK_SUBMISSION_KEY));
}

static void describe_delivery(Reception *x, const ReceiveInput *in, int finding)
{
        const Callback *c = x->callback;
        int64_t now = now_realtime();

        x->delivery = (StoreDelivery){
                .source = in->source,
                .received_at = now,
                .came_at = in->came_at,
                .key_label = in->key_label,
                .remote = in->remote,
                .ref = in->ref,
                .body = in->body,
                .body_size = in->body_size,
                .status = choose_status(finding, in),
                .duration = now_monotonic() - in->started,
                .problems = x->problems,
                .proposed = choose_verdict(finding, c),
                .task_id = c->task_id,
                .type = c->type,
                .task_status = c->status,
                .is_test = c->is_test,
                .unchecked = c->unchecked,
                /* A task that was looked up is the store's already. */
                .has_document = finding == 0 && c->task && !x->stored,
                .created_at = c->created_at,
                .completed_at = c->completed_at,
                .metadata = x->metadata.values,
                .n_metadata = x->metadata.n,
                .submission = find_submission(c),
                .account = finding == 0 && c->kind == CALLBACK_ACCOUNT,
                .due_at = choose_due(c, now),
                .attachments = x->attachments,
                .n_attachments = x->n_attachments,
                .retry_of = in->retry_of,
        };
        memcpy(x->delivery.digest, c->digest, sizeof(c->digest));
}

static int run(CommitJob *job, Store *store)
{
        Reception *x = container_of(job, Reception, job);

        return x->keep ? store_record_delivery(store, &x->delivery, &x->receipt.outcome) : 0;
}

/* The one thing that must never be: said once for each task, however it is noticed. */
static void report_second_task(const Reception *x)
{
        const StoreDelivery *d = &x->delivery;
        const StoreOutcome *o = &x->receipt.outcome;

        if (!o->second_task || o->repeated)
                return;
        log_event(LOG_ERR, MESSAGE_SECOND_TASK,
                        LOG_FIELDS(LOG_TEXT("TASK_ID", d->task_id),
                                        LOG_TEXT("SUBMISSION", d->ref ?: d->submission)),
                        "Task %s belongs to a submission that has another task already (%s): two were made.",
                        strna(d->task_id), d->ref ?: strna(d->submission));
}

static void finish(CommitJob *job, int result)
{
        _cleanup_(reception_freep) Reception *x = container_of(job, Reception, job);

        if (result >= 0)
                report_second_task(x);
        if (*x->receipt.outcome.task_id)
                x->receipt.task_id = x->receipt.outcome.task_id;
        if (*x->receipt.outcome.type)
                x->receipt.type = x->receipt.outcome.type;
        x->receipt.status = result < 0 ? 503 : x->delivery.status;
        x->receipt.error = result;
        x->done(&x->receipt, x->userdata);
}

int receive(CommitPort *port, StoreReader *reader, const ReceiveInput *in,
                void (*done)(const Receipt *receipt, void *userdata), void *userdata)
{
        _cleanup_(reception_freep) Reception *x = NULL;
        int finding, r;

        x = calloc(1, sizeof(Reception));
        if (!x)
                return -ENOMEM;

        finding = examine(x, reader, in);
        if (finding < 0)
                return finding;
        r = problems_encode(&x->callback->problems, &x->problems);
        if (r < 0)
                return r;
        if (finding == 0) {
                r = metadata_collect(x->callback->task, &x->metadata);
                if (r < 0)
                        return r;
                collect_attachments(x);
        }
        describe_delivery(x, in, finding);

        x->keep = finding == 0 || in->retry_of == 0;
        x->receipt = (Receipt){
                .outcome.verdict = x->delivery.proposed,
                .task_id = x->callback->task_id,
                .type = x->callback->type,
                .problems = &x->callback->problems,
                .userdata = userdata,
        };
        x->done = done;
        x->userdata = userdata;
        x->job = (CommitJob){ .run = run, .done = finish };

        r = commit_submit(port, &x->job);
        if (r < 0)
                return r;

        x = NULL; /* finish() frees it */
        return 0;
}
