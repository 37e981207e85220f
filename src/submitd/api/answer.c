/*
 * What an answer means, as a table. Of a request that makes something, the line that matters is the one
 * between "certain that nothing was done" and "nobody can tell": only on the safe side of it may a task be
 * sent again. So everything that isn't listed is on the other side, and an answer of success that can't be
 * read, or that shows another task than the one that was sent, is no success.
 *
 * 408, 409 and 425 are on that side as well: each of them may come from something on the way that has passed
 * the request on, or from an API that has met the request already. Of 5xx that is known to happen.
 *
 * Questions change nothing at the API, so that any of them may be asked again. All that counts is whether
 * that makes sense. A 404 with a page for people is a proxy's, and says nothing about a task.
 */

#include "submitd/api/answer.h"

#include <limits.h>
#include <stdio.h>

#include "basic/log.h"
#include "store/outbox.h"
#include "submitd/api/cause.h"
#include "task/callback.h"
#include "task/type.h"
#include "json/parse.h"

#define WORDS_MAX 160U /* bytes of what the API says of itself that are handed on */

/* The first row that fits. Only JSON is taken for the API's own word on what there is. */
static const struct {
        unsigned min, max; /* status */
        Outcome outcome;
        AnswerKind in_json, else_kind;
} statuses[] = {
        { 200, 200, OUTCOME_DONE, ANSWER_GOOD, ANSWER_BROKEN },
        { 300, 399, OUTCOME_ACCOUNT, ANSWER_ACCOUNT,
                        ANSWER_ACCOUNT }, /* none is followed: the URL is wrong */
        { 400, 400, OUTCOME_REJECTED, ANSWER_ABSENT, ANSWER_BROKEN }, /* an id that it can't have given */
        { 401, 403, OUTCOME_ACCOUNT, ANSWER_ACCOUNT, ANSWER_ACCOUNT },
        { 404, 404, OUTCOME_REJECTED, ANSWER_ABSENT, ANSWER_BROKEN },
        { 408, 409, OUTCOME_UNKNOWN, ANSWER_BROKEN, ANSWER_BROKEN },
        { 410, 410, OUTCOME_REJECTED, ANSWER_ABSENT, ANSWER_BROKEN },
        { 425, 425, OUTCOME_UNKNOWN, ANSWER_BROKEN, ANSWER_BROKEN },
        { 429, 429, OUTCOME_BUSY, ANSWER_LATER, ANSWER_LATER },
        { 405, 499, OUTCOME_REJECTED, ANSWER_BROKEN, ANSWER_BROKEN },
        { 0, UINT_MAX, OUTCOME_UNKNOWN, ANSWER_BROKEN, ANSWER_BROKEN },
};

static size_t find_status(unsigned status)
{
        size_t i = 0;

        while (status < statuses[i].min || status > statuses[i].max)
                i++;
        return i;
}

Outcome outcome_of_answer(const ApiAnswer *answer)
{
        if (answer->error != 0)
                return answer->sent ? OUTCOME_UNKNOWN : OUTCOME_NOT_SENT;
        return statuses[find_status(answer->status)].outcome;
}

AnswerKind answer_classify(const ApiAnswer *answer)
{
        size_t i = find_status(answer->status);

        if (answer->error != 0)
                return ANSWER_BROKEN;
        return answer->is_json ? statuses[i].in_json : statuses[i].else_kind;
}

/* Copies a text so that it fits on a line, cut where a character begins. */
static void copy_words(const char *text, char buf[static WORDS_MAX + 1])
{
        size_t n = strlen(text);

        if (n > WORDS_MAX)
                for (n = WORDS_MAX; n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80;)
                        n--;
        for (size_t i = 0; i < n; i++)
                buf[i] = (unsigned char)text[i] < ' ' || text[i] == 0x7f ? ' ' : text[i];
        buf[n] = 0;
}

json_t *outcome_read(const ApiAnswer *answer)
{
        json_t *value = NULL;

        return answer_read(answer, &value) < 0 ? NULL : value;
}

/* What the API says itself; an error page is not handed on. */
static void copy_error(const ApiAnswer *answer, char buf[static WORDS_MAX + 1])
{
        json_auto_t *body = NULL;
        const char *error;

        buf[0] = 0;
        if (!answer->is_json)
                return;
        body = outcome_read(answer);
        error = json_string_value(json_object_get(body, "error"));
        if (error)
                copy_words(error, buf);
}

const char *outcome_describe(const ApiAnswer *answer, char buf[static OUTCOME_TEXT_SIZE])
{
        char words[WORDS_MAX + 1];

        if (answer->error != 0) {
                copy_words(answer->message ? answer->message : strerror(-answer->error), words);
                snprintf(buf, OUTCOME_TEXT_SIZE, "%s: %s",
                                waiting_words[waiting_cause_of_failure(answer)].text, words);
                return buf;
        }
        if (answer->status == 200) {
                snprintf(buf, OUTCOME_TEXT_SIZE, "the API answered 200 with something that can't be used");
                return buf;
        }
        copy_error(answer, words);
        if (outcome_is_redirect(answer))
                snprintf(words, sizeof(words), "a redirect, which isn't followed; is [api] url right?");
        snprintf(buf, OUTCOME_TEXT_SIZE, "the API answered %u%s%s", answer->status, words[0] ? ": " : "",
                        words);
        return buf;
}

/* NULL for what a NUL cuts short, too: that is another text. */
static const char *get_text(const json_t *object, const char *name)
{
        const json_t *value = json_object_get(object, name);
        const char *s = json_string_value(value);

        return s && strlen(s) == json_string_length(value) ? s : NULL;
}

const char *outcome_task_submission(const json_t *task)
{
        const char *s = get_text(json_object_get(task, "metadata"), TASK_SUBMISSION_KEY);
        const char *url;

        if (s)
                return s;
        url = get_text(task, "callback_url");
        s = url ? strrchr(url, '/') : NULL;
        return s && submission_id_is_valid(s + 1) ? s + 1 : NULL;
}

int64_t outcome_task_created(const json_t *task)
{
        const char *s = get_text(task, "created_at");
        int64_t t;

        return s && time_parse(s, &t) >= 0 ? t : TIME_NONE;
}

const char *outcome_task_id(const json_t *task)
{
        const json_t *value = json_object_get(task, "task_id");
        const char *id = json_string_value(value);
        size_t n = json_string_length(value);

        if (n == 0 || n > CALLBACK_ID_MAX)
                return NULL;
        for (size_t i = 0; i < n; i++)
                if ((unsigned char)id[i] <= ' ' || id[i] == 0x7f || strchr("/?#%", id[i]))
                        return NULL; /* it goes into a path */
        return id;
}

TaskClaim outcome_claim_task(const ApiAnswer *answer, const char *submission, json_t **ret_task)
{
        json_auto_t *task = NULL;

        *ret_task = NULL;
        task = outcome_read(answer);
        if (!outcome_task_id(task))
                return TASK_UNUSABLE;
        if (!streq_ptr(outcome_task_submission(task), submission))
                return TASK_FOREIGN;
        *ret_task = TAKE_PTR(task);
        return TASK_OURS;
}

/* Of questions. */

int answer_read(const ApiAnswer *answer, json_t **ret)
{
        _cleanup_(problems_done) Problems problems = {};
        JsonFindings findings;
        int r;

        if (callback_check_bounds(answer->body, answer->body_size, &problems) != 0)
                return -EBADMSG;
        r = json_parse_noting(answer->body, answer->body_size, 0, ret, &findings, NULL);
        if (r == 0 && findings.n_unpaired > 0)
                log_warning("The API tells of texts with half a character, %zu in all, which are read as U+FFFD.",
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

bool answer_find_task(const ApiAnswer *answer, const char **ret, size_t *ret_size)
{
        const char *end = answer->body + answer->body_size, *start = skip_blanks(answer->body, end);

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

bool answer_find_docs(const ApiAnswer *answer, const char **ret, size_t *ret_size)
{
        static const char name[] = "\"docs\"";
        const char *whole, *end, *close, *p;
        size_t size;

        if (!answer_find_task(answer, &whole, &size)) /* it was cut */
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
