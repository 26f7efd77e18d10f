// Forwards calls to a library on 64-bit Arm (AAPCS64). Finding the function is left to the resolver.

#define JOIN(library, name) delayload_##library##_##name
#define NAMED(library, name) JOIN(library, name)

// Calls `name` in the library, or `fallback` if the library does not have it. A slot holds the function's
// address once it is known, and loading it acquires what the resolver released. Every part of a trampoline is
// in its own section, so that the linker can omit it. The symbols are hidden, so that other objects do not
// find them in place of the library's.
    .macro trampoline name, fallback
    .section .bss.delayload.\name, "aw", %nobits
    .p2align 3
.Lslot_\name:
    .zero 8

    .section .rodata.delayload.\name, "a", %progbits
.Lname_\name:
    .asciz "\name"

    .section .text.delayload.\name, "ax", %progbits
    .globl \name
    .hidden \name
    .type \name, %function
    .p2align 2
\name:
    .cfi_startproc
    adrp x9, .Lslot_\name
    add x9, x9, :lo12:.Lslot_\name
    ldar x16, [x9]
    cbz x16, 1f
    br x16
1:  adrp x10, .Lname_\name
    add x10, x10, :lo12:.Lname_\name
    adrp x11, \fallback
    add x11, x11, :lo12:\fallback
    b .Lfirst_call
    .cfi_endproc
    .size \name, . - \name
    .endm

// Calls the resolver with every register saved that may hold an argument (x8 is the address of a large
// result), and branches to the function with the stack as the caller left it. It takes the slot in x9, the
// name in x10 and the fallback in x11. None of them holds an argument or is reserved for the linker, like x16
// and x17.
    .section .text.delayload, "ax", %progbits
    .p2align 2
.Lfirst_call:
    .cfi_startproc
    stp x29, x30, [sp, #-224]!
    .cfi_def_cfa_offset 224
    .cfi_offset x29, -224
    .cfi_offset x30, -216
    mov x29, sp
    stp x0, x1, [sp, #16]
    stp x2, x3, [sp, #32]
    stp x4, x5, [sp, #48]
    stp x6, x7, [sp, #64]
    str x8, [sp, #80]
    stp q0, q1, [sp, #96]
    stp q2, q3, [sp, #128]
    stp q4, q5, [sp, #160]
    stp q6, q7, [sp, #192]
    mov x0, x9
    mov x1, x10
    mov x2, x11
    bl NAMED(LIBRARY, resolve)
    mov x16, x0
    ldp x0, x1, [sp, #16]
    ldp x2, x3, [sp, #32]
    ldp x4, x5, [sp, #48]
    ldp x6, x7, [sp, #64]
    ldr x8, [sp, #80]
    ldp q0, q1, [sp, #96]
    ldp q2, q3, [sp, #128]
    ldp q4, q5, [sp, #160]
    ldp q6, q7, [sp, #192]
    ldp x29, x30, [sp], #224
    .cfi_def_cfa_offset 0
    .cfi_restore x29
    .cfi_restore x30
    br x16
    .cfi_endproc

    .section .note.GNU-stack, "", %progbits
