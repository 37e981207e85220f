/*
 * The way to the API: HTTP Basic with the key as the user and no password, JSON, connections kept alive.
 * What http/pool.h guarantees is passed on as it is: nothing is sent twice, no redirect is followed, TLS is
 * verified, and `sent` is false only where it is certain.
 *
 * Nothing here looks at what an answer means, but for one thing that is for all who ask: until when the API
 * wants to be left alone.
 */

#include "submitd/api/client.h"

#include <stdio.h>

#include "http/pool.h"
#include "submitd/api/backoff.h"

#define WAITING_MAX   512U                /* cancels of as many local connections, and lists */
#define ENVELOPE_SIZE ((size_t)64 * 1024) /* what a page has around a single task */

struct ApiClient {
        HttpPool *pool;
        char *url; /* without a slash at its end */
        ApiKey key;
        uint64_t timeout;
        size_t max_body; /* of an answer */
        RetryAfter retry_after;
        ApiClientStats stats;
};

typedef struct Call {
        ApiClient *client;
        ApiDoneFn done;
        void *userdata;
        uint64_t started; /* monotonic */
} Call;

static void account(ApiClientStats *stats, const HttpPoolResult *result, uint64_t started)
{
        stats->in_flight--;
        stats->usec += now_monotonic() - started;
        if (result->error == 0 && result->status < ELEMENTSOF(stats->answers))
                stats->answers[result->status]++;
        else
                stats->failed++;
        if (result->error < 0 && !result->sent)
                stats->unsent++;
}

static void on_result(const HttpPoolResult *result, void *userdata)
{
        _cleanup_free_ Call *call = userdata;
        const ApiAnswer answer = {
                .error = result->error,
                .sent = result->sent,
                .status = result->status,
                .body = buffer_text(result->body),
                .body_size = result->body->size,
                .is_json = result->is_json,
                .too_large = result->too_large,
                .date = result->date,
                .retry_after = result->retry_after,
                .message = result->message,
        };

        account(&call->client->stats, result, call->started);
        retry_after_note(&call->client->retry_after, &answer, now_monotonic());
        call->done(&answer, call->userdata);
}

static int start_request(ApiClient *client, const ApiRequest *request, const char *url, Call *call)
{
        static const HttpHeader headers[] = { { "User-Agent", "scale-submitd/" PROJECT_VERSION } };

        return http_pool_start(client->pool,
                        &(HttpPoolRequest){
                                        .method = request->method,
                                        .url = url,
                                        .content_type = request->body ? "application/json" : NULL,
                                        .accept = "application/json",
                                        .headers = headers,
                                        .n_headers = ELEMENTSOF(headers),
                                        .basic_user = client->key.secret,
                                        .body = request->body,
                                        .body_size = request->body_size,
                                        .timeout = client->timeout,
                                        .max_body = MAX(client->max_body, request->max_answer),
                                        .done = on_result,
                                        .userdata = call,
                        },
                        NULL);
}

static int on_request(void *userdata, const ApiRequest *request, ApiDoneFn done, void *done_userdata)
{
        _cleanup_free_ char *url = NULL;
        _cleanup_free_ Call *call = NULL;
        ApiClient *client = userdata;
        int r;

        if (!client->pool)
                return -ESHUTDOWN;
        if (asprintf(&url, "%s%s", client->url, request->path) < 0) {
                url = NULL;
                return -ENOMEM;
        }
        call = calloc(1, sizeof(Call));
        if (!call)
                return -ENOMEM;
        *call = (Call){
                .client = client, .done = done, .userdata = done_userdata, .started = now_monotonic()
        };

        r = start_request(client, request, url, call);
        if (r < 0)
                return r;
        client->stats.in_flight++;
        TAKE_PTR(call);
        return 0;
}

static bool on_is_test(void *userdata)
{
        return api_client_is_test(userdata);
}

static uint64_t on_retry_at(void *userdata)
{
        return ((const ApiClient *)userdata)->retry_after.until;
}

Api api_client_api(ApiClient *client)
{
        return (Api){
                .request = on_request,
                .is_test = on_is_test,
                .retry_at = on_retry_at,
                .userdata = client,
        };
}

static void take_key(ApiClient *client, ApiKey *key)
{
        api_key_done(&client->key);
        client->key = *key;
        *key = (ApiKey){};
}

/* What a callback may bring can be asked for as well; a page with more than that is asked for in parts. */
static void set_limits(ApiClient *client, const Settings *settings)
{
        client->timeout = settings->api.timeout;
        client->max_body = settings->callback.max_body + ENVELOPE_SIZE;
}

int api_client_new(sd_event *loop, const Settings *settings, ApiKey *key, ApiClient **ret)
{
        _cleanup_(api_client_freep) ApiClient *client = NULL;
        size_t n = strlen(settings->api.url);
        int r;

        client = calloc(1, sizeof(ApiClient));
        if (!client) {
                api_key_done(key);
                return -ENOMEM;
        }
        take_key(client, key);
        set_limits(client, settings);

        while (n > 0 && settings->api.url[n - 1] == '/')
                n--;
        client->url = strndup(settings->api.url, n);
        if (!client->url)
                return -ENOMEM;
        r = http_pool_new(loop,
                        &(HttpPoolOptions){
                                        .max_in_flight = (unsigned)settings->api.max_in_flight,
                                        .max_waiting = WAITING_MAX,
                        },
                        &client->pool);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(client);
        return 0;
}

void api_client_reload(ApiClient *client, const Settings *settings, ApiKey *key)
{
        take_key(client, key);
        set_limits(client, settings);
        http_pool_set_max_in_flight(client->pool, (unsigned)settings->api.max_in_flight);
}

bool api_client_is_test(const ApiClient *client)
{
        return client->key.is_test;
}

void api_client_close(ApiClient *client)
{
        HttpPool *pool = TAKE_PTR(client->pool);

        http_pool_free(pool);
}

ApiClient *api_client_free(ApiClient *client)
{
        if (!client)
                return NULL;

        api_client_close(client);
        api_key_done(&client->key);
        free(client->url);
        free(client);
        return NULL;
}

const ApiClientStats *api_client_stats(const ApiClient *client)
{
        return &client->stats;
}
