#pragma once

/* An index: values by text. Grows only; the texts are borrowed for as long as it lives. */

#include "basic/macros.h"

typedef struct IndexSlot {
        const char *key; /* NULL: free */
        void *value;
} IndexSlot;

typedef struct Index {
        IndexSlot *slots; /* a power of two, at most half of them used */
        size_t n, size;
} Index;

void index_done(Index *index);

/* The value, NULL when there is none. */
void *index_get(const Index *index, const char *key);

/* Adds a key that is not in it. 0 or -ENOMEM. */
int index_add(Index *index, const char *key, void *value);
