/*
 * Nothing that a comparison with a secret does depends on the secret: no branch and no address. Run by
 * valgrind, which is told that the bytes of the secrets are undefined; it complains of every jump and every
 * access that depends on such a byte. The code itself is included, with what is static in it, as it is built
 * for the daemon.
 *
 * What is not secret: how long the key is that somebody shows, how many keys there are, and, in the end,
 * whether one fits and which one. Configured keys are hashed when they are read, so their lengths play no
 * part in a comparison.
 *
 * With PLANTED a flaw is put in, to show that it would be found: 1 an ordinary memcmp(), 2 a table that is
 * looked into by a byte of the hash, 3 an end at the first key that fits.
 */

#include <assert.h>
#include <sodium.h>
#include <stdio.h>
#include <string.h>
#include <valgrind/memcheck.h>

#ifndef PLANTED
#        define PLANTED 0
#endif

#if PLANTED > 0
static int planted_compare(const void *a, const void *b, size_t size)
{
#        if PLANTED == 1
        return memcmp(a, b, size);
#        elif PLANTED == 2
        static volatile unsigned char same[256];
        unsigned char difference = 0;

        for (size_t i = 0; i < size; i++)
                difference |= ((const unsigned char *)a)[i] ^ ((const unsigned char *)b)[i];
        return same[difference] | -(difference != 0);
#        else
        return sodium_memcmp(a, b, size) == 0 ? 0 : -1;
#        endif
}
#        define sodium_memcmp planted_compare
#endif

#include "callbackd/auth.c"
#include "scalectl/view/session.c"

#if PLANTED == 3
static size_t planted_find(const Keys *k, const KeyHash *hash)
{
        for (size_t i = 0; i < k->n; i++)
                if (sodium_memcmp(k->vault->hashes[i].bytes, hash->bytes, sizeof(hash->bytes)) == 0)
                        return i;
        return k->n;
}
#        define find_hash planted_find
#endif

static void hide(void *data, size_t size)
{
        (void)VALGRIND_MAKE_MEM_UNDEFINED(data, size);
}

static void reveal(void *data, size_t size)
{
        (void)VALGRIND_MAKE_MEM_DEFINED(data, size);
}

/* Whether it does depend on a secret: else there would be nothing to watch. Asked without a complaint. */
static bool is_hidden(const void *data)
{
        unsigned char bits = 0;

        return !RUNNING_ON_VALGRIND || (VALGRIND_GET_VBITS(data, &bits, 1) == 1 && bits != 0);
}

/* A key that is shown is hashed and compared with all that are configured. */
static void try_key(Keys *k, const char *shown, size_t wanted)
{
        size_t size = strlen(shown), found;
        char *copy = strdup(shown);
        KeyHash hash;

        assert(copy);
        hide(copy, size);
        hide(k->vault, sizeof(Vault));
        hash_key(k->vault, copy, size, &hash);
        assert(is_hidden(&hash));
        found = find_hash(k, &hash);
        assert(is_hidden(&found));

        reveal(&found, sizeof(found));
        assert(found == wanted);
        reveal(k->vault, sizeof(Vault));
        free(copy);
}

static void try_keys(void)
{
        static const char text[] = "live 0123456789abcdef0123456789abcdef\nold k\ntest fedcba\n";
        char *mistakes = NULL;
        KeyLines lines;
        Keys *k;

        assert(keys_new(&k) == 0);
        assert(key_lines_read("keys", text, strlen(text), &lines, &mistakes) == 0);
        FOREACH_ARRAY(line, lines.items, lines.n)
                add_key(k, line);
        try_key(k, "0123456789abcdef0123456789abcdef", 0);
        try_key(k, "k", 1);
        try_key(k, "fedcba", 2);
        try_key(k, "0123456789abcdef0123456789abcdeF", 3);
        try_key(k, "1123456789abcdef0123456789abcdef", 3);
        try_key(k, "0", 3);
        keys_free(k);
}

/* The page's token, its cookie and the folder that it is for. */
static void try_session(void)
{
        ViewSession s;
        char shown[VIEW_SECRET_SIZE];
        bool same;

        assert(view_session_init(&s, 8090) == 0);
        for (int wrong = 0; wrong < 3; wrong++) {
                memcpy(shown, s.token, sizeof(shown));
                shown[wrong == 2 ? VIEW_SECRET_SIZE - 2 : 0] ^= wrong > 0 ? 1 : 0;
                hide(s.token, sizeof(s.token));
                same = is_secret(s.token, shown, sizeof(shown) - 1);
                reveal(&same, sizeof(same));
                assert(same == (wrong == 0));
                reveal(s.token, sizeof(s.token));
        }
}

int main(void)
{
        assert(sodium_init() >= 0);
        if (!RUNNING_ON_VALGRIND)
                fprintf(stderr, "nothing is shown: this is to be run by valgrind\n");
        try_keys();
        try_session();
        return RUNNING_ON_VALGRIND ? 0 : 77;
}
