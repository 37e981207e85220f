/*
 * Any bytes as a configuration: a file, a drop-in and lines for -o, with a line "--" between them. What must
 * hold: a refusal says why, in one line; nothing with a NUL byte in it is taken; what is taken is within its
 * ranges, can be written out as a configuration, and is the same settings when it is read again.
 */

#include "fuzz-file.h"
#include "fuzz.h"

#include "config/network.h"
#include "config/table.h"

#define OVERRIDES_MAX 32U

static const char *const names[] = { "again", "scale.conf.d/5.conf", "scale.conf.d", "scale.conf", NULL };

typedef struct Piece {
        const char *data;
        size_t size;
} Piece;

/* Up to the next separator; what is left is behind it. */
static Piece take_piece(Piece *rest)
{
        const char *end = memmem(rest->data, rest->size, "\n--\n", 4);
        Piece p = { rest->data, end ? (size_t)(end - rest->data) + 1 : rest->size };
        size_t used = end ? p.size + 3 : p.size;

        *rest = (Piece){ rest->data + used, rest->size - used };
        return p;
}

static bool has_nul(Piece p)
{
        return p.size > 0 && memchr(p.data, 0, p.size);
}

static char *dump(const Settings *s)
{
        char *text = NULL;
        size_t size;
        FILE *f = open_memstream(&text, &size);

        assert(f && settings_dump(s, f) == 0 && fclose(f) == 0);
        assert(strlen(text) == size);
        return text;
}

static void check_ranges(const Settings *s)
{
        FOREACH_ARRAY(i, settings_table, settings_table_size) {
                const uint64_t *v = (const uint64_t *)(const void *)((const char *)s + i->offset);

                switch (i->kind) {
                case SETTING_SIZE:
                case SETTING_DURATION:
                case SETTING_NUMBER:
                        assert(*v >= i->min && *v <= i->max);
                        break;
                case SETTING_AGE:
                case SETTING_LIMIT:
                        assert(*v == UINT64_MAX || (*v >= i->min && *v <= i->max));
                        break;
                case SETTING_STATUS:
                        assert(*v == 422 || *v == 200);
                        break;
                case SETTING_FILE:
                case SETTING_SOCKET:
                case SETTING_URL:
                case SETTING_URL_PATH:
                case SETTING_LISTEN:
                case SETTING_NETWORKS:
                case SETTING_BOOLEAN:
                case _SETTING_KIND_MAX:
                default:
                        break;
                }
        }
        assert(s->callback.listen[0] && s->query.socket && s->control.socket && s->submit.socket);
        assert(s->callback.n_trusted_proxies <= SETTINGS_NETWORKS_MAX);
}

static void check_again(const Settings *s)
{
        _cleanup_free_ char *text = dump(s), *again = NULL, *error = NULL;
        Settings t;
        int r;

        fuzz_write("again", text, strlen(text));
        r = settings_load(fuzz_path("again"), NULL, &t, &error);
        if (r < 0)
                fprintf(stderr, "%s\nbut: %s\n", text, error);
        assert(r == 0);
        again = dump(&t);
        assert(streq(text, again));
        settings_done(&t);
}

/* Settings of their own in the same place: what is not in the file is the default. */
static void check_restart(const Settings *s)
{
        static const char *const sections[] = { "callback", "query", "control", "store", "submit", "api",
                "reconcile", NULL };
        char *changed;

        assert(settings_needs_restart(s, s, sections, &changed) == 0);
        assert(!changed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        Piece rest = { (const char *)data, size }, file = take_piece(&rest), drop_in = take_piece(&rest);
        _cleanup_free_ char *lines = strndup(rest.data, rest.size), *error = NULL;
        const char *items[OVERRIDES_MAX];
        SettingsOverrides overrides = { items, 0 };
        char *save = NULL;
        Settings s = {};
        int r;

        fuzz_make_folder(names);
        (void)mkdir(fuzz_path("scale.conf.d"), 0700);
        fuzz_write("scale.conf", file.data, file.size);
        fuzz_write("scale.conf.d/5.conf", drop_in.data, drop_in.size);
        assert(lines);
        for (char *line = strtok_r(lines, "\n", &save); line && overrides.n < OVERRIDES_MAX;
                        line = strtok_r(NULL, "\n", &save))
                items[overrides.n++] = line;

        r = settings_load(fuzz_path("scale.conf"), &overrides, &s, &error);
        if (r < 0) {
                assert(error && *error && !s.callback.listen[0]);
                return 0;
        }
        assert(!error && !has_nul(file) && !has_nul(drop_in));
        check_ranges(&s);
        check_again(&s);
        check_restart(&s);
        settings_done(&s);
        return 0;
}
