/*
 * Buffers that are born with a maximum. They double while they grow, so appending costs the same a byte
 * however long they get, and they always keep a NUL behind the content, so that text can be read in place.
 */

#include "basic/buffer.h"

#include <stdio.h>

#define FIRST_ALLOCATION 256U

void buffer_done(Buffer *buffer)
{
        free(buffer->data);
        *buffer = BUFFER_INIT(buffer->max);
}

int buffer_reserve(Buffer *buffer, size_t size)
{
        size_t want, n;
        char *p;

        if (size > buffer->max || buffer->size > buffer->max - size)
                return -ENOBUFS;

        want = buffer->size + size + 1;
        if (want <= buffer->allocated)
                return 0;

        n = MAX(buffer->allocated * 2, FIRST_ALLOCATION);
        n = MIN(MAX(n, want), buffer->max + 1);

        p = realloc(buffer->data, n);
        if (!p)
                return -ENOMEM;

        buffer->data = p;
        buffer->allocated = n;
        return 0;
}

int buffer_append(Buffer *buffer, const void *data, size_t size)
{
        int r;

        r = buffer_reserve(buffer, size);
        if (r < 0)
                return r;

        if (size > 0)
                memcpy(buffer->data + buffer->size, data, size);
        buffer->size += size;
        buffer->data[buffer->size] = 0;
        return 0;
}

int buffer_append_str(Buffer *buffer, const char *s)
{
        return buffer_append(buffer, s, strlen(s));
}

int buffer_append_f(Buffer *buffer, const char *format, ...)
{
        va_list ap;
        int n, r;

        va_start(ap, format);
        n = vsnprintf(NULL, 0, format, ap);
        va_end(ap);
        if (n < 0)
                return -EINVAL;

        r = buffer_reserve(buffer, (size_t)n);
        if (r < 0)
                return r;

        va_start(ap, format);
        (void)vsnprintf(buffer->data + buffer->size, (size_t)n + 1, format, ap);
        va_end(ap);
        buffer->size += (size_t)n;
        return 0;
}

void buffer_consume(Buffer *buffer, size_t n)
{
        assert(n <= buffer->size);

        if (n == 0)
                return;

        memmove(buffer->data, buffer->data + n, buffer->size - n + 1);
        buffer->size -= n;
}

const char *buffer_text(const Buffer *buffer)
{
        return buffer->data ? buffer->data : "";
}

char *buffer_take(Buffer *buffer, size_t *ret_size)
{
        if (ret_size)
                *ret_size = buffer->size;

        buffer->size = buffer->allocated = 0;
        return TAKE_PTR(buffer->data);
}
