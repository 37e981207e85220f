#pragma once

/* The terminal: what it can take, and what may be said on it. */

#include <stdio.h>
#include <wchar.h>

#include "basic/macros.h"

/* How output is to look. */
typedef struct Term {
        unsigned width; /* columns; 0: not a terminal, nothing is cut to fit */
        bool colour;
} Term;

/* SGR sequences, used only where Term.colour is set. */
#define SGR_RESET  "\x1b[0m"
#define SGR_BOLD   "\x1b[1m"
#define SGR_RED    "\x1b[31m"
#define SGR_GREEN  "\x1b[32m"
#define SGR_YELLOW "\x1b[33m"
#define SGR_BLUE   "\x1b[34m"

/* Once at start: the user's locale, but always UTF-8, because that is what the data is in. */
void term_set_locale(void);

/* Looks at a descriptor, COLUMNS, NO_COLOR and TERM. */
Term term_of(int fd);

/* One line "scalectl: ..." on standard error, control characters replaced. */
void complain(const char *format, ...) _printf_(1, 2);

/* Bytes on their way to a terminal, in pieces that may end in the middle of a character: control characters
 * but tabs and line ends, hidden ones, and what is not UTF-8 become U+FFFD. */
typedef struct TermFilter {
        mbstate_t state;
        char pending[8]; /* the front of a character */
        size_t n;
} TermFilter;

/* 0, or -EIO when `f` can't be written. */
int term_filter(TermFilter *filter, const char *data, size_t size, FILE *f);

/* The end: half a character is none. */
int term_filter_end(TermFilter *filter, FILE *f);

/* Says how far a transfer is, on a terminal's standard error and not too often; `done` clears the line. */
typedef struct Progress {
        const char *what;
        uint64_t bytes;
        uint64_t shown_at; /* monotonic; 0: never */
        bool enabled;
} Progress;

/* A bar, or what is known of it: `part` from 0 to 1, or negative; so many are `what`. On one line. */
void progress_bar(FILE *f, double part, uint64_t n, const char *what);

Progress progress_start(const char *what);
void progress_add(Progress *progress, uint64_t bytes);
void progress_done(Progress *progress);
