#pragma once

/* Capped buffers: bytes that grow up to a maximum they are born with. */

#include <stdarg.h>

#include "basic/macros.h"

typedef struct Buffer {
        char *data; /* owned; NULL while empty; `size` bytes, and a NUL behind them */
        size_t size;
        size_t allocated;
        size_t max; /* `size` never gets beyond it */
} Buffer;

#define BUFFER_INIT(m) ((Buffer){ .max = (m) })

/* Frees what the buffer holds and empties it; `max` stays. */
void buffer_done(Buffer *buffer);

/* Append bytes, a text, a formatted text. 0, -ENOBUFS beyond the maximum, -ENOMEM; unchanged on failure. */
int buffer_append(Buffer *buffer, const void *data, size_t size) _warn_unused_;
int buffer_append_str(Buffer *buffer, const char *s) _warn_unused_;
int buffer_append_f(Buffer *buffer, const char *format, ...) _printf_(2, 3) _warn_unused_;

/* Makes room for `size` bytes more at once, without changing the content. 0, -ENOBUFS, -ENOMEM. */
int buffer_reserve(Buffer *buffer, size_t size) _warn_unused_;

/* Takes `n` bytes off the front. */
void buffer_consume(Buffer *buffer, size_t n);

/* The content as a NUL-terminated text, "" when empty; the buffer keeps it. */
const char *buffer_text(const Buffer *buffer);

/* The content, owned by the caller (free()); the buffer is empty afterwards. NULL when nothing was appended.
 */
char *buffer_take(Buffer *buffer, size_t *ret_size);

#define _cleanup_buffer_ _cleanup_(buffer_done)
