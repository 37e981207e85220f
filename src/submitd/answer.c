/*
 * Questions change nothing at the API, so that any of them may be asked again (what a request that creates
 * may not: see outcome.c). All that counts is whether that makes sense. Only JSON is taken for the API's own
 * word: a 404 with a page for people is a proxy's, and says nothing about a task.
 */

#include "submitd/answer.h"

/* The first row that fits. */
static const struct {
        unsigned min, max; /* status */
        bool in_json;      /* only where the API itself says it */
        AnswerKind kind;
} kinds[] = {
        { 200, 200, true, ANSWER_GOOD },
        { 300, 399, false, ANSWER_ACCOUNT }, /* none is followed: the URL is wrong */
        { 400, 400, true, ANSWER_ABSENT },   /* an id that it can't have given */
        { 401, 403, false, ANSWER_ACCOUNT },
        { 404, 404, true, ANSWER_ABSENT },
        { 410, 410, true, ANSWER_ABSENT },
        { 429, 429, false, ANSWER_LATER },
};

AnswerKind answer_classify(const ApiAnswer *a)
{
        if (a->error < 0)
                return ANSWER_BROKEN;
        FOREACH_ARRAY(k, kinds, ELEMENTSOF(kinds))
                if (a->status >= k->min && a->status <= k->max && (a->is_json || !k->in_json))
                        return k->kind;
        return ANSWER_BROKEN;
}

bool answer_broke_off(const ApiAnswer *a)
{
        return a->error < 0 && a->status == 200;
}

uint64_t answer_pause(unsigned n, uint64_t first, uint64_t most)
{
        uint64_t pause = MIN(first, most);

        for (unsigned i = 1; i < n && pause < most; i++)
                pause = MIN(pause * 2, most);
        return pause;
}
