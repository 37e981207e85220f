/* The agenda: a binary heap. What is taken back is left in and ignored when its time comes. */

#include "sandbox/agenda.h"

#define FIRST_SIZE 64U

void agenda_done(Agenda *a)
{
        free(a->items);
        *a = (Agenda){};
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

int agenda_add(Agenda *a, AgendaItem item)
{
        size_t i = a->n;

        if (a->n == a->allocated) {
                size_t size = a->allocated > 0 ? 2 * a->allocated : FIRST_SIZE;
                AgendaItem *items = reallocarray(a->items, size, sizeof(AgendaItem));

                if (!items)
                        return -ENOMEM;
                a->items = items;
                a->allocated = size;
        }
        item.order = a->added++;
        a->items[a->n++] = item;
        for (; i > 0 && is_before(&a->items[i], &a->items[(i - 1) / 2]); i = (i - 1) / 2)
                swap(&a->items[i], &a->items[(i - 1) / 2]);
        return 0;
}

const AgendaItem *agenda_first(const Agenda *a)
{
        return a->n > 0 ? &a->items[0] : NULL;
}

void agenda_pop(Agenda *a)
{
        assert(a->n > 0);
        a->items[0] = a->items[--a->n];

        for (size_t i = 0;;) {
                size_t least = i;

                for (size_t child = 2 * i + 1; child <= 2 * i + 2 && child < a->n; child++)
                        if (is_before(&a->items[child], &a->items[least]))
                                least = child;
                if (least == i)
                        return;
                swap(&a->items[i], &a->items[least]);
                i = least;
        }
}
