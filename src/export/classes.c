/*
 * Classes and their numbers. A number must mean the same in every run, or the labels of two runs can't be
 * used together, and it must do so without anything being kept between them: a number that is the place in
 * the sorted list of names shifts with every name that is added. So there are two ways. A number made of the
 * name alone needs nothing else, but is large, and two names may (once in four thousand times for a
 * thousand names) get the same: then the export is refused, because which one made way would depend on the
 * order. And a list that the user keeps, to which new names are appended, gives small numbers without gaps.
 */

#include "export/classes.h"

#include "export/text.h"

void classes_done(Classes *classes)
{
        FOREACH_ARRAY(i, classes->items, classes->n)
                free(i->name);
        free(classes->items);
        *classes = (Classes){};
}

/* The place of a name, or where it would be. */
static size_t place_of(const Classes *classes, const char *name, bool *ret_found)
{
        size_t low = 0, high = classes->n;

        *ret_found = false;
        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int order = strcmp(classes->items[middle].name, name);

                if (order == 0)
                        *ret_found = true;
                if (order < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static int make_room(Classes *classes)
{
        size_t n = classes->allocated == 0 ? 16 : classes->allocated * 2;
        Class *more;

        if (classes->n == CLASSES_MAX)
                return -E2BIG;
        if (classes->n < classes->allocated)
                return 0;
        more = reallocarray(classes->items, n, sizeof(Class));
        if (!more)
                return -ENOMEM;
        classes->items = more;
        classes->allocated = n;
        return 0;
}

static int insert(Classes *classes, size_t at, const char *name, Class **ret)
{
        char *copy;
        int r;

        r = make_room(classes);
        if (r < 0)
                return r;
        copy = strdup(name);
        if (!copy)
                return -ENOMEM;
        memmove(classes->items + at + 1, classes->items + at, (classes->n - at) * sizeof(Class));
        classes->items[at] = (Class){ .name = copy };
        classes->n++;
        *ret = &classes->items[at];
        return 0;
}

int classes_add(Classes *classes, const char *name)
{
        bool found;
        size_t at = place_of(classes, name, &found);
        Class *class;

        if (found)
                return 0;
        return strlen(name) > CLASS_NAME_MAX ? -EMSGSIZE : insert(classes, at, name, &class);
}

const Class *classes_find(const Classes *classes, const char *name)
{
        bool found;
        size_t at = place_of(classes, name, &found);

        assert(found);
        return &classes->items[at];
}

int classes_add_listed(Classes *classes, const char *name, size_t size)
{
        char copy[CLASS_NAME_MAX + 1];
        Class *class;
        size_t at;
        bool found;
        int r;

        if (size == 0 || size > CLASS_NAME_MAX || memchr(name, 0, size))
                return -EINVAL;
        memcpy(copy, name, size);
        copy[size] = 0;

        at = place_of(classes, copy, &found);
        if (found)
                return -EINVAL;
        r = insert(classes, at, copy, &class);
        if (r < 0)
                return r;
        class->number = (uint32_t)classes->n_listed++;
        class->listed = true;
        return 0;
}

void classes_number(Classes *classes)
{
        uint32_t next = (uint32_t)classes->n_listed;

        FOREACH_ARRAY(i, classes->items, classes->n)
                if (!i->listed)
                        i->number = next++;
}

static int compare_numbers(const void *a, const void *b)
{
        uint32_t x = (*(const Class *const *)a)->number, y = (*(const Class *const *)b)->number;

        return x < y ? -1 : x > y;
}

int classes_by_number(const Classes *classes, const Class ***ret)
{
        const Class **sorted = calloc(classes->n + 1, sizeof(Class *));

        if (!sorted)
                return -ENOMEM;
        for (size_t i = 0; i < classes->n; i++)
                sorted[i] = &classes->items[i];
        qsort(sorted, classes->n, sizeof(Class *), compare_numbers);
        *ret = sorted;
        return 0;
}

int classes_number_by_name(Classes *classes)
{
        _cleanup_free_ const Class **sorted = NULL;
        int r;

        FOREACH_ARRAY(i, classes->items, classes->n)
                i->number = (uint32_t)(text_hash(i->name, strlen(i->name)) % INT32_MAX) + 1;
        r = classes_by_number(classes, &sorted);
        if (r < 0)
                return r;
        for (size_t i = 1; i < classes->n; i++)
                if (sorted[i]->number == sorted[i - 1]->number) {
                        classes->collision[0] = (size_t)(sorted[i - 1] - classes->items);
                        classes->collision[1] = (size_t)(sorted[i] - classes->items);
                        return -EEXIST;
                }
        return 0;
}
