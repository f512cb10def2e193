/* The files of sema-guide, byte for byte; embedded.c gives them their names.  The weights begin at a
 * border of 64 bytes, as kernels like them. */
    .section .rodata

    .macro embed name, path
    .balign 64
    .globl embed_\name
embed_\name:
    .incbin "\path"
    .globl embed_\name\()_end
embed_\name\()_end:
    .byte 0
    .endm

    embed config,             "sema-guide/config.json"
    embed generation_config,  "sema-guide/generation_config.json"
    embed model,              "sema-guide/model.safetensors"
    embed special_tokens_map, "sema-guide/special_tokens_map.json"
    embed tokenizer,          "sema-guide/tokenizer.json"
    embed tokenizer_config,   "sema-guide/tokenizer_config.json"

    .section .note.GNU-stack, "", %progbits
