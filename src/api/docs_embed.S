/* The page's parts as bytes of the program; found by -I (meson.build). */
    .section .rodata

    .macro part name, file
    .globl docs_\name
docs_\name:
    .incbin "\file"
    .globl docs_\name\()_end
docs_\name\()_end:
    .byte 0
    .endm

    part html, "docs.html"
    part css,  "docs.css"
    part js,   "docs.js"

    .section .note.GNU-stack, "", %progbits
