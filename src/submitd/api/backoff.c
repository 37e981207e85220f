/*
 * Back-off. The steps are a mail queue's: soon at first, because most troubles are short, then ever more
 * rarely, because a service that is down for hours isn't helped by being asked. The jitter keeps what failed
 * together from coming back together.
 *
 * The API is one, whoever asks it: until when it wants to be left alone is known in one place, and holds for
 * all that ask. A Retry-After counts with whatever status it comes. Where 429 comes without one, it is
 * waited for longer each time; several answers to what was asked at once are one time.
 */

#include "submitd/api/backoff.h"

#include "submitd/api/answer.h"

#define MINUTE      (60 * USEC_PER_SEC)
#define HOUR        (60 * MINUTE)
#define LOCAL_MIN   (100 * USEC_PER_MSEC)
#define LOCAL_MAX   (30 * USEC_PER_SEC)
#define JITTER_PART 5U /* a fifth */
#define BUSY_MAX    3U /* failures, as below: ten minutes */

static const uint64_t steps[] = {
        0,
        30 * USEC_PER_SEC,
        2 * MINUTE,
        10 * MINUTE,
        30 * MINUTE,
        HOUR,
        2 * HOUR,
        4 * HOUR,
};

/* splitmix64 */
static uint64_t next_chance(uint64_t *chance)
{
        uint64_t x = *chance += UINT64_C(0x9e3779b97f4a7c15);

        x = (x ^ (x >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
        x = (x ^ (x >> 27)) * UINT64_C(0x94d049bb133111eb);
        return x ^ (x >> 31);
}

uint64_t backoff_step(unsigned failures)
{
        return steps[MIN(failures, ELEMENTSOF(steps) - 1)];
}

uint64_t backoff_delay(unsigned failures, uint64_t *chance)
{
        uint64_t step = backoff_step(failures), part = step / JITTER_PART;

        return step - part + next_chance(chance) % (2 * part + 1);
}

uint64_t backoff_local(unsigned failures)
{
        return MIN(LOCAL_MIN << MIN(failures, 16U), LOCAL_MAX);
}

uint64_t backoff_doubled(unsigned n, uint64_t first, uint64_t most)
{
        uint64_t pause = MIN(first, most);

        for (unsigned i = 1; i < n && pause < most; i++)
                pause = MIN(pause * 2, most);
        return pause;
}

void retry_after_note(RetryAfter *retry_after, const ApiAnswer *answer, uint64_t now)
{
        Outcome outcome = outcome_of_answer(answer);
        uint64_t delay = 0;

        if (outcome == OUTCOME_DONE)
                retry_after->busy = 0;
        else if (answer->retry_after != UINT64_MAX)
                delay = MIN(answer->retry_after, RETRY_AFTER_MAX);
        else if (outcome == OUTCOME_BUSY) {
                if (retry_after->until <= now)
                        retry_after->busy = MIN(retry_after->busy + 1, BUSY_MAX);
                delay = backoff_step(retry_after->busy);
        }
        retry_after->until = MAX(retry_after->until, now + delay);
}
