/*
 * Where jansson's memory comes from. Its allocation functions are one pair for the whole process, so they
 * look at what their thread is doing:
 *
 * In an arena a value is made that is let go as a whole. A callback's JSON is a hundred small pieces, and
 * asking malloc() for each and giving back each was a third of what parsing cost. They are cut from a block
 * or two, free() does nothing meanwhile, and letting go is letting go of the blocks: nothing walks the value
 * again. It may be shown around and referenced, as long as all references are gone before the arena is.
 * Under the sanitizers there are no arenas: they should see every piece.
 *
 * With a reserve a text is read by jansson itself, which says of a text that there was no memory for that it
 * is no JSON, with a line and a column, and a sender would be told that its callback is wrong. Worse, when
 * the buffer of a word can't grow it goes on without the byte, so that a text is read that nobody wrote, or
 * past the end of its buffer. So a failure is remembered, and the text was not read then, whatever jansson
 * says. A word's buffer grows in powers of two, and a request of such a size that fails is served out of the
 * reserve that was made before; any other size fails as it should and ends the reading. The reserve suffices
 * for the longest word, and for everything else of these sizes that a text of that length can ask for: the
 * most is a list of strings of 31 bytes, at less than three bytes a byte.
 *
 * Else it is malloc() and free().
 *
 * A number with a text of its own is a real with that text behind it in the same piece. jansson neither
 * knows nor needs to know: it asks for a real, and gets one that begins half an alignment further on than
 * all its other pieces do. That is what the number is known by, and what it is given back by.
 */

#include "json/memory.h"

#include <stdalign.h>

#define BLOCK_MIN     ((size_t)4 * 1024)
#define BLOCK_MAX     ((size_t)256 * 1024) /* unless one piece is larger */
#define PER_BYTE      8U                   /* of text: what its value usually takes */
#define ALIGNMENT     ((size_t)16)         /* of every piece, also of malloc()'s */
#define OFF_BY        (ALIGNMENT / 2)      /* but of a number with a text */
#define GROWTH_MIN    32U                  /* of a word's buffer */
#define RESERVE_PARTS 4U                   /* of the text */

#ifdef __has_feature
#        define HAS_FEATURE(f) __has_feature(f)
#else
#        define HAS_FEATURE(f) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || HAS_FEATURE(address_sanitizer) || \
                HAS_FEATURE(thread_sanitizer) || HAS_FEATURE(memory_sanitizer)
#        define SANITIZED true
#else
#        define SANITIZED false
#endif

struct JsonBlock {
        JsonBlock *older;
        alignas(max_align_t) char data[];
};

static _Thread_local JsonArena *entered;
static _Thread_local JsonReserve *current_reserve;
static _Thread_local size_t text_size; /* what the next piece gets behind it; 0: nothing */

static bool add_block(JsonArena *arena, size_t size)
{
        size_t n = MIN(MAX(arena->hint, BLOCK_MIN), BLOCK_MAX);
        JsonBlock *block;

        n = MAX(n, size);
        if (n > SIZE_MAX - sizeof(JsonBlock))
                return false;
        block = malloc(sizeof(JsonBlock) + n);
        if (!block)
                return false;

        block->older = arena->blocks;
        arena->blocks = block;
        arena->next = block->data;
        arena->left = n;
        arena->hint = n > BLOCK_MAX ? BLOCK_MAX : n * 2; /* the next one */
        return true;
}

static void *allocate_in_arena(JsonArena *arena, size_t size)
{
        void *p;

        if (size > SIZE_MAX - ALIGNMENT)
                return NULL;
        size = (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
        if (size > arena->left && !add_block(arena, size))
                return NULL;

        p = arena->next;
        arena->next += size;
        arena->left -= size;
        return p;
}

static void *allocate_in_reserve(JsonReserve *r, size_t size)
{
        char *p;

        r->failed = true;
        if (size < GROWTH_MIN || (size & (size - 1)) != 0 || size > r->size - r->used)
                return NULL;
        p = r->data + r->used; /* sizes are powers of two, so it is aligned */
        r->used += size;
        return p;
}

static void *allocate_piece(size_t size)
{
        void *p;

        if (entered)
                return allocate_in_arena(entered, size);
        p = malloc(size);
        assert((uintptr_t)p % ALIGNMENT == 0);
        return p || !current_reserve ? p : allocate_in_reserve(current_reserve, size);
}

/* In front of a number with a text stands where, from its beginning on, the text lies. */
static void *allocate_with_text(size_t size, size_t text)
{
        char *p = size < SIZE_MAX / 4 && text < SIZE_MAX / 4 ? allocate_piece(OFF_BY + size + text) : NULL;

        static_assert(sizeof(size_t) <= OFF_BY && alignof(json_t) <= OFF_BY, "both have to be aligned");

        if (!p)
                return NULL;
        memcpy(p + OFF_BY - sizeof(size_t), &size, sizeof(size_t));
        return p + OFF_BY;
}

static void *allocate(size_t size)
{
        size_t text = text_size;

        text_size = 0;
        return text > 0 ? allocate_with_text(size, text) : allocate_piece(size);
}

static bool is_in_reserve(const void *p)
{
        return current_reserve && current_reserve->failed &&
               (uintptr_t)p - (uintptr_t)current_reserve->data < current_reserve->size;
}

static void release(void *p)
{
        if (!entered && !is_in_reserve(p))
                free((char *)p - (uintptr_t)p % ALIGNMENT);
}

static char *text_behind(const json_t *number)
{
        char *p = (char *)(uintptr_t)number;
        size_t size;

        memcpy(&size, p - sizeof(size_t), sizeof(size_t));
        return p + size;
}

json_t *json_number_new(double nearest, const char *text, size_t size)
{
        json_t *number;
        char *copy;

        text_size = size + 1;
        number = json_real(nearest);
        text_size = 0;
        if (!number)
                return NULL;

        assert(json_number_text(number));
        copy = text_behind(number);
        memcpy(copy, text, size);
        copy[size] = 0;
        return number;
}

const char *json_number_text(const json_t *value)
{
        return json_is_real(value) && (uintptr_t)value % ALIGNMENT != 0 ? text_behind(value) : NULL;
}

/* Before there are other threads and any value. */
__attribute__((constructor)) static void set_up(void)
{
        json_set_alloc_funcs(allocate, release);
}

void json_arena_enter(JsonArena *arena, size_t hint)
{
        assert(!entered);
        if (SANITIZED)
                return;
        arena->hint = hint < BLOCK_MAX ? hint * PER_BYTE : BLOCK_MAX;
        entered = arena;
}

void json_arena_leave(void)
{
        entered = NULL;
}

/* Whether nobody else has a reference into the value, of bounded depth. */
static bool is_unshared(const json_t *value)
{
        const char *name;
        json_t *inner;
        size_t i;

        if (!value || json_is_boolean(value) || json_is_null(value))
                return true;
        if (value->refcount != 1)
                return false;
        json_object_foreach((json_t *)(uintptr_t)value, name, inner)
                if (!is_unshared(inner))
                        return false;
        json_array_foreach(value, i, inner)
                if (!is_unshared(inner))
                        return false;
        return true;
}

void json_arena_done(JsonArena *arena, json_t *root)
{
        assert(!entered);
        /* A reference that outlives the arena dangles; without one, counting would hide that. */
        assert(!SANITIZED || is_unshared(root));
        if (!arena->blocks)
                json_decref(root); /* made without, or nothing at all */
        for (JsonBlock *block = arena->blocks, *older; block; block = older) {
                older = block->older;
                free(block);
        }
        *arena = (JsonArena){};
}

int json_reserve_enter(JsonReserve *r, size_t size)
{
        assert(!current_reserve);
        if (size > SIZE_MAX / RESERVE_PARTS - GROWTH_MIN)
                return -ENOMEM;

        *r = (JsonReserve){ .size = (size + GROWTH_MIN) * RESERVE_PARTS };
        r->data = malloc(r->size);
        if (!r->data)
                return -ENOMEM;
        current_reserve = r;
        return 0;
}

bool json_reserve_leave(JsonReserve *r, json_t **value)
{
        bool failed = r->failed;

        if (failed) {
                json_decref(*value); /* while what comes from the reserve is still known */
                *value = NULL;
        }
        current_reserve = NULL;
        free(r->data);
        *r = (JsonReserve){};
        return !failed;
}
