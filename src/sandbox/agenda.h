#pragma once

/* The agenda: what is to happen when, earliest first; of the same time in the order in which it was added.
 */

#include "basic/macros.h"

typedef struct AgendaItem {
        int64_t when;
        uint64_t order;
        void *task, *delivery; /* one of them; borrowed */
} AgendaItem;

typedef struct Agenda {
        AgendaItem *items; /* a heap */
        size_t n, allocated;
        uint64_t added;
} Agenda;

void agenda_done(Agenda *agenda);

/* Sets `order` by itself. 0 or -ENOMEM. */
int agenda_add(Agenda *agenda, AgendaItem item);

/* NULL: empty. Until the next call. */
const AgendaItem *agenda_first(const Agenda *agenda);
void agenda_pop(Agenda *agenda);
