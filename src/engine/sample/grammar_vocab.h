/* The tokens of a model as a tree of bytes, laid out so that a subtree is one run of nodes.  Inside
 * this room. */
#ifndef SEMA_ENGINE_SAMPLE_GRAMMAR_VOCAB_H
#define SEMA_ENGINE_SAMPLE_GRAMMAR_VOCAB_H

#include "engine/sample/grammar.h"

struct grammar_node {
    uint32_t end;   /* the node after this one's subtree */
    uint32_t first; /* of `sorted`: tokens that end here */
    uint16_t count; /* of them */
    uint16_t depth; /* bytes from the root, which is node 0 with depth 0 */
    uint8_t byte;
    bool mixed; /* a token that is not plain ends here or below */
};

struct grammar_vocab {
    int32_t count;
    size_t words;   /* of a mask */
    size_t longest; /* bytes of the longest token */
    struct grammar_node *nodes;
    size_t nodes_count;
    int32_t *sorted;  /* ids by their bytes */
    char *pool;       /* all bytes */
    uint32_t *offset; /* [count + 1] into the pool */
    uint64_t *ends;   /* a mask */
    /* Plain tokens: whole characters that stand in a JSON string as they are.  Inside a string they
     * are most of the vocabulary, and all that counts is how many characters they have. */
    uint64_t *plain;      /* a mask */
    int32_t *plain_ids;   /* by their number of characters */
    uint32_t *plain_upto; /* [longest + 1]: how many have at most so many */
};

static inline str grammar_token(const struct grammar_vocab *v, int32_t id)
{
    return (str){v->pool + v->offset[id], v->offset[id + 1] - v->offset[id]};
}

#endif
