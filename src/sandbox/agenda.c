/* The agenda: a binary heap. What is taken back is left in and ignored when its time comes. */

#include "sandbox/agenda.h"

#define AGENDA_FIRST_SIZE 64U

void agenda_done(Agenda *agenda)
{
        free(agenda->items);
        *agenda = (Agenda){};
}

static bool is_before(const AgendaItem *a, const AgendaItem *b)
{
        return a->when != b->when ? a->when < b->when : a->order < b->order;
}

static void swap(AgendaItem *a, AgendaItem *b)
{
        AgendaItem t = *a;

        *a = *b;
        *b = t;
}

int agenda_add(Agenda *agenda, AgendaItem item)
{
        size_t i = agenda->n;

        if (agenda->n == agenda->allocated) {
                size_t size = agenda->allocated > 0 ? 2 * agenda->allocated : AGENDA_FIRST_SIZE;
                AgendaItem *items = reallocarray(agenda->items, size, sizeof(AgendaItem));

                if (!items)
                        return -ENOMEM;
                agenda->items = items;
                agenda->allocated = size;
        }
        item.order = agenda->added++;
        agenda->items[agenda->n++] = item;
        for (; i > 0 && is_before(&agenda->items[i], &agenda->items[(i - 1) / 2]); i = (i - 1) / 2)
                swap(&agenda->items[i], &agenda->items[(i - 1) / 2]);
        return 0;
}

const AgendaItem *agenda_first(const Agenda *agenda)
{
        return agenda->n > 0 ? &agenda->items[0] : NULL;
}

void agenda_pop(Agenda *agenda)
{
        assert(agenda->n > 0);
        agenda->items[0] = agenda->items[--agenda->n];

        for (size_t i = 0;;) {
                size_t least = i;

                for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < agenda->n; child++)
                        if (is_before(&agenda->items[child], &agenda->items[least]))
                                least = child;
                if (least == i)
                        return;
                swap(&agenda->items[i], &agenda->items[least]);
                i = least;
        }
}
