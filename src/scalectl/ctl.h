#pragma once

/* What every verb works with. */

#include <stdio.h>
#include <sysexits.h>

#include "config/settings.h"
#include "scalectl/text/term.h"

#define EX_NO 1 /* a negative answer: not found, not valid, something is wrong */

/* Whether a verb is to do something, or options_read() to say what it does. */
typedef enum Help {
        HELP_NONE,
        HELP_PEOPLE, /* help_print() */
        HELP_WORDS,  /* help_print_words() */
} Help;

typedef struct Verb Verb;

typedef struct Ctl {
        const Verb *verb;   /* the one that runs */
        const char *config; /* NULL: the default place */
        SettingsOverrides overrides;
        Settings settings;
        bool json, utc;
        Help help;
        Term term; /* of standard output; its width says whether that is a terminal */
} Ctl;

/* One verb. `argv[0]` is its name, up to a NULL; returns an exit status. */
struct Verb {
        const char *name;
        const char *arguments;
        const char *help;
        int (*run)(Ctl *ctl, int argc, char **argv);
        bool without_settings; /* loads them by itself, or needs none */
};

/* Options of a verb, from a table. */
typedef enum OptionKind {
        OPTION_FLAG,   /* bool */
        OPTION_TEXT,   /* const char * */
        OPTION_NUMBER, /* uint64_t */
        OPTION_TIME,   /* int64_t, see when_parse() */
        OPTION_SPAN,   /* uint64_t, see parse_duration() */
        OPTION_LIST,   /* OptionList */
} OptionKind;

#define OPTION_LIST_MAX 128U

typedef struct OptionList {
        const char *items[OPTION_LIST_MAX];
        size_t n;
} OptionList;

typedef struct Option {
        const char *name; /* "--since" or "-n" */
        OptionKind kind;
        size_t offset;
} Option;

#define OPTIONS_HELPED (-1)

/* Reads options and arguments in any order. The arguments that are left stand in argv from 1 on, their
 * number in *ret_n; between `least` and `most` are wanted. 0; EX_USAGE (said); OPTIONS_HELPED: help was
 * wanted and given, and the verb is to return this as it is. */
int options_read(Ctl *ctl, const Option *options, size_t n, void *values, int argc, char **argv,
                unsigned least, unsigned most, unsigned *ret_n);

/* Says how the verb is used. EX_USAGE. */
int options_complain_usage(const Ctl *ctl);

int verb_tasks(Ctl *ctl, int argc, char **argv);
int verb_task(Ctl *ctl, int argc, char **argv);
int verb_watch(Ctl *ctl, int argc, char **argv);
int verb_consume(Ctl *ctl, int argc, char **argv);
int verb_wait(Ctl *ctl, int argc, char **argv);
int verb_stats(Ctl *ctl, int argc, char **argv);
int verb_deliveries(Ctl *ctl, int argc, char **argv);
int verb_delivery(Ctl *ctl, int argc, char **argv);
int verb_quarantine(Ctl *ctl, int argc, char **argv);
int verb_submit(Ctl *ctl, int argc, char **argv);
int verb_queue(Ctl *ctl, int argc, char **argv);
int verb_cancel(Ctl *ctl, int argc, char **argv);
int verb_reconcile(Ctl *ctl, int argc, char **argv);
int verb_backfill(Ctl *ctl, int argc, char **argv);
int verb_simulate(Ctl *ctl, int argc, char **argv);
int verb_doctor(Ctl *ctl, int argc, char **argv);
int verb_check_config(Ctl *ctl, int argc, char **argv);
int verb_backup(Ctl *ctl, int argc, char **argv);
int verb_restore(Ctl *ctl, int argc, char **argv);
int verb_export(Ctl *ctl, int argc, char **argv);
int verb_view(Ctl *ctl, int argc, char **argv);
int verb_prune(Ctl *ctl, int argc, char **argv);
