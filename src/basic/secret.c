/*
 * A secret lives in memory from libsodium: between guard pages, locked where the limit allows, left out of
 * core dumps, wiped by sodium_free(). Reading one from a file goes through no buffer of stdio's that would
 * keep a copy.
 */

#include "basic/secret.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "basic/fd.h"

struct Secret {
        size_t size;
        char *data; /* from sodium_malloc(), size + 1 bytes */
};

static int secret_allocate(size_t size, Secret **ret)
{
        _cleanup_(secret_freep) Secret *secret = NULL;

        secret = calloc(1, sizeof(Secret));
        if (!secret)
                return -ENOMEM;

        secret->data = sodium_malloc(size + 1);
        if (!secret->data)
                return -ENOMEM;

        secret->size = size;
        secret->data[size] = 0;
        *ret = TAKE_PTR(secret);
        return 0;
}

int secret_new(const void *data, size_t size, Secret **ret)
{
        int r;

        r = secret_allocate(size, ret);
        if (r < 0)
                return r;

        if (size > 0)
                memcpy((*ret)->data, data, size);
        return 0;
}

int secret_read_file(const char *path, size_t max, Secret **ret)
{
        _cleanup_(secret_freep) Secret *secret = NULL;
        _cleanup_close_ int fd = -EBADF;
        size_t n = 0;
        struct stat st;
        int r;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EINVAL;
        if (st.st_mode & (S_IROTH | S_IWOTH))
                return -EPERM;
        if (st.st_size < 0 || (uint64_t)st.st_size > max)
                return -EFBIG;

        r = secret_allocate((size_t)st.st_size, &secret);
        if (r < 0)
                return r;

        while (n < secret->size) {
                ssize_t k = read(fd, secret->data + n, secret->size - n);

                if (k < 0 && errno == EINTR)
                        continue;
                if (k < 0)
                        return -errno;
                if (k == 0)
                        break; /* the file shrank meanwhile */
                n += (size_t)k;
        }

        secret->size = n;
        secret->data[n] = 0;
        *ret = TAKE_PTR(secret);
        return 0;
}

Secret *secret_free(Secret *secret)
{
        if (!secret)
                return NULL;

        sodium_free(secret->data);
        free(secret);
        return NULL;
}

const char *secret_data(const Secret *secret)
{
        return secret->data;
}

size_t secret_size(const Secret *secret)
{
        return secret->size;
}

int secrets_init(void)
{
        if (sodium_init() < 0)
                return -EIO;
        if (prctl(PR_SET_DUMPABLE, 0) < 0)
                return -errno;

        return 0;
}

void secrets_exit(void)
{
        (void)prctl(PR_SET_DUMPABLE, 1);
}
