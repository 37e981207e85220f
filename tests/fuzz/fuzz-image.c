/*
 * Any bytes as an image, as an image in a folder, and as a list of sizes. What must hold: a size that was
 * read from the front of a file is that of the whole; what is in a list is found in it, by every way there
 * is; and no name leads out of the folder.
 */

#include "fuzz-file.h"
#include "fuzz.h"

#include "scalectl/export/sizes.h"

#define LINES_MAX 64U

static const char *const names[] = { "images/image", "images", "list", NULL };

static bool is_size(const ImageSize *s)
{
        return s->width > 0 && s->height > 0 && s->width <= IMAGE_SIDE_MAX && s->height <= IMAGE_SIDE_MAX;
}

/* Once there is an answer, more bytes don't change it. */
static void try_fronts(const uint8_t *data, size_t size)
{
        ImageSize whole, front;
        int r = image_size_read(data, size, &whole), k;

        assert(r == 0 || r == -ENODATA || r == -EBADMSG);
        if (r == 0)
                assert(is_size(&whole));
        for (size_t n = 0; n < size; n += 1 + n / 8) {
                void *copy = malloc(MAX(n, 1U));

                assert(copy);
                memcpy(copy, data, n);
                k = image_size_read(copy, n, &front);
                free(copy);
                if (k == -ENODATA)
                        continue;
                assert(k == r);
                if (k == 0)
                        assert(front.width == whole.width && front.height == whole.height);
        }
}

static void try_folder(const uint8_t *data, size_t size)
{
        ImageSize found, read;
        Sizes s;
        int r;

        fuzz_write("images/image", data, size);
        assert(sizes_open(NULL, fuzz_path("images"), &s) == 0);
        r = sizes_find(&s, "http://www.example.com/image", "image", &found);
        assert(r == (image_size_read(data, size, &read) == 0));
        if (r == 1)
                assert(found.width == read.width && found.height == read.height);
        assert(sizes_find(&s, "u", "other", &found) == 0);
        sizes_done(&s);
}

/* The first line of a key is the one that counts. */
static void check_line(Sizes *s, const char *key, const ImageSize *wanted, const char *const *seen, size_t n)
{
        ImageSize found;

        for (size_t i = 0; i < n; i++)
                if (streq(seen[i], key))
                        return;
        assert(sizes_find(s, key, "no such name", &found) == 1);
        assert(found.width == wanted->width && found.height == wanted->height);
        assert(sizes_find(s, "no such URL", key, &found) == 1);
}

static void try_list(const uint8_t *data, size_t size)
{
        char *text = strndup((const char *)data, size), *rest = text;
        const char *seen[LINES_MAX];
        size_t n = 0;
        Sizes s;

        assert(text);
        fuzz_write("list", text, strlen(text));
        if (sizes_open(fuzz_path("list"), NULL, &s) == 0) {
                while (rest && n < LINES_MAX) {
                        char *line = rest;
                        const char *key;
                        ImageSize wanted;

                        rest = strchr(line, '\n');
                        if (rest)
                                *rest++ = 0;
                        if (image_size_parse_line(line, &key, &wanted) < 0)
                                continue;
                        assert(*key && is_size(&wanted));
                        check_line(&s, key, &wanted, seen, n);
                        seen[n++] = key;
                }
                sizes_done(&s);
        }
        free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        fuzz_make_folder(names);
        (void)mkdir(fuzz_path("images"), 0700);
        try_fronts(data, size);
        try_folder(data, size);
        try_list(data, size);
        return 0;
}
