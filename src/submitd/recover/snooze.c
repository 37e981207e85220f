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

/* The first index that is not before the id. */
static size_t snooze_find(const Snooze *snooze, uint64_t id)
{
        size_t low = 0, high = snooze->n;

        while (low < high) {
                size_t middle = (low + high) / 2;

                if (snooze->tasks[middle].id < id)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static bool is_at(const Snooze *snooze, size_t i, uint64_t id)
{
        return i < snooze->n && snooze->tasks[i].id == id;
}

static void drop(Snooze *snooze, size_t i)
{
        memmove(&snooze->tasks[i], &snooze->tasks[i + 1], (snooze->n - i - 1) * sizeof(Snoozed));
        snooze->n--;
}

static void snooze_make_room(Snooze *snooze)
{
        size_t next = 0;

        if (snooze->n < SNOOZE_MAX)
                return;
        for (size_t i = 1; i < snooze->n; i++)
                if (snooze->tasks[i].until < snooze->tasks[next].until)
                        next = i;
        drop(snooze, next);
}

bool snooze_add(Snooze *snooze, uint64_t id, uint64_t now)
{
        size_t i = snooze_find(snooze, id);
        bool new = !is_at(snooze, i, id);

        if (new) {
                snooze_make_room(snooze);
                i = snooze_find(snooze, id);
                memmove(&snooze->tasks[i + 1], &snooze->tasks[i], (snooze->n - i) * sizeof(Snoozed));
                snooze->tasks[i] = (Snoozed){ .id = id };
                snooze->n++;
        }
        snooze->tasks[i].times++;
        snooze->tasks[i].until = now + backoff_doubled(snooze->tasks[i].times, USEC_PER_HOUR, USEC_PER_DAY);
        return new;
}

bool snooze_holds(const Snooze *snooze, uint64_t id, uint64_t now)
{
        size_t i = snooze_find(snooze, id);

        return is_at(snooze, i, id) && now < snooze->tasks[i].until;
}

void snooze_remove(Snooze *snooze, uint64_t id)
{
        size_t i = snooze_find(snooze, id);

        if (is_at(snooze, i, id))
                drop(snooze, i);
}
