/*
 * Buffers that are born with a maximum. They double while they grow, so appending costs the same a byte
 * however long they get, and they always keep a NUL behind the content, so that text can be read in place.
 */

#include "basic/buffer.h"

#include <stdio.h>

#define FIRST_ALLOCATION 256U

void buffer_done(Buffer *b)
{
        free(b->data);
        *b = BUFFER_INIT(b->max);
}

int buffer_reserve(Buffer *b, size_t size)
{
        size_t want, n;
        char *p;

        if (size > b->max || b->size > b->max - size)
                return -ENOBUFS;

        want = b->size + size + 1;
        if (want <= b->allocated)
                return 0;

        n = MAX(b->allocated * 2, FIRST_ALLOCATION);
        n = MIN(MAX(n, want), b->max + 1);

        p = realloc(b->data, n);
        if (!p)
                return -ENOMEM;

        b->data = p;
        b->allocated = n;
        return 0;
}

int buffer_append(Buffer *b, const void *data, size_t size)
{
        int r;

        r = buffer_reserve(b, size);
        if (r < 0)
                return r;

        if (size > 0)
                memcpy(b->data + b->size, data, size);
        b->size += size;
        b->data[b->size] = 0;
        return 0;
}

int buffer_append_str(Buffer *b, const char *s)
{
        return buffer_append(b, s, strlen(s));
}

int buffer_append_f(Buffer *b, const char *format, ...)
{
        va_list ap;
        int n, r;

        va_start(ap, format);
        n = vsnprintf(NULL, 0, format, ap);
        va_end(ap);
        if (n < 0)
                return -EINVAL;

        r = buffer_reserve(b, (size_t)n);
        if (r < 0)
                return r;

        va_start(ap, format);
        (void)vsnprintf(b->data + b->size, (size_t)n + 1, format, ap);
        va_end(ap);
        b->size += (size_t)n;
        return 0;
}

void buffer_consume(Buffer *b, size_t n)
{
        assert(n <= b->size);

        if (n == 0)
                return;

        memmove(b->data, b->data + n, b->size - n + 1);
        b->size -= n;
}

const char *buffer_text(const Buffer *b)
{
        return b->data ? b->data : "";
}

char *buffer_take(Buffer *b, size_t *ret_size)
{
        if (ret_size)
                *ret_size = b->size;

        b->size = b->allocated = 0;
        return TAKE_PTR(b->data);
}
