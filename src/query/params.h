#pragma once

/* Query parameters, from tables: one table a route, one row a parameter. */

#include "http/server.h"
#include "store/types.h"

typedef enum ParamKind {
        PARAM_NUMBER,   /* uint64_t, between min and max */
        PARAM_TIME,     /* int64_t, ISO 8601 */
        PARAM_TEXT,     /* const char *, borrowed from the request, at most max bytes */
        PARAM_BOOLEAN,  /* int: 0 or 1 */
        PARAM_ORDER,    /* bool: whether the newest come first */
        PARAM_STATUS,   /* TaskStatus */
        PARAM_VERDICT,  /* Verdict */
        PARAM_STATE,    /* SubmissionState */
        PARAM_CURSOR,   /* ParamCursor: what an earlier page gave as `next` */
        PARAM_METADATA, /* ParamMetadata: all of NAME.KEY=VALUE */
        _PARAM_KIND_MAX,
} ParamKind;

/* A table ends with a row without name. */
typedef struct Param {
        const char *name;
        ParamKind kind;
        size_t offset; /* of the value in the structure that is filled in */
        uint64_t min, max;
} Param;

typedef struct ParamCursor {
        bool set;
        TaskCursor place;
} ParamCursor;

/* The `check` of every local server: a parameter that the route's table doesn't have, and one that is given
 * with two values, are answered 400, with what was probably meant. One without a value is absent, whether
 * there is a row or not. 0; 1: answered; negative errno. */
int params_check(HttpRequest *request, void *userdata);

/* Fills in what the request gives, by its route's table; an absent or empty parameter leaves its default. 0;
 * 1: one was bad and the request was answered 400, naming it; negative errno. */
int params_read(HttpRequest *request, void *values);

/* One value, of any kind but PARAM_METADATA. NULL, or what would be right. */
const char *param_parse(const Param *param, const char *value, void *ret);

#define PARAM_METADATA_MAX 8U

typedef struct ParamMetadata {
        StoreMetadata items[PARAM_METADATA_MAX]; /* borrowed from the request */
        size_t n;
} ParamMetadata;

/* Answers 400 about one parameter: `expected` is what would be right. */
int params_refuse(HttpRequest *request, const char *name, const char *expected);

#define PARAM_CURSOR_SIZE 72U
const char *param_cursor_format(const TaskCursor *place, char buf[static PARAM_CURSOR_SIZE]);
