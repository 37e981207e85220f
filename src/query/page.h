#pragma once

/* Pages: lists of documents that may each be megabytes. */

#include "basic/buffer.h"
#include "http/server.h"
#include "query/readers.h"

typedef struct Page Page;

/* Renders the document with this key, later, when the client has taken what came before. */
typedef int (*PageRender)(StoreReader *reader, const char *subject, const char *key, Buffer *out);

/* `subject` (NULL: none) is copied. */
int page_new(PageRender render, Readers *readers, const char *subject, Page **ret);
Page *page_free(Page *page);
DEFINE_CLEANUP(Page *, page_free)

/* The text so far, to which the next document is to be appended, after its separator; NULL when the page
 * holds enough for now and page_defer() is to be used. */
Buffer *page_text(Page *page);

/* Leaves a document for later. 0, -ENOMEM. */
int page_defer(Page *page, const char *key);

/* Ends the list with `tail` behind its bracket: `"has_more":false}`, owned by the page from the call on, and
 * answers with it. Takes the page. */
int page_reply(HttpRequest *request, Page *page, Buffer *tail);
