#pragma once

/* The command line of scale-sandbox. */

#include "sandbox/callbacks.h"
#include "sandbox/server.h"

typedef enum OptionsAction {
        OPTIONS_RUN,
        OPTIONS_HELP,
        OPTIONS_VERSION,
} OptionsAction;

/* Texts are argv's. */
typedef struct Options {
        OptionsAction action;
        const char *listen;
        const char *keys[SERVER_KEYS_MAX];
        size_t n_keys;
        WorldOptions world;
        CallbacksOptions callbacks;
} Options;

/* 0, or the status to leave with: what is wrong was said then. Sets the log's level. */
int options_parse(int argc, char **argv, Options *ret);

/* 0 or EX_IOERR. */
int options_print_help(void);
