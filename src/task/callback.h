#pragma once

/* A callback: from the bytes of a body to what they say, with everything that is wrong with them. */

#include <jansson.h>

#include "basic/buffer.h"
#include "task/problem.h"
#include "task/type.h"
#include "task/value.h"
#include "json/memory.h"

#define CALLBACK_DEPTH_MAX   64U      /* arrays and objects within each other */
#define CALLBACK_VALUES_MAX  1000000U /* of all kinds: parsed, a body can be fifty times its size */
#define CALLBACK_ID_MAX      128U     /* bytes of a task_id */
#define CALLBACK_TYPE_MAX    64U      /* bytes of a type's name */
#define CALLBACK_DIGEST_SIZE JSON_DIGEST_SIZE

/* Outcomes that the caller must handle: positive, where negative is an errno. */
enum {
        CALLBACK_NOT_JSON = 1, /* 400: not UTF-8, not JSON, not one object, duplicate keys, too deep */
        CALLBACK_INVALID = 2,  /* 422: an envelope or a response that breaks the rules */
};

typedef enum CallbackKind {
        CALLBACK_RESPONSE,           /* a task's result */
        CALLBACK_ATTACHMENT_FAILURE, /* Scale could not fetch an attachment: either form */
        CALLBACK_SNAPSHOT,           /* a snapshot of a task, without a response; only where it is allowed */
        _CALLBACK_KIND_MAX,
} CallbackKind;

typedef enum CallbackFlags {
        CALLBACK_STRICT = 1 << 0,         /* every warning is an error */
        CALLBACK_ALLOW_SNAPSHOT = 1 << 1, /* a task that is pending, canceled or failed needs no response:
                                            for what the API tells when it is asked, never for what comes by
                                            itself */
} CallbackFlags;

typedef struct Callback {
        JsonArena arena;
        json_t *root; /* owned, in the arena; NULL when the body was not JSON */
        CallbackKind kind;
        bool unchecked; /* a type without rules here: only the envelope was checked */

        /* Borrowed from root (or from the stored task, see callback_check()), NULL where absent. */
        const char *task_id;
        const char *type;
        const json_t *task;
        const json_t *response;
        const json_t *attachments; /* of a failed attachment: [{"url", "statusCode"}], in either form */

        TaskStatus status; /* task.status where it is one; else completed, or error for a failed attachment
                            */
        bool is_test;
        int64_t created_at; /* task.created_at; else the time in the id's first 8 hex digits; else TIME_NONE
                             */
        int64_t completed_at;                 /* TIME_NONE where absent */
        uint8_t digest[CALLBACK_DIGEST_SIZE]; /* of `response` (see response_digest(); of `task` in an
                                                 snapshot, of the whole body where there is neither): equal
                                                 exactly for equal values */

        Problems problems;
} Callback;

/* About how many bytes it takes to parse a body: 0 for one that is refused unparsed. */
size_t callback_weight(const void *body, size_t size);

/* Whether a text may be parsed at all: names it as a problem when it nests deeper or has more values than
 * the maxima above. 0, CALLBACK_NOT_JSON. */
int callback_check_bounds(const void *text, size_t size, Problems *problems);

/* Parses a body. Always sets *ret (to be freed with callback_free()) unless it fails: for CALLBACK_NOT_JSON
 * the problems say why and everything else is empty. What can be read of a broken envelope is read, so that
 * a quarantined body still knows which task it named. 0, CALLBACK_NOT_JSON, -ENOMEM. */
int callback_parse(const void *body, size_t size, Callback **ret);

/* True when the body had no `task` and its rules need the stored one: see callback_check(). */
bool callback_needs_stored_task(const Callback *callback);

/* Holds the callback against envelope and rules. `stored` is the task as stored here, borrowed for as long
 * as `c` lives, looked at when the body has no `task`; NULL when there is none. `flags` are those of
 * CallbackFlags. 0 (perhaps with warnings), CALLBACK_INVALID, -ENOMEM. */
int callback_check(Callback *callback, const json_t *stored, unsigned flags);

/* Appends the body of a callback for a task object as the API gives it: {"task_id", "response", "task"},
 * `response` only where the task has one. It is for callback_parse() to say whether that is a task. 0,
 * -ENOMEM, -ENOBUFS; what was appended until then stays. */
int callback_body_from_task(const json_t *task, Buffer *out) _warn_unused_;

Callback *callback_free(Callback *callback);
DEFINE_CLEANUP(Callback *, callback_free)
