/*
 * A page of a hundred tasks is a few kilobytes, or, with long transcripts, hundreds of megabytes. Documents
 * are rendered at once until there is a megabyte of them, so that the usual page is one answer of known
 * length; the rest are remembered by key and rendered one at a time as the reader takes them. Memory is
 * bounded by one document beyond the first megabyte, and nothing of the database is held while a reader is
 * slow.
 */

#include "daemon/page.h"

#define INLINE_SIZE ((size_t)1024 * 1024)
#define TEXT_MAX                                                                                  \
        ((size_t)256 * 1024 * 1024) /* of a megabyte and one document, however it grew in writing \
                                     */
#define KEYS_MAX 1024U

struct Page {
        PageRender render;
        void *context;
        char *subject;
        Buffer text, tail;
        size_t taken; /* of the text */
        HttpRequest *request;
        size_t held; /* the most that the text ever was */
        size_t n_docs;
        char **keys; /* left for later */
        size_t n_keys, next_key;
        bool ended;
};

int page_new(PageRender render, void *context, const char *subject, Page **ret)
{
        _cleanup_(page_freep) Page *p = NULL;
        int r;

        p = calloc(1, sizeof(Page));
        if (!p)
                return -ENOMEM;
        p->render = render;
        p->context = context;
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

static int append_tail(Page *p)
{
        int r;

        p->ended = true;
        r = buffer_append_str(&p->text, "],");
        return r < 0 ? r : buffer_append(&p->text, p->tail.data, p->tail.size);
}

/* Renders the next piece once all before it was taken. -ENODATA: there is none. */
static int refill(Page *p)
{
        int r;

        buffer_done(&p->text);
        p->taken = 0;
        if (p->next_key == p->n_keys)
                return p->ended ? -ENODATA : append_tail(p);

        if (p->n_docs++ > 0) {
                r = buffer_append_str(&p->text, ",");
                if (r < 0)
                        return r;
        }
        return p->render(p->context, p->subject, p->keys[p->next_key++], &p->text);
}

/* Memory for a text that stays until its reader has taken it. */
static bool hold(Page *p)
{
        size_t more = p->text.size > p->held ? p->text.size - p->held : 0;

        p->held += more;
        return more == 0 || http_request_hold(p->request, more);
}

static ssize_t produce(void *userdata, char *buffer, size_t size)
{
        Page *p = userdata;
        size_t n;
        int r;

        while (p->taken == p->text.size) {
                r = refill(p);
                if (r < 0)
                        return r;
                if (!hold(p))
                        return -ENOBUFS;
        }
        n = MIN(size, p->text.size - p->taken);
        memcpy(buffer, p->text.data + p->taken, n);
        p->taken += n;
        return (ssize_t)n;
}

static void done(void *userdata)
{
        page_free(userdata);
}

int page_reply(HttpRequest *request, Page *page, Buffer *tail)
{
        static const HttpStream stream = { produce, done };
        _cleanup_(page_freep) Page *p = page;
        int r;

        p->tail = *tail;
        *tail = BUFFER_INIT(tail->max);
        p->request = request;
        if (p->n_keys > 0 && !hold(p))
                return http_reply_no_memory(request);
        if (p->n_keys > 0)
                return http_reply_stream(request, 200, "application/json", &stream, TAKE_PTR(p));

        r = append_tail(p);
        if (r < 0)
                return r;
        return http_reply(request, 200, "application/json", p->text.data, p->text.size);
}
