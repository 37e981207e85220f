#pragma once

/* Guesses at what was meant by a name that nobody knows. */

#include "basic/macros.h"

typedef struct Guess {
        const char *written;  /* borrowed */
        const char *meant;    /* the nearest of those tried, as given to guess_try(); NULL: none is near */
        unsigned differences; /* between the two */
} Guess;

#define GUESS(name) ((Guess){ .written = (name) })

/* Compares with a name that is known. Near is a name that differs by case and by '_', '-' and blanks alone,
 * or by one letter that is missing, too much, wrong or exchanged with its neighbour; by two in names of six
 * letters and more that begin alike. Names of three letters and less have to be the same. */
void guess_try(Guess *guess, const char *known);
