#pragma once

/* The size of an image, from the first bytes of its file. */

#include "basic/macros.h"

#define IMAGE_SIDE_MAX 1000000U /* pixels; what is larger is no size */

typedef struct ImageSize {
        uint32_t width, height; /* pixels, at least 1 */
} ImageSize;

/* PNG and JPEG. 0; -ENODATA: more bytes of the file may tell; -EBADMSG: neither of the two, or damaged. */
int image_size_read(const void *data, size_t size, ImageSize *ret);

/* A line `KEY,WIDTH,HEIGHT` as CSV, the key perhaps in quotes, more columns behind it passed over. Takes the
 * line apart; *ret_key points into it. 0, -EINVAL. */
int image_size_parse_line(char *line, const char **ret_key, ImageSize *ret);
