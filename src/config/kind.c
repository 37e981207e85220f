/*
 * What kinds of values settings have. A kind is three small functions beside each other: apply, print, done.
 */

#include <arpa/inet.h>
#include <ctype.h>
#include <inttypes.h>
#include <sys/un.h>

#include "basic/parse.h"
#include "config/network.h"
#include "config/table.h"

/* The longest path that a Unix socket can have. */
#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

#define UNIX_PREFIX "unix:"

#define SETTINGS_URL_MAX 1024U

/* Any line of a file has room for it. */
#define SETTINGS_PATH_MAX 2048U

static void *value_at(const Setting *setting, Settings *settings)
{
        return (char *)settings + setting->offset;
}

static const void *const_value_at(const Setting *setting, const Settings *settings)
{
        return (const char *)settings + setting->offset;
}

/* One text. */

static int replace_text(char **target, const char *value)
{
        char *copy = NULL;

        if (*value) {
                copy = strdup(value);
                if (!copy)
                        return -ENOMEM;
        }
        free(*target);
        *target = copy;
        return 0;
}

static int apply_file(const Setting *setting, const char *value, void *target, const char **ret_wanted)
{
        if ((*value != '/' && (*value || *setting->default_value)) || strlen(value) > SETTINGS_PATH_MAX) {
                *ret_wanted = "an absolute path of at most 2048 bytes";
                return -EINVAL;
        }
        return replace_text(target, value);
}

static bool is_socket_path(const char *path)
{
        return *path == '/' && strlen(path) <= SOCKET_PATH_MAX;
}

static int apply_socket(
                _unused_ const Setting *setting, const char *value, void *target, const char **ret_wanted)
{
        if (!is_socket_path(value)) {
                *ret_wanted = "an absolute path of at most 107 bytes";
                return -EINVAL;
        }
        return replace_text(target, value);
}

/* Those at the end, where they say nothing. */
static void cut_slashes(char *text)
{
        for (size_t n = strlen(text); n > 0 && text[n - 1] == '/'; n--)
                text[n - 1] = 0;
}

static int apply_url_path(
                _unused_ const Setting *setting, const char *value, void *target, const char **ret_wanted)
{
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._~-";
        size_t n = strlen(value);
        char path[SETTINGS_PATH_MAX + 1] = "";

        if (n <= SETTINGS_PATH_MAX)
                memcpy(path, value, n);
        cut_slashes(path);
        if (*path != '/' || strstr(path, "//") || path[strspn(path, allowed)] || streq(path, "/healthz")) {
                *ret_wanted = "a path like /callback, of up to 2048 letters, digits and /._~-, and not "
                              "/healthz";
                return -EINVAL;
        }
        return replace_text(target, path);
}

/* A base URL: what comes behind it begins with a slash, so those at its end are no part of it. Neither is
 * the case of its scheme. */
static int apply_url(
                _unused_ const Setting *setting, const char *value, void *target, const char **ret_wanted)
{
        static const char unwanted[] = " \t?#@\"<>\\";
        size_t scheme = url_scheme_size(value), n = strlen(value);
        char url[SETTINGS_URL_MAX + 1] = "";

        if (n > 0 && (scheme == 0 || n == scheme || n > SETTINGS_URL_MAX || value[scheme] == '/' ||
                                     strcspn(value, unwanted) != n)) {
                *ret_wanted = "a URL like https://example.com/path, without user, query and fragment";
                return -EINVAL;
        }
        for (size_t i = 0; i < n; i++)
                url[i] = (char)(i < scheme ? tolower((unsigned char)value[i]) : value[i]);
        cut_slashes(url);
        return replace_text(target, url);
}

static void print_text(const void *value, FILE *f)
{
        const char *text = *(char *const *)value;

        fputs(text ?: "", f);
}

static void done_text(void *value)
{
        freep(value);
        *(char **)value = NULL;
}

/* Lists. */

/* Calls fn for each word; a copy of it that may be kept. */
static int each_word(const char *value, int (*fn)(const char *word, void *userdata), void *userdata)
{
        _cleanup_free_ char *copy = strdup(value);
        char *rest = NULL;
        int r;

        if (!copy)
                return -ENOMEM;
        for (char *word = strtok_r(copy, " \t", &rest); word; word = strtok_r(NULL, " \t", &rest)) {
                r = fn(word, userdata);
                if (r < 0)
                        return r;
        }
        return 0;
}

static bool is_host_and_port(const char *text)
{
        char host[INET6_ADDRSTRLEN + 2];
        const char *colon = strrchr(text, ':');
        uint8_t bytes[16];
        uint64_t port;
        size_t n;

        if (!colon || parse_u64(colon + 1, 0, UINT16_MAX, &port) < 0)
                return false;
        n = (size_t)(colon - text);
        if (n >= sizeof(host))
                return false;
        memcpy(host, text, n);
        host[n] = 0;

        if (n > 2 && host[0] == '[' && host[n - 1] == ']') {
                host[n - 1] = 0;
                return inet_pton(AF_INET6, host + 1, bytes) == 1;
        }
        return inet_pton(AF_INET, host, bytes) == 1;
}

typedef struct TextList {
        char **items;
        size_t n;
} TextList;

static int add_listen(const char *word, void *userdata)
{
        TextList *list = userdata;

        if (list->n == SETTINGS_LISTEN_MAX)
                return -EINVAL;
        if (strncmp(word, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0
                                        ? !is_socket_path(word + strlen(UNIX_PREFIX))
                                        : !is_host_and_port(word))
                return -EINVAL;
        return replace_text(&list->items[list->n++], word);
}

static void done_listen(void *value)
{
        char **items = value;

        for (size_t i = 0; i < SETTINGS_LISTEN_MAX; i++)
                done_text(&items[i]);
}

static int apply_listen(
                _unused_ const Setting *setting, const char *value, void *target, const char **ret_wanted)
{
        char *items[SETTINGS_LISTEN_MAX] = {};
        TextList l = { .items = items };
        int r;

        r = each_word(value, add_listen, &l);
        if (r >= 0 && l.n == 0)
                r = -EINVAL;
        if (r < 0) {
                done_listen(items);
                *ret_wanted = "one to eight of ADDRESS:PORT, [ADDRESS]:PORT and unix:/PATH, with spaces "
                              "between them";
                return r;
        }
        done_listen(target);
        memcpy(target, items, sizeof(items));
        return 0;
}

static void print_listen(const void *value, FILE *f)
{
        char *const *items = value;

        for (size_t i = 0; i < SETTINGS_LISTEN_MAX && items[i]; i++)
                fprintf(f, "%s%s", i > 0 ? " " : "", items[i]);
}

/* The array, and its number behind it, as they lie in Settings. */
typedef struct NetworkList {
        Network items[SETTINGS_NETWORKS_MAX];
        size_t n;
} NetworkList;

static_assert(offsetof(Settings, callback.n_trusted_proxies) -
                                                offsetof(Settings, callback.trusted_proxies) ==
                                offsetof(NetworkList, n),
                "the number of networks lies behind them");

static int add_network(const char *word, void *userdata)
{
        NetworkList *list = userdata;

        if (list->n == SETTINGS_NETWORKS_MAX)
                return -EINVAL;
        return network_parse(word, &list->items[list->n++]);
}

static int apply_networks(
                _unused_ const Setting *setting, const char *value, void *target, const char **ret_wanted)
{
        NetworkList l = {};
        int r;

        r = each_word(value, add_network, &l);
        if (r < 0) {
                *ret_wanted = "up to 32 of NETWORK/BITS without bits behind the prefix, ADDRESS and unix, "
                              "with spaces between them";
                return r;
        }
        memcpy(target, &l, sizeof(l));
        return 0;
}

static void print_networks(const void *value, FILE *f)
{
        const NetworkList *list = value;
        char text[NETWORK_TEXT_SIZE];

        for (size_t i = 0; i < list->n; i++)
                fprintf(f, "%s%s", i > 0 ? " " : "", network_format(&list->items[i], text));
}

/* Numbers. */

static int set_number(const Setting *setting, uint64_t v, void *target)
{
        if (v < setting->min || v > setting->max)
                return -ERANGE;
        *(uint64_t *)target = v;
        return 0;
}

static int apply_size(const Setting *setting, const char *value, void *target, const char **ret_wanted)
{
        uint64_t v;
        int r;

        *ret_wanted = "a size like 512K, 8M or 1G";
        r = parse_size(value, &v);
        return r < 0 ? r : set_number(setting, v, target);
}

static int apply_duration(const Setting *setting, const char *value, void *target, const char **ret_wanted)
{
        uint64_t v;
        int r;

        *ret_wanted = "a duration like 500ms, 30s, 5m, 2h or 90d";
        r = parse_duration(value, &v);
        return r < 0 ? r : set_number(setting, v, target);
}

static int apply_age(const Setting *setting, const char *value, void *target, const char **ret_wanted)
{
        int r;

        if (streq(value, "forever")) {
                *(uint64_t *)target = UINT64_MAX;
                return 0;
        }
        r = apply_duration(setting, value, target, ret_wanted);
        *ret_wanted = "forever, or an age like 2h or 90d";
        return r;
}

static int apply_number(const Setting *setting, const char *value, void *target, const char **ret_wanted)
{
        uint64_t v;
        int r;

        *ret_wanted = "a whole number";
        r = parse_u64(value, 0, UINT64_MAX, &v);
        return r < 0 ? r : set_number(setting, v, target);
}

static int apply_limit(const Setting *setting, const char *value, void *target, const char **ret_wanted)
{
        int r;

        if (streq(value, "unlimited")) {
                *(uint64_t *)target = UINT64_MAX;
                return 0;
        }
        r = apply_number(setting, value, target, ret_wanted);
        *ret_wanted = "unlimited, or a whole number";
        return r;
}

static int apply_status(
                _unused_ const Setting *setting, const char *value, void *target, const char **ret_wanted)
{
        if (!streq(value, "422") && !streq(value, "200")) {
                *ret_wanted = "422 or 200";
                return -EINVAL;
        }
        *(uint64_t *)target = streq(value, "422") ? 422 : 200;
        return 0;
}

static int apply_boolean(
                _unused_ const Setting *setting, const char *value, void *target, const char **ret_wanted)
{
        *ret_wanted = "yes or no";
        return parse_boolean(value, target);
}

static void print_number(const void *value, FILE *f)
{
        fprintf(f, "%" PRIu64, *(const uint64_t *)value);
}

/* In the largest unit that leaves no rest. */
static void print_in_units(uint64_t v, const uint64_t *units, const char *const *names, size_t n, FILE *f)
{
        for (size_t i = 0; i < n; i++)
                if (v >= units[i] && v % units[i] == 0) {
                        fprintf(f, "%" PRIu64 "%s", v / units[i], names[i]);
                        return;
                }
        fprintf(f, "%" PRIu64, v);
}

static void print_size(const void *value, FILE *f)
{
        static const uint64_t units[] = { GIB, MIB, KIB };
        static const char *const names[] = { "G", "M", "K" };

        print_in_units(*(const uint64_t *)value, units, names, ELEMENTSOF(units), f);
}

static void print_duration(const void *value, FILE *f)
{
        static const uint64_t units[] = { 24 * 3600 * USEC_PER_SEC, 3600 * USEC_PER_SEC, 60 * USEC_PER_SEC,
                USEC_PER_SEC, USEC_PER_MSEC };
        static const char *const names[] = { "d", "h", "m", "s", "ms" };

        print_in_units(*(const uint64_t *)value, units, names, ELEMENTSOF(units), f);
}

static void print_age(const void *value, FILE *f)
{
        if (*(const uint64_t *)value == UINT64_MAX)
                fputs("forever", f);
        else
                print_duration(value, f);
}

static void print_limit(const void *value, FILE *f)
{
        if (*(const uint64_t *)value == UINT64_MAX)
                fputs("unlimited", f);
        else
                print_number(value, f);
}

static void print_boolean(const void *value, FILE *f)
{
        fputs(*(const bool *)value ? "yes" : "no", f);
}

static const struct {
        int (*apply)(const Setting *setting, const char *value, void *target, const char **ret_wanted);
        void (*print)(const void *value, FILE *f);
        void (*done)(void *value); /* NULL: owns nothing */
        bool unquoted;             /* where a key or a password is easily put by mistake */
} kinds[_SETTING_KIND_MAX] = {
        [SETTING_FILE] = { apply_file, print_text, done_text, .unquoted = true },
        [SETTING_SOCKET] = { apply_socket, print_text, done_text },
        [SETTING_URL_PATH] = { apply_url_path, print_text, done_text },
        [SETTING_URL] = { apply_url, print_text, done_text, .unquoted = true },
        [SETTING_LISTEN] = { apply_listen, print_listen, done_listen },
        [SETTING_NETWORKS] = { apply_networks, print_networks, NULL },
        [SETTING_SIZE] = { apply_size, print_size, NULL },
        [SETTING_DURATION] = { apply_duration, print_duration, NULL },
        [SETTING_AGE] = { apply_age, print_age, NULL },
        [SETTING_NUMBER] = { apply_number, print_number, NULL },
        [SETTING_LIMIT] = { apply_limit, print_limit, NULL },
        [SETTING_STATUS] = { apply_status, print_number, NULL },
        [SETTING_BOOLEAN] = { apply_boolean, print_boolean, NULL },
};

int setting_apply(const Setting *setting, const char *value, Settings *settings, const char **ret_wanted)
{
        return kinds[setting->kind].apply(setting, value, value_at(setting, settings), ret_wanted);
}

void setting_print(const Setting *setting, const Settings *settings, FILE *f)
{
        kinds[setting->kind].print(const_value_at(setting, settings), f);
}

char *setting_format(const Setting *setting, const Settings *settings)
{
        char *text = NULL;
        size_t size;
        FILE *f;

        f = open_memstream(&text, &size);
        if (!f)
                return NULL;
        setting_print(setting, settings, f);
        if (fclose(f) != 0) {
                free(text);
                return NULL;
        }
        return text;
}

void setting_done(const Setting *setting, Settings *settings)
{
        if (kinds[setting->kind].done)
                kinds[setting->kind].done(value_at(setting, settings));
}

bool setting_may_be_quoted(const Setting *setting)
{
        return !kinds[setting->kind].unquoted;
}
