/*
 * A task comes in: what can be told from the headers is told before the body is read, then the parameters
 * are checked, then the submission is written, and only when it is on disk is it answered 202. From there on
 * it is the outbox's matter.
 *
 * The same Idempotency-Key with the same task is the same submission, however often it comes: who got no
 * answer may ask again.
 */

#include "submitd/socket/accept.h"

#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

#include "basic/log.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "submitd/socket/context.h"
#include "task/params.h"
#include "json/encode.h"

#define KEY_HEADER      "Idempotency-Key"
#define PARAMS_TEXT_MAX ((size_t)8 * 1024 * 1024) /* a body of 1 MiB, every byte of it escaped */

typedef struct Acceptance {
        CommitJob job;
        SubmitContext *context;
        HttpRequest *request;
        const TaskType *type;
        BodyKind kind;
        json_t *params;
        Problems problems;
        Buffer text;    /* the parameters as JSON */
        char *warnings; /* as JSON */
        const char *attachments[SUBMISSION_ATTACHMENTS_MAX];
        char id[SUBMISSION_ID_SIZE], found[SUBMISSION_ID_SIZE];
        StoreSubmission submission;
        StoreAddition outcome;
} Acceptance;

static void acceptance_free(void *userdata)
{
        Acceptance *x = userdata;

        json_decref(x->params);
        problems_done(&x->problems);
        buffer_done(&x->text);
        free(x->warnings);
        free(x);
}

/* The headers. */

static int refuse_type(HttpRequest *request, const char *name)
{
        const char *meant = task_type_guess(name);
        char known[256] = "";
        size_t n = 0;

        if (meant)
                return http_reply_error(request, 404, NULL, "There is no task type %.64s: is %s meant?",
                                name, meant);
        for (const TaskType *const *t = task_types; *t && n < sizeof(known); t++)
                n += (size_t)snprintf(known + n, sizeof(known) - n, "%s%s", n > 0 ? ", " : "", (*t)->name);
        return http_reply_error(request, 404, NULL, "There is no task type %.64s; wanted is one of %s.",
                        name, known);
}

static int refuse_content(HttpRequest *request)
{
        return http_reply_error(request, 415, NULL,
                        "Content-Type has to be application/json or application/x-www-form-urlencoded, and "
                        "Content-Encoding absent.");
}

static int refuse_key(HttpRequest *request)
{
        json_t *problems;

        problems = json_pack("[{s:s, s:s, s:s}]", "path", KEY_HEADER, "message",
                        "wanted is one header with 1 to 255 visible ASCII characters", "severity", "error");
        return http_reply_error(request, 400, problems,
                        "Bad header " KEY_HEADER ": wanted is one with 1 to 255 visible ASCII characters.");
}

/* 0; 1: answered; negative errno. Not asked before the body is read: a client on a Unix socket that is cut
 * while it sends doesn't get to see why. */
static int check_headers(HttpRequest *request, Acceptance *x)
{
        const char *encoding = http_request_header(request, "Content-Encoding");
        const char *key = http_request_header(request, KEY_HEADER);
        int r = 0;

        x->type = task_type_find(http_request_path_arg(request, 0));
        x->kind = body_kind_of(http_request_header(request, "Content-Type"));
        if (!x->type)
                r = refuse_type(request, http_request_path_arg(request, 0));
        else if ((int)x->kind < 0 || (encoding && *encoding))
                r = refuse_content(request);
        else if (key && (http_request_header_count(request, KEY_HEADER) > 1 || !accept_key_is_valid(key)))
                r = refuse_key(request);
        else
                return 0;
        return r < 0 ? r : 1;
}

/* The submission. */

/* Ids sort by time, and tell nothing but that. */
static int make_id(int64_t now, char ret[static SUBMISSION_ID_SIZE])
{
        uint8_t random[10];
        int n;

        if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
                return -EIO;
        n = snprintf(ret, SUBMISSION_ID_SIZE, "%012" PRIx64,
                        (uint64_t)(now / (int64_t)USEC_PER_MSEC) & UINT64_C(0xffffffffffff));
        FOREACH_ARRAY(b, random, sizeof(random))
                n += snprintf(ret + n, SUBMISSION_ID_SIZE - (size_t)n, "%02x", *b);
        return 0;
}

/* What the same key has to bring again: the type and the parameters, in whatever form they are written. */
static int make_digest(const Acceptance *x, uint8_t ret[static CALLBACK_DIGEST_SIZE])
{
        json_auto_t *task = NULL;

        task = json_pack("[s, O]", x->type->name, x->params);
        return task ? json_digest(task, ret) : -ENOMEM;
}

static int take_attachment(const char *url, void *userdata)
{
        Acceptance *x = userdata;

        if (x->submission.n_attachments == SUBMISSION_ATTACHMENTS_MAX)
                return 1;
        x->attachments[x->submission.n_attachments++] = url;
        return 0;
}

static int describe_submission(Acceptance *x)
{
        int64_t now = now_realtime();
        int r;

        r = make_id(now, x->id);
        if (r >= 0)
                r = json_encode(x->params, &x->text);
        if (r >= 0)
                r = problems_encode(&x->problems, &x->warnings);
        if (r < 0)
                return r;

        x->submission = (StoreSubmission){
                .id = x->id,
                .type = x->type->name,
                .created_at = now,
                .next_at = now,
                .expires_at = now + SUBMISSION_LIFE_USEC,
                .idempotency_key = http_request_header(x->request, KEY_HEADER),
                .params = x->text.data,
                .params_size = x->text.size,
                .problems = x->warnings,
                .attachments = x->attachments,
        };
        r = task_params_each_attachment(x->type, x->params, take_attachment, x);
        return r < 0 ? r : make_digest(x, x->submission.digest);
}

static int run_add(CommitJob *job, Store *store)
{
        Acceptance *x = container_of(job, Acceptance, job);

        return store_add_submission(store, &x->submission, &x->outcome, x->found);
}

/* The answer. */

static int reply_added(Acceptance *x)
{
        Metrics *m = &x->context->metrics;
        int r = 0;

        switch (x->outcome) {
        case STORE_CONFLICT:
                m->conflicts++;
                return http_reply_error(x->request, 409, NULL,
                                "This " KEY_HEADER " came with another task before: it is submission %s.",
                                x->found);
        case STORE_KNOWN:
                m->replayed++;
                r = http_reply_header(x->request, "Idempotency-Replayed", "true");
                break;
        case STORE_ADDED:
        case _STORE_ADDITION_MAX:
        default:
                metrics_count_type(m, x->type);
                log_debug("Submission %s: a %s task is in the outbox.", x->found, x->type->name);
                break;
        }
        return r < 0 ? r : submission_reply(&x->context->base, x->request, 202, x->found);
}

static void on_added(CommitJob *job, int result)
{
        Acceptance *x = container_of(job, Acceptance, job);
        SubmitContext *c = x->context;
        int r;

        if (result < 0)
                r = submit_reply_unavailable(x->request, result);
        else
                r = reply_added(x); /* ends the request, and with it x */
        if (r < 0)
                log_debug_errno(r, "An answer could not be given");
        submit_kick(c);
}

static int refuse_params(Acceptance *x)
{
        const Problem *first = NULL;

        x->context->metrics.invalid++;
        FOREACH_ARRAY(p, x->problems.items, x->problems.n)
                if (p->severity == SEVERITY_ERROR) {
                        first = p;
                        break;
                }
        return http_reply_error(x->request, 400, problems_to_json(&x->problems), "Not taken: %s%s%s",
                        first ? first->path : "", first && *first->path ? ": " : "",
                        first ? first->message : "see problems");
}

/* Checks the parameters and hands the submission to the writer. */
static int submit(Acceptance *x)
{
        SubmitContext *c = x->context;
        const void *body;
        size_t size;
        int r;

        body = http_request_body(x->request, &size);
        if (!http_request_hold(x->request, callback_weight(body, size)))
                return http_reply_no_memory(x->request);
        r = accept_parse(x->type, x->kind, body, size, c->settings->submit.callback_url, &x->params,
                        &x->problems);
        if (r > 0)
                return refuse_params(x);
        if (r >= 0)
                r = describe_submission(x);
        if (r < 0)
                return r;

        x->job = (CommitJob){ .run = run_add, .done = on_added };
        r = commit_submit(c->port, &x->job);
        return r < 0 ? submit_reply_unavailable(x->request, r) : 0;
}

int accept_on_task(HttpRequest *request, void *userdata)
{
        Acceptance *x;
        int r;

        x = calloc(1, sizeof(Acceptance));
        if (!x)
                return -ENOMEM;
        x->context = userdata;
        x->request = request;
        x->text = BUFFER_INIT(PARAMS_TEXT_MAX);
        http_request_set_userdata(request, x, acceptance_free);

        r = check_headers(request, x);
        return r != 0 ? MIN(r, 0) : submit(x);
}
