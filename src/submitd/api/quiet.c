/*
 * The API is one, whoever asks it: what it wants is known in one place, and holds for all that ask. A
 * Retry-After counts with whatever status it comes. Where 429 comes without one, it is waited for longer
 * each time; several answers to what was asked at once are one time.
 */

#include "submitd/api/quiet.h"

#include "submitd/api/backoff.h"
#include "submitd/api/outcome.h"

#define BUSY_MAX 3U /* as backoff.h counts failures: ten minutes */

void quiet_note(Quiet *q, const ApiAnswer *answer, uint64_t now)
{
        Outcome outcome = outcome_of_answer(answer);
        uint64_t delay = 0;

        if (outcome == OUTCOME_DONE)
                q->busy = 0;
        else if (answer->retry_after != UINT64_MAX)
                delay = MIN(answer->retry_after, QUIET_MAX);
        else if (outcome == OUTCOME_BUSY) {
                if (q->until <= now)
                        q->busy = MIN(q->busy + 1, BUSY_MAX);
                delay = backoff_step(q->busy);
        }
        q->until = MAX(q->until, now + delay);
}
