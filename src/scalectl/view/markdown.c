/*
 * Instructions are Markdown, and whoever wrote them may be anybody. So cmark's own HTML is never made: its
 * tree is walked, and what the page gets is a tree of a dozen kinds of things, from which it makes elements
 * as it does from all else. Line breaks stay, because people write instructions who have never heard of
 * Markdown.
 */

#include "scalectl/view/markdown.h"

#include <cmark.h>
#include <errno.h>

#include "basic/macros.h"

typedef struct Walk {
        json_t *open[MARKDOWN_DEPTH_MAX + 1]; /* borrowed: each lies in the one before */
        size_t depth; /* of containers that the walk is in, however many have a place */
} Walk;

static const char *literal(cmark_node *node)
{
        const char *text = cmark_node_get_literal(node);

        return text ? text : "";
}

static const char *url(cmark_node *node)
{
        const char *text = cmark_node_get_url(node);

        return text ? text : "";
}

typedef enum Shape {
        SHAPE_CONTAINER, /* [KIND, what is in it ...] */
        SHAPE_LEVEL,     /* [KIND, LEVEL, ...] */
        SHAPE_LIST,      /* ["ul", ...] or ["ol", START, ...] */
        SHAPE_URL,       /* [KIND, URL, ...] */
        SHAPE_MARK,      /* [KIND] */
        SHAPE_LITERAL,   /* [KIND, TEXT] */
        SHAPE_TEXT,      /* TEXT */
} Shape;

static const struct {
        const char *kind; /* NULL: nothing is made of it */
        Shape shape;
} nodes[] = {
        [CMARK_NODE_BLOCK_QUOTE] = { "quote", SHAPE_CONTAINER },
        [CMARK_NODE_LIST] = { "ul", SHAPE_LIST },
        [CMARK_NODE_ITEM] = { "li", SHAPE_CONTAINER },
        [CMARK_NODE_CODE_BLOCK] = { "pre", SHAPE_LITERAL },
        [CMARK_NODE_HTML_BLOCK] = { "p", SHAPE_LITERAL },
        [CMARK_NODE_PARAGRAPH] = { "p", SHAPE_CONTAINER },
        [CMARK_NODE_HEADING] = { "h", SHAPE_LEVEL },
        [CMARK_NODE_THEMATIC_BREAK] = { "hr", SHAPE_MARK },
        [CMARK_NODE_TEXT] = { "", SHAPE_TEXT },
        [CMARK_NODE_SOFTBREAK] = { "br", SHAPE_MARK },
        [CMARK_NODE_LINEBREAK] = { "br", SHAPE_MARK },
        [CMARK_NODE_CODE] = { "code", SHAPE_LITERAL },
        [CMARK_NODE_HTML_INLINE] = { "", SHAPE_TEXT },
        [CMARK_NODE_EMPH] = { "em", SHAPE_CONTAINER },
        [CMARK_NODE_STRONG] = { "strong", SHAPE_CONTAINER },
        [CMARK_NODE_LINK] = { "a", SHAPE_URL },
        [CMARK_NODE_IMAGE] = { "img", SHAPE_URL },
};

/* What it begins with, or all of it. NULL without memory. */
static json_t *node_json(cmark_node *node, const char *kind, Shape shape)
{
        switch (shape) {
        case SHAPE_LEVEL:
                return json_pack("[si]", kind, cmark_node_get_heading_level(node));
        case SHAPE_LIST:
                return cmark_node_get_list_type(node) == CMARK_ORDERED_LIST
                                       ? json_pack("[si]", "ol", cmark_node_get_list_start(node))
                                       : json_pack("[s]", kind);
        case SHAPE_URL:
                return json_pack("[ss]", kind, url(node));
        case SHAPE_LITERAL:
                return json_pack("[ss]", kind, literal(node));
        case SHAPE_TEXT:
                return json_string(literal(node));
        case SHAPE_CONTAINER:
        case SHAPE_MARK:
        default:
                return json_pack("[s]", kind);
        }
}

static int visit(Walk *w, cmark_node *node, bool leaving)
{
        cmark_node_type type = cmark_node_get_type(node);
        bool is_known = (size_t)type < ELEMENTSOF(nodes) && nodes[type].kind;
        bool is_container = is_known && nodes[type].shape <= SHAPE_URL;
        json_t *value;

        if (leaving)
                w->depth -= is_container;
        if (leaving || !is_known)
                return 0;
        if (!is_container || w->depth < MARKDOWN_DEPTH_MAX) {
                value = node_json(node, nodes[type].kind, nodes[type].shape);
                if (json_array_append_new(w->open[MIN(w->depth, (size_t)MARKDOWN_DEPTH_MAX)], value) < 0)
                        return -ENOMEM;
                if (is_container)
                        w->open[w->depth + 1] = value;
        }
        w->depth += is_container;
        return 0;
}

static int walk(cmark_node *document, json_t *blocks)
{
        cmark_iter *iterator = cmark_iter_new(document);
        Walk w = { .open = { blocks } };
        cmark_event_type event;
        int r = 0;

        while (r == 0 && (event = cmark_iter_next(iterator)) != CMARK_EVENT_DONE)
                r = visit(&w, cmark_iter_get_node(iterator), event == CMARK_EVENT_EXIT);
        cmark_iter_free(iterator);
        return r;
}

int markdown_parse(const char *text, size_t size, json_t **ret)
{
        cmark_node *document;
        json_t *blocks;
        int r;

        if (size > MARKDOWN_MAX)
                return -E2BIG;
        document = cmark_parse_document(text, size, CMARK_OPT_VALIDATE_UTF8);
        blocks = json_array();
        r = document && blocks ? walk(document, blocks) : -ENOMEM;
        cmark_node_free(document);
        if (r < 0) {
                json_decref(blocks);
                return r;
        }
        *ret = blocks;
        return 0;
}
