/*
 * Subtitles: SRT and WebVTT. A file of subtitles is about one recording. With a folder each task gets its
 * own; without one, recordings follow each other as if they were played so, each beginning where the one
 * before ended.
 *
 * WebVTT has escapes. SRT has none, so what a player would take for times, a tag or a command is written
 * with other characters that look like it.
 */

#include "export/cues.h"
#include "export/name.h"

typedef struct Subtitles {
        Writer *w;
        int64_t offset; /* of the recording, microseconds */
        uint64_t *n;    /* cues so far */
        int64_t last;   /* where the last cue ends, without the offset */
} Subtitles;

static void put_time(Writer *w, int64_t usec, char point)
{
        int64_t msec = usec / 1000;

        put_f(w, "%02" PRIi64 ":%02" PRIi64 ":%02" PRIi64 "%c%03" PRIi64, msec / 3600000, msec / 60000 % 60,
                        msec / 1000 % 60, point, msec % 1000);
}

static void put_times(Subtitles *s, const Cue *cue, char point)
{
        put_time(s->w, s->offset + cue->start, point);
        put(s->w, " --> ");
        put_time(s->w, s->offset + cue->end, point);
        put(s->w, "\n");
        s->last = cue->end;
}

/* What would be taken for a line of times, a tag or a command. */
static void put_srt_line(Writer *w, const char *line)
{
        static const struct {
                const char *from, *to;
        } others[] = {
                { "-->", "\xe2\x86\x92" },
                { "<", "\xe2\x80\xb9" },
                { "{\\", "(\\" },
        };

        while (*line) {
                size_t taken = 0;

                FOREACH_ARRAY(o, others, ELEMENTSOF(others))
                        if (strncmp(line, o->from, strlen(o->from)) == 0) {
                                put(w, o->to);
                                taken = strlen(o->from);
                                break;
                        }
                if (taken == 0) {
                        put_bytes(w, line, 1);
                        taken = 1;
                }
                line += taken;
        }
        put(w, "\n");
}

static void write_srt(const Cue *cue, void *userdata)
{
        Subtitles *s = userdata;

        put_f(s->w, "%" PRIu64 "\n", ++*s->n);
        put_times(s, cue, ',');
        for (unsigned i = 0; i < cue->n_lines; i++)
                put_srt_line(s->w, cue->lines[i]);
        put(s->w, "\n");
}

static void put_vtt_text(Writer *w, const char *text)
{
        for (; *text; text++)
                switch (*text) {
                case '&':
                        put(w, "&amp;");
                        break;
                case '<':
                        put(w, "&lt;");
                        break;
                case '>':
                        put(w, "&gt;");
                        break;
                default:
                        put_bytes(w, text, 1);
                }
}

static void write_vtt(const Cue *cue, void *userdata)
{
        Subtitles *s = userdata;

        put_times(s, cue, '.');
        for (unsigned i = 0; i < cue->n_lines; i++) {
                put_vtt_text(s->w, cue->lines[i]);
                put(s->w, "\n");
        }
        put(s->w, "\n");
}

/* Says what follows. */
static void write_note(const Row *row, Writer *w)
{
        char name[NAME_SIZE], id[NAME_SIZE];

        put(w, "NOTE ");
        put_vtt_text(w, name_of_url(row->url, row->id, name));
        put(w, ", task ");
        put_vtt_text(w, name_of_text(row->id, id));
        put(w, "\n\n");
}

/* The recording's length, or where its last cue ends. */
static double length_of(const Row *row, int64_t last)
{
        return MAX(words_duration(row), (double)last / 1e6);
}

static void write_cues(Exporter *x, const Row *row, Writer *w)
{
        bool vtt = x->format == &export_vtt;
        Subtitles s = { .w = w, .offset = (int64_t)(x->time * 1000) * 1000, .n = &x->n };

        if (vtt)
                write_note(row, w);
        cues_each(row, vtt ? write_vtt : write_srt, &s);
        x->time += length_of(row, s.last);
        x->counts.recordings++;
}

static int begin(Exporter *x)
{
        if (x->format == &export_vtt && !x->options.folder)
                put(&x->stream, "WEBVTT\n\n");
        return 0;
}

static int write_row(Exporter *x, const Row *row)
{
        Writer file = { .text = BUFFER_INIT(EXPORT_LINE_MAX) };

        if (!x->options.folder) {
                write_cues(x, row, &x->stream);
                return 0;
        }
        x->n = 0;
        x->time = 0;
        if (x->format == &export_vtt)
                put(&file, "WEBVTT\n\n");
        write_cues(x, row, &file);
        return exporter_put_task_file(x, row, "", x->format->name, &file);
}

const ExportFormat export_srt = {
        .name = "srt",
        .shape = EXPORT_EITHER,
        .type = "audiotranscription",
        .select = words_survey,
        .n_passes = 1,
        .passes = { { begin, write_row, NULL } },
};

const ExportFormat export_vtt = {
        .name = "vtt",
        .shape = EXPORT_EITHER,
        .type = "audiotranscription",
        .select = words_survey,
        .n_passes = 1,
        .passes = { { begin, write_row, NULL } },
};
