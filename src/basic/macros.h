#pragma once

/* Ownership and small macros: what every other file may rely on. */

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define _cleanup_(f)   __attribute__((cleanup(f)))
#define _printf_(a, b) __attribute__((format(printf, a, b)))
#define _unused_       __attribute__((unused))
#define _warn_unused_  __attribute__((warn_unused_result))
#define _const_        __attribute__((const))
#define _pure_         __attribute__((pure))

/* Promises of the programmer, checked in every build. Never for input. */
#ifdef NDEBUG
#        error "assertions stay on in release builds: do not define NDEBUG"
#endif

#define ELEMENTSOF(a) (sizeof(a) / sizeof((a)[0]))
#define MIN(a, b)     ((a) < (b) ? (a) : (b))
#define MAX(a, b)     ((a) > (b) ? (a) : (b))

/* Takes a pointer out of its variable, which no longer owns it. */
#define TAKE_PTR(p)                    \
        ({                             \
                typeof(p) *_pp = &(p); \
                typeof(p) _v = *_pp;   \
                *_pp = NULL;           \
                _v;                    \
        })

/* An empty array may be NULL, to which C adds nothing, not even 0. */
#define FOREACH_ARRAY(i, array, n) \
        for (typeof((array)[0]) *i = (array), *_end_##i = i ? i + (n) : i; i < _end_##i; i++)

#define container_of(p, type, member) ((type *)(void *)((char *)(p)-offsetof(type, member)))

/* From a destructor `T *t_free(T *)` makes the cleanup function `t_freep` for _cleanup_(). */
#define DEFINE_CLEANUP(type, func)          \
        static inline void func##p(type *p) \
        {                                   \
                if (*p)                     \
                        *p = func(*p);      \
        }

static inline void freep(void *p)
{
        free(*(void **)p);
}

#define _cleanup_free_ _cleanup_(freep)

static inline bool streq(const char *a, const char *b)
{
        return strcmp(a, b) == 0;
}

static inline bool streq_ptr(const char *a, const char *b)
{
        return a == b || (a && b && streq(a, b));
}

static inline const char *strna(const char *s)
{
        return s ? s : "n/a";
}

/* Defines NAME_to_string() and NAME_from_string() over `static const char *const NAME_table[MAX]`.
 * to_string: NULL for a value out of range. from_string: -EINVAL for a text that is not in the table. */
#define DEFINE_STRING_TABLE(name, type, max)                                        \
        const char *name##_to_string(type v)                                        \
        {                                                                           \
                return (int)v < 0 || (int)v >= (int)(max) ? NULL : name##_table[v]; \
        }                                                                           \
        type name##_from_string(const char *s)                                      \
        {                                                                           \
                for (int i = 0; s && i < (int)(max); i++)                           \
                        if (name##_table[i] && streq(name##_table[i], s))           \
                                return (type)i;                                     \
                return (type)-EINVAL;                                               \
        }
