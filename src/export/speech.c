/*
 * For training and scoring of speech recognition: CTM, a line a word, and a manifest, a line of JSON a
 * recording.
 *
 * In a CTM a recording is named by its task: two URLs can end in the same name, and lines of two recordings
 * under one name can't be told apart again. Which recording that is, the manifest says too.
 */

#include "export/name.h"
#include "export/words.h"

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

static int write_ctm(Exporter *x, const Row *row)
{
        _cleanup_free_ char *file = strdup(row->id);
        CtmLine line = { &x->stream, file };

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

static int select_recording(_unused_ Exporter *x, const Row *row)
{
        if (!json_is_string(json_object_get(row->response, "transcript")) || words_duration(row) < 0)
                return EXPORT_MALFORMED;
        return row->url ? EXPORT_FITS : EXPORT_NO_ATTACHMENT;
}

static void put_path(Exporter *x, const Row *row)
{
        Writer path = { .text = BUFFER_INIT(EXPORT_LINE_MAX) };
        char name[NAME_SIZE];

        if (x->options.audio_folder)
                put_f(&path, "%s/%s", x->options.audio_folder, name_of_url(row->url, row->id, name));
        else
                put(&path, row->url);
        put_json_text(&x->stream, buffer_text(&path.text), path.text.size);
        if (x->stream.error == 0)
                x->stream.error = path.error;
        writer_done(&path);
}

static int write_recording(Exporter *x, const Row *row)
{
        put(&x->stream, "{\"audio_filepath\":");
        put_path(x, row);
        put(&x->stream, ",\"duration\":");
        put_json(&x->stream, json_object_get(row->response, "duration"));
        put(&x->stream, ",\"text\":");
        put_json(&x->stream, json_object_get(row->response, "transcript"));
        put(&x->stream, ",\"task_id\":");
        put_json_text(&x->stream, row->id, strlen(row->id));
        put(&x->stream, "}\n");
        return 0;
}

const ExportFormat export_manifest = {
        .name = "manifest",
        .type = "audiotranscription",
        .select = select_recording,
        .n_passes = 1,
        .passes = { { .row = write_recording } },
};
