/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A bare riscv64 machine whose memory protection begins within a page. QEMU keeps no TLB entry for
 * such a page, so afterwards it cannot say what an access there has reached. 100 loads and 100
 * stores, a store to the console in between, and the machine is switched off.
 */
        .text
        .globl _start
_start:
        la      t0, page
        srli    t1, t0, 2
        csrw    pmpaddr0, t1
        li      t1, 0x93                /* locked, four bytes, to be written and read */
        csrw    pmpcfg0, t1
        li      t3, 0x10000000          /* the console */
        li      t4, 'x'
        li      t2, 100
1:      ld      t1, 8(t0)
        addi    t2, t2, -1
        bnez    t2, 1b
        sb      t4, 0(t3)
        li      t2, 100
2:      sd      t1, 16(t0)
        addi    t2, t2, -1
        bnez    t2, 2b
        li      t0, 0x100000            /* the board's switch */
        li      t1, 0x5555
        sw      t1, 0(t0)
3:      j       3b

        .balign 4096
page:   .fill   4096, 1, 0
