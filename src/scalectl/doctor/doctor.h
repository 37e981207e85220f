#pragma once

/* The doctor's checks: each looks at one thing, within a bounded time, and says what it found. */

#include <jansson.h>

#include "basic/buffer.h"
#include "scalectl/ctl.h"

typedef enum FindingKind {
        FINDING_OK,
        FINDING_WARNING, /* works, and somebody should look at it */
        FINDING_FAILURE, /* does not work, or lets others in */
        _FINDING_KIND_MAX,
} FindingKind;

/* As a set of bits. */
typedef enum DoctorDaemon {
        DOCTOR_RECEIVER = 1 << 0,
        DOCTOR_SUBMITTER = 1 << 1,
} DoctorDaemon;

#define DOCTOR_UNITS_MAX   8U
#define DOCTOR_ADVICE_SIZE 1024U

/* What `systemctl show` says of each unit: lines NAME=VALUE. */
typedef struct DoctorUnits {
        Buffer text;
        char *items[DOCTOR_UNITS_MAX]; /* within it */
        size_t n;
        bool asked; /* systemd is the service manager here */
        int error;  /* and did not answer */
} DoctorUnits;

typedef struct Doctor Doctor;

struct Doctor {
        const Settings *settings;
        const char *url, *key_file; /* where to deliver to, and with which key; NULL: nowhere, the usual one
                                     */
        bool utc;
        bool submitter; /* there is one here, as far as can be seen */
        DoctorUnits units;
        unsigned down;     /* the daemons that nothing may be asked of: a connection would start them */
        const char *check; /* the one under way */
        unsigned said;     /* findings of it that are not good */
        char advice[DOCTOR_ADVICE_SIZE];
        FindingKind worst;
        /* What becomes of a finding; `advice` is NULL for a good one. */
        void (*take)(Doctor *d, FindingKind kind, const char *message, const char *advice);
        void *userdata;
};

/* `advice` is what to do about it, NULL for what is good. */
void doctor_say(Doctor *doctor, FindingKind kind, const char *advice, const char *format, ...)
                _printf_(4, 5);

/* An advice with names in it, good until the next one. What stands between backticks is a command as it can
 * be run: a test does. */
const char *doctor_advice(Doctor *doctor, const char *format, ...) _printf_(2, 3);

/* A failure for each of the mistakes (see basic/mistakes.h). */
void doctor_fail_each(Doctor *doctor, const char *advice, const char *mistakes);

#define doctor_ok(d, ...)           doctor_say((d), FINDING_OK, NULL, __VA_ARGS__)
#define doctor_warn(d, advice, ...) doctor_say((d), FINDING_WARNING, (advice), __VA_ARGS__)
#define doctor_fail(d, advice, ...) doctor_say((d), FINDING_FAILURE, (advice), __VA_ARGS__)

/* An answer of a local socket: its JSON as a new reference, NULL where it is none or its status is not 200.
 * Negative errno when there was no answer. */
int doctor_ask(const char *socket, const char *url, unsigned *ret_status, json_t **ret);

/* Whether a URL, or an ADDRESS:PORT, is of this host alone. */
bool doctor_is_here(const char *place);

/* Where systemd looks for what LoadCredential= of the units names. */
#define DOCTOR_CALLBACK_KEYS SYSCONF_DIR "/credstore/callback-auth-keys"
#define DOCTOR_API_KEY       SYSCONF_DIR "/credstore/api-key"

/* Keys. The first two are the checks of a single file. */
void doctor_look_at_callback_keys(Doctor *doctor, const char *path);
void doctor_look_at_api_key(Doctor *doctor, const char *path);
void doctor_check_callback_keys(Doctor *doctor);
void doctor_check_api_key(Doctor *doctor);

/* Settings and keys: whether those of the files are those that the daemons have. */
void doctor_check_in_force(Doctor *doctor);

/* Sockets. */
void doctor_check_query_socket(Doctor *doctor);
void doctor_check_control_socket(Doctor *doctor);
void doctor_check_submit_socket(Doctor *doctor);
void doctor_check_listeners(Doctor *doctor);
void doctor_check_callback_url(Doctor *doctor);

/* What the daemons say of themselves. */
void doctor_check_ready(Doctor *doctor);
void doctor_check_log(Doctor *doctor);
void doctor_check_quarantine(Doctor *doctor);
void doctor_check_queue(Doctor *doctor);
void doctor_check_submissions(Doctor *doctor);
void doctor_check_live_tasks(Doctor *doctor);

/* The machine. */
void doctor_check_store(Doctor *doctor);
void doctor_check_disk(Doctor *doctor);
void doctor_check_clock(Doctor *doctor);

/* Units of systemd. The first asks about them, and sees which daemons are down. The third takes what
 * `systemctl show` says of one of them. */
void doctor_load_units(Doctor *doctor);
void doctor_units_done(DoctorUnits *units);
void doctor_look_at_unit(Doctor *doctor, const char *properties);
/* Whether the unit of a daemon was told to get its credential from another place than the usual. */
bool doctor_has_credential_elsewhere(const Doctor *doctor, DoctorDaemon which);
/* Whether a daemon is down, and so may not be asked; says it then. */
bool doctor_skips(Doctor *doctor, unsigned daemons);
void doctor_check_units(Doctor *doctor);

/* The whole way, from the public URL to the database. */
void doctor_check_delivery(Doctor *doctor);

/* What an error of a TLS connection, as the HTTP client words it, means. NULL: it is none that is known. */
const char *doctor_tls_advice(const char *error);
