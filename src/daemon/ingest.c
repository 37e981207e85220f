/*
 * The one way by which a body gets into the store: whether a callback brought it, somebody tries it again
 * out of the quarantine, or the API told it when it was asked (by reconciliation, by a backfill, or in the
 * answer to something else). The steps are those of ingestion_start(): parse, look up what is needed, check,
 * hand over. What was decided is only told once it is on disk.
 *
 * A task that was asked for is made into the body of the callback that should have brought it. So whichever
 * comes first, a callback or the answer to a question, the other one finds its response known.
 *
 * A body that breaks the rules is recorded like any other, with its verdict: the log keeps every byte that
 * somebody with a key sent.
 *
 * Metadata is free-form, and so only what has one plain text can be looked for: scalars, not too long, not
 * too many, and as they are shown. Everything else is kept with the task all the same. The member by which
 * tasks are tied to submissions comes first, so that others can't push it out.
 */

#include "daemon/ingest.h"

#include <inttypes.h>

#include "basic/buffer.h"
#include "basic/log.h"
#include "basic/time-util.h"
#include "daemon/message.h"
#include "store/outbox.h"
#include "task/params.h"
#include "task/type.h"
#include "json/encode.h"

#define BODY_MAX   (64U << 20) /* of what is made here: an answer is bounded by less, and JSON adds little */
#define NUMBER_MAX 64U         /* bytes of a number as a text */

/* Metadata. */

/* A scalar as a text that a query can name; NULL in *ret: not to be searched for. */
static int metadata_text(const json_t *value, char **ret_owned, const char **ret)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(NUMBER_MAX);
        int r;

        *ret = NULL;
        switch (json_typeof(value)) {
        case JSON_STRING:
                if (json_string_length(value) <= METADATA_TEXT_MAX)
                        *ret = json_string_value(value);
                return 0;
        case JSON_INTEGER:
        case JSON_REAL:
                r = json_encode(value, &text);
                if (r == -ENOBUFS) /* too long, as a text can be */
                        return 0;
                if (r < 0)
                        return r;
                *ret = *ret_owned = buffer_take(&text, NULL);
                return 0;
        case JSON_TRUE:
        case JSON_FALSE:
                *ret = json_is_true(value) ? "true" : "false";
                return 0;
        case JSON_OBJECT:
        case JSON_ARRAY:
        case JSON_NULL:
        default:
                return 0;
        }
}

static int collect(Metadata *metadata, const char *key, const json_t *value)
{
        const char *text;
        int r;

        if (metadata->n == STORE_METADATA_MAX || strlen(key) > METADATA_TEXT_MAX)
                return 0;
        r = metadata_text(value, &metadata->numbers[metadata->n], &text);
        if (r >= 0 && text)
                metadata->values[metadata->n++] = (StoreMetadata){ key, text };
        return r;
}

int metadata_collect(const json_t *task, Metadata *ret)
{
        json_t *metadata = json_object_get(task, "metadata"), *value;
        const char *key;
        int r = 0;

        value = json_object_get(metadata, TASK_SUBMISSION_KEY);
        if (value)
                r = collect(ret, TASK_SUBMISSION_KEY, value);
        json_object_foreach(metadata, key, value) {
                if (r < 0)
                        return r;
                if (!streq(key, TASK_SUBMISSION_KEY))
                        r = collect(ret, key, value);
        }
        return r;
}

void metadata_done(Metadata *metadata)
{
        FOREACH_ARRAY(number, metadata->numbers, metadata->n)
                free(*number);
        *metadata = (Metadata){ 0 };
}

/* Ingestion. */

typedef struct Ingestion {
        CommitJob job;
        Buffer body; /* where it was made or copied here */
        char submission[SUBMISSION_ID_SIZE];
        Callback *callback;
        json_t *stored; /* the task as stored, where the body had none */
        char *problems; /* as JSON */
        Metadata metadata;
        const char *attachments[SUBMISSION_ATTACHMENTS_MAX];
        size_t n_attachments;
        StoreDelivery delivery;
        Receipt receipt;
        IngestDone done;
        void *userdata;
} Ingestion;

static Ingestion *ingestion_free(Ingestion *ingestion)
{
        if (!ingestion)
                return NULL;

        callback_free(ingestion->callback);
        buffer_done(&ingestion->body);
        json_decref(ingestion->stored);
        free(ingestion->problems);
        metadata_done(&ingestion->metadata);
        free(ingestion);
        return NULL;
}
DEFINE_CLEANUP(Ingestion *, ingestion_free)

static void collect_attachments(Ingestion *ingestion)
{
        const json_t *attachment;
        size_t n;

        json_array_foreach(ingestion->callback->attachments, n, attachment) {
                const char *url = json_string_value(json_object_get(attachment, "url"));

                if (url && ingestion->n_attachments < SUBMISSION_ATTACHMENTS_MAX)
                        ingestion->attachments[ingestion->n_attachments++] = url;
        }
}

static int take_stored_task(const TaskDocument *task, void *userdata)
{
        return task_document_to_json(task, userdata);
}

static unsigned choose_flags(const Ingest *options, const IngestInput *in)
{
        return (atomic_load(&options->strict) ? CALLBACK_STRICT : 0) |
               (source_is_poll(in->source) ? CALLBACK_ALLOW_SNAPSHOT : 0);
}

/* Parses and checks. 0, CALLBACK_NOT_JSON, CALLBACK_INVALID or negative errno. */
static int examine(Ingestion *ingestion, const Ingest *options, const IngestInput *in)
{
        int r;

        r = callback_parse(in->body, in->body_size, &ingestion->callback);
        if (r != 0)
                return r;

        if (callback_needs_stored_task(ingestion->callback)) {
                r = store_get_task(options->reader, ingestion->callback->task_id, take_stored_task,
                                &ingestion->stored);
                if (r < 0)
                        return r;
        }
        return callback_check(ingestion->callback, ingestion->stored, choose_flags(options, in));
}

/* What is to be answered when it ends as `finding` says. What was JSON or not matters to who sent it; who
 * tries it again asks whether it is valid by now. */
static unsigned choose_status(int finding, const Ingest *options, const IngestInput *in)
{
        if (finding == 0 || options->invalid_status == 200)
                return 200;
        return finding == CALLBACK_NOT_JSON && in->retry_of == 0 ? 400 : options->invalid_status;
}

static Verdict choose_verdict(int finding, const Callback *callback)
{
        if (finding != 0)
                return VERDICT_INVALID;
        return callback->kind == CALLBACK_ATTACHMENT_FAILURE ? VERDICT_ATTACHMENT_FAILURE : VERDICT_STORED;
}

int64_t ingest_choose_due(const Callback *callback, int64_t now)
{
        const char *urgency = json_string_value(json_object_get(callback->task, "urgency"));
        int64_t created = callback->created_at != TIME_NONE ? callback->created_at : now;

        return created + (int64_t)task_urgency_usec(urgency);
}

/* Which submission the task says that it was made by. */
static const char *find_submission(const Callback *callback)
{
        return json_string_value(
                        json_object_get(json_object_get(callback->task, "metadata"), TASK_SUBMISSION_KEY));
}

static void describe_delivery(
                Ingestion *ingestion, const Ingest *options, const IngestInput *in, int finding)
{
        const Callback *callback = ingestion->callback;
        int64_t now = now_realtime();

        ingestion->delivery = (StoreDelivery){
                .source = in->source,
                .received_at = now,
                .came_at = in->came_at,
                .key_label = in->key_label,
                .remote = in->remote,
                .ref = in->ref,
                .body = in->body,
                .body_size = in->body_size,
                .status = choose_status(finding, options, in),
                .duration = now_monotonic() - in->started,
                .problems = ingestion->problems,
                .proposed = choose_verdict(finding, callback),
                .task_id = callback->task_id,
                .type = callback->type,
                .task_status = callback->status,
                .is_test = callback->is_test,
                .unchecked = callback->unchecked,
                /* A task that was looked up is the store's already. */
                .has_document = finding == 0 && callback->task && !ingestion->stored,
                .created_at = callback->created_at,
                .completed_at = callback->completed_at,
                .metadata = ingestion->metadata.values,
                .n_metadata = ingestion->metadata.n,
                .submission = find_submission(callback),
                .is_snapshot = finding == 0 && callback->kind == CALLBACK_SNAPSHOT,
                .due_at = ingest_choose_due(callback, now),
                .attachments = ingestion->attachments,
                .n_attachments = ingestion->n_attachments,
                .retry_of = in->retry_of,
        };
        memcpy(ingestion->delivery.digest, callback->digest, sizeof(callback->digest));
}

/* The one thing that must never be: said once for each task, however it is noticed. */
static void report_second_task(const Ingestion *ingestion)
{
        const StoreDelivery *delivery = &ingestion->delivery;
        const StoreOutcome *outcome = &ingestion->receipt.outcome;

        if (!outcome->second_task || outcome->repeated)
                return;
        log_event(LOG_ERR, MESSAGE_SECOND_TASK,
                        LOG_FIELDS(LOG_TEXT("TASK_ID", delivery->task_id),
                                        LOG_TEXT("SUBMISSION", delivery->ref ?: delivery->submission)),
                        "Task %s belongs to a submission that has another task already (%s): two were made.",
                        strna(delivery->task_id), delivery->ref ?: strna(delivery->submission));
}

void ingest_log_invalid(const Receipt *receipt)
{
        log_event(LOG_WARNING, MESSAGE_DELIVERY_INVALID,
                        LOG_FIELDS(LOG_NUMBER("DELIVERY", receipt->outcome.delivery),
                                        LOG_TEXT("TASK_ID", receipt->task_id),
                                        LOG_TEXT("TASK_TYPE", receipt->type),
                                        LOG_TEXT("VERDICT", verdict_to_string(receipt->outcome.verdict))),
                        "What the API told of task %s is not valid, and is in the quarantine as delivery %" PRIu64
                        ".",
                        strna(receipt->task_id), receipt->outcome.delivery);
}

/* Where nobody else hears of it. */
static void log_trouble(const Receipt *receipt)
{
        if (receipt->status == 503)
                log_warning_errno(receipt->error, "What the API told of task %s could not be stored",
                                strna(receipt->task_id));
        else if (receipt->outcome.verdict == VERDICT_INVALID)
                ingest_log_invalid(receipt);
}

bool ingest_failed_alone(int error)
{
        return error == -EMSGSIZE || error == -ENOBUFS || error == -EUCLEAN;
}

static void finish(CommitJob *job, int result)
{
        _cleanup_(ingestion_freep) Ingestion *ingestion = container_of(job, Ingestion, job);

        if (result >= 0 && job->change.kind == STORE_DELIVERY)
                ingestion->receipt.outcome = job->change.outcome;
        if (result >= 0)
                report_second_task(ingestion);
        if (*ingestion->receipt.outcome.task_id)
                ingestion->receipt.task_id = ingestion->receipt.outcome.task_id;
        if (*ingestion->receipt.outcome.type)
                ingestion->receipt.type = ingestion->receipt.outcome.type;
        ingestion->receipt.status = result < 0 ? 503 : ingestion->delivery.status;
        ingestion->receipt.error = result;
        if (ingestion->done)
                ingestion->done(&ingestion->receipt, ingestion->userdata);
        else
                log_trouble(&ingestion->receipt);
}

/* The steps. Takes the ingestion, also on failure. */
static int ingestion_start(Ingestion *taken, const Ingest *options, const IngestInput *in)
{
        _cleanup_(ingestion_freep) Ingestion *ingestion = taken;
        int finding, r;

        finding = examine(ingestion, options, in);
        if (finding < 0)
                return finding;
        r = problems_encode(&ingestion->callback->problems, &ingestion->problems);
        if (r < 0)
                return r;
        if (finding == 0) {
                r = metadata_collect(ingestion->callback->task, &ingestion->metadata);
                if (r < 0)
                        return r;
                collect_attachments(ingestion);
        }
        describe_delivery(ingestion, options, in, finding);

        ingestion->receipt = (Receipt){
                .outcome.verdict = ingestion->delivery.proposed,
                .task_id = ingestion->callback->task_id,
                .type = ingestion->callback->type,
                .problems = &ingestion->callback->problems,
        };
        ingestion->job.done = finish;
        if (finding == 0 || in->retry_of == 0) /* else it is only said what was found */
                ingestion->job.change =
                                (StoreChange){ .kind = STORE_DELIVERY, .delivery = &ingestion->delivery };

        r = commit_submit(options->port, &ingestion->job);
        if (r < 0)
                return r;

        ingestion = NULL; /* finish() frees it */
        return 0;
}

static Ingestion *ingestion_new(IngestDone done, void *userdata)
{
        Ingestion *ingestion = calloc(1, sizeof(Ingestion));

        if (ingestion)
                *ingestion = (Ingestion){
                        .body = BUFFER_INIT(BODY_MAX), .done = done, .userdata = userdata
                };
        return ingestion;
}

int ingest(const Ingest *options, const IngestInput *input, IngestDone done, void *userdata)
{
        Ingestion *ingestion = ingestion_new(done, userdata);

        return ingestion ? ingestion_start(ingestion, options, input) : -ENOMEM;
}

/* What was made here is the body. */
static int ingestion_start_own(Ingestion *ingestion, const Ingest *options, Source source)
{
        return ingestion_start(ingestion, options,
                        &(IngestInput){
                                        .body = ingestion->body.data,
                                        .body_size = ingestion->body.size,
                                        .source = source,
                                        .ref = *ingestion->submission ? ingestion->submission : NULL,
                                        .started = now_monotonic(),
                        });
}

int ingest_task(const Ingest *options, const json_t *task, Source source, const char *submission,
                IngestDone done, void *userdata)
{
        _cleanup_(ingestion_freep) Ingestion *ingestion = ingestion_new(done, userdata);
        int r;

        if (!ingestion)
                return -ENOMEM;
        r = callback_body_from_task(task, &ingestion->body);
        if (r < 0)
                return r;
        if (submission_id_is_valid(submission))
                memcpy(ingestion->submission, submission, SUBMISSION_ID_SIZE);
        return ingestion_start_own(TAKE_PTR(ingestion), options, source);
}

int ingest_bytes(const Ingest *options, const void *bytes, size_t size, Source source, IngestDone done,
                void *userdata)
{
        _cleanup_(ingestion_freep) Ingestion *ingestion = ingestion_new(done, userdata);
        int r;

        if (!ingestion)
                return -ENOMEM;
        r = buffer_append(&ingestion->body, bytes, size);
        return r < 0 ? r : ingestion_start_own(TAKE_PTR(ingestion), options, source);
}
