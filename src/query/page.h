#pragma once

/* Pages: lists, whose documents may each be megabytes. */

#include "basic/buffer.h"
#include "http/server.h"
#include "query/readers.h"

typedef struct Page Page;

/* Renders the document with this key, later, when the client has taken what came before. */
typedef int (*PageRender)(StoreReader *reader, const char *subject, const char *key, Buffer *out);

/* A list of up to `limit` rows; the store is asked for one more, which says whether there are more. */
int page_new(uint64_t limit, Page **ret);
Page *page_free(Page *page);
DEFINE_CLEANUP(Page *, page_free)

/* From a megabyte of text on documents are left for later. `subject` (NULL: none) is copied. 0, -ENOMEM. */
int page_set_render(Page *page, PageRender render, Readers *readers, const char *subject);

/* The next row, whose number is what `after` wants in the end to go on behind it. 1: it is to be appended to
 * page_text(); 0: it is not, because the page is full or because it is left for later, to be rendered by
 * `key`; or negative errno. */
int page_add(Page *page, uint64_t number, const char *key);
Buffer *page_text(Page *page);

/* {"docs":[...],"has_more":...,"next":...}, the last where there are more. Takes the page. */
int page_reply(HttpRequest *request, Page *page);

/* {"docs":[...], and `tail`, whose text is the page's from the call on. Takes the page. */
int page_reply_with_tail(HttpRequest *request, Page *page, Buffer *tail);
