/* Reads no more of a file of keys than it needs: the first line that is one. The daemon is the one that
 * checks. */

#include "scalectl/keyfile.h"

#define FILE_MAX 65536U

int keyfile_first(const char *path, Secret **ret)
{
        _cleanup_(secret_freep) Secret *file = NULL;
        const char *p;
        int r;

        r = secret_read_file(path, FILE_MAX, &file);
        if (r < 0)
                return r;

        for (p = secret_data(file); *p; p += strcspn(p, "\n"), p += *p == '\n') {
                const char *label = p + strspn(p, " \t"), *key = label + strcspn(label, " \t\r\n");
                size_t n;

                key += strspn(key, " \t");
                n = strcspn(key, " \t\r\n");
                if (*label != '#' && n > 0)
                        return secret_new(key, n, ret);
        }
        return -EINVAL;
}
