/*
 * The nth allocation fails, for n = 1, 2, 3, ... until none is left, on every path that makes something of
 * foreign bytes and on the commit queue's whole life. Each time the outcome is the one that it has without a
 * failure, or an error; what was allocated is freed again; and nothing falls over.
 *
 * It runs with tests/e2e/shim/nth-shim.c preloaded. NTH_ROUNDS bounds how many n are tried where there are
 * very many (0: all), NTH_SEED says which.
 */

#include "test-nth.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/log.h"
#include "basic/time-util.h"
#include "config/settings.h"
#include "daemon/commit.h"
#include "export/export.h"
#include "submitd/api/answer.h"
#include "task/callback.h"
#include "task/check.h"
#include "task/params.h"
#include "json/parse.h"

/* Callbacks: every sample that there is. */

typedef struct Bytes {
        char *data;
        size_t size;
} Bytes;

static Bytes read_file(const char *path)
{
        FILE *f = fopen(path, "re");
        Bytes b = {};

        assert_non_null(f);
        b.data = malloc(1024 * 1024);
        assert_non_null(b.data);
        b.size = fread(b.data, 1, 1024 * 1024, f);
        assert_int_equal(fclose(f), 0);
        return b;
}

static int take_callback(Out *out, void *userdata)
{
        _cleanup_(callback_freep) Callback *c = NULL;
        const Bytes *b = userdata;
        char outcome[64];
        int r;

        r = callback_parse(b->data, b->size, &c);
        if (r == 0)
                r = callback_check(c, NULL, 0);
        if (r < 0)
                return r;
        snprintf(outcome, sizeof(outcome), "%d %d %s ", r, (int)c->kind, c->task_id ?: "");
        out_add(out, outcome, strlen(outcome));
        out_add(out, c->digest, sizeof(c->digest));
        return out_problems(out, &c->problems);
}

static int read_task(Out *out, void *userdata)
{
        json_auto_t *root = NULL;
        const Bytes *b = userdata;
        int r;

        r = json_parse(b->data, b->size, JSON_ALLOW_NUL | JSON_DECODE_ANY, &root, NULL);
        if (r < 0 && r != -EBADMSG)
                return r;
        return r < 0 ? 0 : out_json(out, root);
}

static bool is_sample(const char *name)
{
        const char *end = strstr(name, ".json");

        return end && end[5] == 0 && !strstr(name, ".problems.");
}

static unsigned long each_sample(const char *folder, Scenario scenario)
{
        char path[512];
        unsigned long n = 0;
        struct dirent *entry;
        DIR *d;

        snprintf(path, sizeof(path), "%s/%s", getenv("TEST_DATA"), folder);
        d = opendir(path);
        assert_non_null(d);
        while ((entry = readdir(d))) {
                Bytes b;

                if (!is_sample(entry->d_name))
                        continue;
                snprintf(path, sizeof(path), "%s/%s/%s", getenv("TEST_DATA"), folder, entry->d_name);
                b = read_file(path);
                n += survive(path, scenario, &b);
                free(b.data);
        }
        closedir(d);
        assert_true(n > 0);
        return n;
}

/* Of each type, and what has none. */
static unsigned long each_callback(Scenario scenario)
{
        static const char *const others[] = { "attachment-failure", "envelope", "unknown-type" };
        unsigned long n = 0;

        for (const TaskType *const *t = task_types; *t; t++)
                n += each_sample((*t)->name, scenario);
        FOREACH_ARRAY(folder, others, ELEMENTSOF(others))
                n += each_sample(*folder, scenario);
        return n;
}

static void test_callbacks(_unused_ void **state)
{
        print_message("%lu failures\n", each_callback(take_callback));
}

static int read_answer(Out *out, void *userdata)
{
        const Bytes *b = userdata;
        const ApiAnswer answer = { .status = 200, .body = b->data, .body_size = b->size };
        json_auto_t *value = outcome_read(&answer);

        return value ? out_json(out, value) : -ENOMEM;
}

/* Words that make the buffer that they are read into grow, at each place. */
static void each_growing_word(Scenario scenario)
{
        char text[300] = "[\"";
        Bytes b = { .data = text };

        for (unsigned size = 1; size < 200; size++) {
                memset(text + 2, 'a', size);
                snprintf(text + 2 + size, sizeof(text) - 2 - size, "\", 17, 2.5, true, {\"b\": \"c\"}]");
                b.size = strlen(text);
                survive("a word that makes its buffer grow", scenario, &b);
        }
}

/* json_loadb() would call it no JSON, or read something else. */
static void test_no_memory_is_no_mistake_in_json(_unused_ void **state)
{
        each_growing_word(read_task);
        (void)each_callback(read_task);
}

/* Else a submission's id could be misread in a list, and what is there be taken for absent and sent again.
 */
static void test_no_memory_makes_no_other_answer(_unused_ void **state)
{
        each_growing_word(read_answer);
}

/* Forms, all the way to the task and a made-up response. */

typedef struct Form {
        const char *type, *text;
} Form;

static int take_form(Out *out, void *userdata)
{
        static FormPair pairs[TASK_FORM_PAIRS_MAX];
        static char text[4096];
        const Form *f = userdata;
        const TaskType *type = task_type_find(f->type);
        json_auto_t *params = NULL, *task = NULL, *response = NULL;
        Problems problems = {};
        size_t n;
        int r;

        snprintf(text, sizeof(text), "%s", f->text);
        assert_int_equal(form_split(text, pairs, TASK_FORM_PAIRS_MAX, &n), 0);
        r = task_params_from_form(type, pairs, n, &params, &problems);
        if (r >= 0)
                task_params_check(type, params, &problems);
        if (r >= 0)
                r = out_problems(out, &problems);
        if (r >= 0 && problems.n_errors == 0) {
                r = task_params_add_defaults(type, params);
                if (r >= 0)
                        r = task_object_new(type, params, "0123456789abcdef01234567", 1500000000000000, true,
                                        &task);
                if (r >= 0)
                        r = task_make_response(type, params, 7, &response);
                if (r >= 0)
                        r = out_json(out, task);
                if (r >= 0)
                        r = out_json(out, response);
        }
        problems_done(&problems);
        return r;
}

static void test_forms(_unused_ void **state)
{
        static Form forms[] = {
                { "categorization", "instruction=Big or "
                                    "small?&attachment_type=text&attachment=ant&categories=big"
                                    "&categories=small&allow_multiple=true&metadata[a]=b" },
                { "comparison", "instruction=Same?&attachment_type=image&attachments=http://www.example.com/"
                                "a.jpg"
                                "&attachments=http://www.example.com/b.jpg&choices=yes&choices=no" },
                { "datacollection",
                                "instruction=Find&attachment_type=website&attachment=http://www.example.com/"
                                "&fields[street]=The street&fields[city]=The city" },
                { "annotation", "instruction=Draw&attachment_type=image&attachment=http://www.example.com/"
                                "c.jpg"
                                "&objects_to_annotate=big cow&objects_to_annotate=baby cow&with_labels=true"
                                "&min_width=30&examples[0][correct]=true&examples[0][image]=http://"
                                "www.example.com/a"
                                "&examples[0][explanation]=Tight" },
                { "transcription", "instruction=Write&attachment_type=website&attachment=http://"
                                   "www.example.com/"
                                   "&fields[title]=The title" },
                { "audiotranscription",
                                "attachment_type=audio&attachment=http://www.example.com/s.wav&verbatim=no"
                                "&phrases=stone" },
                { "annotation", "attachment=nowhere&min_width=wide&examples[0]=x&examples[0][correct]="
                                "perhaps&a[b]=1" },
        };

        FOREACH_ARRAY(f, forms, ELEMENTSOF(forms))
                survive(f->type, take_form, f);
}

/* Settings. */

static int take_settings(Out *out, _unused_ void *userdata)
{
        const char *const items[] = { "callback.listen=127.0.0.1:8090 [::1]:8090 unix:/tmp/socket",
                "callback.trusted_proxies=10.0.0.0/8 unix", "store.path=/tmp/scale.db", "api.timeout=5s" };
        const SettingsOverrides overrides = { .items = (const char **)items, .n = ELEMENTSOF(items) };
        _cleanup_free_ char *error = NULL;
        Settings s = {};
        char text[512];
        int r;

        r = settings_load(getenv("CONF_FILE"), &overrides, &s, &error);
        if (r == -EINVAL)
                fail_msg("%s", error);
        if (r < 0)
                return r;
        snprintf(text, sizeof(text), "%s %zu %s %d", s.store.path, s.callback.n_trusted_proxies,
                        s.callback.path, (int)s.callback.invalid_status);
        out_add(out, text, strlen(text));
        settings_done(&s);
        return 0;
}

static void test_settings(_unused_ void **state)
{
        static Out right;
        static const int errors[] = { EMFILE, EIO };

        survive("settings", take_settings, NULL);
        assert_int_equal(take_settings(&right, NULL), 0);
        FOREACH_ARRAY(e, errors, ELEMENTSOF(errors))
                survive_kind("settings", take_settings, NULL, NTH_OPEN, *e, &right);
}

/* Exports, into every format. */

static Bytes tasks[8];
static size_t n_tasks;

static int write_out(const void *data, size_t size, void *userdata)
{
        out_add(userdata, data, size);
        return 0;
}

static int put_out(const char *name, const void *data, size_t size, void *userdata)
{
        out_add(userdata, name, strlen(name));
        out_add(userdata, data, size);
        return 0;
}

static int size_of_any(
                _unused_ const char *url, _unused_ const char *name, ImageSize *ret, _unused_ void *userdata)
{
        *ret = (ImageSize){ .width = 4000, .height = 3000 };
        return 1;
}

/* `classes` is a list that there is already, which every export with classes makes longer. */
static int export_with(Out *out, const ExportFormat *format, const char *classes)
{
        const ExportOptions options = { .folder = export_format_shape(format) != EXPORT_STREAM,
                .has_classes = classes };
        const ExportCalls calls = { write_out, put_out, size_of_any, out };
        _cleanup_(exporter_freep) Exporter *x = NULL;
        _cleanup_buffer_ Buffer list = BUFFER_INIT(64 * 1024);
        size_t line, n_new;
        int r;

        r = exporter_new(format, &options, &calls, &x);
        if (r >= 0 && classes)
                r = exporter_load_classes(x, classes, strlen(classes), &line);
        for (unsigned pass = 0; r >= 0 && pass < export_format_passes(format); pass++) {
                r = exporter_begin(x, pass);
                for (size_t i = 0; r >= 0 && i < n_tasks; i++) {
                        ExportReason reason;

                        r = exporter_take(x, tasks[i].data, tasks[i].size, &reason);
                }
                if (r >= 0)
                        r = exporter_end(x);
                if (r >= 0 && classes && pass == 0)
                        r = exporter_save_classes(x, &list, &n_new);
        }
        if (r >= 0 && list.size > 0)
                out_add(out, list.data, list.size);
        return MIN(r, 0);
}

static int export_all(Out *out, void *userdata)
{
        return export_with(out, userdata, NULL);
}

static int export_with_classes(Out *out, void *userdata)
{
        return export_with(out, userdata, "tree\nhouse\n");
}

static void test_exports(_unused_ void **state)
{
        static const char *const types[] = { "annotation", "audiotranscription", "categorization",
                "transcription" };
        char file[512];

        FOREACH_ARRAY(t, types, ELEMENTSOF(types)) {
                json_t *task, *root;
                Bytes b;

                snprintf(file, sizeof(file), "%s/%s/%s.json", getenv("TEST_DATA"), *t,
                                streq(*t, "categorization") ? "valid-one" : "valid");
                b = read_file(file);
                root = json_loadb(b.data, b.size, 0, NULL);
                task = json_object_get(root, "task");
                assert_non_null(task);
                json_object_set(task, "response", json_object_get(root, "response"));
                tasks[n_tasks].data = json_dumps(task, JSON_COMPACT);
                tasks[n_tasks].size = strlen(tasks[n_tasks].data);
                n_tasks++;
                json_decref(root);
                free(b.data);
        }
        for (const ExportFormat *const *f = export_formats; *f; f++) {
                survive(export_format_name(*f), export_all, (void *)(uintptr_t)*f);
                if (export_format_has_classes(*f))
                        survive(export_format_name(*f), export_with_classes, (void *)(uintptr_t)*f);
        }
        while (n_tasks > 0)
                free(tasks[--n_tasks].data);
}

/* The commit queue: a database is opened, two jobs are done, all is let go. */

typedef struct Job {
        CommitJob job;
        char id[32];
        StoreDelivery delivery;
        int result; /* 1: none yet */
} Job;

static char directory[] = "/tmp/test-nth-XXXXXX", database[64];
static unsigned n_ids;

static void describe_job(Job *j)
{
        static const char body[] = "{\"task\":{}}";

        j->delivery = (StoreDelivery){ .received_at = now_realtime(),
                .body = body,
                .body_size = sizeof(body) - 1,
                .status = 200,
                .proposed = VERDICT_STORED,
                .task_id = j->id,
                .type = "annotation",
                .task_status = TASK_COMPLETED,
                .created_at = TIME_NONE,
                .completed_at = TIME_NONE };
        j->job.change = (StoreChange){ .kind = STORE_DELIVERY, .delivery = &j->delivery };
}

static void job_done(CommitJob *job, int result)
{
        container_of(job, Job, job)->result = result;
}

static int is_there(const TaskDocument *t, _unused_ void *userdata)
{
        return t->type ? 0 : -EINVAL;
}

static Job jobs[2];

static int commit_some(Out *out, _unused_ void *userdata)
{
        CommitOptions options = { .location = database, .max_jobs = 10 };
        _cleanup_free_ char *error = NULL;
        CommitPort *port = NULL;
        Commit *commit = NULL;
        sd_event *loop = NULL;
        int r;

        FOREACH_ARRAY(j, jobs, ELEMENTSOF(jobs)) {
                *j = (Job){ .job.done = job_done, .result = 1 };
                snprintf(j->id, sizeof(j->id), "task-%u", n_ids++);
                describe_job(j);
        }
        r = sd_event_new(&loop);
        if (r >= 0)
                r = commit_new(&options, &commit, &error);
        if (r >= 0)
                r = commit_port_new(commit, loop, &port);
        FOREACH_ARRAY(j, jobs, ELEMENTSOF(jobs))
                if (r >= 0)
                        r = commit_submit(port, &j->job);
        commit_port_free(port);
        commit_free(commit);
        sd_event_unref(loop);
        FOREACH_ARRAY(j, jobs, ELEMENTSOF(jobs))
                if (r >= 0)
                        r = MIN(j->result, 0);
        /* What was taken is told of, or it was not taken. */
        FOREACH_ARRAY(j, jobs, ELEMENTSOF(jobs))
                out_add(out, j->result <= 0 ? "told " : "not told ", j->result <= 0 ? 5 : 9);
        return r;
}

/* What was said of each job is what the file says. */
static void check_jobs(void)
{
        _cleanup_(store_reader_closep) StoreReader *reader = NULL;
        _cleanup_free_ char *error = NULL;

        assert_int_equal(store_reader_open(database, 0, &reader, &error), 0);
        FOREACH_ARRAY(j, jobs, ELEMENTSOF(jobs))
                if (j->result <= 0)
                        assert_int_equal(store_get_task(reader, j->id, is_there, NULL), j->result == 0);
}

static int commit_and_check(Out *out, void *userdata)
{
        int r = commit_some(out, userdata);

        disarm();
        check_jobs();
        return r;
}

static void test_commit(_unused_ void **state)
{
        static const struct {
                NthKind kind;
                int error;
        } others[] = { { NTH_DESCRIPTOR, EMFILE }, { NTH_EPOLL_ADD, ENOSPC }, { NTH_THREAD, EAGAIN },
                { NTH_OPEN, EMFILE }, { NTH_MAP, ENOMEM } };
        static Out right;
        unsigned long n;

#ifdef __SANITIZE_ADDRESS__
        skip(); /* its runtime gives up when there is no memory in a thread that starts */
#endif

        n = survive("the commit queue", commit_and_check, NULL);
        assert_int_equal(commit_some(&right, NULL), 0);
        FOREACH_ARRAY(o, others, ELEMENTSOF(others))
                n += survive_kind("the commit queue", commit_and_check, NULL, o->kind, o->error, &right);
        print_message("%lu failures\n", n);
}

static int make_directory(_unused_ void **state)
{
        if (!mkdtemp(directory))
                return -1;
        snprintf(database, sizeof(database), "%s/scale.db", directory);
        return 0;
}

static int remove_directory(_unused_ void **state)
{
        static const char *const files[] = { "", "-wal", "-shm", "-turn" };
        char name[96];

        FOREACH_ARRAY(f, files, ELEMENTSOF(files)) {
                snprintf(name, sizeof(name), "%s%s", database, *f);
                (void)unlink(name);
        }
        return rmdir(directory);
}

static unsigned long number_of(const char *name, unsigned long otherwise)
{
        const char *text = getenv(name);

        return text ? strtoul(text, NULL, 10) : otherwise;
}

int main(void)
{
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(test_callbacks),
                cmocka_unit_test(test_no_memory_is_no_mistake_in_json),
                cmocka_unit_test(test_no_memory_makes_no_other_answer),
                cmocka_unit_test(test_forms),
                cmocka_unit_test(test_settings),
                cmocka_unit_test(test_exports),
                cmocka_unit_test_setup_teardown(test_commit, make_directory, remove_directory),
        };
        NthControl *(*get)(void) = (NthControl * (*)(void)) dlsym(RTLD_DEFAULT, "nth_control");

        if (!get) {
                fprintf(stderr, "LD_PRELOAD has to name nth-shim.so: run it with meson test\n");
                return 1;
        }
        control = get();
        rounds = number_of("NTH_ROUNDS", rounds);
        seed = number_of("NTH_SEED", seed);
        print_message("NTH_ROUNDS=%lu NTH_SEED=%lu\n", rounds, seed);
        log_set_max_level(-1); /* failures are made up here */
        return cmocka_run_group_tests(tests, NULL, NULL);
}
