#pragma once

/* The API as the outbox and reconciliation see it: requests and what came of them. */

#include "basic/macros.h"
#include "basic/time-util.h"

typedef struct ApiRequest {
        const char *method; /* "GET", "POST" */
        const char *path;   /* "/task/categorization", "/tasks?limit=100&offset=0": behind [api] url */
        const void *body;   /* JSON; NULL: none; copied */
        size_t body_size;
        size_t max_answer; /* bytes of the answer, where that is more than what any may have; 0: no more */
} ApiRequest;

/* What came of one. Borrowed until done() returns. */
typedef struct ApiAnswer {
        int error;        /* 0: there is a whole answer, whatever its status; else negative errno */
        bool sent;        /* false only when it is certain that no byte of the request left */
        unsigned status;  /* 0: none */
        const char *body; /* NUL behind it */
        size_t body_size;
        bool is_json;
        bool too_large;       /* with an error: it was left off at the limit */
        int64_t date;         /* of the API's clock; TIME_NONE: it did not say */
        uint64_t retry_after; /* microseconds; UINT64_MAX: it did not say */
        const char *message;  /* for people, where error is set; never a secret */
} ApiAnswer;

typedef void (*ApiDoneFn)(const ApiAnswer *answer, void *userdata);

/* The way there: over HTTP in the daemon (api.c), into the stand-in in tests. */
typedef struct Api {
        /* Exactly one call of done() follows, later and never from within; at the end of everything with
         * -ECANCELED. 0 or negative errno (then done() isn't called and nothing left). */
        int (*request)(void *userdata, const ApiRequest *request, ApiDoneFn done, void *done_userdata);
        /* Whether the key is a test key. */
        bool (*is_test)(void *userdata);
        /* Monotonic: it wants no request before, whoever asks. */
        uint64_t (*retry_at)(void *userdata);
        void *userdata;
} Api;
