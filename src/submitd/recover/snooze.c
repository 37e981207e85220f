/*
 * Some answers will be the same the next time: the API doesn't know the task, or what it says of it breaks
 * the rules. Asking every round would cost the API's patience, and a line in the log each time; never asking
 * again would lose a result that somebody mends. So such tasks are put aside for longer and longer.
 *
 * It is a sorted array of a fixed size. Whoever falls off it, also by a restart, is merely asked about once
 * more.
 */

#include "submitd/recover/snooze.h"

#include "basic/parse.h"
#include "submitd/api/answer.h"

typedef struct Place {
        uint64_t id, until;
        unsigned times;
} Place;

struct Shelf {
        size_t n;
        Place places[SHELF_MAX]; /* by id */
};

int shelf_new(Shelf **ret)
{
        Shelf *s = calloc(1, sizeof(Shelf));

        if (!s)
                return -ENOMEM;
        *ret = s;
        return 0;
}

Shelf *shelf_free(Shelf *s)
{
        free(s);
        return NULL;
}

/* The first place that is not before the id. */
static size_t find(const Shelf *s, uint64_t id)
{
        size_t low = 0, high = s->n;

        while (low < high) {
                size_t middle = (low + high) / 2;

                if (s->places[middle].id < id)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static bool is_at(const Shelf *s, size_t i, uint64_t id)
{
        return i < s->n && s->places[i].id == id;
}

static void drop(Shelf *s, size_t i)
{
        memmove(&s->places[i], &s->places[i + 1], (s->n - i - 1) * sizeof(Place));
        s->n--;
}

static void make_room(Shelf *s)
{
        size_t next = 0;

        if (s->n < SHELF_MAX)
                return;
        for (size_t i = 1; i < s->n; i++)
                if (s->places[i].until < s->places[next].until)
                        next = i;
        drop(s, next);
}

bool shelf_put(Shelf *s, uint64_t id, uint64_t now)
{
        size_t i = find(s, id);
        bool new = !is_at(s, i, id);

        if (new) {
                make_room(s);
                i = find(s, id);
                memmove(&s->places[i + 1], &s->places[i], (s->n - i) * sizeof(Place));
                s->places[i] = (Place){ .id = id };
                s->n++;
        }
        s->places[i].times++;
        s->places[i].until = now + answer_pause(s->places[i].times, USEC_PER_HOUR, USEC_PER_DAY);
        return new;
}

bool shelf_holds(const Shelf *s, uint64_t id, uint64_t now)
{
        size_t i = find(s, id);

        return is_at(s, i, id) && now < s->places[i].until;
}

void shelf_take(Shelf *s, uint64_t id)
{
        size_t i = find(s, id);

        if (is_at(s, i, id))
                drop(s, i);
}

size_t shelf_size(const Shelf *s)
{
        return s->n;
}
