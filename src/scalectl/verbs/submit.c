/*
 * submit: one task, from options as curl's or from JSON, or a file with many. The submitter checks them;
 * what it says of each is what is said here. A file can be submitted again after whatever went wrong: see
 * ndjson.c.
 */

#include <inttypes.h>
#include <libgen.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/parse.h"
#include "basic/time-util.h"
#include "scalectl/api.h"
#include "scalectl/csv.h"
#include "scalectl/ndjson.h"
#include "scalectl/resume.h"
#include "scalectl/submission.h"
#include "scalectl/text/format.h"
#include "scalectl/text/json-text.h"
#include "task/callback.h"
#include "task/params.h"
#include "json/encode.h"

#define BODY_MAX       ((size_t)1024 * 1024)
#define PATIENCE_USUAL (60 * USEC_PER_SEC)
#define SAVE_USEC      (USEC_PER_SEC / 10)
#define COMPLAIN_MAX   50U /* refused lines that are told; all are counted */

static const char content_json[] = "application/json", content_form[] = "application/x-www-form-urlencoded";

typedef struct SubmitOptions {
        OptionList data;
        const char *file, *from, *batch, *key;
        uint64_t patience;
        bool dry_run;
} SubmitOptions;

static const Option submit_options[] = {
        { "-d", OPTION_LIST, offsetof(SubmitOptions, data) },
        { "--data", OPTION_LIST, offsetof(SubmitOptions, data) },
        { "-f", OPTION_TEXT, offsetof(SubmitOptions, file) },
        { "--file", OPTION_TEXT, offsetof(SubmitOptions, file) },
        { "--from", OPTION_TEXT, offsetof(SubmitOptions, from) },
        { "--batch", OPTION_TEXT, offsetof(SubmitOptions, batch) },
        { "--dry-run", OPTION_FLAG, offsetof(SubmitOptions, dry_run) },
        { "--patience", OPTION_SPAN, offsetof(SubmitOptions, patience) },
        { "--idempotency-key", OPTION_TEXT, offsetof(SubmitOptions, key) },
};

/* Opens a file for reading; "-" is standard input. NULL: said. */
static FILE *open_input(const char *name)
{
        FILE *f = streq(name, "-") ? stdin : fopen(name, "re");

        if (!f)
                complain("%s can't be read: %s", name, strerror(errno));
        return f;
}

static void close_input(FILE **f)
{
        if (*f && *f != stdin)
                fclose(*f);
}

/* 0, or an exit status (said). */
static int read_input(const char *name, Buffer *ret)
{
        _cleanup_(close_input) FILE *f = open_input(name);
        char piece[16384];
        size_t n;
        int r = 0;

        if (!f)
                return EX_NOINPUT;
        while (r >= 0 && (n = fread(piece, 1, sizeof(piece), f)) > 0)
                r = buffer_append(ret, piece, n);
        if (r == -ENOBUFS)
                complain("%s is larger than the %zu bytes that a task may have", name, ret->max);
        else if (r < 0 || ferror(f))
                complain("%s can't be read", name);
        return r == -ENOBUFS ? EX_DATAERR : r < 0 || ferror(f) ? EX_IOERR : 0;
}

/* A submission as it was answered: whether nothing will come of it, however often it is submitted. Its key
 * leads to it again, and only `queue retry` sends it. */
static bool is_given_up(const json_t *submission)
{
        static const char *const states[] = { "rejected", "canceled", "expired" };
        const char *state = json_string_value(json_object_get(submission, "state"));

        FOREACH_ARRAY(s, states, ELEMENTSOF(states))
                if (streq_ptr(*s, state))
                        return true;
        return false;
}

/* Says so; `where` comes first. */
static void complain_given_up(const char *where, const json_t *submission)
{
        const char *error = json_string_value(json_object_get(submission, "error"));

        complain("%ssubmission %s is %s%s%s", where,
                        json_string_value(json_object_get(submission, "submission_id")) ?: "",
                        json_string_value(json_object_get(submission, "state")), error ? ": " : "",
                        error ?: "");
}

static int sum_up_given_up(void)
{
        complain("what was rejected or canceled, or has expired, is not sent by submitting it again: see "
                 "`scalectl queue list --state STATE` and `scalectl queue retry ID`");
        return EX_DATAERR;
}

/* What came of one: said, and shown. An exit status. */
static int show_answer(const Ctl *ctl, const SenderAnswer *a)
{
        json_auto_t *submission = api_json(a->body);
        _cleanup_free_ char *id = format_value(json_object_get(submission, "submission_id"));
        _cleanup_free_ char *state = format_value(json_object_get(submission, "state"));

        if (a->status < 200 || a->status > 299)
                return api_complain(a->status, a->body);
        if (!id || !state)
                return EX_OSERR;
        if (!*id)
                return api_complain_broken();

        api_complain_of_problems(json_object_get(submission, "problems"));
        if (ctl->json)
                json_text_print_line(buffer_text(a->body), a->body->size, ctl->term.width > 0, stdout);
        else
                printf("%s: %s%s\n", id, state, a->is_replay ? ", it came before" : "");
        if (!is_given_up(submission))
                return 0;
        complain_given_up("", submission);
        return sum_up_given_up();
}

typedef struct Single {
        const Ctl *ctl;
        int status; /* to leave with */
} Single;

static void on_single(_unused_ const SenderItem *item, const SenderAnswer *a, void *userdata)
{
        Single *single = userdata;

        if (a->error < 0)
                single->status = api_complain_unreachable(
                                API_SUBMIT, single->ctl->settings.submit.socket, a->error, a->message ?: "");
        else
                single->status = show_answer(single->ctl, a);
}

static int submit_one(const Ctl *ctl, const char *type, const char *content_type, const Buffer *body,
                const char *key)
{
        _cleanup_(sender_freep) Sender *s = NULL;
        Single x = { .ctl = ctl };
        int r;

        r = sender_new(ctl, 0, on_single, &x, &s);
        if (r >= 0)
                r = sender_send(s, &(SenderItem){}, type, content_type, body->data ?: "", body->size, key);
        if (r >= 0)
                r = sender_finish(s);
        if (r < 0) {
                complain("the task can't be sent: %s", strerror(-r));
                return r == -E2BIG ? EX_USAGE : EX_OSERR;
        }
        return x.status;
}

/* As curl: pieces are joined with &, and @FILE stands for what is in the file, without its line ends. */
static int join_data(const OptionList *data, Buffer *ret)
{
        int r = 0;

        for (size_t i = 0; r == 0 && i < data->n; i++) {
                _cleanup_buffer_ Buffer file = BUFFER_INIT(BODY_MAX);
                const char *piece = data->items[i];

                if (i > 0 && buffer_append_str(ret, "&") < 0)
                        r = EX_DATAERR;
                if (r == 0 && *piece == '@')
                        r = read_input(piece + 1, &file);
                else if (r == 0 && buffer_append_str(&file, piece) < 0)
                        r = EX_DATAERR;
                for (size_t k = 0; r == 0 && k < file.size; k++)
                        if ((*piece != '@' || !strchr("\r\n", file.data[k])) &&
                                        buffer_append(ret, file.data + k, 1) < 0)
                                r = EX_DATAERR;
        }
        if (r == EX_DATAERR)
                complain("the data are larger than the %zu bytes that a task may have", ret->max);
        return r;
}

/* Many. */

typedef struct Batch {
        const Ctl *ctl;
        const char *name;
        uint64_t size; /* of the file; 0: not known */
        uint64_t shown_at;
        uint64_t taken, before; /* in the outbox; those of them that an earlier run put there */
        uint64_t refused;
        uint64_t given_up; /* came before, and will not be sent */
        uint64_t warned;   /* taken with problems that are no reason to refuse them */
        int error;         /* there is no going on */
        unsigned status;
        char message[256];
        Sender *sender; /* NULL: nothing is sent */
        Csv *csv;       /* NULL: the input is lines of JSON */
        Resume *resume; /* NULL: the input is no file that could be read again */
        uint64_t saved_at;
} Batch;

static void show_progress(Batch *batch, uint64_t bytes, bool end)
{
        if (!isatty(STDERR_FILENO))
                return;
        if (end) {
                (void)fputs("\r\x1b[K", stderr);
                return;
        }
        if (now_monotonic() - batch->shown_at < USEC_PER_SEC / 10)
                return;
        batch->shown_at = now_monotonic();
        progress_bar(stderr, batch->size > 0 ? (double)bytes / (double)batch->size : -1, batch->taken,
                        "in the outbox");
}

/* What one line was taken with all the same. */
static void warn_of_line(Batch *batch, uint64_t number, const json_t *problems)
{
        if (json_array_size(problems) == 0 || (batch->warned++ >= COMPLAIN_MAX && batch->sender))
                return;
        complain("%s, line %" PRIu64 ": %staken, but look at this:", batch->name, number,
                        batch->sender ? "" : "would be ");
        api_complain_of_problems(problems);
}

static void save(Batch *batch)
{
        if (!batch->resume)
                return;
        (void)fflush(stdout); /* what is written down is not told again */
        resume_save(batch->resume);
        batch->saved_at = now_monotonic();
}

/* It need not be asked about by a later run. */
static void note(Batch *batch, const SenderItem *item, const json_t *submission)
{
        const char *id = json_string_value(json_object_get(submission, "submission_id"));
        const char *created = json_string_value(json_object_get(submission, "created_at"));
        int64_t created_at;

        if (!batch->resume || !id || !created || time_parse(created, &created_at) < 0)
                return;
        resume_answer(batch->resume, item->sent, &item->place, id, created_at);
        if (now_monotonic() - batch->saved_at >= SAVE_USEC)
                save(batch);
}

/* One line is in the outbox; or it was, and will not be sent. */
static void take_line(Batch *batch, const SenderItem *item, const SenderAnswer *a)
{
        json_auto_t *submission = api_json(a->body);
        char where[512];

        if (batch->ctl->json)
                json_text_print_line(
                                buffer_text(a->body), a->body->size, batch->ctl->term.width > 0, stdout);
        if (!is_given_up(submission)) {
                batch->taken++;
                batch->before += a->is_replay;
                if (!a->is_replay)
                        warn_of_line(batch, item->number, json_object_get(submission, "problems"));
                note(batch, item, submission);
        } else if (batch->given_up++ < COMPLAIN_MAX) {
                snprintf(where, sizeof(where), "%s, line %" PRIu64 ": ", batch->name, item->number);
                complain_given_up(where, submission);
        }
}

static void on_line(const SenderItem *item, const SenderAnswer *a, void *userdata)
{
        Batch *batch = userdata;

        if (a->error == 0 && a->status >= 200 && a->status <= 299) {
                take_line(batch, item, a);
        } else if (a->error == 0 && a->status >= 400 && a->status <= 499) {
                if (batch->refused++ < COMPLAIN_MAX) {
                        complain("%s, line %" PRIu64 ":", batch->name, item->number);
                        (void)api_complain(a->status, a->body);
                }
        } else if (batch->error == 0) {
                batch->error = a->error < 0 ? a->error : -EAGAIN;
                batch->status = a->status;
                snprintf(batch->message, sizeof(batch->message), "%s", a->message ?: "");
        }
}

/* Counts a line that is refused. Whether to say more of it: who only looks wants to know all. */
static bool refuse(Batch *batch)
{
        return batch->refused++ < COMPLAIN_MAX || !batch->sender;
}

static void refuse_line(Batch *batch, uint64_t number, const char *wanted)
{
        if (refuse(batch))
                complain("%s, line %" PRIu64 ": expected %s", batch->name, number, wanted);
}

/* 0 or -ENOMEM. */
static int refuse_with_problems(Batch *batch, uint64_t number, const Problems *problems)
{
        json_auto_t *list = problems_to_json(problems);

        if (!list || problems->failed)
                return -ENOMEM;
        if (refuse(batch)) {
                complain("%s, line %" PRIu64 ":", batch->name, number);
                api_complain_of_problems(list);
        }
        return 0;
}

/* Checks a line as the submitter would. 0 or negative errno. */
static int check_line(Batch *batch, uint64_t number, const char *name, const char *key, json_t *params)
{
        _cleanup_(problems_done) Problems problems = {};
        _cleanup_buffer_ Buffer body = BUFFER_INIT(8 * BODY_MAX);
        const TaskType *type = task_type_find(name);
        json_auto_t *warnings = NULL;
        int r;

        r = json_encode(params, &body);
        if (r < 0)
                return r;
        if (!type)
                problems_add(&problems, SEVERITY_ERROR, "type", "there is no type %.64s", name);
        if (key && !ndjson_key_is_valid(key))
                problems_add(&problems, SEVERITY_ERROR, "idempotency_key",
                                "expected at most %u visible ASCII characters", NDJSON_KEY_SIZE - 1);
        if (type && callback_check_bounds(body.data, body.size, &problems) == 0) {
                r = task_params_normalise(type, params);
                if (r < 0)
                        return r;
                task_params_check_submitted(type, params, &problems);
        }
        if (problems.n_errors > 0)
                return refuse_with_problems(batch, number, &problems);
        batch->taken++;
        warnings = problems_to_json(&problems);
        if (!warnings || problems.failed)
                return -ENOMEM;
        warn_of_line(batch, number, warnings);
        return 0;
}

/* 0 or negative errno. */
static int send_line(Batch *batch, const Ndjson *n, NdjsonNames *names)
{
        _cleanup_buffer_ Buffer body = BUFFER_INIT(8 * BODY_MAX);
        json_auto_t *line = NULL, *params = NULL;
        const char *type, *key, *wanted;
        SenderItem item = { .number = n->number };
        NdjsonName name;
        int r;

        r = ndjson_parse(n->line.data, n->line.size, &line, &params, &type, &key, &wanted);
        if (r == -EBADMSG) {
                refuse_line(batch, n->number, wanted);
                return 0;
        }
        if (r >= 0 && !batch->sender)
                return check_line(batch, n->number, type, key, params);
        if (r >= 0)
                r = ndjson_name(names, line, &name);
        if (r >= 0 && batch->resume && resume_has(batch->resume, &name.place)) {
                batch->taken++;
                batch->before++;
                return 0;
        }
        if (r >= 0)
                r = json_encode(params, &body);
        if (r < 0)
                return r;
        item.place = name.place;
        item.sent = batch->resume ? resume_send(batch->resume) : 0;
        return sender_send(batch->sender, &item, type, content_json, body.data, body.size, key ?: name.key);
}

/* As ndjson_next(). What is wrong with a row is said here, and then it is an empty line. */
static int next_line(Batch *batch, Ndjson *n)
{
        _cleanup_(problems_done) Problems problems = {};
        int r;

        if (!batch->csv)
                return ndjson_next(n);
        r = csv_next(batch->csv, &n->line, &n->number, &n->bytes, &problems);
        if (r != -EBADMSG)
                return r;
        buffer_consume(&n->line, n->line.size);
        r = refuse_with_problems(batch, n->number, &problems);
        return r < 0 ? r : 1;
}

static int send_lines(Batch *batch, FILE *f, NdjsonNames *names)
{
        _cleanup_(ndjson_done) Ndjson n = NDJSON_INIT(f);
        int r, k;

        do {
                r = next_line(batch, &n);
                if (r == -EMSGSIZE) {
                        refuse_line(batch, n.number, "a line of at most 1 MiB");
                        r = 1;
                } else if (r > 0 && n.line.size > 0) {
                        k = send_line(batch, &n, names);
                        r = k < 0 ? k : r;
                }
                show_progress(batch, n.bytes, false);
        } while (r > 0 && batch->error == 0);

        k = batch->sender ? sender_finish(batch->sender) : 0;
        show_progress(batch, n.bytes, true);
        return r < 0 ? r : k;
}

static void print_counts(const Batch *batch)
{
        printf("%s: %" PRIu64 " in the outbox", batch->name, batch->taken);
        if (batch->before > 0)
                printf(" (%" PRIu64 " of them before)", batch->before);
        printf(", %" PRIu64 " refused", batch->refused);
        if (batch->given_up > 0)
                printf(", %" PRIu64 " that will not be sent", batch->given_up);
        putchar('\n');
}

/* What of the queue says what tasks cost; NULL: nobody answers, which is no reason not to look at a file. */
static json_t *read_queue(const Ctl *ctl)
{
        ApiUrl url = api_url("/v1/queue");
        HttpClientResult result;
        json_t *queue = NULL;

        if (api_try(ctl, API_SUBMIT, "GET", &url, &result) == 0 && result.status == 200)
                queue = api_json(&result.body);
        http_client_result_done(&result);
        return queue;
}

/* What would be done with a file, had it been sent. */
static void print_dry(const Batch *batch)
{
        json_auto_t *queue = read_queue(batch->ctl);
        const json_t *is_test = json_object_get(queue, "is_test"),
                     *cap = json_object_get(queue, "live_per_day");
        json_int_t today = json_integer_value(json_object_get(queue, "live_today"));

        if (batch->ctl->json) {
                printf("{\"tasks\":%" PRIu64 ",\"refused\":%" PRIu64, batch->taken, batch->refused);
                if (is_test)
                        printf(",\"is_test\":%s,\"live_today\":%" JSON_INTEGER_FORMAT,
                                        json_is_true(is_test) ? "true" : "false", today);
                if (cap)
                        printf(",\"live_per_day\":%" JSON_INTEGER_FORMAT, json_integer_value(cap));
                printf("}\n");
                return;
        }
        printf("%s: %" PRIu64 " would be taken, %" PRIu64 " refused; nothing was sent\n", batch->name,
                        batch->taken, batch->refused);
        if (!is_test)
                printf("whether they would be live tasks is not known: the submitter does not answer\n");
        else if (json_is_true(is_test))
                printf("no live task: the submitter has a test key\n");
        else
                printf("%" PRIu64 " live tasks, less those that are in the outbox already\n", batch->taken);
        if (json_is_false(is_test) && cap)
                printf("%" JSON_INTEGER_FORMAT " of the %" JSON_INTEGER_FORMAT
                       " live tasks of today are left\n",
                                MAX(json_integer_value(cap) - today, 0), json_integer_value(cap));
}

/* Why the next run has to ask about every line. */
static void complain_of_record(const Batch *batch)
{
        int r = batch->resume ? resume_error(batch->resume) : 0;

        if (r == -EWOULDBLOCK)
                complain("another run is submitting %s", batch->name);
        else if (r < 0)
                complain("%s" RESUME_SUFFIX " can't be written (%s): that run begins at the first line",
                                batch->name, r == -EEXIST ? "it is something else" : strerror(-r));
}

/* The exit status of it all, said. */
static int sum_up(const Batch *batch, int error)
{
        int status = EX_TEMPFAIL;

        if (!batch->sender)
                print_dry(batch);
        else if (!batch->ctl->json)
                print_counts(batch);
        if (batch->given_up > 0)
                (void)sum_up_given_up();
        if (batch->warned > COMPLAIN_MAX && batch->sender)
                complain("%" PRIu64 " more lines were taken with warnings", batch->warned - COMPLAIN_MAX);
        if (batch->refused > COMPLAIN_MAX && batch->sender)
                complain("%" PRIu64 " more lines were refused", batch->refused - COMPLAIN_MAX);

        if (error == -ENOBUFS)
                complain("%s has more than %u different lines: split it", batch->name, NDJSON_LINES_MAX);
        else if (error < 0)
                complain("%s can't be read to its end: %s", batch->name, strerror(-error));
        if (error < 0)
                return EX_IOERR;

        if (batch->error == -EAGAIN)
                complain("the submitter answered %u", batch->status);
        else if (batch->error < 0)
                status = api_complain_unreachable(API_SUBMIT, batch->ctl->settings.submit.socket,
                                batch->error, batch->message);
        if (status == EX_IOERR) /* an answer that was cut: the next run hears it */
                status = EX_TEMPFAIL;
        if (batch->error < 0) {
                complain("not all of %s was submitted: run it again, what is in the outbox is not taken "
                         "twice",
                                batch->name);
                complain_of_record(batch);
                return status;
        }
        return batch->refused + batch->given_up > 0 ? EX_DATAERR : 0;
}

/* What an earlier run was told is relied on when the submitter knows the last submission of it. 0, or an
 * exit status (said). */
static int go_on(const Ctl *ctl, Batch *batch)
{
        _cleanup_buffer_ Buffer body = BUFFER_INIT(0);
        ApiUrl url = api_url("/v1/submission");
        json_auto_t *submission = NULL;
        const char *created;
        int64_t created_at;
        unsigned status;
        int r;

        api_url_segment(&url, resume_witness(batch->resume));
        r = api_ask(ctl, API_SUBMIT, "GET", &url, &body, &status);
        if (r != 0)
                return r;
        if (status != 200 && status != 404)
                return api_complain(status, &body);
        submission = status == 200 ? api_json(&body) : NULL;
        created = json_string_value(json_object_get(submission, "created_at"));
        if (created && time_parse(created, &created_at) == 0) {
                resume_confirm(batch->resume, created_at);
                complain("%s: going on behind %" PRIu64 " lines that an earlier run put into the outbox",
                                batch->name, resume_size(batch->resume));
                return 0;
        }
        complain("%s: the submitter does not know what an earlier run put into its outbox: all lines are "
                 "submitted",
                        batch->name);
        resume_forget(batch->resume);
        return 0;
}

/* Where the input is a file, what the submitter says of it is written down beside it. */
static int prepare(const Ctl *ctl, Batch *batch, int fd, const char *batch_name)
{
        struct stat st;

        if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return 0;
        batch->size = (uint64_t)st.st_size;
        if (streq(batch->name, "-"))
                return 0;
        if (resume_new(batch->name, batch_name, &batch->resume) < 0)
                return EX_OSERR;
        batch->saved_at = now_monotonic();
        return resume_size(batch->resume) > 0 ? go_on(ctl, batch) : 0;
}

/* A table has a name that says so. */
static bool is_table(const char *name)
{
        const char *dot = strrchr(name, '.');

        return dot && (strcasecmp(dot, ".csv") == 0 || strcasecmp(dot, ".tsv") == 0);
}

/* 0, or an exit status (said). */
static int open_table(Batch *batch, FILE *f, Csv **ret)
{
        _cleanup_(problems_done) Problems problems = {};
        json_auto_t *list = NULL;
        int r;

        r = csv_new(f, &problems, ret);
        batch->csv = *ret;
        if (r >= 0)
                return 0;
        if (r != -EBADMSG) {
                complain("%s can't be read: %s", batch->name, strerror(-r));
                return EX_IOERR;
        }
        list = problems_to_json(&problems);
        complain("%s, line 1:", batch->name);
        api_complain_of_problems(list);
        return EX_DATAERR;
}

/* Sends what is in the file, or looks at it. An exit status (said). */
static int handle_lines(Batch *batch, FILE *f, const SubmitOptions *o, const char *batch_name)
{
        _cleanup_(ndjson_names_freep) NdjsonNames *names = NULL;
        _cleanup_(sender_freep) Sender *sender = NULL;
        int r;

        r = ndjson_names_new(batch_name, &names);
        if (r >= 0 && !o->dry_run)
                r = sender_new(batch->ctl, o->patience, on_line, batch, &sender);
        batch->sender = sender;
        if (r >= 0)
                r = send_lines(batch, f, names);
        save(batch);
        if (batch->resume && r >= 0 && batch->error == 0)
                resume_finish(batch->resume);
        return sum_up(batch, r);
}

static int submit_many(const Ctl *ctl, const SubmitOptions *o)
{
        _cleanup_(close_input) FILE *f = NULL;
        _cleanup_(csv_freep) Csv *csv = NULL;
        _cleanup_(resume_freep) Resume *resume = NULL;
        _cleanup_free_ char *copy = strdup(o->from);
        const char *batch = o->batch ?: copy ? basename(copy) : "";
        Batch b = { .ctl = ctl, .name = o->from };
        int r;

        if (!copy)
                return EX_OSERR;
        if ((streq(o->from, "-") && !o->batch) || !ndjson_batch_is_valid(batch)) {
                complain("--batch NAME is missing: visible ASCII characters, the same whenever these "
                         "tasks are submitted again");
                return EX_USAGE;
        }
        f = open_input(o->from);
        if (!f)
                return EX_NOINPUT;
        r = is_table(o->from) ? open_table(&b, f, &csv) : 0;
        if (r == 0 && !o->dry_run)
                r = prepare(ctl, &b, fileno(f), batch);
        resume = b.resume;
        return r != 0 ? r : handle_lines(&b, f, o, batch);
}

int verb_submit(Ctl *ctl, int argc, char **argv)
{
        _cleanup_buffer_ Buffer body = BUFFER_INIT(BODY_MAX);
        SubmitOptions o = { .patience = PATIENCE_USUAL };
        const char *file;
        unsigned n;
        int r;

        r = options_read(ctl, submit_options, ELEMENTSOF(submit_options), &o, argc, argv, 0, 2, &n);
        if (r != 0)
                return r;
        file = o.file ?: n == 2 ? argv[2] : NULL;
        if (o.from ? n > 0 || file || o.data.n > 0 || o.key
                   : n == 0 || !file == (o.data.n == 0) || (n == 2 && (o.file || !streq(file, "-"))) ||
                                                        o.batch || o.dry_run) {
                complain("usage: scalectl submit %s", ctl->verb->arguments);
                return EX_USAGE;
        }
        if (o.from)
                return submit_many(ctl, &o);

        r = file ? read_input(file, &body) : join_data(&o.data, &body);
        return r != 0 ? r : submit_one(ctl, argv[1], file ? content_json : content_form, &body, o.key);
}
