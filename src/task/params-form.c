/*
 * Forms. A form knows no types and several ways to write a list, so what it says is decided by the table of
 * the type and not by its looks: one `categories=x` is a list, `category_ids[1]=x` is not. It goes in two
 * steps. First every pair is put where its name says, into a value that only knows texts, repetitions and
 * brackets; then that value is brought into the shape that the table asks for.
 *
 * Nothing grows beyond the text that came in: an index orders and doesn't allocate, and names have a maximum
 * of brackets. What contradicts itself is refused by name instead of one half winning silently.
 */

#include "task/params.h"

#include <stdio.h>

#include "basic/parse.h"
#include "task/problem.h"
#include "task/type.h"

/* Names: `a[0][k]` are the segments "a", "0" and "k". */

typedef struct Segment {
        const char *name; /* not terminated */
        size_t size;      /* 0: `[]`, unless it is the first */
} Segment;

typedef struct Key {
        Segment segments[1 + TASK_FORM_BRACKETS_MAX];
        size_t n;
} Key;

enum {
        KEY_BROKEN = 1, /* brackets that don't close, text between them, `[][]` */
        KEY_TOO_DEEP,
        KEY_CONFLICT, /* given as something else before */
};

static int parse_key(const char *name, Key *ret)
{
        size_t n = strcspn(name, "[");
        Key key = { .segments[0] = { name, n }, .n = 1 };

        for (const char *p = name + n; *p;) {
                if (*p != '[')
                        return KEY_BROKEN;
                n = strcspn(++p, "]");
                if (p[n] == 0 || (n == 0 && key.n > 1 && key.segments[key.n - 1].size == 0))
                        return KEY_BROKEN;
                if (key.n == ELEMENTSOF(key.segments))
                        return KEY_TOO_DEEP;
                key.segments[key.n++] = (Segment){ p, n };
                p += n + 1;
        }

        *ret = key;
        return 0;
}

static json_t *member_of(const json_t *object, const Segment *s)
{
        return json_object_getn(object, s->name, s->size);
}

static int set_member(json_t *object, const Segment *s, json_t *value)
{
        return json_object_setn(object, s->name, s->size, value) < 0 ? -ENOMEM : 0;
}

/* First step: pairs into their places. A list that was written with indexes is an object as yet. */

/* The member as a list, made out of what was there: nothing, or one text. */
static int open_list(json_t *object, const Segment *s, json_t **ret)
{
        json_t *old = member_of(object, s);
        json_auto_t *list = NULL;

        if (json_is_array(old)) {
                *ret = old;
                return 0;
        }
        if (json_is_object(old))
                return KEY_CONFLICT;

        list = json_array();
        if (!list || (old && json_array_append(list, old) < 0) || set_member(object, s, list) < 0)
                return -ENOMEM;
        *ret = list; /* the object has it */
        return 0;
}

static int append(json_t *object, const Segment *s, json_t *value)
{
        json_t *list;
        int r;

        r = open_list(object, s, &list);
        if (r != 0)
                return r;
        return json_array_append(list, value) < 0 ? -ENOMEM : 0;
}

static int open_object(json_t *object, const Segment *s, json_t **ret)
{
        json_t *old = member_of(object, s);
        json_auto_t *opened = NULL;

        if (old) {
                *ret = old;
                return json_is_object(old) ? 0 : KEY_CONFLICT;
        }

        opened = json_object();
        if (!opened || set_member(object, s, opened) < 0)
                return -ENOMEM;
        *ret = opened; /* the object has it */
        return 0;
}

/* Whether a value is there already, so that another one belongs to the next element. */
static bool is_taken(const json_t *object, const Segment *s, size_t n)
{
        const json_t *value = member_of(object, s);

        if (n == 1 || !json_is_object(value))
                return value && (n == 1 || s[1].size > 0);
        return is_taken(value, s + 1, n - 1);
}

/* The element that `a[][k]` means: the last one, or a new one where that has its k. */
static int open_element(json_t *object, const Segment *s, size_t n, json_t **ret)
{
        json_t *list, *last;
        int r;

        r = open_list(object, s, &list);
        if (r != 0)
                return r;

        last = json_array_get(list, json_array_size(list) - 1);
        if (!json_is_object(last) || is_taken(last, s + 2, n - 2)) {
                last = json_object();
                if (json_array_append_new(list, last) < 0)
                        return -ENOMEM;
        }
        *ret = last;
        return 0;
}

/* Puts a text where the segments say, from `object` inwards. 0, KEY_CONFLICT, -ENOMEM. */
static int put(json_t *object, const Segment *s, size_t n, json_t *text)
{
        json_t *inner;
        int r;

        if (n == 1)
                return member_of(object, s) ? append(object, s, text) : set_member(object, s, text);
        if (n == 2 && s[1].size == 0)
                return append(object, s, text);
        if (s[1].size == 0) {
                r = open_element(object, s, n, &inner);
                return r != 0 ? r : put(inner, s + 2, n - 2, text);
        }
        r = open_object(object, s, &inner);
        return r != 0 ? r : put(inner, s + 1, n - 1, text);
}

/* Second step: into the shape that the table asks for. */

/* The number that a name is; -1 when it is none, or isn't written as one. */
static int64_t index_of(const char *name)
{
        size_t n = strspn(name, "0123456789");

        if (n == 0 || n > 18 || name[n] != 0 || (name[0] == '0' && n > 1))
                return -1;
        return (int64_t)strtoll(name, NULL, 10);
}

typedef struct Element {
        int64_t index;
        json_t *value;
} Element;

static int compare_elements(const void *a, const void *b)
{
        const Element *x = a, *y = b;

        return (x->index > y->index) - (x->index < y->index);
}

/* An object whose names are all indexes, as a list in their order; with `dense` only when they count from 0
 * without a hole. Else the object itself. */
static int list_of_indexes(json_t *object, bool dense, json_t **ret)
{
        size_t n = json_object_size(object), i = 0;
        _cleanup_free_ Element *elements = NULL;
        json_auto_t *list = NULL;
        const char *name;
        json_t *value;

        elements = calloc(MAX(n, 1U), sizeof(Element));
        list = json_array();
        if (!elements || !list)
                return -ENOMEM;

        json_object_foreach(object, name, value) {
                const int64_t index = index_of(name);

                if (index < 0 || (dense && (uint64_t)index >= n)) {
                        *ret = json_incref(object);
                        return 0;
                }
                elements[i++] = (Element){ index, value };
        }
        qsort(elements, n, sizeof(Element), compare_elements);
        FOREACH_ARRAY(e, elements, n)
                if (json_array_append(list, e->value) < 0)
                        return -ENOMEM;

        *ret = TAKE_PTR(list);
        return 0;
}

/* Which container a value ought to be: the row's, or as it was written where there is no row. */
static int choose_container(const Field *field, json_t *value, json_t **ret)
{
        if (field && field_is_list(field) && json_is_string(value)) {
                *ret = json_pack("[O]", value);
                return *ret ? 0 : -ENOMEM;
        }
        if (json_is_object(value) && (!field || !field_is_object(field)))
                return list_of_indexes(value, !field || !field_is_list(field), ret);

        *ret = json_incref(value);
        return 0;
}

static int shape(const Field *field, json_t *value, json_t **ret);

/* A form sends every field that it has, and what wasn't filled in is empty. */
static bool is_left_empty(const Field *field, const json_t *value)
{
        return field && !(field->flags & FIELD_REQUIRED) && json_is_string(value) &&
               json_string_length(value) == 0;
}

/* Members by their rows; without rows each as it was written. */
static int shape_members(const Rows *rows, json_t *object)
{
        const char *name;
        json_t *value;
        void *next;
        int r;

        json_object_foreach_safe(object, next, name, value)
        {
                const Field *field = rows ? rows_find(rows, name) : NULL;
                json_t *shaped;

                if (is_left_empty(field, value)) {
                        json_object_del(object, name);
                        continue;
                }
                r = shape(field, value, &shaped);
                if (r < 0)
                        return r;
                if (json_object_set_new(object, name, shaped) < 0) /* in its place: the order stays */
                        return -ENOMEM;
        }
        return 0;
}

static int shape_elements(const Field *field, json_t *array)
{
        const Rows rows = { { field ? field->members : NULL } };
        json_t *value;
        size_t i;
        int r;

        json_array_foreach(array, i, value) {
                json_t *shaped;

                if (field && field->members && json_is_object(value)) {
                        r = shape_members(&rows, value);
                        if (r < 0)
                                return r;
                        continue;
                }
                r = shape(NULL, value, &shaped);
                if (r < 0)
                        return r;
                if (json_array_set_new(array, i, shaped) < 0)
                        return -ENOMEM;
        }
        return 0;
}

/* Depth is bounded by the brackets of a name. A new reference. */
static int shape(const Field *field, json_t *value, json_t **ret)
{
        json_auto_t *container = NULL;
        int r;

        r = choose_container(field, value, &container);
        if (r < 0)
                return r;
        if (json_is_array(container))
                r = shape_elements(field, container);
        else if (json_is_object(container))
                r = shape_members(NULL, container);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(container);
        return 0;
}

/* The whole. */

/* 0, -EILSEQ when it is not UTF-8, -ENOMEM. */
static int make_text(const char *text, size_t size, json_t **ret)
{
        if (!text_is_utf8(text, size))
                return -EILSEQ;
        *ret = json_stringn_nocheck(text, size);
        return *ret ? 0 : -ENOMEM;
}

static void name_problem(const char *name, int outcome, Problems *problems)
{
        const Path root = { .name = "" };
        const size_t base = strcspn(name, "[");
        const int cut = (int)problem_cut(name, strlen(name), 80);
        char parameter[PATH_SIZE];

        snprintf(parameter, sizeof(parameter), "%.*s", (int)problem_cut(name, base, sizeof(parameter) - 1),
                        name);
        if (outcome == -EILSEQ)
                path_problem(problems, SEVERITY_ERROR, &root, parameter, "is not UTF-8");
        else if (outcome == KEY_TOO_DEEP)
                path_problem(problems, SEVERITY_ERROR, &root, parameter,
                                "\"%.*s\" has more than %u pairs of brackets", cut, name,
                                TASK_FORM_BRACKETS_MAX);
        else if (outcome == KEY_BROKEN)
                path_problem(problems, SEVERITY_ERROR, &root, parameter,
                                "\"%.*s\" can't be read: expected name, name[], name[0] or name[key]", cut,
                                name);
        else
                path_problem(problems, SEVERITY_ERROR, &root, parameter,
                                "\"%.*s\" contradicts how it was given before", cut, name);
}

/* Brackets that don't fit are part of the name, unless it begins as one that the table has. */
static int read_key(const Rows *rows, const char *name, Key *ret)
{
        char base[64];
        int r;

        r = parse_key(name, ret);
        if (r != KEY_BROKEN)
                return r;

        snprintf(base, sizeof(base), "%.*s", (int)MIN(strcspn(name, "["), sizeof(base) - 1), name);
        if (rows_find(rows, base))
                return KEY_BROKEN;
        *ret = (Key){ .segments[0] = { name, strlen(name) }, .n = 1 };
        return 0;
}

/* 0, a positive outcome or -EILSEQ to be named, -ENOMEM. */
static int take_pair(const Rows *rows, json_t *params, const FormPair *pair)
{
        json_auto_t *name = NULL, *text = NULL;
        Key key;
        int r;

        r = make_text(pair->name, strlen(pair->name), &name);
        if (r != 0)
                return r;
        r = make_text(pair->value, pair->value_size, &text);
        if (r != 0)
                return r;
        r = read_key(rows, pair->name, &key);
        if (r != 0)
                return r;
        return put(params, key.segments, key.n, text);
}

int task_params_from_form(
                const TaskType *type, const FormPair *pairs, size_t n, json_t **ret, Problems *problems)
{
        const Rows rows = rows_of_type(type);
        json_auto_t *params = json_object();
        int r;

        if (!params)
                return -ENOMEM;

        FOREACH_ARRAY(pair, pairs, n) {
                r = take_pair(&rows, params, pair);
                if (r == -ENOMEM)
                        return r;
                if (r != 0)
                        name_problem(pair->name, r, problems);
        }

        r = shape_members(&rows, params);
        if (r < 0)
                return r;
        r = task_params_normalise(type, params);
        if (r < 0)
                return r;

        *ret = TAKE_PTR(params);
        return 0;
}
