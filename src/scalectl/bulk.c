/*
 * One verb for many. Everything that is to be done is known before the first is done: a list that breaks off
 * in the middle, or holds something that is no id, changes nothing. What --json printed can be piped back,
 * so a line is an id or an object that holds one.
 */

#include "scalectl/bulk.h"

#include <inttypes.h>

#include "scalectl/ndjson.h"
#include "scalectl/text/format.h"
#include "scalectl/text/json-text.h"

#define ID_MAX 256U

typedef struct Ids {
        char **items; /* owned, each of them too */
        size_t n, allocated;
} Ids;

static void ids_done(Ids *ids)
{
        for (size_t i = 0; i < ids->n; i++)
                free(ids->items[i]);
        free(ids->items);
}

static int no_memory(void)
{
        complain("out of memory");
        return EX_OSERR;
}

/* Takes `size` bytes of text as an id; `where` is said before what is wrong with it. */
static int ids_add(Ids *ids, const BulkVerb *verb, const char *where, const char *text, size_t size)
{
        _cleanup_free_ char *id = strndup(text, MIN(size, ID_MAX + 1)), *clean = NULL;
        char **items;

        if (!id)
                return no_memory();
        if (!*id || strlen(id) > ID_MAX || (verb->check && !verb->check(id))) {
                clean = format_clean(id);
                complain("%sexpected %s, got \"%s\"; nothing was done", where, verb->wanted, strna(clean));
                return EX_USAGE;
        }
        if (ids->n == BULK_IDS_MAX) {
                complain("there are more than %u ids, nothing was done: give them in several parts",
                                BULK_IDS_MAX);
                return EX_USAGE;
        }
        if (ids->n == ids->allocated) {
                items = reallocarray(ids->items, ids->allocated * 2 + 16, sizeof(char *));
                if (!items)
                        return no_memory();
                ids->items = items;
                ids->allocated = ids->allocated * 2 + 16;
        }
        ids->items[ids->n++] = TAKE_PTR(id);
        return 0;
}

/* Standard input. */

/* A line without the space around it: an id, or an object that holds one. */
static int add_line(Ids *ids, const BulkVerb *verb, const char *where, const char *text, size_t size)
{
        JsonItem item;

        for (; size > 0 && strchr(" \t\r", *text); text++)
                size--;
        while (size > 0 && strchr(" \t\r", text[size - 1]))
                size--;
        if (size == 0 || *text != '{')
                return ids_add(ids, verb, where, text, size);

        for (const char *const *m = verb->members; *m; m++) {
                if (json_text_member(text, size, *m, &item) <= 0)
                        continue;
                if (item.size >= 2 && item.text[0] == '"')
                        return ids_add(ids, verb, where, item.text + 1, item.size - 2);
                return ids_add(ids, verb, where, item.text, item.size);
        }
        complain("%sexpected an object with %s; nothing was done", where, verb->members[0]);
        return EX_USAGE;
}

static int complain_of_input(int r, uint64_t number)
{
        if (r == -ENOMEM)
                return no_memory();
        if (r == -EMSGSIZE)
                complain("standard input, line %" PRIu64
                         " is longer than %zu MiB, nothing was done: give the ids alone",
                                number, BULK_LINE_MAX / 1024 / 1024);
        else
                complain("standard input can't be read, nothing was done: %s", strerror(-r));
        return r == -EMSGSIZE ? EX_DATAERR : EX_NOINPUT;
}

static int add_input(Ids *ids, const BulkVerb *verb)
{
        Ndjson input = { .f = stdin, .line = BUFFER_INIT(BULK_LINE_MAX) };
        char where[64];
        int r, status = 0;

        while (status == 0 && (r = ndjson_next(&input)) != 0) {
                snprintf(where, sizeof(where), "standard input, line %" PRIu64 ": ", input.number);
                status = r > 0 ? add_line(ids, verb, where, buffer_text(&input.line), input.line.size)
                               : complain_of_input(r, input.number);
        }
        ndjson_done(&input);
        return status;
}

static int collect(const BulkVerb *verb, char *const *arguments, unsigned n, Ids *ids)
{
        bool from_input = false;
        int r = 0;

        for (unsigned i = 0; i < n && r == 0; i++)
                if (!streq(arguments[i], "-"))
                        r = ids_add(ids, verb, "", arguments[i], strlen(arguments[i]));
                else if (!from_input) {
                        from_input = true;
                        r = add_input(ids, verb);
                }
        return r;
}

/* Looking. */

int bulk_get(const Ctl *ctl, ApiSide side, ApiUrl *url, const char *member, char **ret)
{
        _cleanup_buffer_ Buffer body = BUFFER_INIT(0);
        json_auto_t *object = NULL;
        char *text;
        int r;

        r = api_call(ctl, side, "GET", url, &body);
        if (r != 0)
                return r;
        object = api_json(&body);
        text = format_value(json_object_get(object, member));
        if (!text)
                return no_memory();
        *ret = text;
        return 0;
}

static int print_json(const BulkVerb *verb, const char *id, const char *now, const BulkRule *rule)
{
        static const char *const words[] = {
                [BULK_DONE] = "done",
                [BULK_NOTHING] = "nothing",
                [BULK_REFUSED] = "refused",
        };
        json_auto_t *o = NULL;

        o = json_pack("{s:s, s:s, s:s, s:s, s:s*}", "id", id, "action", verb->name, "now", now, "would_be",
                        words[rule->outcome], "why", rule->why);
        if (!o || json_dumpf(o, stdout, JSON_COMPACT) < 0)
                return no_memory();
        putchar('\n');
        return 0;
}

/* What would become of one; *ret_nothing: it stays as it is. */
static int look(const Ctl *ctl, const BulkVerb *verb, const char *id, bool *ret_nothing)
{
        _cleanup_free_ char *now = NULL;
        const BulkRule *rule = verb->rules;
        int r;

        r = verb->look(ctl, id, &now);
        if (r == EX_NO)
                complain("%s: there is none, it would not be %s", id, verb->done);
        if (r != 0)
                return r;

        while (rule->now && !streq(rule->now, now))
                rule++;
        *ret_nothing = rule->outcome == BULK_NOTHING;
        if (ctl->json)
                r = print_json(verb, id, now, rule);
        else if (rule->outcome == BULK_REFUSED)
                printf("%s: %s, would not be %s: %s\n", id, now, verb->done, rule->why);
        else
                printf("%s: %s, %s%s\n", id, now,
                                rule->outcome == BULK_DONE ? "would be " : "nothing would change",
                                rule->outcome == BULK_DONE ? verb->done : "");
        return r != 0 ? r : rule->outcome == BULK_REFUSED ? EX_NO : 0;
}

int bulk_run(const Ctl *ctl, const BulkVerb *verb, bool dry_run, char *const *ids, unsigned n)
{
        _cleanup_(ids_done) Ids all = {};
        size_t i, refused = 0, nothing = 0;
        char unchanged[48] = "";
        int r, worst = 0;

        r = collect(verb, ids, n, &all);
        if (r != 0)
                return r;

        for (i = 0; i < all.n && (worst == 0 || worst == EX_NO); i++) {
                bool same = false;

                r = dry_run ? look(ctl, verb, all.items[i], &same) : verb->act(ctl, verb, all.items[i]);
                refused += r != 0;
                nothing += r == 0 && same;
                worst = MAX(worst, r);
        }
        if (nothing > 0)
                snprintf(unchanged, sizeof(unchanged), "%zu would stay as they are, ", nothing);
        if (all.n == 0)
                complain("there are no ids on standard input: nothing to do");
        else if (all.n > 1)
                complain("%zu %s%s, %s%zu refused or failed, %zu not tried", i - refused - nothing,
                                dry_run ? "would be " : "", verb->done, unchanged, refused, all.n - i);
        return worst;
}
