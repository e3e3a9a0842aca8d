/*
 * QEMU-FT: what the rest of QEMU may call
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The only header of this directory that files outside of it include.
 * Every function here is a hook in one of QEMU's own files (see patches/)
 * and costs one predictable branch when fault tolerance is not used.
 * Programs other than the system emulator link stubs/ft*.c instead.
 */
#ifndef MIGRATION_FT_H
#define MIGRATION_FT_H

typedef struct VMStateField VMStateField;

/**
 * ft_option_parse: take -ft-peer or -ft-listen from the command line
 *
 * @option: "ft-peer" or "ft-listen"
 * @arg: its argument; "help" prints the keys and exits with 0
 *
 * Exits with 1 and one sentence on stderr when @arg cannot be used.
 * Returns the argument -incoming has to see for a secondary.
 */
const char *ft_option_parse(const char *option, const char *arg);

/**
 * ft_incoming_check: -incoming, or what ft_option_parse() put in its place
 *
 * Remembers that the user gave one: start-up refuses it beside our options.
 */
void ft_incoming_check(const char *arg);

/**
 * ft_vcpu_idle: a vCPU goes to sleep, or has been woken
 *
 * Called in the vCPU's own thread with the BQL held.
 */
void ft_vcpu_idle(CPUState *cpu, bool idle);

/**
 * ft_cut_active: a cut has stopped the guest and drained its devices
 *
 * The run state stays at running meanwhile.  Main loop.
 */
bool ft_cut_active(void);

/**
 * ft_ram_written: a device writes guest RAM through a pointer it keeps
 *
 * @host: what it writes, @len bytes, before the BQL is next dropped
 *
 * Marks the pages dirty, as the end of a mapping would.  BQL held.
 */
void ft_ram_written(void *host, size_t len);

/**
 * ft_chr_write: what a front end writes to @chr
 *
 * Holds the bytes until their epoch is committed when @chr is a console of
 * a protected guest; else the same as qemu_chr_write().
 */
int ft_chr_write(Chardev *chr, const uint8_t *buf, int len, bool write_all);

/**
 * ft_vmstate_write: write the fields of a description faster
 *
 * @opaque, @vmdesc, @version_id: what vmstate_save_state_v() was given
 *
 * Writes exactly the bytes vmstate_save_state_v() would.  Returns the fields
 * that are left to it: the end of a list; or all of them when this is not for
 * us; or, for an error, one whose put() returns it.
 */
const VMStateField *ft_vmstate_write(QEMUFile *f,
                                     const VMStateDescription *vmsd,
                                     void *opaque, JSONWriter *vmdesc,
                                     int version_id);

#endif
