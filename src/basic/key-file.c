/* Who reads a file of keys, and who only looks whether it is good, go by the same rules. */

#include "basic/key-file.h"

#include "basic/mistakes.h"

/* A piece of a line. */
typedef struct Word {
        const char *p;
        size_t size;
} Word;

static bool is_space(char c)
{
        return c == ' ' || c == '\t' || c == '\r';
}

static Word next_word(Word *rest)
{
        Word w;

        while (rest->size > 0 && is_space(*rest->p)) {
                rest->p++;
                rest->size--;
        }
        w = (Word){ .p = rest->p };
        while (rest->size > 0 && !is_space(*rest->p)) {
                rest->p++;
                rest->size--;
                w.size++;
        }
        return w;
}

static bool label_is_valid(Word w)
{
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-";

        if (w.size == 0 || w.size > KEY_LABEL_MAX)
                return false;
        for (size_t i = 0; i < w.size; i++)
                if (!memchr(allowed, w.p[i], sizeof(allowed) - 1))
                        return false;
        return true;
}

static bool is_visible(char c)
{
        return (unsigned char)c > 0x20 && (unsigned char)c < 0x7f;
}

static bool key_is_valid(Word w)
{
        if (w.size == 0 || w.size > KEY_BYTES_MAX)
                return false;
        for (size_t i = 0; i < w.size; i++)
                if (!is_visible(w.p[i]))
                        return false;
        return true;
}

static int refuse(const char **ret_why, const char *why)
{
        *ret_why = why;
        return -EINVAL;
}

int key_line_parse(const char *line, size_t size, KeyLine *ret, const char **ret_why)
{
        Word rest = { .p = line, .size = size };
        Word label = next_word(&rest), key = next_word(&rest);

        if (label.size == 0 || *label.p == '#')
                return 0;
        if (key.size == 0 || next_word(&rest).size > 0)
                return refuse(ret_why,
                                "expected a label and a key, separated by a space, as in `live 0123abcd`");
        if (!label_is_valid(label))
                return refuse(ret_why, "a label is up to 32 letters, digits, dots, underscores and dashes");
        if (!key_is_valid(key))
                return refuse(ret_why, "a key is up to 512 printable ASCII characters without spaces");

        *ret = (KeyLine){ .label = label.p, .label_size = label.size, .key = key.p, .key_size = key.size };
        return 1;
}

static bool equals(const char *a, size_t n, const char *b, size_t m)
{
        return n == m && memcmp(a, b, n) == 0;
}

/* NULL, or what is wrong with a line. */
static const char *add_line(KeyLines *lines, const char *text, size_t size)
{
        const char *why = NULL;
        KeyLine line;

        if (key_line_parse(text, size, &line, &why) <= 0)
                return why;
        FOREACH_ARRAY(l, lines->items, lines->n) {
                if (equals(l->label, l->label_size, line.label, line.label_size))
                        return "this label stands for another key already";
                if (equals(l->key, l->key_size, line.key, line.key_size))
                        return "this key stands here already, with another label";
        }
        if (lines->n == KEY_LINES_MAX)
                return "there can be 16 keys at most";
        lines->items[lines->n++] = line;
        return NULL;
}

int key_lines_read(const char *name, const char *text, size_t size, KeyLines *ret, char **mistakes)
{
        const char *end = text + size;
        unsigned number = 0;
        int r = 0;

        *ret = (KeyLines){};
        for (const char *p = text; p < end; p++) { /* over the end of the line */
                const char *line = p, *why;

                p = memchr(line, '\n', (size_t)(end - line)) ?: end;
                number++;
                why = add_line(ret, line, (size_t)(p - line));
                if (why) {
                        mistakes_add(mistakes, "%s, line %u: %s", name, number, why);
                        r = -EINVAL;
                }
        }
        if (r == 0 && ret->n == 0) {
                mistakes_add(mistakes, "%s: there is no key in it: expected a line `label key`", name);
                r = -EINVAL;
        }
        return r;
}

const char *key_file_problem(int error)
{
        switch (error) {
        case -EPERM:
                return "others can read or write the file, and so use the key; `chmod o= FILE` mends that";
        case -EFBIG:
                return "the file is too large for what is to be in it: nothing but keys";
        case -EINVAL:
                return "it is not a regular file";
        default:
                return strerror(-error);
        }
}

const char *api_key_problem(const char *key, size_t size)
{
        if (size == 0)
                return "there is no API key in it: expected one line with the key";
        if (size > KEY_BYTES_MAX)
                return "the API key is longer than 512 bytes";
        for (size_t i = 0; i < size; i++)
                if (!is_visible(key[i]) || key[i] == ':')
                        return "an API key is one line of printable ASCII characters, without spaces and "
                               "colons";
        if (size < 4 || (memcmp(key, "live", 4) != 0 && memcmp(key, "test", 4) != 0))
                return "an API key begins with live or test; this one begins with neither";
        return NULL;
}

int key_file_first(const char *path, Secret **ret)
{
        _cleanup_(secret_freep) Secret *file = NULL;
        const char *p, *end, *why;
        int r;

        r = secret_read_file(path, KEY_FILE_MAX, &file);
        if (r < 0)
                return r;

        end = secret_data(file) + secret_size(file);
        for (p = secret_data(file); p < end; p++) { /* over the end of the line */
                const char *line = p;
                KeyLine key;

                p = memchr(line, '\n', (size_t)(end - line)) ?: end;
                if (key_line_parse(line, (size_t)(p - line), &key, &why) == 1)
                        return secret_new(key.key, key.key_size, ret);
        }
        return -EINVAL;
}
