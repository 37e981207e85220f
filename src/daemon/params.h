#pragma once

/* Query parameters, from tables: one row a parameter. */

#include "http/server.h"
#include "store/types.h"

typedef enum ParamKind {
        PARAM_NUMBER,  /* uint64_t, between min and max */
        PARAM_TIME,    /* int64_t, ISO 8601 */
        PARAM_TEXT,    /* const char *, borrowed from the request, at most max bytes */
        PARAM_BOOLEAN, /* int: 0 or 1 */
        PARAM_STATUS,  /* TaskStatus */
        PARAM_VERDICT, /* Verdict */
        PARAM_STATE,   /* SubmissionState */
        PARAM_CURSOR,  /* ParamCursor: what an earlier page gave as `next` */
        _PARAM_KIND_MAX,
} ParamKind;

typedef struct Param {
        const char *name;
        ParamKind kind;
        size_t offset; /* of the value in the structure that is filled in */
        uint64_t min, max;
} Param;

typedef struct ParamCursor {
        bool set;
        int64_t created_at;
        uint64_t id;
} ParamCursor;

/* Fills in what the request gives; an absent or empty parameter leaves its default. Parameters without a row
 * are nobody's business here. 0; 1: one was bad and the request was answered 400, naming it; negative errno.
 */
int params_read(HttpRequest *request, const Param *params, size_t n, void *values);

/* One value. NULL, or what would be right. */
const char *param_parse(const Param *param, const char *value, void *ret);

#define PARAM_METADATA_MAX 8U

typedef struct ParamMetadata {
        StoreMetadata items[PARAM_METADATA_MAX]; /* borrowed from the request */
        size_t n;
} ParamMetadata;

/* All of metadata.KEY=VALUE. 0; 1: there are too many and the request was answered 400; negative errno. */
int params_read_metadata(HttpRequest *request, ParamMetadata *ret);

/* Answers 400 about one parameter: `wanted` is what would be right. */
int params_refuse(HttpRequest *request, const char *name, const char *wanted);

#define PARAM_CURSOR_SIZE 48U
const char *param_cursor_format(int64_t created_at, uint64_t id, char buf[static PARAM_CURSOR_SIZE]);
