/* Files are written beside their name, synced, and renamed: what stands under the name is always whole. */

#include "scalectl/output.h"

#include <fcntl.h>
#include <stdio.h>
#include <sysexits.h>
#include <unistd.h>

#include "basic/fd.h"
#include "scalectl/term.h"

int output_open(const char *name, Output *ret)
{
        Output o = { .name = name, .fd = STDOUT_FILENO };

        if (!streq(name, "-")) {
                if (asprintf(&o.temporary, "%s.XXXXXX", name) < 0)
                        return EX_OSERR;
                o.fd = mkostemp(o.temporary, O_CLOEXEC);
                if (o.fd < 0) {
                        complain("%s can't be made: %s", name, strerror(errno));
                        free(o.temporary);
                        return EX_CANTCREAT;
                }
        }
        *ret = o;
        return 0;
}

int output_write(Output *o, const char *data, size_t size)
{
        while (size > 0) {
                ssize_t n = write(o->fd, data, size);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n < 0) {
                        complain("%s can't be written: %s", o->name, strerror(errno));
                        return -errno;
                }
                o->size += (uint64_t)n;
                data += n;
                size -= (size_t)n;
        }
        return 0;
}

int output_finish(Output *o)
{
        if (!o->temporary)
                return 0;
        if (fsync(o->fd) < 0 || rename(o->temporary, o->name) < 0) {
                complain("%s can't be written: %s", o->name, strerror(errno));
                return EX_IOERR;
        }
        free(o->temporary);
        o->temporary = NULL;
        return 0;
}

void output_done(Output *o)
{
        if (o->temporary)
                (void)unlink(o->temporary);
        if (o->fd != STDOUT_FILENO)
                fd_close(o->fd);
        free(o->temporary);
}
