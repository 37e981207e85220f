/* A made-up callback, sent the way Scale sends its own: for trying an installation, proxy included. */

#include <jansson.h>

#include "basic/key-file.h"
#include "basic/parse.h"
#include "basic/time-util.h"
#include "scalectl/api.h"
#include "scalectl/text/format.h"
#include "scalectl/text/json-text.h"
#include "task/simulate.h"
#include "json/encode.h"

#define ANSWER_MAX   ((size_t)64 * 1024)
#define BODY_MAX     ((size_t)1024 * 1024)
#define TIMEOUT_USEC (60 * USEC_PER_SEC)
#define UNIX_PREFIX  "unix:"

typedef struct SimulateOptions {
        const char *to, *key_file;
} SimulateOptions;

static const Option simulate_options[] = {
        { "--to", OPTION_TEXT, offsetof(SimulateOptions, to) },
        { "--key-file", OPTION_TEXT, offsetof(SimulateOptions, key_file) },
};

static int make_body(const char *type, Buffer *ret)
{
        json_auto_t *body = NULL;
        char id[TASK_ID_SIZE];
        int64_t now = now_realtime();
        int r;

        r = simulate_callback(type, simulate_task_id(now, id), now, &body);
        if (r == -ENOENT) {
                complain("%s is not a type of task: expected one of", type);
                for (const TaskType *const *t = task_types; *t; t++)
                        complain("  %s", (*t)->name);
                complain("  attachment_failure");
                return EX_USAGE;
        }
        if (r >= 0)
                r = json_encode(body, ret);
        return r < 0 ? EX_OSERR : 0;
}

static int read_key(const Ctl *ctl, const char *named, Secret **ret)
{
        const char *path = named ?: ctl->settings.callback.auth_keys_file;
        int r;

        if (!path) {
                complain("no key to show: neither --key-file nor [callback] auth_keys_file names a file "
                         "of keys");
                return EX_CONFIG;
        }
        r = key_file_first(path, ret);
        if (r == -EINVAL)
                complain("%s: there is no line `label key` in it", path);
        else if (r == -EPERM)
                complain("%s: others can read it; `chmod o= FILE` mends that", path);
        else if (r < 0)
                complain("%s can't be read: %s", path, strerror(-r));
        return r == -EACCES || r == -EPERM ? EX_NOPERM : r < 0 ? EX_NOINPUT : 0;
}

/* Where our own daemon listens, unless --to says otherwise: a URL, or unix:PATH as in [callback] listen. */
static int choose_target(const Ctl *ctl, const char *to, HttpClientRequest *request, char **ret_url)
{
        const char *target = to ?: ctl->settings.callback.listen[0];
        int n;

        if (strncmp(target, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0) {
                request->socket = target + strlen(UNIX_PREFIX);
                n = asprintf(ret_url, "%s", ctl->settings.callback.path);
        } else if (to)
                n = asprintf(ret_url, "%s", to);
        else
                n = asprintf(ret_url, "http://%s%s", target, ctl->settings.callback.path);
        if (n < 0)
                *ret_url = NULL;
        request->url = *ret_url;
        return n < 0 ? EX_OSERR : 0;
}

/* A 200 may come from anything that answers requests; only the daemon's says what became of the callback. */
static int show_answer(const Ctl *ctl, const HttpClientResult *result)
{
        _cleanup_free_ char *what = NULL, *task = NULL;
        json_auto_t *answer = NULL;

        if (result->status != 200)
                return api_complain(result->status, &result->body);

        answer = api_json(&result->body);
        what = format_value(json_object_get(answer, "result"));
        task = format_value(json_object_get(answer, "task_id"));
        if (!what || !task)
                return EX_OSERR;
        if (!*what)
                return api_complain_broken();

        if (ctl->json)
                json_text_print_line(
                                buffer_text(&result->body), result->body.size, ctl->term.width > 0, stdout);
        else
                printf("%s: task %s, delivery %" JSON_INTEGER_FORMAT "\n", what, *task ? task : "unknown",
                                json_integer_value(json_object_get(answer, "delivery")));
        return 0;
}

int verb_simulate(Ctl *ctl, int argc, char **argv)
{
        HttpClientRequest request = {
                .method = "POST",
                .content_type = "application/json",
                .secret_header = "scale-callback-auth",
                .timeout = TIMEOUT_USEC,
                .max_body = ANSWER_MAX,
        };
        _cleanup_buffer_ Buffer body = BUFFER_INIT(BODY_MAX);
        _cleanup_(secret_freep) Secret *key = NULL;
        _cleanup_free_ char *url = NULL;
        SimulateOptions o = {};
        HttpClientResult result;
        unsigned n;
        int r;

        r = options_read(ctl, simulate_options, ELEMENTSOF(simulate_options), &o, argc, argv, 1, 1, &n);
        if (r == 0)
                r = make_body(argv[1], &body);
        if (r == 0)
                r = read_key(ctl, o.key_file, &key);
        if (r == 0)
                r = choose_target(ctl, o.to, &request, &url);
        if (r != 0)
                return r;

        request.secret = key;
        request.body = body.data;
        request.body_size = body.size;
        r = http_client_perform(&request, &result);
        r = r < 0 ? api_complain_unreachable(API_QUERY, request.socket ?: url, r, result.error)
                  : show_answer(ctl, &result);
        http_client_result_done(&result);
        return r;
}
