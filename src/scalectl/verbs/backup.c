/* Backups: the database, into a file that is whole or not there. */

#include <arpa/inet.h>
#include <unistd.h>

#include "scalectl/api.h"
#include "scalectl/text/output.h"

typedef struct Sink {
        Output output;
        Progress progress;
        char head[32]; /* the first bytes, for a look at what it is */
} Sink;

static int on_data(const char *data, size_t size, void *userdata)
{
        Sink *s = userdata;

        if (s->output.size < sizeof(s->head)) {
                size_t at = (size_t)s->output.size;

                memcpy(s->head + at, data, MIN(size, sizeof(s->head) - at));
        }
        progress_add(&s->progress, size);
        return output_write(&s->output, data, size);
}

/* SQLite writes its name, the size of a page and the number of pages into the first bytes of a file. */
static int check_backup(const Sink *s)
{
        uint16_t page_size;
        uint32_t pages;
        uint64_t size;

        memcpy(&page_size, s->head + 16, sizeof(page_size));
        memcpy(&pages, s->head + 28, sizeof(pages));
        size = ntohs(page_size) == 1 ? 65536 : ntohs(page_size);
        if (s->output.size >= 100 && memcmp(s->head, "SQLite format 3", 16) == 0 &&
                        size * ntohl(pages) == s->output.size)
                return 0;

        complain("what came is not a whole database%s",
                        s->output.temporary ? "; nothing was kept of it" : ": throw it away");
        return EX_IOERR;
}

int verb_backup(Ctl *ctl, int argc, char **argv)
{
        Sink s = {};
        ApiUrl url;
        int r;
        unsigned n;

        r = options_read(ctl, NULL, 0, NULL, argc, argv, 1, 1, &n);
        if (r == 0)
                r = output_open(argv[1], &s.output);
        if (r != 0)
                return r;

        if (s.output.terminal) {
                complain("a database is nothing for a terminal: name a file, or send it on through a pipe");
                output_done(&s.output);
                return EX_USAGE;
        }
        url = api_url("/v1/backup");
        s.progress = progress_start("copied");
        r = api_stream(ctl, API_CONTROL, &url, on_data, &s, NULL);
        progress_done(&s.progress);
        if (r == 0)
                r = check_backup(&s);
        if (r == 0)
                r = output_finish(&s.output);
        output_done(&s.output);
        return r;
}
