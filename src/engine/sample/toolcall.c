/* One pass over the bytes.  From the first byte that may begin a call everything is kept in `raw`
 * as well, until a given tool's name stands there whole: if it never does, `raw` goes out as text.
 *
 *   TEXT -> MARKED   toolcall's marker was read
 *   START -> MARKED  forms whose call is the whole answer: its first byte that is not blank
 *   MARKED -> OBJECT '{' of a call; or NAMED, the newer Mistral form
 *   OBJECT -> ARGS   the arguments' value begins; back when it is over
 *   OBJECT -> AFTER  '}' of the call: what may stand between two calls
 *   any -> TEXT      anything else: not a call */
#include "engine/sample/toolcall.h"

#include <stdlib.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/json.h"

enum {
    HELD_BYTES_MAX = 1 << 20, /* of a call without a name so far */
    NAME_BYTES_MAX = 256,
};

enum state {
    STATE_START,
    STATE_TEXT,
    STATE_MARKED,
    STATE_NAMED,
    STATE_KEY, /* before a key, or the object's end */
    STATE_IN_KEY,
    STATE_COLON,
    STATE_VALUE,
    STATE_IN_NAME,
    STATE_SKIP,      /* a value that does not matter */
    STATE_ARGS,      /* the arguments, as they are */
    STATE_ARGS_TEXT, /* the arguments as a JSON string of JSON */
    STATE_AFTER,
};

struct toolcall {
    enum toolcall_form form;
    struct toolcall_events events;
    struct arena arena;
    str *names;
    size_t names_count;
    int count;
    enum state state;
    struct buf out; /* text to be shown at the end of the feed */
    struct buf raw; /* since the call may have begun */
    struct buf key, name, args;
    size_t matched; /* bytes of the marker, or of the closing tag */
    bool begun;     /* this call's begin is out */
    bool sent_args;
    bool in_list;    /* [TOOL_CALLS][ ... ] */
    bool fenced;     /* ```json stood before */
    bool after_call; /* blanks here belong to the calls */
    /* inside a JSON value */
    int depth;
    bool in_string, escaped, started;
};

/* ---- forms ---- */

static bool has(str text, const char *what)
{
    return str_find(text, str_of(what)) != STR_NPOS;
}

enum toolcall_form toolcall_form_of(str source, bool takes_tools)
{
    if (!takes_tools) return TOOLCALL_BARE;
    if (has(source, "[TOOL_CALLS]"))
        return has(source, "[ARGS]") ? TOOLCALL_MISTRAL_ARGS : TOOLCALL_MISTRAL;
    if (has(source, "<tool_call>")) return TOOLCALL_HERMES;
    if (has(source, "\"parameters\"") || has(source, "<|python_tag|>")) return TOOLCALL_LLAMA3;
    return TOOLCALL_BARE;
}

static bool is_mistral(enum toolcall_form form)
{
    return form == TOOLCALL_MISTRAL || form == TOOLCALL_MISTRAL_ARGS;
}

static str marker(enum toolcall_form form)
{
    if (is_mistral(form)) return STR("[TOOL_CALLS]");
    if (form == TOOLCALL_HERMES) return STR("<tool_call>");
    if (form == TOOLCALL_LLAMA3) return STR("<|python_tag|>");
    return STR("");
}

bool toolcall_is_marker(enum toolcall_form form, str token)
{
    if (token.len == 0) return false;
    if (str_eq(token, marker(form))) return true;
    if (form == TOOLCALL_HERMES) return str_eq(token, STR("</tool_call>"));
    return is_mistral(form) && (str_eq(token, STR("[ARGS]")) || str_eq(token, STR("[CALL_ID]")));
}

str toolcall_open(enum toolcall_form form)
{
    switch (form) {
    case TOOLCALL_HERMES: return STR("<tool_call>\n");
    case TOOLCALL_MISTRAL: return STR("[TOOL_CALLS][");
    case TOOLCALL_MISTRAL_ARGS: return STR("[TOOL_CALLS]");
    default: return STR("");
    }
}

struct grammar_frame toolcall_frame(enum toolcall_form form)
{
    switch (form) {
    case TOOLCALL_LLAMA3:
        return (struct grammar_frame){STR("{\"name\": \""), STR("\", \"parameters\": "), STR("}")};
    case TOOLCALL_MISTRAL:
        return (struct grammar_frame){STR("{\"name\": \""), STR("\", \"arguments\": "), STR("}]")};
    case TOOLCALL_MISTRAL_ARGS: return (struct grammar_frame){STR(""), STR("[ARGS]"), STR("")};
    default:
        return (struct grammar_frame){STR("{\"name\": \""), STR("\", \"arguments\": "), STR("}")};
    }
}

/* ---- events ---- */

static void show(struct toolcall *t)
{
    if (t->out.len) t->events.text(t->events.ctx, buf_str(&t->out));
    buf_clear(&t->out);
}

static void step(struct toolcall *t, char c);   /* keeps the byte where it must be kept */
static void handle(struct toolcall *t, char c); /* only moves on */

/* It was no call: what was kept is text.  Its first byte cannot begin a call again, the rest may.
 */
static void not_a_call(struct toolcall *t)
{
    struct buf again = t->raw;

    buf_init(&t->raw, HELD_BYTES_MAX);
    t->state = STATE_TEXT;
    t->matched = 0;
    t->in_list = t->fenced = t->after_call = false;
    for (size_t i = 0; i < again.len; i++) {
        if (i == 0)
            buf_add_char(&t->out, again.at[0]);
        else
            step(t, again.at[i]);
    }
    buf_fini(&again);
}

static bool known_name(const struct toolcall *t, str name)
{
    for (size_t i = 0; i < t->names_count; i++)
        if (str_eq(t->names[i], name)) return true;
    return false;
}

static void send_args(struct toolcall *t, str fragment)
{
    if (fragment.len == 0) return;
    t->events.args(t->events.ctx, t->count - 1, fragment);
    t->sent_args = true;
}

static void begin_call(struct toolcall *t)
{
    show(t);
    t->begun = true;
    t->sent_args = false;
    t->events.begin(t->events.ctx, t->count++, buf_str(&t->name));
    buf_clear(&t->raw);
    send_args(t, buf_str(&t->args)); /* they came before the name */
    buf_clear(&t->args);
}

static void end_call(struct toolcall *t)
{
    if (!t->sent_args) send_args(t, STR("{}"));
    t->events.end(t->events.ctx, t->count - 1);
    t->begun = false;
    t->state = STATE_AFTER;
    t->matched = 0;
    buf_clear(&t->raw);
    buf_clear(&t->name);
    buf_clear(&t->args);
}

/* ---- inside a call ---- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static void begin_object(struct toolcall *t)
{
    t->state = STATE_KEY;
    t->begun = false;
    buf_clear(&t->key);
    buf_clear(&t->name);
    buf_clear(&t->args);
}

static void begin_value(struct toolcall *t, enum state state)
{
    t->state = state;
    t->depth = 0;
    t->in_string = t->escaped = t->started = false;
}

/* Is the value over with this byte (part of it), or before it?  Only brackets and quotes are looked
 * at. */
enum value_end { VALUE_GOES_ON, VALUE_ENDS_HERE, VALUE_ENDED_BEFORE };

static enum value_end follow_value(struct toolcall *t, char c)
{
    if (t->in_string) {
        if (t->escaped)
            t->escaped = false;
        else if (c == '\\')
            t->escaped = true;
        else if (c == '"')
            t->in_string = false;
        return !t->in_string && t->depth == 0 ? VALUE_ENDS_HERE : VALUE_GOES_ON;
    }
    if (c == '"') {
        t->in_string = true;
    } else if (c == '{' || c == '[') {
        t->depth++;
    } else if (c == '}' || c == ']') {
        if (t->depth == 0) return VALUE_ENDED_BEFORE;
        if (--t->depth == 0) return VALUE_ENDS_HERE;
    } else if (t->depth == 0 && (c == ',' || is_blank(c))) {
        return VALUE_ENDED_BEFORE;
    }
    return VALUE_GOES_ON;
}

static void object_key(struct toolcall *t, char c)
{
    if (is_blank(c) || c == ',') return;
    if (c == '"') {
        t->state = STATE_IN_KEY;
        buf_clear(&t->key);
    } else if (c == '}' && t->begun) {
        end_call(t);
    } else if (t->begun) {
        end_call(t); /* broken JSON after the name: the call is what it was */
        t->state = STATE_TEXT;
    } else {
        not_a_call(t);
    }
}

static bool args_key(str key)
{
    return str_eq(key, STR("arguments")) || str_eq(key, STR("parameters"));
}

static void object_colon(struct toolcall *t, char c)
{
    str key = buf_str(&t->key);
    bool may = str_eq(key, STR("name")) || args_key(key) || str_eq(key, STR("type")) ||
               str_eq(key, STR("id"));

    if (is_blank(c)) return;
    if (c == ':' && (may || t->begun))
        t->state = STATE_VALUE;
    else if (t->begun)
        t->state = STATE_SKIP;
    else
        not_a_call(t);
}

static void object_value(struct toolcall *t, char c)
{
    str key = buf_str(&t->key);

    if (is_blank(c)) return;
    if (str_eq(key, STR("name")) && !t->begun) {
        if (c != '"') {
            not_a_call(t);
            return;
        }
        t->state = STATE_IN_NAME;
        buf_clear(&t->name);
    } else if (args_key(key) && c == '"') {
        begin_value(t, STATE_ARGS_TEXT);
        buf_clear(&t->args);
    } else {
        begin_value(t, args_key(key) ? STATE_ARGS : STATE_SKIP);
        handle(t, c);
    }
}

static void in_name(struct toolcall *t, char c)
{
    if (c != '"') {
        buf_add_char(&t->name, c);
        if (t->name.len > NAME_BYTES_MAX) not_a_call(t);
        return;
    }
    if (!known_name(t, buf_str(&t->name))) {
        not_a_call(t);
        return;
    }
    t->state = STATE_KEY;
    begin_call(t);
}

static void args_byte(struct toolcall *t, char c)
{
    enum value_end end = follow_value(t, c);

    if (end != VALUE_ENDED_BEFORE) buf_add_char(&t->args, c);
    if (end == VALUE_GOES_ON) return;
    if (t->begun) {
        if (!str_eq(buf_str(&t->args), STR("null"))) send_args(t, buf_str(&t->args));
        buf_clear(&t->args);
    }
    if (is_mistral(t->form) && !t->in_list && t->state == STATE_ARGS && t->key.len == 0) {
        end_call(t); /* f[ARGS]{...} */
        return;
    }
    t->state = STATE_KEY;
    if (end == VALUE_ENDED_BEFORE) handle(t, c);
}

/* A string that holds JSON: read whole, then told without its escapes. */
static void args_text_byte(struct toolcall *t, char c)
{
    yyjson_doc *doc;
    struct buf quoted;

    if (t->escaped || c != '"') {
        t->escaped = !t->escaped && c == '\\';
        buf_add_char(&t->args, c);
        return;
    }
    buf_init(&quoted, HELD_BYTES_MAX + 2);
    buf_add_char(&quoted, '"');
    buf_add(&quoted, buf_str(&t->args));
    buf_add_char(&quoted, '"');
    buf_clear(&t->args);
    if (!quoted.bad && json_read(&doc, buf_str(&quoted), 4, JSON_PLAIN, NULL) == ERR_NONE) {
        buf_add(&t->args, json_str(yyjson_doc_get_root(doc)));
        yyjson_doc_free(doc);
    }
    buf_fini(&quoted);
    if (t->begun) {
        send_args(t, buf_str(&t->args));
        buf_clear(&t->args);
    }
    t->state = STATE_KEY;
}

/* The newer Mistral form: the name up to [ARGS], [CALL_ID] or '{'. */
static void named_byte(struct toolcall *t, char c)
{
    str name = buf_str(&t->name), id = STR("[CALL_ID]"), args = STR("[ARGS]");

    if (c == '{') {
        size_t at = str_find(name, id);
        if (at == STR_NPOS) at = str_find(name, args);
        str bare = str_trim(at == STR_NPOS ? name : str_head(name, at));
        if (!known_name(t, bare)) {
            not_a_call(t);
            return;
        }
        size_t skipped = (size_t)(bare.at - name.at), len = bare.len;
        buf_drop(&t->name, skipped);
        t->name.len = len;
        buf_clear(&t->key);
        begin_call(t);
        begin_value(t, STATE_ARGS);
        args_byte(t, c);
        return;
    }
    buf_add_char(&t->name, c);
    if (t->name.len > NAME_BYTES_MAX) not_a_call(t);
}

/* ---- around calls ---- */

static void text_byte(struct toolcall *t, char c)
{
    str mark = marker(t->form);

    if (t->after_call && is_blank(c) && t->matched == 0) {
        buf_add_char(&t->raw, c); /* dropped when another call follows */
        return;
    }
    if (mark.len && c == mark.at[t->matched]) {
        buf_add_char(&t->raw, c);
        if (++t->matched < mark.len) return;
        t->matched = 0;
        t->state = STATE_MARKED;
        return;
    }
    bool again = t->matched > 0;
    buf_add(&t->out, buf_str(&t->raw));
    buf_clear(&t->raw);
    t->matched = 0;
    t->after_call = false;
    if (again) /* the marker's first byte occurs in it once only: this byte may begin another */
        text_byte(t, c);
    else
        buf_add_char(&t->out, c);
}

static bool whole_answer(enum toolcall_form form)
{
    return form == TOOLCALL_LLAMA3 || form == TOOLCALL_BARE;
}

/* The answer's first bytes: blanks, a fence, the marker, '{'. */
static void start_byte(struct toolcall *t, char c)
{
    static const str fences[] = {{"```json\n", 8}, {"```\n", 4}};

    if (!whole_answer(t->form)) {
        t->state = STATE_TEXT;
        t->after_call = true; /* blanks before a call are dropped with it */
        text_byte(t, c);
        return;
    }
    str seen = buf_str(&t->raw);
    if (seen.len == 0 || is_blank(seen.at[seen.len - 1])) {
        if (is_blank(c)) {
            buf_add_char(&t->raw, c);
            return;
        }
        if (c == '{') {
            buf_add_char(&t->raw, c);
            begin_object(t);
            return;
        }
    }
    buf_add_char(&t->raw, c);
    str begun = str_trim(buf_str(&t->raw)), mark = marker(t->form);
    str whole = {begun.at,
                 buf_str(&t->raw).len - (size_t)(begun.at - t->raw.at)}; /* with its newline */
    if (mark.len && str_starts(mark, whole)) {
        if (whole.len == mark.len) t->state = STATE_MARKED;
        return;
    }
    for (size_t i = 0; t->form == TOOLCALL_BARE && i < 2; i++) {
        if (!str_starts(fences[i], whole)) continue;
        if (whole.len == fences[i].len) {
            t->state = STATE_MARKED;
            t->fenced = true;
        }
        return;
    }
    not_a_call(t);
}

static void marked_byte(struct toolcall *t, char c)
{
    if (is_blank(c)) return;
    if (c == '{') {
        begin_object(t);
    } else if (is_mistral(t->form) && c == '[' && !t->in_list) {
        t->in_list = true;
    } else if (is_mistral(t->form) && !t->in_list) {
        t->state = STATE_NAMED;
        buf_clear(&t->name);
        buf_add_char(&t->name, c);
    } else {
        not_a_call(t);
    }
}

static void back_to_text(struct toolcall *t)
{
    t->state = STATE_TEXT;
    t->after_call = true;
    t->matched = 0;
    buf_clear(&t->raw);
}

/* After a call: its closing tag, what separates calls, or the text that goes on. */
static void after_byte(struct toolcall *t, char c)
{
    str close = t->form == TOOLCALL_HERMES ? STR("</tool_call>") : t->fenced ? STR("```") : STR("");

    buf_add_char(&t->raw, c);
    if (t->matched == 0 && is_blank(c)) return;
    if (close.len && c == close.at[t->matched]) {
        if (++t->matched < close.len) return;
        t->fenced = false;
        back_to_text(t);
        return;
    }
    if (t->form == TOOLCALL_LLAMA3 && t->matched == 0) {
        if (c == ';') return;
        if (c == '{') {
            begin_object(t);
            return;
        }
    }
    if (t->in_list && t->matched == 0) {
        if (c == ',') {
            t->state = STATE_MARKED;
            return;
        }
        if (c == ']') {
            t->in_list = false;
            back_to_text(t);
            return;
        }
    }
    /* None of it: text, or the next call where a closing tag is missing. */
    struct buf again = t->raw;
    buf_init(&t->raw, HELD_BYTES_MAX);
    t->in_list = t->fenced = false;
    back_to_text(t);
    for (size_t i = 0; i < again.len; i++) text_byte(t, again.at[i]);
    buf_fini(&again);
}

static void handle(struct toolcall *t, char c)
{
    switch (t->state) {
    case STATE_START: start_byte(t, c); break;
    case STATE_TEXT: text_byte(t, c); break;
    case STATE_MARKED: marked_byte(t, c); break;
    case STATE_NAMED: named_byte(t, c); break;
    case STATE_KEY: object_key(t, c); break;
    case STATE_IN_KEY:
        if (c == '"')
            t->state = STATE_COLON;
        else
            buf_add_char(&t->key, c);
        if (t->key.len > NAME_BYTES_MAX && !t->begun) not_a_call(t);
        break;
    case STATE_COLON: object_colon(t, c); break;
    case STATE_VALUE: object_value(t, c); break;
    case STATE_IN_NAME: in_name(t, c); break;
    case STATE_SKIP: {
        enum value_end end = follow_value(t, c);
        if (end != VALUE_GOES_ON) t->state = STATE_KEY;
        if (end == VALUE_ENDED_BEFORE) handle(t, c);
        break;
    }
    case STATE_ARGS: args_byte(t, c); break;
    case STATE_ARGS_TEXT: args_text_byte(t, c); break;
    default: after_byte(t, c); break;
    }
}

static void step(struct toolcall *t, char c)
{
    bool keeps = t->state >= STATE_MARKED && t->state < STATE_AFTER && !t->begun;

    if (keeps) {
        if (t->raw.len == HELD_BYTES_MAX)
            not_a_call(t); /* nobody's call is that long */
        else
            buf_add_char(&t->raw, c);
    }
    handle(t, c);
}

/* ---- life ---- */

static bool copy_names(struct toolcall *t, yyjson_val *tools)
{
    size_t i, max;
    yyjson_val *tool;

    t->names = arena_array(&t->arena, str, yyjson_arr_size(tools) + 1);
    if (t->names == NULL) return false;
    yyjson_arr_foreach(json_array_of(tools), i, max, tool)
    {
        yyjson_val *f = json_get(tool, "function");
        str name = arena_str(&t->arena, json_get_str(f ? f : tool, "name"));
        if (name.at == NULL) return false;
        t->names[t->names_count++] = name;
    }
    return true;
}

enum err toolcall_new(struct toolcall **out, enum toolcall_form form, yyjson_val *tools,
                      bool inside, struct toolcall_events events)
{
    struct toolcall *t = calloc(1, sizeof *t);

    if (t == NULL) return ERR_MEMORY;
    t->form = form;
    t->events = events;
    arena_init(&t->arena, 0);
    buf_init(&t->out, SIZE_MAX / 2); /* one feed's text */
    buf_init(&t->raw, HELD_BYTES_MAX);
    buf_init(&t->key, HELD_BYTES_MAX);
    buf_init(&t->name, HELD_BYTES_MAX);
    buf_init(&t->args, SIZE_MAX / 2);
    if (!copy_names(t, tools)) {
        toolcall_free(t);
        return ERR_MEMORY;
    }
    if (inside && !whole_answer(form)) {
        t->state = STATE_MARKED;
        t->in_list = form == TOOLCALL_MISTRAL;
    }
    *out = t;
    return ERR_NONE;
}

void toolcall_free(struct toolcall *t)
{
    if (t == NULL) return;
    buf_fini(&t->out);
    buf_fini(&t->raw);
    buf_fini(&t->key);
    buf_fini(&t->name);
    buf_fini(&t->args);
    arena_fini(&t->arena);
    free(t);
}

static enum err after_feed(struct toolcall *t)
{
    bool bad = t->out.bad || t->args.bad;

    show(t);
    if (t->begun && t->state == STATE_ARGS && !str_starts(STR("null"), buf_str(&t->args))) {
        send_args(t, buf_str(&t->args)); /* as far as they came */
        buf_clear(&t->args);
    }
    return bad ? ERR_MEMORY : ERR_NONE;
}

enum err toolcall_feed(struct toolcall *t, str piece)
{
    for (size_t i = 0; i < piece.len; i++) step(t, piece.at[i]);
    return after_feed(t);
}

enum err toolcall_end(struct toolcall *t)
{
    if (t->begun) {
        t->events.end(t->events.ctx, t->count - 1);
        t->begun = false;
    } else if (t->state != STATE_AFTER && !(t->after_call && t->matched == 0 && t->count)) {
        buf_add(&t->out, buf_str(&t->raw));
    }
    buf_clear(&t->raw);
    t->state = STATE_TEXT;
    return after_feed(t);
}

int toolcall_count(const struct toolcall *t)
{
    return t->count;
}
