/*
 * Where the service manager connects standard error with the journal, lines are sent natively: with a
 * message id, by which the catalog explains them, and with fields that can be searched for. Everywhere else,
 * and when the journal doesn't take one, the same text goes to standard error.
 */

#include "daemon/journal.h"

#define SD_JOURNAL_SUPPRESS_LOCATION

#include <inttypes.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include "basic/log.h"

#define FIELDS_MAX 16U
#define FIELD_SIZE 256U

static const char *identifier = "";

/* Whether standard error is the very stream that the journal gave us, and not something redirected. */
static bool is_journal_stream(void)
{
        const char *stream = getenv("JOURNAL_STREAM");
        unsigned long long device, inode;
        struct stat st;

        return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
               fstat(STDERR_FILENO, &st) == 0 && st.st_dev == device && st.st_ino == inode;
}

typedef struct Entry {
        struct iovec parts[FIELDS_MAX + 4];
        char texts[FIELDS_MAX + 4][FIELD_SIZE];
        int n;
} Entry;

static void add(Entry *entry, const char *name, const char *text, uint64_t number)
{
        char *to = entry->texts[entry->n];
        int size;

        if (text)
                size = snprintf(to, FIELD_SIZE, "%s=%s", name, text);
        else
                size = snprintf(to, FIELD_SIZE, "%s=%" PRIu64, name, number);
        entry->parts[entry->n++] = (struct iovec){ to, MIN((size_t)size, FIELD_SIZE - 1) };
}

static bool send_to_journal(int level, const char *id, const LogField *fields, size_t n, const char *text)
{
        char message[2048 + sizeof("MESSAGE=")];
        Entry entry = {};
        int size;

        size = snprintf(message, sizeof(message), "MESSAGE=%s", text);
        entry.parts[entry.n++] = (struct iovec){ message, MIN((size_t)size, sizeof(message) - 1) };
        add(&entry, "PRIORITY", NULL, (uint64_t)level);
        add(&entry, "SYSLOG_IDENTIFIER", identifier, 0);
        if (id)
                add(&entry, "MESSAGE_ID", id, 0);
        FOREACH_ARRAY(field, fields, MIN(n, FIELDS_MAX))
                if (!field->is_text || field->text)
                        add(&entry, field->name, field->text, field->number);
        return sd_journal_sendv(entry.parts, entry.n) >= 0;
}

void journal_init(const char *name)
{
        identifier = name;
        if (is_journal_stream())
                log_set_sink(send_to_journal);
}
