/*
 * Questions change nothing at the API, so that any of them may be asked again (what a request that creates
 * may not: see outcome.c). All that counts is whether that makes sense. Only JSON is taken for the API's own
 * word: a 404 with a page for people is a proxy's, and says nothing about a task.
 */

#include "submitd/api/answer.h"

#include "basic/log.h"
#include "task/callback.h"
#include "json/parse.h"

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

int answer_read(const ApiAnswer *a, json_t **ret)
{
        _cleanup_(problems_done) Problems problems = {};
        JsonFindings findings;
        int r;

        if (callback_check_bounds(a->body, a->body_size, &problems) != 0)
                return -EBADMSG;
        r = json_parse_noting(a->body, a->body_size, 0, ret, &findings, NULL);
        if (r == 0 && findings.n_unpaired > 0)
                log_warning("The API tells of texts with half a character, %zu in all, which are read as "
                            "U+FFFD.",
                                findings.n_unpaired);
        return r;
}

static const char blanks[] = " \t\r\n";

static const char *skip_blanks(const char *p, const char *end)
{
        while (p < end && *p && strchr(blanks, *p))
                p++;
        return p;
}

bool answer_find_task(const ApiAnswer *a, const char **ret, size_t *ret_size)
{
        const char *end = a->body + a->body_size, *start = skip_blanks(a->body, end);

        while (end > start && end[-1] && strchr(blanks, end[-1]))
                end--;
        if (end - start < 2 || *start != '{' || end[-1] != '}')
                return false;
        *ret = start;
        *ret_size = (size_t)(end - start);
        return true;
}

/* The bracket that closes what `p` is within; NULL: there is none. */
static const char *find_close(const char *p, const char *end)
{
        bool in_text = false;
        unsigned depth = 0;

        for (; p < end; p++)
                if (in_text && *p == '\\')
                        p++;
                else if (*p == '"')
                        in_text = !in_text;
                else if (!in_text && (*p == '[' || *p == '{'))
                        depth++;
                else if (!in_text && (*p == ']' || *p == '}') && depth-- == 0)
                        return p;
        return NULL;
}

bool answer_find_docs(const ApiAnswer *a, const char **ret, size_t *ret_size)
{
        static const char name[] = "\"docs\"";
        const char *whole, *end, *close, *p;
        size_t size;

        if (!answer_find_task(a, &whole, &size)) /* it was cut */
                return false;
        end = whole + size;
        p = memmem(whole, size, name, sizeof(name) - 1);
        if (!p)
                return false;
        p = skip_blanks(p + sizeof(name) - 1, end);
        p = p < end && *p == ':' ? skip_blanks(p + 1, end) : end;
        close = p < end && *p == '[' ? find_close(p + 1, end) : NULL;
        if (!close)
                return false;
        *ret = p + 1;
        *ret_size = (size_t)(close - p - 1);
        return true;
}

uint64_t answer_pause(unsigned n, uint64_t first, uint64_t most)
{
        uint64_t pause = MIN(first, most);

        for (unsigned i = 1; i < n && pause < most; i++)
                pause = MIN(pause * 2, most);
        return pause;
}
