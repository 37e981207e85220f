/*
 * Chance, from the seed alone. Every fault has a stream of its own: whether it strikes the n-th time that it
 * could follows from the seed and from n, whatever else is switched on.
 */

#include "sandbox/world-internal.h"

static const char *const fault_table[_FAULT_MAX] = {
        [FAULT_DROP_ANSWER] = "drop_answer",
        [FAULT_ERROR_AFTER] = "error_after",
        [FAULT_ERROR_500] = "error_500",
        [FAULT_ERROR_429] = "error_429",
        [FAULT_HTML] = "html",
        [FAULT_DELAY] = "delay",
        [FAULT_LAG] = "lag",
        [FAULT_SLOW] = "slow",
        [FAULT_CLOCK_BEHIND] = "clock_behind",
        [FAULT_CALLBACK_LOST] = "callback_lost",
        [FAULT_CALLBACK_DUPLICATE] = "callback_duplicate",
        [FAULT_CALLBACK_REORDER] = "callback_reorder",
        [FAULT_CALLBACK_CUT] = "callback_cut",
        [FAULT_CALLBACK_INVALID] = "callback_invalid",
        [FAULT_CALLBACK_DELAY] = "callback_delay",
        [FAULT_ATTACHMENT_FAILURE] = "attachment_failure",
};

DEFINE_STRING_TABLE(fault, Fault, _FAULT_MAX)

/* splitmix64 */
static uint64_t mix(uint64_t *state)
{
        uint64_t z = *state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return z ^ z >> 31;
}

uint64_t chance_next(World *w, Stream stream)
{
        if (w->streams[stream] == 0) {
                uint64_t state = w->options.seed + (uint64_t)stream * UINT64_C(0xd1342543de82ef95);

                w->streams[stream] = mix(&state) | 1;
        }
        return mix(&w->streams[stream]);
}

uint64_t chance_until(World *w, Stream stream, uint64_t max)
{
        return max > 0 ? 1 + chance_next(w, stream) % max : 0;
}

bool chance_strikes(World *w, Fault fault)
{
        /* 53 bits: a double from 0 to less than 1, so that 0 never strikes and 1 always does. */
        double d = (double)(chance_next(w, (Stream)fault) >> 11) / (double)(UINT64_C(1) << 53);
        bool yes = d < w->options.faults[fault];

        w->strikes[fault] += yes;
        return yes;
}

void world_set_fault(World *w, Fault fault, double probability)
{
        assert((int)fault >= 0 && fault < _FAULT_MAX && probability >= 0 && probability <= 1);
        w->options.faults[fault] = probability;
}
