#include "chat/form.h"

#include "conf/limits.h"

static const str opening = {"[Reasoning: ", 12};
static const str closing = {"]\n\n", 3};

static bool is_space(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static size_t spaces(str s) /* how many it begins with */
{
    size_t n = 0;
    while (n < s.len && is_space(s.at[n])) n++;
    return n;
}

void form_init(struct form *f, bool show_reasoning)
{
    *f = (struct form){.show = show_reasoning};
    buf_init(&f->text, UPSTREAM_ANSWER_BYTES_MAX);
    buf_init(&f->reasoning, UPSTREAM_ANSWER_BYTES_MAX);
}

void form_fini(struct form *f)
{
    buf_fini(&f->text);
    buf_fini(&f->reasoning);
}

void form_clear(struct form *f)
{
    f->at = FORM_START;
    f->answer_from = f->shown = 0;
    buf_clear(&f->text);
    buf_clear(&f->reasoning);
}

static str formed_since(const struct form *f, size_t was)
{
    return str_tail(buf_str(&f->text), was);
}

/* White space is held back until something follows it; each byte is looked at once. */
str form_reason(struct form *f, str piece)
{
    size_t was = f->text.len;

    buf_add(&f->reasoning, piece);
    if (f->at == FORM_ANSWER || f->reasoning.bad) return STR_NONE;
    str all = buf_str(&f->reasoning);
    if (f->at == FORM_START) {
        f->shown += spaces(str_tail(all, f->shown));
        if (f->shown == all.len) return STR_NONE;
        f->at = FORM_REASONING;
        if (f->show) buf_add(&f->text, opening);
    }
    size_t end = all.len, begin = all.len - piece.len;
    while (end > begin && is_space(all.at[end - 1])) end--;
    if (end <= begin || end <= f->shown) return formed_since(f, was);
    if (f->show) buf_add(&f->text, str_span(all.at + f->shown, end - f->shown));
    f->shown = end;
    return formed_since(f, was);
}

str form_answer(struct form *f, str piece)
{
    size_t was = f->text.len;

    if (f->at == FORM_REASONING) {
        piece = str_tail(piece, spaces(piece));
        if (piece.len == 0) return STR_NONE;
        if (f->show) buf_add(&f->text, closing);
    }
    if (f->at != FORM_ANSWER && piece.len) {
        f->at = FORM_ANSWER;
        f->answer_from = f->text.len;
    }
    buf_add(&f->text, piece);
    return formed_since(f, was);
}

str form_end(struct form *f)
{
    size_t was = f->text.len;

    if (f->at == FORM_REASONING && f->show) buf_add(&f->text, str_head(closing, 1));
    if (f->at != FORM_ANSWER) f->answer_from = f->text.len;
    f->at = FORM_ANSWER;
    return formed_since(f, was);
}

bool form_bad(const struct form *f)
{
    return f->text.bad || f->reasoning.bad;
}

bool form_may_reason(str content)
{
    return str_starts(content, opening);
}

/* What is shown is a beginning of all the reasoning, then "]"; a partial answer may lack the
 * bracket. */
str form_answer_of(str content, str reasoning)
{
    if (reasoning.len == 0 || !str_starts(content, opening)) return content;
    str rest = str_tail(content, opening.len);
    reasoning = str_trim(reasoning);

    size_t same = 0;
    while (same < rest.len && same < reasoning.len && rest.at[same] == reasoning.at[same]) same++;
    if (same == rest.len && same > 0) return str_tail(rest, same);
    for (; same > 0; same--) {
        str from = str_tail(rest, same);
        if (from.at[0] != closing.at[0]) continue;
        if (from.len == 1) return str_tail(from, 1);
        if (str_starts(from, closing)) return str_tail(from, closing.len);
    }
    return content;
}
