/*
 * A page of a hundred tasks is a few kilobytes, or, with long transcripts, hundreds of megabytes. Documents
 * are rendered at once until there is a megabyte of them, so that the usual page is one answer of known
 * length; the rest are remembered by key and rendered one at a time as the reader takes them. Memory is
 * bounded by one document beyond the first megabyte, and nothing of the database is held while a reader is
 * slow.
 */

#include "query/page.h"

#define INLINE_SIZE ((size_t)1024 * 1024)
#define TEXT_MAX                                                                                  \
        ((size_t)256 * 1024 * 1024) /* of a megabyte and one document, however it grew in writing \
                                     */
#define KEYS_MAX 1024U

struct Page {
        PageRender render;
        Readers *readers;
        char *subject;
        Buffer text, tail;
        size_t n_docs;
        char **keys; /* left for later */
        size_t n_keys, next_key;
        bool begun; /* the text is given */
};

int page_new(PageRender render, Readers *readers, const char *subject, Page **ret)
{
        _cleanup_(page_freep) Page *p = NULL;
        int r;

        p = calloc(1, sizeof(Page));
        if (!p)
                return -ENOMEM;
        p->render = render;
        p->readers = readers;
        p->text = BUFFER_INIT(TEXT_MAX);
        p->tail = BUFFER_INIT(TEXT_MAX);
        if (subject) {
                p->subject = strdup(subject);
                if (!p->subject)
                        return -ENOMEM;
        }
        r = buffer_append_str(&p->text, "{\"docs\":[");
        if (r < 0)
                return r;

        *ret = TAKE_PTR(p);
        return 0;
}

Page *page_free(Page *p)
{
        if (!p)
                return NULL;

        for (size_t i = 0; i < p->n_keys; i++)
                free(p->keys[i]);
        free(p->keys);
        free(p->subject);
        buffer_done(&p->text);
        buffer_done(&p->tail);
        free(p);
        return NULL;
}

Buffer *page_text(Page *p)
{
        if (p->n_keys > 0 || p->text.size > INLINE_SIZE)
                return NULL;
        if (p->n_docs > 0 && buffer_append_str(&p->text, ",") < 0)
                return NULL;
        p->n_docs++;
        return &p->text;
}

int page_defer(Page *p, const char *key)
{
        char *copy;

        assert(p->n_keys < KEYS_MAX);
        if (!p->keys)
                p->keys = calloc(KEYS_MAX, sizeof(char *));
        copy = strdup(key);
        if (!p->keys || !copy) {
                free(copy);
                return -ENOMEM;
        }
        p->keys[p->n_keys++] = copy;
        return 0;
}

static int append_tail(Page *p, Buffer *out)
{
        int r;

        r = buffer_append_str(out, "],");
        return r < 0 ? r : buffer_append(out, p->tail.data, p->tail.size);
}

/* What was rendered at once, then one document at a time, then the end. */
static int fill(void *userdata, StoreReader *reader, Buffer *out)
{
        Page *p = userdata;
        int r;

        if (!p->begun) {
                p->begun = true;
                r = buffer_append(out, p->text.data, p->text.size);
                buffer_done(&p->text);
                return r < 0 ? r : 1;
        }
        if (p->next_key == p->n_keys) {
                r = append_tail(p, out);
                return MIN(r, 0);
        }
        if (p->n_docs++ > 0) {
                r = buffer_append_str(out, ",");
                if (r < 0)
                        return r;
        }
        r = p->render(reader, p->subject, p->keys[p->next_key++], out);
        return r < 0 ? r : 1;
}

static void done(void *userdata)
{
        page_free(userdata);
}

int page_reply(HttpRequest *request, Page *page, Buffer *tail)
{
        static const ReadSource source = { .lane = READ_LONG, .fill = fill, .free = done };
        _cleanup_(page_freep) Page *p = page;
        Readers *readers = p->readers;
        int r;

        p->tail = *tail;
        *tail = BUFFER_INIT(tail->max);
        if (p->n_keys > 0)
                return readers_stream(readers, request, "application/json", &source, TAKE_PTR(p), NULL);

        r = append_tail(p, &p->text);
        if (r < 0)
                return r;
        return http_reply(request, 200, "application/json", p->text.data, p->text.size);
}
