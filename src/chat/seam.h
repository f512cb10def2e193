/* Where one model's text goes on from another's (STREAM_RESCUE; providers.md section 10).  The
 * second was asked to go on from what was shown, without its trailing white space.  What it says is
 * joined so that no character comes twice:
 *
 *   - white space that the client already has is not given again;
 *   - a model that starts over says again what was shown: that is swallowed, as far as it is
 * exactly that.  Where it departs before the shown text is used up, nothing can be joined.
 *
 * Pieces may be cut anywhere between characters. */
#ifndef SEMA_CHAT_SEAM_H
#define SEMA_CHAT_SEAM_H

#include <stdbool.h>

#include "base/buf.h"

/* Fewer equal bytes than this are chance: a text that goes on with "The" after one that began so.
 */
enum { SEAM_SAME_BYTES_MIN = 4 };

struct seam {
    const struct buf *shown; /* may grow by what is joined */
    size_t shown_bytes;      /* of it when the seam began */
    size_t same;             /* bytes said so far that repeat the shown text's beginning */
    size_t space;            /* where in its trailing white space the skipping is */
    bool joined;             /* the comparing, then the skipping is over */
    bool skipping;
};

void seam_init(struct seam *s, const struct buf *shown);
str seam_prefill(const struct seam *s); /* what the second model goes on from */
/* What is to be shown of a piece is added to `out`.  False: it cannot be joined. */
bool seam_add(struct seam *s, str piece, struct buf *out);
bool seam_end(struct seam *s, struct buf *out); /* the second model has finished */

#endif
