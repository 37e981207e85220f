/* Reads no more of a file of keys than it needs: the first line that is one. The daemon is the one that
 * checks. */

#include "scalectl/keyfile.h"

#include "basic/key-file.h"

int keyfile_first(const char *path, Secret **ret)
{
        _cleanup_(secret_freep) Secret *file = NULL;
        const char *p, *end, *why;
        int r;

        r = secret_read_file(path, KEY_FILE_MAX, &file);
        if (r < 0)
                return r;

        end = secret_data(file) + secret_size(file);
        for (p = secret_data(file); p < end; p++) { /* over the end of the line */
                const char *line = p;
                KeyLine key;

                p = memchr(line, '\n', (size_t)(end - line)) ?: end;
                if (key_line_parse(line, (size_t)(p - line), &key, &why) == 1)
                        return secret_new(key.key, key.key_size, ret);
        }
        return -EINVAL;
}
