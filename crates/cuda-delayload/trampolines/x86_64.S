// Forwards calls to a library on x86-64 (System V ABI). Finding the function is left to the resolver.

#define JOIN(library, name) delayload_##library##_##name
#define NAMED(library, name) JOIN(library, name)

// Calls `name` in the library, or `fallback` if the library does not have it. A slot holds the function's
// address once it is known. Loads and stores of eight aligned bytes are atomic and ordered. Every part of a
// trampoline is in its own section, so that the linker can omit it. The symbols are hidden, so that other
// objects do not find them in place of the library's.
    .macro trampoline name, fallback
    .section .bss.delayload.\name, "aw", @nobits
    .p2align 3
.Lslot_\name:
    .zero 8

    .section .rodata.delayload.\name, "a", @progbits
.Lname_\name:
    .asciz "\name"

    .section .text.delayload.\name, "ax", @progbits
    .globl \name
    .hidden \name
    .type \name, @function
    .p2align 4
\name:
    .cfi_startproc
    movq .Lslot_\name(%rip), %r11
    testq %r11, %r11
    je 1f
    jmpq *%r11
1:  leaq .Lslot_\name(%rip), %r11
    leaq .Lname_\name(%rip), %r10
    leaq \fallback(%rip), %rax
    jmp .Lfirst_call
    .cfi_endproc
    .size \name, . - \name
    .endm

// Calls the resolver with every register saved that may hold an argument, and jumps to the function with the
// stack as the caller left it. It takes the slot in r11, the name in r10 and the fallback in rax, none of
// which holds an argument.
    .section .text.delayload, "ax", @progbits
    .p2align 4
.Lfirst_call:
    .cfi_startproc
    pushq %rbp
    .cfi_def_cfa_offset 16
    .cfi_offset %rbp, -16
    movq %rsp, %rbp
    .cfi_def_cfa_register %rbp
    subq $176, %rsp
    movq %rdi, (%rsp)
    movq %rsi, 8(%rsp)
    movq %rdx, 16(%rsp)
    movq %rcx, 24(%rsp)
    movq %r8, 32(%rsp)
    movq %r9, 40(%rsp)
    movups %xmm0, 48(%rsp)
    movups %xmm1, 64(%rsp)
    movups %xmm2, 80(%rsp)
    movups %xmm3, 96(%rsp)
    movups %xmm4, 112(%rsp)
    movups %xmm5, 128(%rsp)
    movups %xmm6, 144(%rsp)
    movups %xmm7, 160(%rsp)
    movq %r11, %rdi
    movq %r10, %rsi
    movq %rax, %rdx
    call NAMED(LIBRARY, resolve)
    movq %rax, %r11
    movq (%rsp), %rdi
    movq 8(%rsp), %rsi
    movq 16(%rsp), %rdx
    movq 24(%rsp), %rcx
    movq 32(%rsp), %r8
    movq 40(%rsp), %r9
    movups 48(%rsp), %xmm0
    movups 64(%rsp), %xmm1
    movups 80(%rsp), %xmm2
    movups 96(%rsp), %xmm3
    movups 112(%rsp), %xmm4
    movups 128(%rsp), %xmm5
    movups 144(%rsp), %xmm6
    movups 160(%rsp), %xmm7
    leave
    .cfi_def_cfa %rsp, 8
    jmpq *%r11
    .cfi_endproc

    .section .note.GNU-stack, "", @progbits
