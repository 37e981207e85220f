/*
 * The service. It is put together in the order in which the parts need each other: keys and the store with
 * its writer (see service-loop.c), then the local sockets, then, last of all, the listeners for callbacks;
 * nothing is accepted that can't be stored. It is taken apart the other way round: no new connections, what
 * is in flight is answered, what was answered is on disk, the log of the database is copied back.
 */

#include "callbackd/service.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sysexits.h>

#include "basic/fd.h"
#include "basic/log.h"
#include "callbackd/listeners.h"
#include "callbackd/local.h"
#include "callbackd/prune.h"
#include "callbackd/receiver.h"
#include "daemon/message.h"
#include "daemon/program.h"
#include "daemon/service-loop.h"

typedef struct Service {
        ServiceLoop loop;
        Metrics metrics;
        Keys *loaded;      /* to be handed on; NULL: nothing to do */
        char *loaded_from; /* what people call that place */
        Receiver *receiver;
        _Atomic(Local *) local; /* the commit thread looks at it */
        Retention *retention;
} Service;

/* Every connection is a descriptor, and the soft limit is kept low for programs that use select(). */
static void raise_descriptor_limit(const Settings *settings)
{
        program_raise_descriptor_limit("[callback] max_connections", settings->callback.max_connections);
}

const Credential service_credential = {
        .name = "callback-auth-keys",
        .missing = "No callback auth key: write a line `label key` for each into /etc/credstore/callback-auth-keys (mode 0600), which is the credential callback-auth-keys, or name such a file in [callback] auth_keys_file",
};

static int load_keys(const Settings *settings, char **mistakes, void *userdata)
{
        _cleanup_(credential_place_done) CredentialPlace place = {};
        Service *service = userdata;
        int r;

        r = credential_locate(&service_credential, settings->callback.auth_keys_file, &place, mistakes);
        if (r >= 0)
                r = keys_load(place.path, place.name, &service->loaded, mistakes);
        if (r >= 0)
                service->loaded_from = TAKE_PTR(place.name);
        return r;
}

static void drop_keys(Service *service)
{
        service->loaded = keys_free(service->loaded);
        free(service->loaded_from);
        service->loaded_from = NULL;
}

/* What was loaded is in force. */
static Keys *take_keys(Service *service)
{
        Keys *keys = TAKE_PTR(service->loaded);
        const char *labels[KEYS_MAX];
        InForceKeys in_force = { .from = service->loaded_from, .labels = labels, .n = keys_count(keys) };

        for (size_t i = 0; i < in_force.n; i++)
                labels[i] = keys_label(keys, i);
        service_loop_set_in_force(&service->loop, &in_force);
        drop_keys(service);
        return keys;
}

static void look_at_keys(const char *path, const char *name, char **mistakes)
{
        _cleanup_(keys_freep) Keys *keys = NULL;

        (void)keys_load(path, name, &keys, mistakes);
}

void receiver_service_check(const Settings *settings, char **mistakes)
{
        credential_check(&service_credential, settings->callback.auth_keys_file, look_at_keys, mistakes);
        store_look_at(settings->store.path, mistakes);
}

/* From the commit thread. */
static void on_events(_unused_ uint64_t last_event, void *userdata)
{
        Service *service = userdata;
        Local *local = atomic_load(&service->local);

        if (local)
                local_notify_events(local);
}

/* Ending. */

static void quiesce(void *userdata)
{
        Service *service = userdata;

        http_server_quiesce(receiver_server(service->receiver));
}

static unsigned in_flight(void *userdata)
{
        Service *service = userdata;

        return http_server_connections(receiver_server(service->receiver));
}

static void cut(unsigned n, _unused_ void *userdata)
{
        log_event(LOG_WARNING, MESSAGE_CONNECTIONS_CUT, NULL, 0,
                        "%u connections did not finish in time and are cut.", n);
}

/* What this daemon takes out of the file that both read. */
static const char *const own_sections[] = { "callback", "query", "control", "store", NULL };

static void on_reloaded(int result, void *userdata)
{
        Service *service = userdata;
        const Settings *settings = service->loop.settings;
        Keys *keys;

        atomic_fetch_add(result < 0 ? &service->metrics.reloads_failed : &service->metrics.reloads, 1);
        if (result < 0) {
                drop_keys(service);
                return;
        }
        keys = take_keys(service);
        receiver_reload(service->receiver, settings, keys);
        raise_descriptor_limit(settings);
        local_set_strict(service->local, settings->callback.strict);
        retention_set(service->retention, settings->store.keep_deliveries);
        log_event(LOG_NOTICE, MESSAGE_RELOADED, NULL, 0, "Reloaded; %zu keys.", keys_count(keys));
}

static void on_tick(const CommitStats *stats, char *status, size_t size, void *userdata)
{
        Service *service = userdata;

        receiver_tick(service->receiver);
        snprintf(status, size,
                        "%s; %" PRIu64 " stored since the start, %" PRIu64 " waiting, %u connections.",
                        stats->state == STORE_WELL ? "Storing callbacks" : "Callbacks can't be stored",
                        stats->jobs, stats->queued, in_flight(service));
}

/* Putting together. */

static int start_local(Service *service, Listeners *listeners)
{
        _cleanup_free_ char *error = NULL;
        Local *local;
        int r;

        r = local_new(
                        &(LocalOptions){
                                        .database = service->loop.settings->store.path,
                                        .query_fd = take_fd(&listeners->query),
                                        .control_fd = take_fd(&listeners->control),
                                        .commit = service->loop.commit,
                                        .in_force = service->loop.in_force,
                                        .metrics = &service->metrics,
                                        .callback = receiver_server(service->receiver),
                                        .strict = service->loop.settings->callback.strict,
                        },
                        &local, &error);
        if (r < 0) {
                log_error("Can't serve the local sockets: %s", error ?: strerror(-r));
                return EX_OSERR;
        }
        atomic_store(&service->local, local);
        return 0;
}

static int start(void *userdata)
{
        _cleanup_(listeners_done) Listeners listeners = LISTENERS_INIT;
        Service *service = userdata;
        int r;

        raise_descriptor_limit(service->loop.settings);
        r = receiver_new(service->loop.event,
                        &(ReceiverOptions){
                                        .settings = service->loop.settings,
                                        .keys = take_keys(service),
                                        .commit = service->loop.commit,
                                        .port = service->loop.port,
                                        .reader = service->loop.reader,
                                        .metrics = &service->metrics,
                        },
                        &service->receiver);
        if (r >= 0)
                r = retention_new(service->loop.event, service->loop.port, &service->metrics,
                                service->loop.settings->store.keep_deliveries, &service->retention);
        if (r < 0) {
                log_error_errno(r, "Can't start");
                return EX_OSERR;
        }

        r = listeners_open(service->loop.settings, &listeners);
        if (r != 0)
                return r;
        listeners_announce(&listeners);
        r = start_local(service, &listeners);
        if (r != 0)
                return r;
        return listeners_serve_callbacks(&listeners, receiver_server(service->receiver));
}

static const ServiceCalls calls = {
        .role = STORE_RECEIVER,
        .sections = own_sections,
        .ready = "Storing callbacks.",
        .stopping = "Answering what is in flight.",
        .load_keys = load_keys,
        .start = start,
        .reloaded = on_reloaded,
        .quiesce = quiesce,
        .in_flight = in_flight,
        .cut = cut,
        .tick = on_tick,
        .on_events = on_events,
};

/* Taking apart: the order is that of the essay above. */
static Service *service_free(Service *service)
{
        if (!service)
                return NULL;

        if (service->receiver)
                http_server_quiesce(receiver_server(service->receiver));
        retention_free(service->retention);
        service_loop_settle(&service->loop); /* what is on its way to the disk is answered */
        local_free(atomic_exchange(&service->local, NULL));
        receiver_free(service->receiver);
        service_loop_done(&service->loop);
        drop_keys(service);
        free(service);
        return NULL;
}
DEFINE_CLEANUP(Service *, service_free)

int receiver_service_run(const char *config, const SettingsOverrides *overrides, Settings *settings)
{
        _cleanup_(service_freep) Service *service = NULL;

        service = calloc(1, sizeof(Service));
        if (!service) {
                settings_free(settings);
                return log_oom(), EX_OSERR;
        }
        metrics_init(&service->metrics);
        return service_loop_run(&service->loop, &calls, config, overrides, settings, service);
}
