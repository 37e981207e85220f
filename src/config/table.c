/*
 * One row a setting: where it stands, what it may be, what it is when nobody says, and whether a reload
 * changes it. --dump-config and all messages follow from it, and a test holds conf/scale.conf against it.
 * What kinds of values there are is in kind.c.
 *
 * Both daemons read one file and each checks all of it: a mistake is found by whoever starts first.
 */

#include "config/table.h"

#include "basic/parse.h"

#define SEC USEC_PER_SEC

#define AT(member) offsetof(Settings, member)

const Setting settings_table[] = {
        { "callback", "listen", SETTING_LISTEN, AT(callback.listen), "127.0.0.1:8090", 0, 0, false },
        { "callback", "path", SETTING_URL_PATH, AT(callback.path), "/callback", 0, 0, false },
        { "callback", "auth_keys_file", SETTING_FILE, AT(callback.auth_keys_file), "", 0, 0, true },
        { "callback", "max_body", SETTING_SIZE, AT(callback.max_body), "8M", KIB, GIB, true },
        { "callback", "max_bodies", SETTING_SIZE, AT(callback.max_bodies), "64M", KIB, 64 * GIB, true },
        { "callback", "max_connections", SETTING_NUMBER, AT(callback.max_connections), "1024", 1, 100000,
                        true },
        { "callback", "header_timeout", SETTING_DURATION, AT(callback.header_timeout), "10s", SEC / 10,
                        3600 * SEC, true },
        { "callback", "body_timeout", SETTING_DURATION, AT(callback.body_timeout), "30s", SEC / 10,
                        3600 * SEC, true },
        { "callback", "idle_timeout", SETTING_DURATION, AT(callback.idle_timeout), "60s", SEC / 10,
                        24 * 3600 * SEC, true },
        { "callback", "trusted_proxies", SETTING_NETWORKS, AT(callback.trusted_proxies), "", 0, 0, true },
        { "callback", "invalid_status", SETTING_STATUS, AT(callback.invalid_status), "422", 0, 0, true },
        { "callback", "strict", SETTING_BOOLEAN, AT(callback.strict), "no", 0, 0, true },
        { "query", "socket", SETTING_SOCKET, AT(query.socket), "/run/scale-callbackd/query.sock", 0, 0,
                        false },
        { "control", "socket", SETTING_SOCKET, AT(control.socket), "/run/scale-callbackd/control.sock", 0, 0,
                        false },
        { "store", "path", SETTING_FILE, AT(store.path), LOCALSTATE_DIR "/lib/scale-callbackd/scale.db", 0,
                        0, false },
        { "store", "keep_deliveries", SETTING_AGE, AT(store.keep_deliveries), "forever", SEC, UINT64_MAX,
                        true },
        { "store", "min_free", SETTING_SIZE, AT(store.min_free), "64M", 0, 1024 * GIB, true },
        { "submit", "socket", SETTING_SOCKET, AT(submit.socket), "/run/scale-submitd/submit.sock", 0, 0,
                        false },
        { "submit", "callback_url", SETTING_URL, AT(submit.callback_url), "", 0, 0, true },
        { "submit", "live_per_day", SETTING_LIMIT, AT(submit.live_per_day), "unlimited", 0, 1000000000,
                        true },
        { "api", "url", SETTING_URL, AT(api.url), "https://api.scaleapi.com/v1", 0, 0, false },
        { "api", "key_file", SETTING_FILE, AT(api.key_file), "", 0, 0, true },
        { "api", "max_in_flight", SETTING_NUMBER, AT(api.max_in_flight), "8", 1, 256, true },
        { "api", "rate", SETTING_LIMIT, AT(api.rate), "unlimited", 1, 1000000, true },
        { "api", "timeout", SETTING_DURATION, AT(api.timeout), "60s", SEC / 10, 3600 * SEC, true },
        { "api", "settle", SETTING_DURATION, AT(api.settle), "30s", 0, 3600 * SEC, true },
        { "reconcile", "interval", SETTING_DURATION, AT(reconcile.interval), "15m", 0, 7 * 24 * 3600 * SEC,
                        true },
};

const size_t settings_table_size = ELEMENTSOF(settings_table);
