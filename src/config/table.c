/*
 * One row a setting: where it stands, what it may be, what it is when nobody says, whether a reload changes
 * it, and a sentence for people. The file of defaults, --dump-config and all messages follow from it. What
 * kinds of values there are is in kind.c.
 *
 * Both daemons read one file and each checks all of it: a mistake is found by whoever starts first.
 */

#include "config/table.h"

#include "basic/parse.h"

#define SEC USEC_PER_SEC

#define AT(member) offsetof(Settings, member)

const Setting settings_table[] = {
        { "callback", "listen", SETTING_LISTEN, AT(callback.listen), "127.0.0.1:8090", 0, 0, false,
                        "Where callbacks are taken: ADDRESS:PORT, [ADDRESS]:PORT or unix:/PATH, several "
                        "with spaces between them. Used only where systemd passes no socket; with the "
                        "package, change the unit: `systemctl edit scale-callbackd.socket`." },
        { "callback", "path", SETTING_URL_PATH, AT(callback.path), "/callback", 0, 0, false,
                        "The path of the callback URL. PATH/REF is taken too, and either with a slash at "
                        "its end." },
        { "callback", "auth_keys_file", SETTING_FILE, AT(callback.auth_keys_file), "", 0, 0, true,
                        "A file that others can't read, with a line `label key` for each callback auth key. "
                        "The systemd credential callback-auth-keys comes first." },
        { "callback", "max_body", SETTING_SIZE, AT(callback.max_body), "8M", KIB, GIB, true,
                        "The largest body of a callback." },
        { "callback", "max_bodies", SETTING_SIZE, AT(callback.max_bodies), "64M", KIB, 64 * GIB, true,
                        "Memory for all bodies in flight together. Reading what they say may take four "
                        "times as much beside it; the unit has MemoryMax=1G, which is to be raised with "
                        "it." },
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
                        false,
                        "The Unix socket for queries (mode 0660). Used only where systemd passes no socket; "
                        "with the package, change the unit: `systemctl edit "
                        "scale-callbackd-query.socket`." },
        { "control", "socket", SETTING_SOCKET, AT(control.socket), "/run/scale-callbackd/control.sock", 0, 0,
                        false,
                        "The Unix socket for administrators (mode 0600). Used only where systemd passes no "
                        "socket; with the package, change the unit: `systemctl edit "
                        "scale-callbackd-control.socket`." },
        { "store", "path", SETTING_FILE, AT(store.path), LOCALSTATE_DIR "/lib/scale-callbackd/scale.db", 0,
                        0, false, "The database." },
        { "store", "keep_deliveries", SETTING_AGE, AT(store.keep_deliveries), "forever", SEC, UINT64_MAX,
                        true,
                        "How long deliveries are kept on which no task stands any more: an age as 90d, or "
                        "forever; it is counted while the receiver runs, whatever the clock says." },
        { "store", "min_free", SETTING_SIZE, AT(store.min_free), "64M", 0, 1024 * GIB, true,
                        "Free space to be left on the file system of the database: with less, callbacks are "
                        "answered 503." },
        { "submit", "socket", SETTING_SOCKET, AT(submit.socket), "/run/scale-submitd/submit.sock", 0, 0,
                        false,
                        "The Unix socket that takes new tasks (mode 0660). Used only where systemd passes "
                        "no socket; with the package, change the unit: `systemctl edit "
                        "scale-submitd.socket`." },
        { "submit", "callback_url", SETTING_URL, AT(submit.callback_url), "", 0, 0, true,
                        "The public URL of the receiver, as https://example.com/callback: what is submitted "
                        "gets it as its callback_url, with the submission's id behind it. A slash at the "
                        "end "
                        "is no part of it." },
        { "submit", "live_per_day", SETTING_LIMIT, AT(submit.live_per_day), "unlimited", 0, 1000000000, true,
                        "How many tasks may be sent with a live key in a day of UTC, because they cost "
                        "money: a number, or unlimited." },
        { "api", "url", SETTING_URL, AT(api.url), "https://api.scaleapi.com/v1", 0, 0, false,
                        "The API. A slash at the end is no part of it." },
        { "api", "key_file", SETTING_FILE, AT(api.key_file), "", 0, 0, true,
                        "A file that others can't read, with the API key. The systemd credential api-key "
                        "comes first." },
        { "api", "max_in_flight", SETTING_NUMBER, AT(api.max_in_flight), "8", 1, 256, true,
                        "Requests at once." },
        { "api", "rate", SETTING_LIMIT, AT(api.rate), "unlimited", 1, 1000000, true,
                        "Requests in a second: a number, or unlimited." },
        { "api", "timeout", SETTING_DURATION, AT(api.timeout), "60s", SEC / 10, 3600 * SEC, true,
                        "How long a request may take. One that nobody answered may be worked on for as long "
                        "again: it is looked for when that and settle have passed." },
        { "api", "settle", SETTING_DURATION, AT(api.settle), "30s", 0, 3600 * SEC, true,
                        "How long the API's list may take to show a task that it has created." },
        { "reconcile", "interval", SETTING_DURATION, AT(reconcile.interval), "15m", 0, 7 * 24 * 3600 * SEC,
                        true,
                        "How often the API is asked about tasks that should be done by now; 0 for never." },
};

const size_t settings_table_size = ELEMENTSOF(settings_table);
