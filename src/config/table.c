/*
 * One row a setting: where it stands, what it may be, what it is when nobody says, whether a reload changes
 * it, and a sentence for people. The file of defaults, --dump-config and all messages follow from it. A kind
 * of value is three small functions beside each other: apply, print, done.
 */

#include "config/table.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <sys/un.h>

#include "basic/parse.h"
#include "config/network.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)
#define GIB (MIB * KIB)
#define SEC USEC_PER_SEC

/* The longest path that a Unix socket can have. */
#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1)

#define UNIX_PREFIX "unix:"

#define AT(member) offsetof(Settings, member)

const Setting settings_table[] = {
        { "callback", "listen", SETTING_LISTEN, AT(callback.listen), "127.0.0.1:8090", 0, 0, false,
                        "Where callbacks are taken: ADDRESS:PORT, [ADDRESS]:PORT or unix:/PATH, several "
                        "with spaces between them. Sockets that systemd passes come first." },
        { "callback", "path", SETTING_URL_PATH, AT(callback.path), "/callback", 0, 0, false,
                        "The path of the callback URL. PATH/REF is taken too." },
        { "callback", "auth_keys_file", SETTING_FILE, AT(callback.auth_keys_file), "", 0, 0, true,
                        "A file that others can't read, with a line `label key` for each callback auth key. "
                        "The systemd credential callback-auth-keys comes first." },
        { "callback", "max_body", SETTING_SIZE, AT(callback.max_body), "8M", KIB, GIB, true,
                        "The largest body of a callback." },
        { "callback", "max_bodies", SETTING_SIZE, AT(callback.max_bodies), "64M", KIB, 64 * GIB, true,
                        "Memory for all bodies in flight together." },
        { "callback", "max_connections", SETTING_NUMBER, AT(callback.max_connections), "1024", 1, 100000,
                        true,
                        "Connections at once; more wait in the backlog. The soft limit of descriptors is "
                        "raised to fit." },
        { "callback", "header_timeout", SETTING_DURATION, AT(callback.header_timeout), "10s", SEC / 10,
                        3600 * SEC, true, "How long the headers of a request may take." },
        { "callback", "body_timeout", SETTING_DURATION, AT(callback.body_timeout), "30s", SEC / 10,
                        3600 * SEC, true, "How long a body may take, however it drips." },
        { "callback", "idle_timeout", SETTING_DURATION, AT(callback.idle_timeout), "60s", SEC / 10,
                        24 * 3600 * SEC, true, "How long a connection may idle between two requests." },
        { "callback", "trusted_proxies", SETTING_NETWORKS, AT(callback.trusted_proxies), "", 0, 0, true,
                        "Proxies whose X-Forwarded-For is believed: networks as 10.0.0.0/8, and unix for a "
                        "proxy that connects to a Unix socket. None by default." },
        { "callback", "invalid_status", SETTING_STATUS, AT(callback.invalid_status), "422", 0, 0, true,
                        "The answer to authenticated callbacks that are not valid. With 200 Scale doesn't "
                        "send them again; they are in the quarantine either way." },
        { "callback", "strict", SETTING_BOOLEAN, AT(callback.strict), "no", 0, 0, true,
                        "Takes warnings for errors." },
        { "query", "socket", SETTING_SOCKET, AT(query.socket), "/run/scale-callbackd/query.sock", 0, 0,
                        false, "The Unix socket for queries (mode 0660)." },
        { "control", "socket", SETTING_SOCKET, AT(control.socket), "/run/scale-callbackd/control.sock", 0, 0,
                        false, "The Unix socket for administrators (mode 0600)." },
        { "store", "path", SETTING_FILE, AT(store.path), LOCALSTATE_DIR "/lib/scale-callbackd/scale.db", 0,
                        0, false, "The database." },
        { "store", "keep_deliveries", SETTING_AGE, AT(store.keep_deliveries), "forever", SEC, UINT64_MAX,
                        true,
                        "How long deliveries are kept on which no task stands any more: an age as 90d, or "
                        "forever." },
        { "store", "min_free", SETTING_SIZE, AT(store.min_free), "64M", 0, 1024 * GIB, true,
                        "Free space to be left on the file system of the database: with less, callbacks are "
                        "answered 503." },
};

const size_t settings_table_size = ELEMENTSOF(settings_table);

const char *const settings_foreign_sections[] = { "submit", "api", "reconcile", NULL };

static void *value_at(const Setting *setting, Settings *s)
{
        return (char *)s + setting->offset;
}

static const void *const_value_at(const Setting *setting, const Settings *s)
{
        return (const char *)s + setting->offset;
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
        if (*value != '/' && (*value || *setting->default_value)) {
                *ret_wanted = "an absolute path";
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

static int apply_url_path(
                _unused_ const Setting *setting, const char *value, void *target, const char **ret_wanted)
{
        static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._~-";
        size_t n = strlen(value);

        if (*value != '/' || n < 2 || value[n - 1] == '/' || strstr(value, "//") ||
                        value[strspn(value, allowed)] || streq(value, "/healthz")) {
                *ret_wanted = "a path as /callback, of letters, digits and /._~-, without a slash at its "
                              "end, and not /healthz";
                return -EINVAL;
        }
        return replace_text(target, value);
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
        TextList *l = userdata;

        if (l->n == SETTINGS_LISTEN_MAX)
                return -EINVAL;
        if (strncmp(word, UNIX_PREFIX, strlen(UNIX_PREFIX)) == 0
                                        ? !is_socket_path(word + strlen(UNIX_PREFIX))
                                        : !is_host_and_port(word))
                return -EINVAL;
        return replace_text(&l->items[l->n++], word);
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
        NetworkList *l = userdata;

        if (l->n == SETTINGS_NETWORKS_MAX)
                return -EINVAL;
        return network_parse(word, &l->items[l->n++]);
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
        const NetworkList *l = value;
        char text[NETWORK_TEXT_SIZE];

        for (size_t i = 0; i < l->n; i++)
                fprintf(f, "%s%s", i > 0 ? " " : "", network_format(&l->items[i], text));
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

        *ret_wanted = "a size as 512K, 8M or 1G";
        r = parse_size(value, &v);
        return r < 0 ? r : set_number(setting, v, target);
}

static int apply_duration(const Setting *setting, const char *value, void *target, const char **ret_wanted)
{
        uint64_t v;
        int r;

        *ret_wanted = "a duration as 500ms, 30s, 5m, 2h or 90d";
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
        *ret_wanted = "forever, or an age as 2h or 90d";
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
        static const uint64_t units[] = { 24 * 3600 * SEC, 3600 * SEC, 60 * SEC, SEC, USEC_PER_MSEC };
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

static void print_boolean(const void *value, FILE *f)
{
        fputs(*(const bool *)value ? "yes" : "no", f);
}

static const struct {
        int (*apply)(const Setting *setting, const char *value, void *target, const char **ret_wanted);
        void (*print)(const void *value, FILE *f);
        void (*done)(void *value); /* NULL: owns nothing */
} kinds[_SETTING_KIND_MAX] = {
        [SETTING_FILE] = { apply_file, print_text, done_text },
        [SETTING_SOCKET] = { apply_socket, print_text, done_text },
        [SETTING_URL_PATH] = { apply_url_path, print_text, done_text },
        [SETTING_LISTEN] = { apply_listen, print_listen, done_listen },
        [SETTING_NETWORKS] = { apply_networks, print_networks, NULL },
        [SETTING_SIZE] = { apply_size, print_size, NULL },
        [SETTING_DURATION] = { apply_duration, print_duration, NULL },
        [SETTING_AGE] = { apply_age, print_age, NULL },
        [SETTING_NUMBER] = { apply_number, print_number, NULL },
        [SETTING_STATUS] = { apply_status, print_number, NULL },
        [SETTING_BOOLEAN] = { apply_boolean, print_boolean, NULL },
};

int setting_apply(const Setting *setting, const char *value, Settings *s, const char **ret_wanted)
{
        return kinds[setting->kind].apply(setting, value, value_at(setting, s), ret_wanted);
}

void setting_print(const Setting *setting, const Settings *s, FILE *f)
{
        kinds[setting->kind].print(const_value_at(setting, s), f);
}

void setting_done(const Setting *setting, Settings *s)
{
        if (kinds[setting->kind].done)
                kinds[setting->kind].done(value_at(setting, s));
}
