#pragma once

/* The shelf: tasks that there is no use in asking about for a while. Bounded; forgotten with the process. */

#include "basic/macros.h"

#define SHELF_MAX 4096U

typedef struct Shelf Shelf;

int shelf_new(Shelf **ret);
Shelf *shelf_free(Shelf *s);
DEFINE_CLEANUP(Shelf *, shelf_free)

/* Puts a task (by its number in the store) aside: for an hour, and twice as long each time after, up to a
 * day. Where there is no place, the one that would have been asked about next goes. True: it was not on the
 * shelf before. */
bool shelf_put(Shelf *s, uint64_t id, uint64_t now);

/* Whether a task is to be left alone at that time. */
bool shelf_holds(const Shelf *s, uint64_t id, uint64_t now);

/* Takes it off, if it is there. */
void shelf_take(Shelf *s, uint64_t id);

size_t shelf_size(const Shelf *s);
