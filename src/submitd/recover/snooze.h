#pragma once

/* Snooze: tasks that there is no use in asking about for a while. Bounded; forgotten with the process. */

#include "basic/macros.h"

#define SNOOZE_MAX 4096U

typedef struct Snoozed {
        uint64_t id, until;
        unsigned times;
} Snoozed;

/* All zeros: none. */
typedef struct Snooze {
        size_t n;
        Snoozed tasks[SNOOZE_MAX]; /* by id */
} Snooze;

/* Puts a task (by its number in the store) off: for an hour, and twice as long each time after, up to a
 * day. Where there is no place, the one that would have been asked about next goes. True: it was not
 * put off before. */
bool snooze_add(Snooze *snooze, uint64_t id, uint64_t now);

/* Whether a task is to be left alone at that time. */
bool snooze_holds(const Snooze *snooze, uint64_t id, uint64_t now);

/* It is asked about as any other again, if it was put off. */
void snooze_remove(Snooze *snooze, uint64_t id);
