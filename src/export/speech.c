/*
 * Subtitles: SRT and WebVTT. A file of subtitles is about one recording. With a folder each task gets its
 * own; without one, recordings follow each other as if they were played so, each beginning where the one
 * before ended.
 *
 * WebVTT has escapes. SRT has none, so what a player would take for times, a tag or a command is written
 * with other characters that look like it.
 */

#include "export/name.h"
#include "export/words.h"

typedef struct Subtitles {
        Writer *w;
        int64_t offset; /* of the recording, microseconds */
        uint64_t *n;    /* cues so far */
        int64_t last;   /* where the last cue ends, without the offset */
} Subtitles;

static void put_time(Writer *writer, int64_t usec, char point)
{
        int64_t msec = usec / 1000;

        put_f(writer, "%02" PRIi64 ":%02" PRIi64 ":%02" PRIi64 "%c%03" PRIi64, msec / 3600000,
                        msec / 60000 % 60, msec / 1000 % 60, point, msec % 1000);
}

static void put_times(Subtitles *subtitles, const Cue *cue, char point)
{
        put_time(subtitles->w, subtitles->offset + cue->start, point);
        put(subtitles->w, " --> ");
        put_time(subtitles->w, subtitles->offset + cue->end, point);
        put(subtitles->w, "\n");
        subtitles->last = cue->end;
}

/* What would be taken for a line of times, a tag or a command. */
static void put_srt_line(Writer *writer, const char *line)
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
                                put(writer, o->to);
                                taken = strlen(o->from);
                                break;
                        }
                if (taken == 0) {
                        put_bytes(writer, line, 1);
                        taken = 1;
                }
                line += taken;
        }
        put(writer, "\n");
}

static void write_srt(const Cue *cue, void *userdata)
{
        Subtitles *subtitles = userdata;

        put_f(subtitles->w, "%" PRIu64 "\n", ++*subtitles->n);
        put_times(subtitles, cue, ',');
        for (unsigned i = 0; i < cue->n_lines; i++)
                put_srt_line(subtitles->w, cue->lines[i]);
        put(subtitles->w, "\n");
}

static void put_vtt_text(Writer *writer, const char *text)
{
        for (; *text; text++)
                switch (*text) {
                case '&':
                        put(writer, "&amp;");
                        break;
                case '<':
                        put(writer, "&lt;");
                        break;
                case '>':
                        put(writer, "&gt;");
                        break;
                default:
                        put_bytes(writer, text, 1);
                }
}

static void write_vtt(const Cue *cue, void *userdata)
{
        Subtitles *subtitles = userdata;

        put_times(subtitles, cue, '.');
        for (unsigned i = 0; i < cue->n_lines; i++) {
                put_vtt_text(subtitles->w, cue->lines[i]);
                put(subtitles->w, "\n");
        }
        put(subtitles->w, "\n");
}

/* Says what follows. */
static void write_note(const Row *row, Writer *writer)
{
        char name[NAME_SIZE], id[NAME_SIZE];

        put(writer, "NOTE ");
        put_vtt_text(writer, name_of_url(row->url, row->id, name));
        put(writer, ", task ");
        put_vtt_text(writer, name_of_text(row->id, id));
        put(writer, "\n\n");
}

/* The recording's length, or where its last cue ends. */
static double length_of(const Row *row, int64_t last)
{
        return MAX(words_duration(row), (double)last / 1e6);
}

static void write_cues(Exporter *exporter, const Row *row, Writer *writer)
{
        bool vtt = exporter->format == &export_vtt;
        Subtitles s = { .w = writer, .offset = (int64_t)(exporter->time * 1000) * 1000, .n = &exporter->n };

        if (vtt)
                write_note(row, writer);
        cues_each(row, vtt ? write_vtt : write_srt, &s);
        exporter->time += length_of(row, s.last);
        exporter->counts.recordings++;
}

static int begin(Exporter *exporter)
{
        if (exporter->format == &export_vtt && !exporter->options.folder)
                put(&exporter->stream, "WEBVTT\n\n");
        return 0;
}

static int write_row(Exporter *exporter, const Row *row)
{
        Writer file = { .text = BUFFER_INIT(EXPORT_LINE_MAX) };

        if (!exporter->options.folder) {
                write_cues(exporter, row, &exporter->stream);
                return 0;
        }
        exporter->n = 0;
        exporter->time = 0;
        if (exporter->format == &export_vtt)
                put(&file, "WEBVTT\n\n");
        write_cues(exporter, row, &file);
        return exporter_put_task_file(exporter, row, "", exporter->format->name, &file);
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

/*
 * For training and scoring of speech recognition: CTM, a line a word, and a manifest, a line of JSON a
 * recording.
 *
 * In a CTM a recording is named by its task: two URLs can end in the same name, and lines of two recordings
 * under one name can't be told apart again. Which recording that is, the manifest says too.
 */

typedef struct CtmLine {
        Writer *w;
        const char *file;
} CtmLine;

static int write_word(const Token *token, void *userdata)
{
        const CtmLine *line = userdata;

        put(line->w, line->file);
        put_f(line->w, " 1 %.3f %.3f ", token->start, token->end - token->start);
        put_bytes(line->w, token->text, token->size);
        if (token->confidence >= 0)
                put_f(line->w, " %.2f", token->confidence);
        put(line->w, "\n");
        return 0;
}

static int write_ctm(Exporter *exporter, const Row *row)
{
        _cleanup_free_ char *file = strdup(row->id);
        CtmLine line = { &exporter->stream, file };

        if (!file)
                return -ENOMEM;
        for (char *c = file; *c; c++)
                if ((uint8_t)*c <= ' ' || *c == ';')
                        *c = '_';
        return words_each(row, write_word, &line);
}

const ExportFormat export_ctm = {
        .name = "ctm",
        .type = "audiotranscription",
        .select = words_survey,
        .n_passes = 1,
        .passes = { { .row = write_ctm } },
};

static int select_recording(_unused_ Exporter *exporter, const Row *row)
{
        if (!json_is_string(json_object_get(row->response, "transcript")) || words_duration(row) < 0)
                return EXPORT_MALFORMED;
        return row->url ? EXPORT_FITS : EXPORT_NO_ATTACHMENT;
}

static void put_path(Exporter *exporter, const Row *row)
{
        Writer path = { .text = BUFFER_INIT(EXPORT_LINE_MAX) };
        char name[NAME_SIZE];

        if (exporter->options.audio_folder)
                put_f(&path, "%s/%s", exporter->options.audio_folder, name_of_url(row->url, row->id, name));
        else
                put(&path, row->url);
        put_json_text(&exporter->stream, buffer_text(&path.text), path.text.size);
        if (exporter->stream.error == 0)
                exporter->stream.error = path.error;
        writer_done(&path);
}

static int write_recording(Exporter *exporter, const Row *row)
{
        put(&exporter->stream, "{\"audio_filepath\":");
        put_path(exporter, row);
        put(&exporter->stream, ",\"duration\":");
        put_json(&exporter->stream, json_object_get(row->response, "duration"));
        put(&exporter->stream, ",\"text\":");
        put_json(&exporter->stream, json_object_get(row->response, "transcript"));
        put(&exporter->stream, ",\"task_id\":");
        put_json_text(&exporter->stream, row->id, strlen(row->id));
        put(&exporter->stream, "}\n");
        return 0;
}

const ExportFormat export_manifest = {
        .name = "manifest",
        .type = "audiotranscription",
        .select = select_recording,
        .n_passes = 1,
        .passes = { { .row = write_recording } },
};
