#include "backend/think.h"

enum { BLANKS_MAX = 4096 }; /* white space before a tag; more is text */

#define OPEN STR("<think>")
#define CLOSE STR("</think>")

void think_init(struct think *t, bool opened)
{
    *t = (struct think){.state = THINK_START, .opened = opened};
    buf_init(&t->blanks, BLANKS_MAX);
}

void think_fini(struct think *t)
{
    buf_fini(&t->blanks);
    *t = (struct think){0};
}

bool think_opened_by(str model)
{
    static const char *const marks[] = {"deepseek-r1", "qwq", "-thinking", "-think"};

    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++) {
        str mark = str_of(marks[i]);
        for (str rest = model; rest.len >= mark.len; rest = str_tail(rest, 1))
            if (str_starts_nocase(rest, mark)) return true;
    }
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static void give_text(struct think *t, str s, const struct think_to *to)
{
    while (t->strip && s.len && is_blank(s.at[0])) s = str_tail(s, 1);
    if (s.len == 0) return;
    t->strip = false;
    to->text(to->ctx, s);
}

static void give_reasoning(str s, const struct think_to *to)
{
    if (s.len) to->reasoning(to->ctx, s);
}

/* There is no opening tag: what was held belongs to what comes. */
static void leave_start(struct think *t, const struct think_to *to)
{
    str blanks = buf_str(&t->blanks), tag = str_head(OPEN, t->matched);

    t->matched = 0;
    t->state = t->opened ? THINK_IN : THINK_TEXT;
    if (t->opened) {
        give_reasoning(blanks, to);
        give_reasoning(tag, to);
    } else {
        give_text(t, blanks, to);
        give_text(t, tag, to);
    }
    buf_fini(&t->blanks);
}

static str feed_start(struct think *t, str in, const struct think_to *to)
{
    while (in.len) {
        char c = in.at[0];
        if (c == OPEN.at[t->matched]) {
            t->matched++;
        } else if (t->matched == 0 && is_blank(c) && t->blanks.len < BLANKS_MAX) {
            buf_add_char(&t->blanks, c);
        } else {
            leave_start(t, to);
            return in;
        }
        in = str_tail(in, 1);
        if (t->matched == OPEN.len) {
            t->matched = 0;
            t->state = THINK_IN;
            buf_fini(&t->blanks);
            return in;
        }
    }
    return in;
}

static void close_tag(struct think *t)
{
    t->matched = 0;
    t->state = THINK_TEXT;
    t->strip = true;
}

/* How many trailing bytes of s may be the beginning of the closing tag. */
static size_t partial(str s)
{
    for (size_t n = CLOSE.len - 1; n > 0; n--)
        if (n <= s.len && str_eq(str_tail(s, s.len - n), str_head(CLOSE, n))) return n;
    return 0;
}

static str feed_in(struct think *t, str in, const struct think_to *to)
{
    while (t->matched && in.len) {
        if (in.at[0] != CLOSE.at[t->matched]) {
            /* Its first byte occurs in the tag only once, so none starts inside what was held. */
            size_t n = t->matched;
            t->matched = 0;
            give_reasoning(str_head(CLOSE, n), to);
            break;
        }
        in = str_tail(in, 1);
        if (++t->matched == CLOSE.len) {
            close_tag(t);
            return in;
        }
    }
    if (in.len == 0) return in;
    size_t at = str_find(in, CLOSE);
    if (at != STR_NPOS) {
        give_reasoning(str_head(in, at), to);
        close_tag(t);
        return str_tail(in, at + CLOSE.len);
    }
    t->matched = partial(in);
    give_reasoning(str_head(in, in.len - t->matched), to);
    return str_tail(in, in.len);
}

void think_feed(struct think *t, str in, const struct think_to *to)
{
    if (t->state == THINK_START) in = feed_start(t, in, to);
    if (t->state == THINK_IN) in = feed_in(t, in, to);
    if (t->state == THINK_TEXT) give_text(t, in, to);
}

void think_end(struct think *t, const struct think_to *to)
{
    if (t->state == THINK_START) leave_start(t, to);
    if (t->state == THINK_IN) give_reasoning(str_head(CLOSE, t->matched), to);
    t->matched = 0;
}
