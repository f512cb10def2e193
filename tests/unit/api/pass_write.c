#include "check.h"

#include "pass_write.h"

#include "backend/openai_in.h"

void pass_write(const struct backend_ops *ops, const struct ask *q, struct loop *l,
                enum pass_learned learned, struct buf *out)
{
    static const uint64_t bits[] = {0, NEEDS_RESPONSES, REFUSED_SUMMARY, REFUSED_CUSTOM};
    const struct backend_conf conf = {.type = ops->type, .model = q->model, .key = STR("k")};
    struct err_note why = {.text = ""};
    struct call c = {.stream = true};
    struct backend *b;

    check_int(ops->open(&b, &conf, &why), ERR_NONE);
    check_true(b->official);
    if (learned) learned_add(b->learned, q->model, bits[learned]);
    struct answer a = {.backend = b, .dialect = b->dialect, .loop = l, .q = q};
    arena_init(&c.arena, 0);
    buf_init(&c.body, 1 << 20);
    check_int(b->dialect->write(&a, &c, &why), ERR_NONE);
    check_int(c.stream, q->stream || q->max_tokens > 20000);
    buf_add(out, buf_str(&c.body));
    stops_fini(&a.stops);
    buf_fini(&c.body);
    arena_fini(&c.arena);
    ops->close(b);
}
