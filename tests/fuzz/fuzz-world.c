/*
 * Requests to the stand-in's world, and time between them. The input is a list of requests, each of two
 * lines and a body: a method and a target, a content type, and what comes up to the next line that is a
 * single dot. What must hold: every answer is JSON or a proxy's page, every error says so in the one shape,
 * and the counts agree.
 */

#include "fuzz.h"

#include <jansson.h>

#include "basic/parse.h"
#include "sandbox/world.h"
#include "json/parse.h"

#define NOW          INT64_C(1466672974752123)
#define REQUESTS_MAX 64U
#define ID_SIZE      25U

/* The piece of the text up to `end`, cut there; the text goes on behind it. */
static char *piece(char **text, const char *end)
{
        char *start = *text, *found = strstr(start, end);

        *text = found ? found + strlen(end) : start + strlen(start);
        if (found)
                *found = 0;
        return start;
}

/* Remembers the id of a task that was made. */
static void check_answer(const WorldAnswer *a, char last[static ID_SIZE])
{
        json_t *json;

        if (a->again_in > 0 || strcmp(a->content_type, "text/html") == 0)
                return;
        assert(json_parse(a->body.data, a->body.size, 0, &json, NULL) == 0);
        assert(json_is_object(json));
        if (a->status != 200) {
                assert(json_integer_value(json_object_get(json, "status_code")) == a->status);
                assert(json_string_length(json_object_get(json, "error")) > 0);
        }
        if (json_string_length(json_object_get(json, "task_id")) == ID_SIZE - 1)
                strcpy(last, json_string_value(json_object_get(json, "task_id")));
        json_decref(json);
}

static void check_counts(const World *w)
{
        json_t *stats = world_stats(w);
        json_int_t n = 0;

        assert(stats);
        for (TaskStatus s = 0; s < _TASK_STATUS_MAX; s++)
                n += json_integer_value(json_object_get(stats, task_status_to_string(s)));
        assert(n == json_integer_value(json_object_get(stats, "tasks")));
        json_decref(stats);
}

/* "/v1/task/LAST_TASK_OF_ALL________/cancel" means the task that was seen last. */
static void put_last(char *path, const char *last)
{
        static const char word[ID_SIZE] = "LAST_TASK_OF_ALL________";
        char *found = strstr(path, word);

        if (found && *last)
                memcpy(found, last, ID_SIZE - 1);
}

static void ask(World *w, char **text, int64_t now, char last[static ID_SIZE])
{
        char *method = piece(text, " "), *path = piece(text, "\n"), *type = piece(text, "\n");
        char *body = piece(text, "\n.\n"), *query = strchr(path, '?');
        WorldAnswer a = {};

        if (query)
                *query++ = 0;
        put_last(path, last);
        assert(world_handle(w,
                               &(WorldRequest){ .method = method,
                                               .path = path,
                                               .query = query,
                                               .content_type = *type ? type : NULL,
                                               .body = body,
                                               .body_size = strlen(body),
                                               .is_test = now % 2 == 0,
                                               .now = now },
                               &a) == 0);
        check_answer(&a, last);
        buffer_done(&a.body);
}

static void call_back(World *w, int64_t now)
{
        WorldCallback c;

        while (world_take_callback(w, now, &c) == 1) {
                assert(c.attempt >= 1 && c.attempt <= WORLD_RETRIES_MAX + 1);
                assert(strlen(c.body) == c.body_size);
                assert(world_callback_done(w, c.number, c.number % 3 == 0 ? 500 : 200, NULL, now) == 0);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        WorldOptions options = { .seed = size, .complete_after = 10 * USEC_PER_SEC, .time_scale = 1000 };
        char *text, *rest, last[ID_SIZE] = "";
        int64_t now = NOW;
        World *w;

        if (size == 0)
                return 0;
        /* The first byte chooses the faults that strike half of the time. */
        for (Fault f = 0; f < _FAULT_MAX; f++)
                options.faults[f] = data[0] & 1U << f % 8 ? 0.5 : 0;
        options.delay = options.lag = USEC_PER_SEC;
        text = rest = strndup((const char *)data + 1, size - 1);
        assert(text && world_new(&options, &w) == 0);
        for (unsigned i = 0; *rest && i < REQUESTS_MAX; i++) {
                ask(w, &rest, now, last);
                now += 1000001;
                call_back(w, now);
        }
        check_counts(w);
        world_free(w);
        free(text);
        return 0;
}
