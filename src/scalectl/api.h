#pragma once

/* Calls of the daemon's local sockets. */

#include <jansson.h>

#include "basic/buffer.h"
#include "http/client.h"
#include "scalectl/ctl.h"

typedef enum ApiSide {
        API_QUERY,
        API_CONTROL,
        API_SUBMIT,
        _API_SIDE_MAX,
} ApiSide;

#define API_BODY_MAX ((size_t)512 * 1024 * 1024) /* a page of tasks, however long their transcripts */

/* A URL that is put together: a path and its parameters, with everything encoded. */
typedef struct ApiUrl {
        Buffer text;
        bool has_query;
        int error; /* of the first that failed: -E2BIG (too long), -ENOMEM */
} ApiUrl;

ApiUrl api_url(const char *path);
void api_url_segment(ApiUrl *u, const char *segment);             /* "/SEGMENT" */
void api_url_add(ApiUrl *u, const char *name, const char *value); /* NULL value: nothing */
void api_url_add_number(ApiUrl *url, const char *name, uint64_t value);
void api_url_add_time(ApiUrl *u, const char *name, int64_t t); /* TIME_NONE: nothing */
/* metadata.KEY=VALUE for each KEY=VALUE of `--metadata`. 0, or an exit status (said). */
int api_url_add_metadata(ApiUrl *url, const OptionList *list);
void api_url_done(ApiUrl *url);

/* One call, its body collected. 0 whatever the answer's status, or as http_client_perform(); nothing is
 * said. The URL is let go, *ret is for the caller to. */
int api_try(const Ctl *ctl, ApiSide side, const char *method, ApiUrl *url, HttpClientResult *ret);

/* One call, its body collected, whatever the answer's status. 0, or an exit status; what was wrong was said.
 * The URL is let go. */
int api_ask(const Ctl *ctl, ApiSide side, const char *method, ApiUrl *url, Buffer *ret,
                unsigned *ret_status);

/* One call, its body collected; every 2xx is fine. 0, or an exit status; what was wrong was said. The URL is
 * let go. */
int api_call(const Ctl *ctl, ApiSide side, const char *method, ApiUrl *url, Buffer *ret);

/* Likewise, and *ret_status is the status of the answer, also of one that was complained of; 0: none. */
int api_call_status(const Ctl *ctl, ApiSide side, const char *method, ApiUrl *url, Buffer *ret,
                unsigned *ret_status);

/* One call whose body goes to on_data() as it comes. 0, or an exit status; what was wrong was said, except
 * with `ret_passing`: then what may pass by itself (nobody listens, cut short, a 503) is not complained of
 * but told there. */
int api_stream(const Ctl *ctl, ApiSide side, ApiUrl *url,
                int (*on_data)(const char *data, size_t size, void *userdata), void *userdata,
                bool *ret_passing);

/* What a daemon answered as a value, a new reference; NULL: it is no JSON, or there is no memory. */
json_t *api_json(const Buffer *body);
json_t *api_json_text(const void *text, size_t size);

/* Three ways for a call to go wrong, said on standard error: there is no answer, the answer is an error, or
 * it is none that the daemon gives. All return an exit status. */
int api_complain_unreachable(ApiSide side, const char *where, int error, const char *says);
int api_complain(unsigned status, const Buffer *body);
int api_complain_broken(void);

/* Says each of an array of problems. */
void api_complain_of_problems(const json_t *problems);
