#pragma once

/* What the tests of the stand-in's world share. */

#include "test.h"

#include <jansson.h>
#include <stdio.h>

#include "basic/parse.h"
#include "sandbox/world.h"

#define NOW INT64_C(1466672974752123) /* 2016-06-23T09:09:34.752123Z */
#define SEC INT64_C(1000000)

#define CATEGORIZATION                                                      \
        "{\"callback_url\":\"http://127.0.0.1:1/"                           \
        "callback\",\"instruction\":\"?\",\"attachment_type\":\"website\"," \
        "\"attachment\":\"http://www.example.com/\",\"categories\":[\"public\",\"private\"]}"

static inline World *make_world(const WorldOptions *options)
{
        WorldOptions o = options ? *options : (WorldOptions){ .seed = 1, .complete_after = UINT64_MAX };
        World *w = NULL;

        assert_int_equal(world_new(&o, &w), 0);
        return w;
}

/* The parsed answer, a new reference. */
static inline json_t *ask_with(World *w, const WorldRequest *q, WorldAnswer *ret_answer)
{
        WorldAnswer a = {};
        json_t *json;

        assert_int_equal(world_handle(w, q, &a), 0);
        json = json_loads(buffer_text(&a.body), 0, NULL);
        if (a.status != 200 && streq(a.content_type, "application/json")) {
                assert_int_equal(json_integer_value(json_object_get(json, "status_code")), a.status);
                assert_true(json_string_length(json_object_get(json, "error")) > 0);
        }
        buffer_done(&a.body);
        *ret_answer = a;
        return json;
}

static inline json_t *ask(World *w, const char *method, const char *path, const char *body, int64_t now,
                unsigned status)
{
        const char *mark = strchr(path, '?');
        _cleanup_free_ char *bare = strndup(path, strcspn(path, "?"));
        WorldAnswer a;
        json_t *json;

        json = ask_with(w,
                        &(WorldRequest){ .method = method,
                                        .path = bare,
                                        .query = mark ? mark + 1 : NULL,
                                        .content_type = body ? "application/json" : NULL,
                                        .body = body,
                                        .body_size = body ? strlen(body) : 0,
                                        .now = now },
                        &a);
        assert_int_equal(a.status, status);
        return json;
}

static inline const char *text_of(const json_t *object, const char *name)
{
        return json_string_value(json_object_get(object, name)) ?: "";
}

static inline json_int_t number_of(const json_t *object, const char *name)
{
        return json_integer_value(json_object_get(object, name));
}

/* Makes one, and copies its id. */
static inline const char *create(World *w, const char *body, int64_t now, char id[static 25])
{
        json_t *task = ask(w, "POST", "/v1/task/categorization", body, now, 200);

        assert_int_equal(strlen(text_of(task, "task_id")), 24);
        strcpy(id, text_of(task, "task_id"));
        json_decref(task);
        return id;
}

static inline json_t *get_task(World *w, const char *id, int64_t now)
{
        char path[64];

        snprintf(path, sizeof(path), "/v1/task/%.24s", id);
        return ask(w, "GET", path, NULL, now, 200);
}

static inline void complete(World *w, const char *id, const char *body, int64_t now)
{
        char path[64];

        snprintf(path, sizeof(path), "/sandbox/task/%.24s/complete", id);
        json_decref(ask(w, "POST", path, body, now, 200));
}

static inline json_int_t stat_of(const World *w, const char *name)
{
        json_t *stats = world_stats(w);
        json_int_t n;

        assert_true(json_is_integer(json_object_get(stats, name)));
        n = number_of(stats, name);
        json_decref(stats);
        return n;
}
