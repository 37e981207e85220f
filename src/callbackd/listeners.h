#pragma once

/* Listening sockets: those that the service manager passed by name, or our own. */

#include "config/settings.h"
#include "http/server.h"

#define LISTENERS_CALLBACK_MAX 16U

typedef struct Listeners {
        int callback[LISTENERS_CALLBACK_MAX];
        size_t n_callback;
        int query, control; /* -EBADF: none */
} Listeners;

#define LISTENERS_INIT ((Listeners){ .query = -EBADF, .control = -EBADF })

/* Closes what was not handed on. */
void listeners_done(Listeners *listeners);

/* Takes the passed sockets with the names callback, query and control, and opens what is still missing as
 * the settings say. 0, or a status of sysexits.h; what was wrong is in the log. */
int listeners_open(const Settings *settings, Listeners *ret);

/* Says in the log where callbacks, queries and control calls are taken. */
void listeners_announce(const Listeners *listeners);

/* Hands the callback sockets to the server. 0, or a status. */
int listeners_serve_callbacks(Listeners *listeners, HttpServer *server);
