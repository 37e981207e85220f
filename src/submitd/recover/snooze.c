/*
 * Some answers will be the same the next time: the API doesn't know the task, or what it says of it breaks
 * the rules. Asking every round would cost the API's patience, and a line in the log each time; never asking
 * again would lose a result that somebody mends. So such tasks are put off for longer and longer.
 *
 * It is a sorted array of a fixed size. Whoever falls out of it, also by a restart, is merely asked about
 * once more.
 */

#include "submitd/recover/snooze.h"

#include "basic/parse.h"
#include "submitd/api/backoff.h"

typedef struct Snoozed {
        uint64_t id, until;
        unsigned times;
} Snoozed;

struct Snooze {
        size_t n;
        Snoozed tasks[SNOOZE_MAX]; /* by id */
};

int snooze_new(Snooze **ret)
{
        Snooze *s = calloc(1, sizeof(Snooze));

        if (!s)
                return -ENOMEM;
        *ret = s;
        return 0;
}

Snooze *snooze_free(Snooze *s)
{
        free(s);
        return NULL;
}

/* The first index that is not before the id. */
static size_t find(const Snooze *s, uint64_t id)
{
        size_t low = 0, high = s->n;

        while (low < high) {
                size_t middle = (low + high) / 2;

                if (s->tasks[middle].id < id)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static bool is_at(const Snooze *s, size_t i, uint64_t id)
{
        return i < s->n && s->tasks[i].id == id;
}

static void drop(Snooze *s, size_t i)
{
        memmove(&s->tasks[i], &s->tasks[i + 1], (s->n - i - 1) * sizeof(Snoozed));
        s->n--;
}

static void make_room(Snooze *s)
{
        size_t next = 0;

        if (s->n < SNOOZE_MAX)
                return;
        for (size_t i = 1; i < s->n; i++)
                if (s->tasks[i].until < s->tasks[next].until)
                        next = i;
        drop(s, next);
}

bool snooze_add(Snooze *s, uint64_t id, uint64_t now)
{
        size_t i = find(s, id);
        bool new = !is_at(s, i, id);

        if (new) {
                make_room(s);
                i = find(s, id);
                memmove(&s->tasks[i + 1], &s->tasks[i], (s->n - i) * sizeof(Snoozed));
                s->tasks[i] = (Snoozed){ .id = id };
                s->n++;
        }
        s->tasks[i].times++;
        s->tasks[i].until = now + backoff_doubled(s->tasks[i].times, USEC_PER_HOUR, USEC_PER_DAY);
        return new;
}

bool snooze_holds(const Snooze *s, uint64_t id, uint64_t now)
{
        size_t i = find(s, id);

        return is_at(s, i, id) && now < s->tasks[i].until;
}

void snooze_remove(Snooze *s, uint64_t id)
{
        size_t i = find(s, id);

        if (is_at(s, i, id))
                drop(s, i);
}

size_t snooze_size(const Snooze *s)
{
        return s->n;
}
