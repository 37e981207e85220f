/*
 * doctor: what is wrong with an installation, and what to do about it. A table of checks, each of which
 * looks at one thing, waits for nothing longer than some seconds, and goes by what it may see: run by root
 * it sees most. It changes nothing, but for the made-up callback that --through and --deliver send.
 */

#include "scalectl/doctor/doctor.h"

#include <stdarg.h>
#include <unistd.h>

#include "basic/mistakes.h"
#include "scalectl/text/format.h"

/* Findings, as they are counted and printed: a line each for people, and what to do in the next one. */

#define MESSAGE_SIZE 1024U

void doctor_say(Doctor *doctor, FindingKind kind, const char *advice, const char *format, ...)
{
        char message[MESSAGE_SIZE];
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(message, sizeof(message), format, ap);
        va_end(ap);

        doctor->said += kind != FINDING_OK;
        doctor->worst = MAX(doctor->worst, kind);
        doctor->take(doctor, kind, message, advice);
}

void doctor_fail_each(Doctor *doctor, const char *advice, const char *mistakes)
{
        const char *line;
        size_t n;

        while ((line = mistakes_next(&mistakes, &n)))
                doctor_fail(doctor, advice, "%.*s", (int)n, line);
}

const char *doctor_advice(Doctor *doctor, const char *format, ...)
{
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(doctor->advice, sizeof(doctor->advice), format, ap);
        va_end(ap);
        return doctor->advice;
}

static const char *const finding_names[_FINDING_KIND_MAX] = { "ok", "warning", "failure" };

static void print_json(Doctor *doctor, FindingKind kind, const char *message, const char *advice)
{
        _cleanup_free_ char *clean = format_clean(message); /* a path may be anything, JSON is UTF-8 */
        json_auto_t *line = json_object();
        int r = 0;

        r |= json_object_set_new(line, "check", json_string(doctor->check));
        r |= json_object_set_new(line, "result", json_string(finding_names[kind]));
        r |= json_object_set_new(line, "message", json_string(clean ?: "out of memory"));
        r |= json_object_set_new(line, "advice", advice ? json_string(advice) : json_null());
        if (r < 0 || json_dumpf(line, stdout, JSON_COMPACT | JSON_ENSURE_ASCII) < 0)
                complain("%s: the finding can't be printed", doctor->check);
        putchar('\n');
}

static void print_text(Doctor *doctor, FindingKind kind, const char *message, const char *advice)
{
        static const char *const colours[_FINDING_KIND_MAX] = { SGR_GREEN, SGR_YELLOW, SGR_RED };
        _cleanup_free_ char *clean = format_clean(message), *help = format_clean(advice ?: "");
        const Ctl *ctl = doctor->userdata;

        printf("%s%-8s%s %s: %s\n", ctl->term.colour ? colours[kind] : "", finding_names[kind],
                        ctl->term.colour ? SGR_RESET : "", doctor->check, clean ?: "out of memory");
        if (help && *help)
                printf("         %s\n", help);
}

static void doctor_print(Doctor *doctor, FindingKind kind, const char *message, const char *advice)
{
        const Ctl *ctl = doctor->userdata;

        (ctl->json ? print_json : print_text)(doctor, kind, message, advice);
        (void)fflush(stdout); /* a check may take its time, and is then seen to */
}

typedef struct DoctorOptions {
        const char *through, *key_file;
        bool deliver;
} DoctorOptions;

static const Option doctor_options[] = {
        { "--through", OPTION_TEXT, offsetof(DoctorOptions, through) },
        { "--deliver", OPTION_FLAG, offsetof(DoctorOptions, deliver) },
        { "--key-file", OPTION_TEXT, offsetof(DoctorOptions, key_file) },
};

/* Causes before what comes of them: advice that is followed in this order works. */
static const struct {
        const char *name;
        void (*run)(Doctor *d);
        unsigned asks; /* daemons that it is about */
} checks[] = {
        { "callback-keys", doctor_check_callback_keys, 0 },
        { "api-key", doctor_check_api_key, 0 },
        { "store", doctor_check_store, 0 },
        { "disk", doctor_check_disk, 0 },
        { "units", doctor_check_units, 0 },
        { "query-socket", doctor_check_query_socket, DOCTOR_RECEIVER },
        { "control-socket", doctor_check_control_socket, DOCTOR_RECEIVER },
        { "submit-socket", doctor_check_submit_socket, DOCTOR_SUBMITTER },
        { "in-force", doctor_check_in_force, 0 },
        { "ready", doctor_check_ready, 0 },
        { "listeners", doctor_check_listeners, DOCTOR_RECEIVER },
        { "callback-url", doctor_check_callback_url, 0 },
        { "write-ahead-log", doctor_check_log, DOCTOR_RECEIVER },
        { "clock", doctor_check_clock, 0 },
        { "quarantine", doctor_check_quarantine, DOCTOR_RECEIVER },
        { "queue", doctor_check_queue, DOCTOR_SUBMITTER },
        { "submissions", doctor_check_submissions, DOCTOR_SUBMITTER },
        { "live-tasks", doctor_check_live_tasks, DOCTOR_SUBMITTER },
        { "delivery", doctor_check_delivery, DOCTOR_RECEIVER },
};

/* Whether somebody means to submit here: then what belongs to it is looked at too. */
static bool wants_submitter(const Settings *s)
{
        return s->api.key_file || s->submit.callback_url || access(DOCTOR_API_KEY, F_OK) == 0;
}

static bool has_submitter(const Settings *s)
{
        return wants_submitter(s) || access(s->submit.socket, F_OK) == 0;
}

static int choose_url(Doctor *doctor, const DoctorOptions *o)
{
        if (o->through && o->deliver) {
                complain("--through names a URL, and --deliver takes that of the configuration: one of "
                         "them is wanted");
                return EX_USAGE;
        }
        doctor->url = o->deliver ? doctor->settings->submit.callback_url : o->through;
        if (o->deliver && !doctor->url) {
                complain("--deliver delivers to [submit] callback_url, which is not set: set it, or name "
                         "the URL with --through");
                return EX_CONFIG;
        }
        doctor->key_file = o->key_file;
        return 0;
}

/* The settings are the first thing that may be wrong. False: nothing can be said of them. */
static bool load(Doctor *doctor, Ctl *ctl)
{
        _cleanup_free_ char *error = NULL;
        int r;

        doctor->check = "configuration";
        r = settings_look(ctl->config, &ctl->overrides, &ctl->settings, &error);
        if (r < 0)
                doctor_fail_each(doctor, "mend it; no daemon starts with it", error ?: "out of memory");
        else
                doctor_ok(doctor, "the configuration is good");
        return r == 0 || r == -EINVAL;
}

static Doctor doctor_of(Ctl *ctl)
{
        return (Doctor){
                .settings = &ctl->settings, .utc = ctl->utc, .take = doctor_print, .userdata = ctl
        };
}

int verb_doctor(Ctl *ctl, int argc, char **argv)
{
        Doctor d = doctor_of(ctl);
        DoctorOptions o = {};
        unsigned n;
        int r;

        r = options_read(ctl, doctor_options, ELEMENTSOF(doctor_options), &o, argc, argv, 0, 0, &n);
        if (r != 0)
                return r;
        if (!load(&d, ctl) || d.worst == FINDING_FAILURE)
                return EX_NO;
        r = choose_url(&d, &o);
        if (r != 0)
                return r;

        d.submitter = has_submitter(d.settings);
        doctor_load_units(&d);
        FOREACH_ARRAY(check, checks, ELEMENTSOF(checks)) {
                d.check = check->name;
                d.said = 0;
                if (!doctor_skips(&d, check->asks))
                        check->run(&d);
        }
        doctor_units_done(&d.units);
        return d.worst == FINDING_FAILURE ? EX_NO : 0;
}

/* What keeps a daemon from starting, as far as this program knows it; `scale-callbackd --check-config` and
 * `scale-submitd --check-config` know all of it. */
int verb_check_config(Ctl *ctl, int argc, char **argv)
{
        Doctor d = doctor_of(ctl);
        unsigned n;
        int r;

        r = options_read(ctl, NULL, 0, NULL, argc, argv, 0, 0, &n);
        if (r != 0)
                return r;
        if (!load(&d, ctl))
                return EX_CONFIG;
        d.submitter = wants_submitter(d.settings);
        d.down = DOCTOR_RECEIVER | DOCTOR_SUBMITTER; /* it is the files that matter: nobody is asked */
        d.check = "callback-keys";
        doctor_check_callback_keys(&d);
        d.check = "api-key";
        doctor_check_api_key(&d);
        return d.worst == FINDING_FAILURE ? EX_CONFIG : 0;
}
