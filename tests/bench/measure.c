/*
 * What the measuring programs have in common: requests with marks in them, ids in the order of time, what a
 * process used, and percentiles of all samples (no histogram: sorting some millions at the end costs the
 * measured nothing).
 *
 * Writing an id over a mark is all that is done for a request while the clock runs: the generator shares two
 * cores with what it measures.
 */

#include "measure.h"

#include <time.h>
#include <unistd.h>

#include "basic/parse.h"
#include "basic/time-util.h"

#define TEMPLATE_MAX ((size_t)16 * 1024 * 1024)

/* Templates. */

static int find_marks(Template *t, char mark, size_t size, size_t *at, unsigned *n)
{
        char text[ID_SIZE];

        memset(text, mark, size);
        for (char *p = t->data; (p = memmem(p, t->size - (size_t)(p - t->data), text, size)); p += size) {
                if (*n == MARKS_MAX)
                        return -E2BIG;
                at[(*n)++] = (size_t)(p - t->data);
        }
        return 0;
}

/* 1: one was read, 0: the end. */
static int read_template(FILE *file, Template *t)
{
        size_t size;
        int n;

        n = fscanf(file, "%zu", &size);
        if (n == EOF)
                return 0;
        if (n != 1 || size == 0 || size > TEMPLATE_MAX || fgetc(file) != '\n')
                return -EBADMSG;
        *t = (Template){ .data = malloc(size), .size = size };
        if (!t->data)
                return -ENOMEM;
        if (fread(t->data, 1, size, file) != size || find_marks(t, '%', ID_SIZE, t->ids, &t->n_ids) < 0 ||
                        find_marks(t, '#', STAMP_SIZE, t->stamps, &t->n_stamps) < 0) {
                free(t->data);
                return -EBADMSG;
        }
        return 1;
}

static int read_all(FILE *file, Templates *t)
{
        int r;

        t->items = calloc(TEMPLATES_MAX, sizeof(Template));
        if (!t->items)
                return -ENOMEM;
        do {
                if (t->n == TEMPLATES_MAX)
                        return -E2BIG;
                r = read_template(file, &t->items[t->n]);
                t->n += r > 0;
        } while (r > 0);
        return r < 0 ? r : t->n > 0 ? 0 : -EBADMSG;
}

int templates_load(const char *path, Templates *ret)
{
        FILE *file;
        int r;

        *ret = (Templates){};
        file = fopen(path, "re");
        r = file ? read_all(file, ret) : -errno;
        if (file)
                (void)fclose(file);
        if (r < 0)
                (void)fprintf(stderr, "%s: no requests to send: %s\n", path, strerror(-r));
        return r;
}

void templates_done(Templates *t)
{
        FOREACH_ARRAY(i, t->items, t->n)
                free(i->data);
        free(t->items);
        *t = (Templates){};
}

/* Ids. */

static void put_hex(char *to, unsigned digits, uint64_t value)
{
        for (unsigned i = 0; i < digits; i++)
                to[i] = "0123456789abcdef"[value >> (4 * (digits - 1 - i)) & 15];
}

void ids_init(Ids *ids, uint64_t run)
{
        *ids = (Ids){};
        put_hex(ids->run, sizeof(ids->run), run);
}

void ids_stamp(Ids *ids, Template *t, int64_t now, char ret[static ID_SIZE])
{
        if (now / 1000 != ids->stamp_at) {
                char text[TIME_STAMP_SIZE];

                ids->stamp_at = now / 1000;
                memcpy(ids->stamp, time_format(now / 1000 * 1000, text), STAMP_SIZE);
        }
        put_hex(ret, 8, (uint64_t)now / USEC_PER_SEC);
        memcpy(ret + 8, ids->run, sizeof(ids->run));
        put_hex(ret + 18, 6, ids->next++);

        for (unsigned i = 0; i < t->n_ids; i++)
                memcpy(t->data + t->ids[i], ret, ID_SIZE);
        for (unsigned i = 0; i < t->n_stamps; i++)
                memcpy(t->data + t->stamps[i], ids->stamp, STAMP_SIZE);
}

/* Processes. */

static uint64_t read_status(pid_t pid, const char *field)
{
        char path[64], line[256];
        uint64_t value = 0;
        FILE *file;

        snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
        file = fopen(path, "re");
        if (!file)
                return 0;
        while (fgets(line, sizeof(line), file))
                if (strncmp(line, field, strlen(field)) == 0)
                        value = strtoull(line + strlen(field), NULL, 10);
        (void)fclose(file);
        return value;
}

void usage_read(pid_t pid, Usage *ret)
{
        char path[64], text[1024] = "";
        unsigned long long user = 0, system = 0, child_user = 0, child_system = 0;
        const char *p;
        FILE *file;

        *ret = (Usage){ .resident = read_status(pid, "VmRSS:"),
                .resident_peak = read_status(pid, "VmHWM:") };
        snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
        file = fopen(path, "re");
        if (!file)
                return;
        p = fgets(text, sizeof(text), file) ? strrchr(text, ')') : NULL;
        (void)fclose(file);
        if (p && sscanf(p + 1, " %*c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %llu %llu %llu %llu", &user,
                                 &system, &child_user, &child_system) == 4)
                ret->cpu = (double)(user + system + child_user + child_system) /
                           (double)sysconf(_SC_CLK_TCK);
}

/* Samples. */

int samples_add(Samples *s, uint64_t usec)
{
        if (s->n == s->allocated) {
                size_t n = MAX(s->allocated * 2, (size_t)1 << 16);
                uint32_t *items = realloc(s->items, n * sizeof(*items));

                if (!items)
                        return -ENOMEM;
                s->items = items;
                s->allocated = n;
        }
        s->items[s->n++] = (uint32_t)MIN(usec, UINT32_MAX);
        return 0;
}

static int compare(const void *a, const void *b)
{
        uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

        return (x > y) - (x < y);
}

void samples_sort(Samples *s)
{
        if (s->n > 0)
                qsort(s->items, s->n, sizeof(*s->items), compare);
}

double samples_at(const Samples *s, double quantile)
{
        size_t i = (size_t)(quantile * (double)s->n);

        return s->n == 0 ? 0 : (double)s->items[MIN(i, s->n - 1)];
}

void samples_done(Samples *s)
{
        free(s->items);
        *s = (Samples){};
}
