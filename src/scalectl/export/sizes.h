#pragma once

/* Sizes of images: from a file that lists them, or from the images themselves. */

#include <stdio.h>

#include "export/image-size.h"

typedef struct SizeEntry SizeEntry;

typedef struct Sizes {
        const char *list_name, *images_name; /* as given; NULL: none */
        FILE *list;
        SizeEntry *entries; /* sorted */
        size_t n;
        char *line;
        size_t allocated;
        int images; /* the folder */
} Sizes;

#define SIZES_INIT ((Sizes){ .images = -EBADF })

/* `list`: CSV, lines `URL-OR-NAME,WIDTH,HEIGHT`, the first perhaps being a header. `images`: a folder with
 * PNG and JPEG files. Either may be NULL. 0, or an exit status (said). */
int sizes_open(const char *list, const char *images, Sizes *ret);

/* By its URL in the list, by its name in the list, by its name in the folder. 1, 0: not known; negative
 * errno (said). */
int sizes_find(Sizes *sizes, const char *url, const char *name, ImageSize *ret);

void sizes_done(Sizes *sizes);
