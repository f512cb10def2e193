/* Every bound of the program that is not a setting: a name, a unit, a reason (reliability.md
 * sections 2 and 3). */
#ifndef SEMA_CONF_LIMITS_H
#define SEMA_CONF_LIMITS_H

/* clang-format off */
enum {
    /* requests */
    REQUEST_LINE_BYTES_MAX =
        80 * 1024, /* 64 KiB must pass (a percent-encoded message), 96 must not */
    REQUEST_HEAD_BYTES_MAX = 32 * 1024, /* fields together, trailers as well */
    REQUEST_HEADERS_MAX = 100,
    REQUEST_PIPELINED_BYTES_MAX = 64 * 1024, /* kept while an answer is pending */
    REQUEST_HEAD_MS = 10 * 1000,             /* from its first byte: slow heads cost a descriptor */
    REQUEST_BODY_MS = 30 * 1000,             /* plus a second for each REQUEST_BODY_BYTES_PER_S */
    REQUEST_BODY_BYTES_PER_S = 64 * 1024,
    KEEPALIVE_IDLE_MS = 5 * 1000,
    STREAM_UNSENT_BYTES_MAX = 256 * 1024, /* of a client that does not read */
    STREAM_STALLED_MS = 60 * 1000,
    V1_BODY_BYTES_MAX = 64 * 1024 * 1024,

    /* connections of clients */
    CLIENT_CONNS_MIN = 8,      /* however few descriptors there are */
    RESERVED_DESCRIPTORS = 64, /* of the process, for all but clients and upstreams */
    LISTEN_BACKLOG = 4096,     /* a burst waits in the kernel while accepting pauses */
    ACCEPT_AT_ONCE = 32,       /* a flood of connections leaves room for those that are there */
    CALM_MS = 2 * 1000, /* after half of the clients left: their memory goes back to the system */
    ACCEPT_RETRY_MS = 100,     /* when descriptors or places ran out */
    CLIENT_READ_BYTES = 64 * 1024,        /* one buffer a loop, for whatever comes in */
    CLIENT_OUT_BYTES_MAX = 96 * 1024 * 1024, /* unsent of one client: beyond, it is dropped */
    STREAM_KERNEL_BYTES_MAX = 128 * 1024, /* not yet on the wire: more hides a slow reader */
    PEER_SILENT_S = 60,                   /* then the kernel asks whether the peer still lives */
    ANSWERS_AT_ONCE_BYTES = 32 * 1024, /* pipelined answers gathered into one write */
    LINGER_MS = 10 * 1000,     /* what a refused client still sends is dropped, so that the */
    LINGER_IDLE_MS = 1000,     /* answer reaches it and is not lost to a reset (RFC 9112 9.6) */
    LINGER_BYTES_MAX = 128 * 1024 * 1024,

    /* WebSocket */
    WS_MESSAGE_BYTES_MAX = 1024 * 1024,
    WS_WAITING_MAX = 16, /* messages of one connection that wait for their answer */
    WS_PING_MS = 20 * 1000,
    WS_PONG_MS = 20 * 1000,
    WS_CLOSE_MS = 2 * 1000, /* for the client's half of the closing handshake */

    /* .env: SYSTEM_PROMPT may take 400 kB, and `${...}` multiplies what is there */
    ENV_FILE_BYTES_MAX = 2 * 1024 * 1024,
    ENV_VALUE_BYTES_MAX = 512 * 1024,
    ENV_VALUES_BYTES_MAX = 8 * 1024 * 1024, /* together */
    ENV_NAMES_MAX = 2000,

    /* JSON */
    JSON_DEPTH_API = 64,
    JSON_DEPTH_V1 = 512,

    /* providers */
    UPSTREAM_EVENT_BYTES_MAX = 16 * 1024 * 1024,
    UPSTREAM_ANSWER_BYTES_MAX = 64 * 1024 * 1024,
    UPSTREAM_HEAD_BYTES_MAX = 64 * 1024,
    UPSTREAM_HEADERS_MAX = 256,            /* fields of an answer's head: providers send 20 to 40 */
    UPSTREAM_KEPT_MAX = 512,               /* idle connections of a loop: 20 kB each with TLS */
    UPSTREAM_KEPT_IDLE_MS = 60 * 1000,     /* most servers close before */
    UPSTREAM_DRAIN_MS = 1000,              /* the rest of an answer that has ended */
    UPSTREAM_DRAIN_BYTES_MAX = 64 * 1024,  /* its connection; beyond it a new one is cheaper */
    UPSTREAM_RACE_MS = 250,                /* between addresses of a name, RFC 8305 section 8 */
    UPSTREAM_ADDRESSES_MAX = 16,           /* of a name that are tried */
    UPSTREAM_RETRY_AFTER_MS_MAX = 10 * 1000, /* a longer wait is not waited for */
    DNS_KEPT_MS = 60 * 1000,
    DNS_FAILED_KEPT_MS = 1000,
    DNS_NAMES_MAX = 256, /* remembered by a loop: names come from settings only */

    /* sessions */
    SESSION_WAITING_MAX = 16, /* turns that wait for one session */
    SESSION_ID_CHARS_MAX = 256,
    STORE_WAIT_MS = 5 * 1000,    /* to reach the writer; then dropped unwritten */
    STORE_COMMIT_MS = 30 * 1000, /* a begun commit; then its outcome is unknown */
    STORE_QUEUE_MAX = 100000,
    STORE_BATCH_MAX = 1024,      /* turns made durable by one commit */
    STORE_READERS = 2,           /* threads: a long listing does not hold up a turn's history */
    STORE_CACHE_KB = 256,        /* of each thread: after a load no more stays than at rest */
    STORE_TEND_MS = 10 * 1000,   /* between two looks at an idle store */
    STORE_SWEEP_MS = 60 * 1000,  /* expired sessions; the contract wants 5 minutes */

    /* kept answers for resuming */
    REPLAY_ANSWER_BYTES_MAX = 1024 * 1024,
    REPLAY_TOTAL_BYTES_MAX = 64 * 1024 * 1024,

    /* chat */
    MESSAGE_CHARS_MAX = 4000,
    SYSTEM_PROMPT_CHARS_MAX = 1000,
    IMAGES_MAX = 8,
    IMAGE_BYTES_MAX = 5 * 1024 * 1024,

    /* chat templates: part of a model's files, so anybody may have written one */
    TEMPLATE_SOURCE_BYTES_MAX = 1024 * 1024,       /* the largest published one has 17 KB */
    TEMPLATE_NEST_MAX = 150,                       /* blocks and brackets in the source */
    TEMPLATE_DEPTH_MAX = 400,                      /* of evaluation, recursive macros included */
    TEMPLATE_STEPS_MAX = 5 * 1000 * 1000,          /* well under a second */
    TEMPLATE_VALUE_BYTES_MAX = 256 * 1024 * 1024,  /* of one rendering: texts are copied */
    TEMPLATE_OUTPUT_BYTES_MAX = 96 * 1024 * 1024,  /* V1_BODY_BYTES_MAX and more */
    TEMPLATE_RANGE_MAX = 100 * 1000,               /* as the reference's sandbox has it */

    /* model files: anybody may have written one */
    MODEL_TEXT_BYTES_MAX = 256 * 1024 * 1024,  /* read whole: a tokenizer.json has up to 34 MB */
    MODEL_PARTS_MAX = 1024,                    /* shards of an index, parts of a GGUF file */
    SAFETENSORS_HEADER_BYTES_MAX = 100 * 1000 * 1000, /* the reference's */
    GGUF_KEY_BYTES_MAX = 65535,                /* of the format */
    GGUF_NAME_BYTES_MAX = 1024,                /* of a tensor; the format's 64 was seen passed */
    GGUF_NEST_MAX = 4,                         /* arrays in arrays; no published file has any */
    GGUF_ALIGNMENT_BYTES_MAX = 1024 * 1024,
    ZIP_ENTRIES_MAX = 1024 * 1024,
    PICKLE_BYTES_MAX = 16 * 1024 * 1024, /* those of a model have some 100 bytes a tensor */
    PICKLE_STACK_MAX = 1024 * 1024,      /* values, and marks */
    PICKLE_MEMO_MAX = 4 * 1024 * 1024,   /* a thousand tensors make some 20,000 */
    PICKLE_MEMORY_TIMES = 200,           /* bytes taken for each byte of pickle */

    /* constrained output (local-models.md section 8) */
    GRAMMAR_SCHEMA_BYTES_MAX = 256 * 1024,
    GRAMMAR_NODES_MAX = 10000,
    GRAMMAR_ALTERNATIVES_MAX = 256,   /* of one place: anyOf multiplied out */
    GRAMMAR_DEPTH_MAX = 64,           /* schemas inside schemas */
    GRAMMAR_CONFIGS_MAX = 256,        /* readings followed at once; more are dropped */
    GRAMMAR_STATES_MAX = 8 * 1024,    /* kept between tokens; then all are found anew */
    GRAMMAR_LOCALS_MAX = 256,         /* masks kept, a bit for each token */
};
/* clang-format on */

#endif
