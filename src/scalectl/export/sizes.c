/*
 * Sizes. A list may have a line for every image that there ever was, so of each line only 16 bytes are kept:
 * a number that stands for its key, and where it is; what is found is read again and compared. Of an image
 * as little is read as says how large it is, and never more than a megabyte.
 */

#include "scalectl/export/sizes.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <unistd.h>

#include "basic/fd.h"
#include "export/text.h"
#include "scalectl/text/term.h"

#define ENTRIES_MAX  ((size_t)16 * 1024 * 1024)
#define HEADER_FIRST ((size_t)64 * 1024)
#define HEADER_MAX   ((size_t)1024 * 1024)

struct SizeEntry {
        uint64_t hash;
        uint64_t offset; /* of the line */
};

static int compare_entries(const void *a, const void *b)
{
        const SizeEntry *x = a, *y = b;

        if (x->hash != y->hash)
                return x->hash < y->hash ? -1 : 1;
        return x->offset < y->offset ? -1 : x->offset > y->offset;
}

static int add_entry(Sizes *s, const char *key, uint64_t offset)
{
        if (s->n == ENTRIES_MAX) {
                complain("%s has more than %zu lines", s->list_name, ENTRIES_MAX);
                return EX_DATAERR;
        }
        if ((s->n & (s->n - 1)) == 0) {
                SizeEntry *more = reallocarray(s->entries, MAX(2 * s->n, 1U), sizeof(SizeEntry));

                if (!more) {
                        complain("out of memory");
                        return EX_OSERR;
                }
                s->entries = more;
        }
        s->entries[s->n++] = (SizeEntry){ text_hash(key, strlen(key)), offset };
        return 0;
}

/* Whether a first line can be names of columns, and not a size with a mistake in it. */
static bool is_header(const char *line)
{
        const char *comma = strchr(line, ',');

        return comma && strchr(comma + 1, ',') && !line[strcspn(line, "0123456789")];
}

static int read_list(Sizes *s)
{
        uint64_t offset = 0, line = 0;
        ssize_t n;
        int r;

        while ((n = getline(&s->line, &s->allocated, s->list)) >= 0) {
                bool header = ++line == 1 && is_header(s->line);
                const char *key;
                ImageSize size;

                if (image_size_parse_line(s->line, &key, &size) >= 0) {
                        r = add_entry(s, key, offset);
                        if (r != 0)
                                return r;
                } else if (!header && s->line[strspn(s->line, "\r\n")] != 0) {
                        complain("%s, line %" PRIu64 ": expected URL-OR-NAME,WIDTH,HEIGHT", s->list_name,
                                        line);
                        return EX_DATAERR;
                }
                offset += (uint64_t)n;
        }
        if (ferror(s->list)) {
                complain("%s can't be read: %s", s->list_name, strerror(errno));
                return EX_NOINPUT;
        }
        if (s->n > 0)
                qsort(s->entries, s->n, sizeof(SizeEntry), compare_entries);
        return 0;
}

static int open_both(Sizes *s)
{
        if (s->list_name) {
                s->list = fopen(s->list_name, "re");
                if (!s->list) {
                        complain("%s can't be read: %s", s->list_name, strerror(errno));
                        return EX_NOINPUT;
                }
        }
        if (s->images_name) {
                s->images = open(s->images_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (s->images < 0) {
                        complain("%s can't be read: %s", s->images_name, strerror(errno));
                        return EX_NOINPUT;
                }
        }
        return s->list ? read_list(s) : 0;
}

int sizes_open(const char *list, const char *images, Sizes *ret)
{
        Sizes s = SIZES_INIT;
        int r;

        s.list_name = list;
        s.images_name = images;
        r = open_both(&s);
        if (r != 0) {
                sizes_done(&s);
                return r;
        }
        *ret = s;
        return 0;
}

/* The line at an offset: whether it is about `key`. 1, 0, negative errno (said). */
static int read_entry(Sizes *s, uint64_t offset, const char *key, ImageSize *ret)
{
        const char *found;
        ImageSize size;

        if (fseeko(s->list, (off_t)offset, SEEK_SET) < 0 || getline(&s->line, &s->allocated, s->list) < 0 ||
                        image_size_parse_line(s->line, &found, &size) < 0) {
                complain("%s changed while it was read", s->list_name);
                return -ESTALE;
        }
        if (!streq(found, key))
                return 0;
        *ret = size;
        return 1;
}

static int find_in_list(Sizes *s, const char *key, ImageSize *ret)
{
        uint64_t hash = text_hash(key, strlen(key));
        size_t low = 0, high = s->n;
        int r = 0;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (s->entries[middle].hash < hash)
                        low = middle + 1;
                else
                        high = middle;
        }
        for (; r == 0 && low < s->n && s->entries[low].hash == hash; low++)
                r = read_entry(s, s->entries[low].offset, key, ret);
        return r;
}

static int complain_of_image(const Sizes *s, const char *name)
{
        int error = errno;

        complain("%s/%s can't be read: %s", s->images_name, name, strerror(error));
        return -error;
}

/* As much of the file as it takes. 1, 0: no image, or no known kind; -1 and errno. */
static int read_header(int fd, ImageSize *ret)
{
        _cleanup_free_ char *data = NULL;
        size_t had = 0;

        for (size_t want = HEADER_FIRST; want <= HEADER_MAX; want *= 4) {
                char *more = realloc(data, want);
                ssize_t n;
                int r;

                if (!more)
                        return -1;
                data = more;
                n = pread(fd, data + had, want - had, (off_t)had);
                if (n < 0)
                        return -1;
                had += (size_t)n;
                r = image_size_read(data, had, ret);
                if (r != -ENODATA || n == 0)
                        return r == 0;
        }
        return 0;
}

static int find_image(const Sizes *s, const char *name, ImageSize *ret)
{
        _cleanup_close_ int fd = openat(s->images, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        struct stat st;
        int r;

        if (fd < 0 && (errno == ENOENT || errno == ENAMETOOLONG))
                return 0;
        if (fd < 0 || fstat(fd, &st) < 0)
                return complain_of_image(s, name);
        if (!S_ISREG(st.st_mode))
                return 0;
        r = read_header(fd, ret);
        return r < 0 ? complain_of_image(s, name) : r;
}

int sizes_find(Sizes *s, const char *url, const char *name, ImageSize *ret)
{
        int r = 0;

        if (s->list) {
                r = find_in_list(s, url, ret);
                if (r == 0)
                        r = find_in_list(s, name, ret);
        }
        if (r == 0 && s->images >= 0)
                r = find_image(s, name, ret);
        return r;
}

void sizes_done(Sizes *s)
{
        if (s->list)
                (void)fclose(s->list);
        s->images = fd_close(s->images);
        free(s->entries);
        free(s->line);
        *s = SIZES_INIT;
}
