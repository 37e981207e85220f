#pragma once

/* The nth failure in one's own process: a scenario is run again and again, each time with another call
 * failing. */

#include "test.h"

#include <limits.h>
#include <stdio.h>

#include "nth-shim.h"
#include "task/problem.h"
#include "json/encode.h"

/* What came of a run, in memory that nobody allocates. */
typedef struct Out {
        char text[256 * 1024];
        size_t n;
} Out;

typedef int (*Scenario)(Out *out, void *userdata); /* 0, or negative errno: it failed, and says so */

static NthControl *control;
static unsigned long rounds = 1000, seed = 1;

static inline void out_add(Out *out, const void *data, size_t size)
{
        assert_true(size <= sizeof(out->text) - out->n);
        memcpy(out->text + out->n, data, size);
        out->n += size;
}

static inline int out_json(Out *out, const json_t *value)
{
        _cleanup_buffer_ Buffer text = BUFFER_INIT(1024 * 1024);
        int r;

        r = value ? json_encode(value, &text) : -ENOMEM;
        if (r >= 0)
                out_add(out, text.data, text.size);
        return r;
}

/* Where and how bad. What a message quotes may be put in general terms when there is no memory to quote it.
 */
static inline int out_problems(Out *out, const Problems *problems)
{
        json_auto_t *list = NULL;

        if (problems->failed)
                return -ENOMEM;
        FOREACH_ARRAY(p, problems->items, problems->n) {
                out_add(out, p->path, strlen(p->path));
                out_add(out, p->severity == SEVERITY_ERROR ? " error\n" : " warning\n", 7);
        }
        list = problems_to_json(problems);
        return list && json_array_size(list) >= problems->n ? 0 : -ENOMEM;
}

/* Driving. */

static inline void arm(NthKind kind, int error, long n)
{
        atomic_store(&control->kind, NTH_OFF);
        control->error = error;
        control->n = n;
        control->times = 1;
        atomic_store(&control->count, 0);
        atomic_store(&control->fired, 0);
        atomic_store(&control->kind, (int)kind);
}

static inline long disarm(void)
{
        atomic_store(&control->kind, NTH_OFF);
        return atomic_load(&control->fired);
}

/* One run with its nth call failing. False: there is no such call. */
static inline bool try_one(const char *name, Scenario scenario, void *userdata, NthKind kind, int error,
                long n, const Out *right)
{
        static Out got;
        long before = atomic_load(&control->allocated), fired;
        int r;

        got.n = 0;
        arm(kind, error, n);
        r = scenario(&got, userdata);
        fired = disarm();

        if (r == 0 && (got.n != right->n || memcmp(got.text, right->text, got.n) != 0))
                fail_msg("%s, call %ld of kind %d, error %d: success, but it is\n%.*s\ninstead of\n%.*s",
                                name, n, (int)kind, error, (int)MIN(got.n, (size_t)2000), got.text,
                                (int)MIN(right->n, (size_t)2000), right->text);
        if (r > 0 || (r < 0 && fired == 0))
                fail_msg("%s, call %ld of kind %d: %d", name, n, (int)kind, r);
        if (atomic_load(&control->allocated) != before)
                fail_msg("%s, call %ld of kind %d, error %d: %ld pieces of memory are lost", name, n,
                                (int)kind, error, atomic_load(&control->allocated) - before);
        return fired > 0;
}

static inline unsigned long survive_kind(const char *name, Scenario scenario, void *userdata, NthKind kind,
                int error, const Out *right)
{
        Out *ignored = calloc(1, sizeof(Out));
        long most, step, n;

        assert_non_null(ignored);
        arm(kind, error, LONG_MAX);
        assert_int_equal(scenario(ignored, userdata), 0);
        disarm();
        free(ignored);
        most = atomic_load(&control->count);

        step = rounds > 0 ? MAX(most / (long)rounds, 1) : 1;
        for (n = step == 1 ? 1 : 1 + (long)seed % step; n <= most; n += step)
                try_one(name, scenario, userdata, kind, error, n, right);
        return (unsigned long)(most / step);
}

static inline unsigned long survive(const char *name, Scenario scenario, void *userdata)
{
        static Out right;

        /* Twice, because some things are only made once. */
        for (unsigned i = 0; i < 2; i++) {
                right.n = 0;
                assert_int_equal(scenario(&right, userdata), 0);
        }
        return survive_kind(name, scenario, userdata, NTH_MEMORY, ENOMEM, &right);
}
