/*
 * A callback's JSON is a hundred small pieces that come into being together and go together, and asking
 * malloc() for each and giving back each was a third of what parsing cost. Here they are cut from a block or
 * two, and letting go is letting go of the blocks: nothing walks the value again.
 *
 * jansson's allocation functions are one pair for the whole process, so they look at what their thread is
 * doing: outside of an arena they are malloc() and free(). Within one, free() does nothing. A value that was
 * made there may be shown around and may be referenced, as long as all references are gone before the arena
 * is; its last reference is never given back one by one.
 *
 * Under the sanitizers there are no arenas: they should see every piece.
 */

#include "task/json-arena.h"

#include <stdalign.h>

#define BLOCK_MIN ((size_t)4 * 1024)
#define BLOCK_MAX ((size_t)256 * 1024) /* unless one piece is larger */
#define PER_BYTE  8U                   /* of text: what its value usually takes */
#define ALIGNMENT alignof(max_align_t)

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

static bool in_use;
static _Thread_local JsonArena *entered;

static bool add_block(JsonArena *a, size_t size)
{
        size_t n = MIN(MAX(a->hint, BLOCK_MIN), BLOCK_MAX);
        JsonBlock *block;

        n = MAX(n, size);
        if (n > SIZE_MAX - sizeof(JsonBlock))
                return false;
        block = malloc(sizeof(JsonBlock) + n);
        if (!block)
                return false;

        block->older = a->blocks;
        a->blocks = block;
        a->next = block->data;
        a->left = n;
        a->hint = n > BLOCK_MAX ? BLOCK_MAX : n * 2; /* the next one */
        return true;
}

static void *allocate(size_t size)
{
        JsonArena *a = entered;
        void *p;

        if (!a)
                return malloc(size);
        if (size > SIZE_MAX - ALIGNMENT)
                return NULL;
        size = (size + ALIGNMENT - 1) & ~(ALIGNMENT - 1);
        if (size > a->left && !add_block(a, size))
                return NULL;

        p = a->next;
        a->next += size;
        a->left -= size;
        return p;
}

static void release(void *p)
{
        if (!entered)
                free(p);
}

void json_arena_setup(void)
{
        if (SANITIZED)
                return;
        json_set_alloc_funcs(allocate, release);
        in_use = true;
}

void json_arena_enter(JsonArena *a, size_t hint)
{
        assert(!entered);
        if (!in_use)
                return;
        a->hint = hint < BLOCK_MAX ? hint * PER_BYTE : BLOCK_MAX;
        entered = a;
}

void json_arena_leave(void)
{
        entered = NULL;
}

void json_arena_done(JsonArena *a, json_t *root)
{
        assert(!entered);
        if (!a->blocks)
                json_decref(root); /* made without, or nothing at all */
        for (JsonBlock *block = a->blocks, *older; block; block = older) {
                older = block->older;
                free(block);
        }
        *a = (JsonArena){};
}
