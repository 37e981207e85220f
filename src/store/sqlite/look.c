/*
 * Whether a daemon could open the database, told from outside: what the path leads to, and the first bytes
 * of the file. Nothing is opened by SQLite, which would make files beside it, as another user's perhaps.
 */

#include <fcntl.h>
#include <libgen.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd.h"
#include "basic/mistakes.h"
#include "store/sqlite/internal.h"

#define HEADER_SIZE 100 /* see "The Database Header" of https://www.sqlite.org/fileformat2.html */
#define AT_VERSION  60
#define AT_ID       68

static uint32_t read_be32(const unsigned char *p)
{
        return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void look_at_folder(const char *path, char **mistakes)
{
        _cleanup_free_ char *copy = strdup(path);
        const char *folder;
        struct stat st;

        if (!copy)
                return;
        folder = dirname(copy);
        if (stat(folder, &st) < 0)
                mistakes_add(mistakes, "[store] path = %s: its directory %s: %s", path, folder,
                                strerror(errno));
        else if (!S_ISDIR(st.st_mode))
                mistakes_add(mistakes, "[store] path = %s: %s is no directory", path, folder);
}

static void look_at_header(const char *path, const unsigned char *header, char **mistakes)
{
        uint32_t id = read_be32(header + AT_ID), version = read_be32(header + AT_VERSION);

        if (memcmp(header, "SQLite format 3", 16) != 0)
                mistakes_add(mistakes, "[store] path = %s: the file is no SQLite database", path);
        else if (id != STORE_APPLICATION_ID && (id != 0 || version != 0))
                mistakes_add(mistakes,
                                "[store] path = %s: it is an SQLite database, but another program's "
                                "(application id %u instead of %d)",
                                path, id, STORE_APPLICATION_ID);
        else if (version > (uint32_t)store_schema_version())
                mistakes_add(mistakes,
                                "[store] path = %s: it was made by a newer version of this program (schema "
                                "%u, "
                                "this one knows up to %d)",
                                path, version, store_schema_version());
}

void store_look_at(const char *path, char **mistakes)
{
        unsigned char header[HEADER_SIZE];
        _cleanup_close_ int fd = -EBADF;
        struct stat st;
        ssize_t n;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0 && errno == ENOENT) {
                look_at_folder(path, mistakes); /* where it is made at the first start */
                return;
        }
        if (fd < 0 || fstat(fd, &st) < 0) {
                mistakes_add(mistakes, "[store] path = %s: %s", path, strerror(errno));
                return;
        }
        if (!S_ISREG(st.st_mode)) {
                mistakes_add(mistakes, "[store] path = %s: it is no regular file", path);
                return;
        }
        n = pread(fd, header, sizeof(header), 0);
        if (n < 0)
                mistakes_add(mistakes, "[store] path = %s: %s", path, strerror(errno));
        else if (n == (ssize_t)sizeof(header))
                look_at_header(path, header, mistakes);
        else if (n > 0)
                mistakes_add(mistakes, "[store] path = %s: the file is no SQLite database", path);
}
