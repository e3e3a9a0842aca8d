# SPDX-License-Identifier: GPL-2.0-or-later
#
# A guest of one sector, for counting what an epoch costs
# (tests/ft/lib/ftlib/instructions.py).
#
# It sleeps until a byte comes in at the first serial port, writes to some
# pages, and sends the byte back.  The low four bits say to how many: 0: none,
# n: 2 to the power of n - 1, each in eight places.  With bit 7 it runs in a
# circle afterwards instead of sleeping.
#
# Nothing else wakes it, for the other interrupts are masked, and it writes
# nothing else but its stack.

        .code16
        .globl  _start
        .set    PORT, 0x3f8
        .set    PAGES, 0x100000

_start:
        cli
        ljmp    $0, $begin
begin:
        xorw    %ax, %ax
        movw    %ax, %ds
        movw    %ax, %ss

        # fs: a segment of 4 GiB, to get beyond the first MiB
        lgdt    gdt_pointer
        movl    %cr0, %eax
        orb     $1, %al
        movl    %eax, %cr0
        movw    $8, %bx
        movw    %bx, %fs
        andb    $0xfe, %al
        movl    %eax, %cr0

        # The clock's timer runs out once and stops; only IRQ 4 gets through
        movb    $0x30, %al
        outb    %al, $0x43
        xorb    %al, %al
        outb    %al, $0x40
        outb    %al, $0x40
        movb    $0xef, %al
        outb    %al, $0x21
        movb    $0xff, %al
        outb    %al, $0xa1
        movw    $request, 4 * 12
        movw    $0, 4 * 12 + 2

        # 8 bits, no queue, an interrupt for each byte that comes
        movw    $PORT + 3, %dx
        movb    $0x03, %al
        outb    %al, %dx
        decw    %dx
        xorb    %al, %al
        outb    %al, %dx
        decw    %dx
        movb    $0x01, %al
        outb    %al, %dx
        movw    $PORT + 4, %dx
        movb    $0x0b, %al
        outb    %al, %dx

        movb    $'R', %bl
        jmp     answer

        # An interrupt that does not return: it begins with a fresh stack
request:
        movw    $PORT, %dx
        inb     %dx, %al
        movb    %al, %bl
        movb    $0x20, %al
        outb    %al, $0x20
        movb    %bl, %cl
        andb    $0x0f, %cl
        jz      answer
        decb    %cl
        movw    $1, %si
        shlw    %cl, %si
        movl    $PAGES, %edi
page:
        movb    $8, %cl
place:
        incl    %fs:(%edi)
        addl    $512, %edi
        decb    %cl
        jnz     place
        decw    %si
        jnz     page

answer:
        movw    $PORT, %dx
        movb    %bl, %al
        outb    %al, %dx
        movw    $0x1000, %sp
        testb   $0x80, %bl
        sti
        jnz     run
sleep:
        hlt
        jmp     sleep
run:
        jmp     run

        .balign 8
gdt:
        .quad   0
        .quad   0x00cf92000000ffff
gdt_pointer:
        .word   . - gdt - 1
        .long   gdt

        .org    510
        .word   0xaa55
