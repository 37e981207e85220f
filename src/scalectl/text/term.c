/*
 * Everything that depends on where output goes is decided here, once: width, colour, progress. Data is UTF-8
 * whatever the locale says, so a locale with another character set is replaced by C.UTF-8 for character
 * classes alone: widths and printability then come from the same table everywhere.
 */

#include "scalectl/text/term.h"

#include <inttypes.h>
#include <langinfo.h>
#include <locale.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "basic/parse.h"
#include "basic/time-util.h"
#include "scalectl/text/format.h"

#define WIDTH_DEFAULT 80U
#define WIDTH_MAX     4096U
#define COMPLAINT_MAX 2048U

#define REPLACEMENT_UTF8 "\xef\xbf\xbd"

void term_set_locale(void)
{
        (void)setlocale(LC_ALL, "");
        if (!streq(nl_langinfo(CODESET), "UTF-8"))
                (void)setlocale(LC_CTYPE, "C.UTF-8");
}

static unsigned terminal_width(int fd)
{
        const char *columns = getenv("COLUMNS");
        struct winsize ws = {};
        uint64_t v;

        if (columns && parse_u64(columns, 1, WIDTH_MAX, &v) >= 0)
                return (unsigned)v;
        if (ioctl(fd, TIOCGWINSZ, &ws) >= 0 && ws.ws_col > 0)
                return ws.ws_col;

        return WIDTH_DEFAULT;
}

Term term_of(int fd)
{
        const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

        if (!isatty(fd))
                return (Term){};

        return (Term){
                .width = terminal_width(fd),
                .colour = (!no_color || !*no_color) && term && !streq(term, "dumb"),
        };
}

void complain(const char *format, ...)
{
        _cleanup_free_ char *clean = NULL;
        char line[COMPLAINT_MAX];
        va_list ap;

        va_start(ap, format);
        (void)vsnprintf(line, sizeof(line), format, ap);
        va_end(ap);

        clean = format_clean(line);
        (void)fflush(stdout); /* in the order in which it happened */
        (void)fprintf(stderr, "scalectl: %s\n", clean ? clean : "out of memory");
}

static void filter_char(const char *bytes, size_t n, wchar_t c, FILE *f)
{
        if (format_printable(c) || c == L'\n' || c == L'\t')
                (void)fwrite(bytes, 1, n, f);
        else
                (void)fputs(REPLACEMENT_UTF8, f);
}

static void filter_byte(TermFilter *filter, char byte, FILE *f)
{
        bool first = filter->n == 0;
        size_t r;
        wchar_t c;

        filter->pending[filter->n++] = byte;
        r = mbrtowc(&c, &byte, 1, &filter->state);
        if (r == (size_t)-2 && filter->n < sizeof(filter->pending))
                return;

        if (r <= 1)
                filter_char(filter->pending, filter->n, c, f);
        else
                (void)fputs(REPLACEMENT_UTF8, f);
        *filter = (TermFilter){};
        if (r > 1 && !first) /* what cut a character short begins one of its own */
                filter_byte(filter, byte, f);
}

int term_filter(TermFilter *filter, const char *data, size_t size, FILE *f)
{
        FOREACH_ARRAY(byte, data, size)
                filter_byte(filter, *byte, f);
        return ferror(f) ? -EIO : 0;
}

int term_filter_end(TermFilter *filter, FILE *f)
{
        if (filter->n > 0)
                (void)fputs(REPLACEMENT_UTF8, f);
        *filter = (TermFilter){};
        return fflush(f) != 0 || ferror(f) ? -EIO : 0;
}

#define BAR_WIDTH 30

void progress_bar(FILE *f, double part, uint64_t n, const char *what)
{
        char bar[BAR_WIDTH + 1];
        int full = (int)(MIN(part, 1) * BAR_WIDTH);

        if (part >= 0) {
                memset(bar, ' ', BAR_WIDTH);
                memset(bar, '#', (size_t)full);
                bar[BAR_WIDTH] = 0;
                (void)fprintf(f, "\r[%s] %3d %%  %" PRIu64 " %s ", bar, (int)(MIN(part, 1) * 100), n, what);
        } else
                (void)fprintf(f, "\r%" PRIu64 " %s ", n, what);
        (void)fflush(f);
}

Progress progress_start(const char *what)
{
        return (Progress){ .what = what, .enabled = isatty(STDERR_FILENO) };
}

void progress_add(Progress *progress, uint64_t bytes)
{
        uint64_t now = now_monotonic();
        char size[FORMAT_SIZE_SIZE];

        progress->bytes += bytes;
        if (!progress->enabled || now - progress->shown_at < USEC_PER_SEC / 5)
                return;

        progress->shown_at = now;
        (void)fprintf(stderr, "\r%s: %s ", progress->what, format_size(progress->bytes, size));
        (void)fflush(stderr);
}

void progress_done(Progress *progress)
{
        if (progress->enabled && progress->shown_at > 0)
                (void)fputs("\r\x1b[K", stderr);
        progress->shown_at = 0;
}
