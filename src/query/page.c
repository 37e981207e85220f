/*
 * A page of a hundred tasks is a few kilobytes, or, with long transcripts, hundreds of megabytes. Documents
 * are rendered at once until there is a megabyte of them, so that the usual page is one answer of known
 * length; the rest are remembered by key and rendered one at a time as the reader takes them. Memory is
 * bounded by one document beyond the first megabyte, and nothing of the database is held while a reader is
 * slow. Lists whose rows are small have no such second part.
 */

#include "query/page.h"

#include <inttypes.h>

#define INLINE_SIZE   ((size_t)1024 * 1024)
#define PAGE_ROWS_MAX ((size_t)64 * 1024 * 1024)  /* a hundred small rows are far below */
#define PAGE_TEXT_MAX ((size_t)256 * 1024 * 1024) /* a megabyte and one document, however it grew */
#define KEYS_MAX      1024U

struct Page {
        uint64_t limit, n_docs, last;
        bool has_more;
        PageRender render; /* NULL: everything is rendered at once */
        Readers *readers;
        char *subject;
        Buffer text, tail;
        char **keys; /* left for later */
        size_t n_keys, next_key;
        bool begun; /* the text is given */
};

int page_new(uint64_t limit, Page **ret)
{
        _cleanup_(page_freep) Page *page = NULL;
        int r;

        page = calloc(1, sizeof(Page));
        if (!page)
                return -ENOMEM;
        page->limit = limit;
        page->text = page->tail = BUFFER_INIT(PAGE_ROWS_MAX);
        r = buffer_append_str(&page->text, "{\"docs\":[");
        if (r < 0)
                return r;

        *ret = TAKE_PTR(page);
        return 0;
}

int page_set_render(Page *page, PageRender render, Readers *readers, const char *subject)
{
        page->render = render;
        page->readers = readers;
        page->text.max = PAGE_TEXT_MAX;
        if (subject) {
                page->subject = strdup(subject);
                if (!page->subject)
                        return -ENOMEM;
        }
        return 0;
}

Page *page_free(Page *page)
{
        if (!page)
                return NULL;

        for (size_t i = 0; i < page->n_keys; i++)
                free(page->keys[i]);
        free(page->keys);
        free(page->subject);
        buffer_done(&page->text);
        buffer_done(&page->tail);
        free(page);
        return NULL;
}

Buffer *page_text(Page *page)
{
        return &page->text;
}

/* Leaves a document for later. 0, -ENOMEM. */
static int defer(Page *page, const char *key)
{
        char *copy;

        assert(page->n_keys < KEYS_MAX);
        if (!page->keys)
                page->keys = calloc(KEYS_MAX, sizeof(char *));
        copy = strdup(key);
        if (!page->keys || !copy) {
                free(copy);
                return -ENOMEM;
        }
        page->keys[page->n_keys++] = copy;
        return 0;
}

int page_add(Page *page, uint64_t number, const char *key)
{
        int r;

        if (page->n_docs + page->n_keys == page->limit) {
                page->has_more = true;
                return 0;
        }
        page->last = number;
        if (page->render && (page->n_keys > 0 || page->text.size > INLINE_SIZE))
                return defer(page, key);
        r = page->n_docs++ > 0 ? buffer_append_str(&page->text, ",") : 0;
        return r < 0 ? r : 1;
}

static int append_tail(Page *page, Buffer *out)
{
        int r;

        r = buffer_append_str(out, "],");
        return r < 0 ? r : buffer_append(out, page->tail.data, page->tail.size);
}

/* What was rendered at once, then one document at a time, then the end. */
static int page_fill(void *userdata, StoreReader *reader, Buffer *out)
{
        Page *page = userdata;
        int r;

        if (!page->begun) {
                page->begun = true;
                r = buffer_append(out, page->text.data, page->text.size);
                buffer_done(&page->text);
                return r < 0 ? r : 1;
        }
        if (page->next_key == page->n_keys) {
                r = append_tail(page, out);
                return MIN(r, 0);
        }
        if (page->n_docs++ > 0) {
                r = buffer_append_str(out, ",");
                if (r < 0)
                        return r;
        }
        r = page->render(reader, page->subject, page->keys[page->next_key++], out);
        return r < 0 ? r : 1;
}

static void page_stream_free(void *userdata)
{
        page_free(userdata);
}

int page_reply_with_tail(HttpRequest *request, Page *taken, Buffer *tail)
{
        static const ReadSource source = { .lane = READ_LONG, .fill = page_fill, .free = page_stream_free };
        _cleanup_(page_freep) Page *page = taken;
        Readers *readers = page->readers;
        int r;

        page->tail = *tail;
        *tail = BUFFER_INIT(tail->max);
        if (page->n_keys > 0)
                return readers_stream(readers, request, "application/json", &source, TAKE_PTR(page), NULL);

        r = append_tail(page, &page->text);
        if (r < 0)
                return r;
        return http_reply(request, 200, "application/json", page->text.data, page->text.size);
}

int page_reply(HttpRequest *request, Page *taken)
{
        _cleanup_buffer_ Buffer tail = BUFFER_INIT(128);
        _cleanup_(page_freep) Page *page = taken;
        int r;

        r = buffer_append_f(&tail, "\"has_more\":%s", page->has_more ? "true" : "false");
        if (r >= 0 && page->has_more)
                r = buffer_append_f(&tail, ",\"next\":%" PRIu64, page->last);
        if (r >= 0)
                r = buffer_append_str(&tail, "}");
        return r < 0 ? r : page_reply_with_tail(request, TAKE_PTR(page), &tail);
}
