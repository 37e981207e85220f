#pragma once

/* The API over HTTP: the Api of the daemon. */

#include <systemd/sd-event.h>

#include "config/settings.h"
#include "submitd/api/api.h"
#include "submitd/api/key.h"

typedef struct ApiClient ApiClient;

typedef struct ApiClientStats {
        uint64_t answers[600];   /* by status, ever */
        uint64_t failed, unsent; /* requests without an answer, ever; of those, such that never left */
        uint64_t usec;           /* spent waiting for answers and failures, ever */
        uint64_t in_flight;
} ApiClientStats;

/* Takes the key, also on failure. 0 or negative errno. */
int api_client_new(sd_event *loop, const Settings *settings, ApiKey *key, ApiClient **ret);

/* Borrows the client. */
Api api_client_api(ApiClient *client);

/* Other limits and another key (taken) for what is to come. */
void api_client_reload(ApiClient *client, const Settings *settings, ApiKey *key);
bool api_client_is_test(const ApiClient *client);

/* Ends all requests with -ECANCELED; there can be no others afterwards. */
void api_client_close(ApiClient *client);
ApiClient *api_client_free(ApiClient *client);
DEFINE_CLEANUP(ApiClient *, api_client_free)

const ApiClientStats *api_client_stats(const ApiClient *client);
