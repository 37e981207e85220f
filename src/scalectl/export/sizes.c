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

static int add_entry(Sizes *sizes, const char *key, uint64_t offset)
{
        if (sizes->n == ENTRIES_MAX) {
                complain("%s has more than %zu lines", sizes->list_name, ENTRIES_MAX);
                return EX_DATAERR;
        }
        if ((sizes->n & (sizes->n - 1)) == 0) {
                SizeEntry *more = reallocarray(sizes->entries, MAX(2 * sizes->n, 1U), sizeof(SizeEntry));

                if (!more) {
                        complain("out of memory");
                        return EX_OSERR;
                }
                sizes->entries = more;
        }
        sizes->entries[sizes->n++] = (SizeEntry){ text_hash(key, strlen(key)), offset };
        return 0;
}

/* Whether a first line can be names of columns, and not a size with a mistake in it. */
static bool is_header(const char *line)
{
        const char *comma = strchr(line, ',');

        return comma && strchr(comma + 1, ',') && !line[strcspn(line, "0123456789")];
}

static int read_list(Sizes *sizes)
{
        uint64_t offset = 0, line = 0;
        ssize_t n;
        int r;

        while ((n = getline(&sizes->line, &sizes->allocated, sizes->list)) >= 0) {
                bool header = ++line == 1 && is_header(sizes->line);
                const char *key;
                ImageSize size;

                if (image_size_parse_line(sizes->line, &key, &size) >= 0) {
                        r = add_entry(sizes, key, offset);
                        if (r != 0)
                                return r;
                } else if (!header && sizes->line[strspn(sizes->line, "\r\n")] != 0) {
                        complain("%s, line %" PRIu64 ": expected URL-OR-NAME,WIDTH,HEIGHT", sizes->list_name,
                                        line);
                        return EX_DATAERR;
                }
                offset += (uint64_t)n;
        }
        if (ferror(sizes->list)) {
                complain("%s can't be read: %s", sizes->list_name, strerror(errno));
                return EX_NOINPUT;
        }
        if (sizes->n > 0)
                qsort(sizes->entries, sizes->n, sizeof(SizeEntry), compare_entries);
        return 0;
}

static int open_both(Sizes *sizes)
{
        if (sizes->list_name) {
                sizes->list = fopen(sizes->list_name, "re");
                if (!sizes->list) {
                        complain("%s can't be read: %s", sizes->list_name, strerror(errno));
                        return EX_NOINPUT;
                }
        }
        if (sizes->images_name) {
                sizes->images = open(sizes->images_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
                if (sizes->images < 0) {
                        complain("%s can't be read: %s", sizes->images_name, strerror(errno));
                        return EX_NOINPUT;
                }
        }
        return sizes->list ? read_list(sizes) : 0;
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
static int read_entry(Sizes *sizes, uint64_t offset, const char *key, ImageSize *ret)
{
        const char *found;
        ImageSize size;

        if (fseeko(sizes->list, (off_t)offset, SEEK_SET) < 0 ||
                        getline(&sizes->line, &sizes->allocated, sizes->list) < 0 ||
                        image_size_parse_line(sizes->line, &found, &size) < 0) {
                complain("%s changed while it was read", sizes->list_name);
                return -ESTALE;
        }
        if (!streq(found, key))
                return 0;
        *ret = size;
        return 1;
}

static int find_in_list(Sizes *sizes, const char *key, ImageSize *ret)
{
        uint64_t hash = text_hash(key, strlen(key));
        size_t low = 0, high = sizes->n;
        int r = 0;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (sizes->entries[middle].hash < hash)
                        low = middle + 1;
                else
                        high = middle;
        }
        for (; r == 0 && low < sizes->n && sizes->entries[low].hash == hash; low++)
                r = read_entry(sizes, sizes->entries[low].offset, key, ret);
        return r;
}

static int complain_of_image(const Sizes *sizes, const char *name)
{
        int error = errno;

        complain("%s/%s can't be read: %s", sizes->images_name, name, strerror(error));
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

static int find_image(const Sizes *sizes, const char *name, ImageSize *ret)
{
        _cleanup_close_ int fd = openat(sizes->images, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
        struct stat st;
        int r;

        if (fd < 0 && (errno == ENOENT || errno == ENAMETOOLONG))
                return 0;
        if (fd < 0 || fstat(fd, &st) < 0)
                return complain_of_image(sizes, name);
        if (!S_ISREG(st.st_mode))
                return 0;
        r = read_header(fd, ret);
        return r < 0 ? complain_of_image(sizes, name) : r;
}

int sizes_find(Sizes *sizes, const char *url, const char *name, ImageSize *ret)
{
        int r = 0;

        if (sizes->list) {
                r = find_in_list(sizes, url, ret);
                if (r == 0)
                        r = find_in_list(sizes, name, ret);
        }
        if (r == 0 && sizes->images >= 0)
                r = find_image(sizes, name, ret);
        return r;
}

void sizes_done(Sizes *sizes)
{
        if (sizes->list)
                (void)fclose(sizes->list);
        sizes->images = fd_close(sizes->images);
        free(sizes->entries);
        free(sizes->line);
        *sizes = SIZES_INIT;
}
