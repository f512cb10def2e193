#include "api/body.h"

bool body_read(struct call *c, const struct field *fields, size_t count, void *result,
               yyjson_doc **out)
{
    struct complaints list;
    yyjson_doc *doc = NULL;
    bool fine = false;
    str type = headers_get(&c->r->headers, STR("Content-Type"));

    complaints_init(&list);
    enum body_fault fault = validate_body(&doc, type, c->r->body, &list);
    enum err e = fault == BODY_MEMORY ? ERR_MEMORY : ERR_NONE;
    if (fault == BODY_FINE)
        e = validate_object(fields, count, IN_BODY, yyjson_doc_get_root(doc), result, &c->r->arena,
                            &list);
    if (e == ERR_MEMORY) {
        call_out_of_memory(c);
    } else if (fault == BODY_UNREADABLE) {
        call_fail(c, 400, "malformed_body", STR("There was an error parsing the body"));
    } else if (fault || e) {
        json_end_array(&list.out);
        call_fail_list(c, 422, "validation_error", buf_str(&list.json));
    } else {
        fine = true;
    }
    if (fine)
        *out = doc;
    else
        yyjson_doc_free(doc);
    complaints_fini(&list);
    return fine;
}
