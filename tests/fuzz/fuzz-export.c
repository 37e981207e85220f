/*
 * Any bytes as rows that are stored, one a line, through every format; and as an image, and as a line of a
 * list of sizes. What must hold: every task is either exported or counted under a reason; names of files
 * stay in their folder; what comes out of one run comes out of the next; COCO and manifests are JSON again;
 * cues keep their rules.
 */

#include "fuzz.h"

#include <jansson.h>

#include "export/name.h"
#include "export/text.h"
#include "export/words.h"
#include "json/parse.h"

#define OUT_MAX  ((size_t)64 * 1024 * 1024)
#define ROWS_MAX 64U

typedef struct Out {
        Buffer text; /* all that came out */
        uint64_t n_files;
} Out;

static int on_write(const void *data, size_t size, void *userdata)
{
        Out *o = userdata;

        assert(buffer_append(&o->text, data, size) == 0);
        return 0;
}

static void check_part(const char *name, size_t size)
{
        assert(size > 0 && size <= 255 && name[0] != '.' && name[0] != '-');
        for (size_t i = 0, n; i < size; i += n) {
                uint32_t c;

                n = text_char(name + i, size - i, &c);
                assert(!text_is_control(c) && c != 0xfffd && c != '/' && c != '\\');
        }
}

static int on_file(const char *name, const void *data, size_t size, void *userdata)
{
        const char *slash = strchr(name, '/');
        Out *o = userdata;

        if (slash)
                check_part(name, (size_t)(slash - name));
        check_part(slash ? slash + 1 : name, strlen(slash ? slash + 1 : name));
        if (o->n_files % 3 == 1 && !strstr(name, "-")) {
                o->n_files++;
                return slash != NULL; /* the name is taken */
        }
        o->n_files++;
        return on_write(data, size, userdata);
}

static int on_size(const char *url, const char *name, ImageSize *ret, _unused_ void *userdata)
{
        check_part(name, strlen(name));
        *ret = (ImageSize){ 640, 480 };
        return strlen(url) % 5 != 0;
}

static void check_counts(const Exporter *x)
{
        const ExportCounts *c = exporter_counts(x);
        uint64_t n = 0;

        for (unsigned i = 0; i < _EXPORT_REASON_MAX; i++)
                n += c->left_out[i];
        assert(n == c->n_left_out && c->left_out[EXPORT_FITS] == 0 && c->read == c->exported + n);
}

/* One pass over all lines; in the first one notes which of them fit. */
static int run_pass(Exporter *x, unsigned pass, const uint8_t *data, size_t size, bool *fits)
{
        const char *text = (const char *)data, *end = text + size;
        int r;

        r = exporter_begin(x, pass);
        for (unsigned i = 0; r == 0 && text < end && i < ROWS_MAX; i++) {
                const char *stop = memchr(text, '\n', (size_t)(end - text)) ?: end;
                ExportReason reason = EXPORT_OTHER_TYPE;

                if (pass == 0) {
                        r = exporter_take(x, text, (size_t)(stop - text), &reason);
                        assert(r == 0 || r == -EBADMSG);
                        fits[i] = r == 0 && reason == EXPORT_FITS;
                        r = 0;
                } else if (fits[i])
                        r = exporter_take(x, text, (size_t)(stop - text), &reason);
                text = stop + 1;
        }
        return r == 0 ? exporter_end(x) : r;
}

static void run(const ExportFormat *f, const ExportOptions *options, const uint8_t *data, size_t size,
                Out *o)
{
        const ExportCalls calls = { on_write, on_file, on_size, o };
        bool fits[ROWS_MAX] = {};
        Exporter *x;
        int r = 0;

        assert(exporter_new(f, options, &calls, &x) == 0);
        for (unsigned pass = 0; r == 0 && pass < export_format_passes(f); pass++)
                r = run_pass(x, pass, data, size, fits);
        assert(r == 0 || r == -EEXIST);
        check_counts(x);
        if (r == 0 && streq(export_format_name(f), "coco")) {
                json_t *root;

                assert(json_parse(buffer_text(&o->text), o->text.size, JSON_REJECT_DUPLICATES, &root,
                                       NULL) == 0);
                json_decref(root);
        }
        exporter_free(x);
}

static void run_twice(const ExportFormat *f, const ExportOptions *options, const uint8_t *data, size_t size)
{
        Out a = { .text = BUFFER_INIT(OUT_MAX) }, b = { .text = BUFFER_INIT(OUT_MAX) };

        run(f, options, data, size, &a);
        run(f, options, data, size, &b);
        assert(a.text.size == b.text.size && a.n_files == b.n_files);
        assert(a.text.size == 0 || memcmp(a.text.data, b.text.data, a.text.size) == 0);
        buffer_done(&a.text);
        buffer_done(&b.text);
}

static void check_cue(const Cue *cue, void *userdata)
{
        int64_t *last = userdata;

        assert(cue->start >= 0 && cue->end > cue->start && cue->end - cue->start <= CUE_USEC_MAX);
        assert(*last <= cue->start + 1000);
        assert(cue->n_lines >= 1 && cue->n_lines <= CUE_LINES_MAX);
        for (unsigned i = 0; i < cue->n_lines; i++)
                assert(cue->lengths[i] >= 1 && cue->lengths[i] <= CUE_LINE_MAX);
        *last = cue->end;
}

static void try_cues(const uint8_t *data, size_t size)
{
        json_t *root = json_loadb((const char *)data, size, JSON_ALLOW_NUL, NULL);
        const Row row = { .response = json_object_get(root, "response"), .url = "u", .id = "", .type = "" };
        int64_t last = 0;

        if (words_survey(NULL, &row) == EXPORT_FITS)
                cues_each(&row, check_cue, &last);
        json_decref(root);
}

static void try_bytes(const uint8_t *data, size_t size)
{
        char *text = strndup((const char *)data, size), name[NAME_SIZE];
        const char *key;
        ImageSize s;

        assert(text);
        if (image_size_read(data, size, &s) == 0)
                assert(s.width > 0 && s.height > 0 && s.width <= IMAGE_SIDE_MAX &&
                                s.height <= IMAGE_SIDE_MAX);
        (void)name_of_url(text, text, name);
        check_part(name, strlen(name));
        assert(name_stem(name) > 0 && name_stem(name) <= strlen(name));
        if (image_size_parse_line(text, &key, &s) == 0)
                assert(*key && s.width > 0 && s.height > 0);
        free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
        static const ExportOptions options[] = { {}, { true, true, true, "/data" } };

        for (const ExportFormat *const *f = export_formats; *f; f++)
                FOREACH_ARRAY(o, options, ELEMENTSOF(options))
                        run_twice(*f, o, data, size);
        try_cues(data, size);
        try_bytes(data, size);
        return 0;
}
