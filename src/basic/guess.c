/*
 * Slips of the pen. What is refused for being near to a known name must not be a name of its own, so near is
 * close: two differences at most, fewer in short names. Names longer than any that is known are near to
 * nothing, so what a comparison costs is bounded.
 */

#include "basic/guess.h"

#include <limits.h>

#define NAME_MAX_SIZE  48U /* letters that are compared; longer names are near to nothing */
#define NONE           UINT_MAX
#define LETTERS_OF_ONE 4U /* so many allow one difference */
#define LETTERS_OF_TWO 6U

typedef struct Name {
        char letters[NAME_MAX_SIZE];
        unsigned n;
} Name;

/* False: it is too long. */
static bool fold(const char *text, Name *ret)
{
        ret->n = 0;
        for (; *text; text++) {
                if (strchr("_- ", *text))
                        continue;
                if (ret->n == NAME_MAX_SIZE)
                        return false;
                ret->letters[ret->n++] = *text >= 'A' && *text <= 'Z' ? (char)(*text - 'A' + 'a') : *text;
        }
        return true;
}

/* The next row of the table of distances between the beginnings of both names, and the least in it. A letter
 * exchanged with its neighbour is one difference, so the row before the last is looked at, too. */
static unsigned next_row(const Name *a, const Name *b, unsigned i, const unsigned *before,
                const unsigned *last, unsigned *row)
{
        unsigned least = row[0] = i;

        for (unsigned j = 1; j <= b->n; j++) {
                char x = a->letters[i - 1], y = b->letters[j - 1];

                row[j] = MIN(MIN(last[j], row[j - 1]) + 1, last[j - 1] + (x != y));
                if (i > 1 && j > 1 && x == b->letters[j - 2] && y == a->letters[i - 2])
                        row[j] = MIN(row[j], before[j - 2] + 1);
                least = MIN(least, row[j]);
        }
        return least;
}

/* NONE: more than `max`. */
static unsigned count_differences(const Name *a, const Name *b, unsigned max)
{
        unsigned rows[3][NAME_MAX_SIZE + 1], *before = rows[0], *last = rows[1], *row = rows[2];

        if (MAX(a->n, b->n) - MIN(a->n, b->n) > max)
                return NONE;
        for (unsigned j = 0; j <= b->n; j++)
                last[j] = j;
        for (unsigned i = 1; i <= a->n; i++) {
                unsigned *spare = before;

                if (next_row(a, b, i, before, last, row) > max)
                        return NONE;
                before = last;
                last = row;
                row = spare;
        }
        return last[b->n] <= max ? last[b->n] : NONE;
}

static unsigned allowance(const Name *known, const Name *written)
{
        if (known->n < LETTERS_OF_ONE)
                return 0;
        return known->n >= LETTERS_OF_TWO && known->letters[0] == written->letters[0] ? 2 : 1;
}

void guess_try(Guess *guess, const char *known)
{
        unsigned differences;
        Name a, b;

        if (!fold(guess->written, &a) || !fold(known, &b) || a.n == 0)
                return;
        differences = count_differences(&a, &b, allowance(&b, &a));
        if (differences == NONE || (guess->meant && differences >= guess->differences))
                return;
        guess->meant = known;
        guess->differences = differences;
}
