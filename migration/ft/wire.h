/*
 * QEMU-FT: what goes over the wire
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * All structures, magics, limits and time-outs of the protocol specified
 * in docs/protocol.rst.  Encoders write to a GByteArray; decoders validate
 * every byte from the peer, so that their callers may trust the result.
 * Nothing here blocks, allocates by the peer's word alone, or needs a lock.
 */
#ifndef MIGRATION_FT_WIRE_H
#define MIGRATION_FT_WIRE_H

#include "qapi/qapi-types-ft.h"

#define FT_WIRE_MAGIC 0x51454d552d465431ULL     /* "QEMU-FT1" */
#define FT_WIRE_MAJOR 4
#define FT_WIRE_MINOR 2
#define FT_WIRE_MINOR_COMPRESSED 1              /* reads COMPRESSED */
#define FT_WIRE_MINOR_OVERLAP 2                 /* knows what BEGIN proves */

/* Limits; a peer that exceeds one has broken the protocol */
#define FT_WIRE_MAX_PAYLOAD (1 * MiB)
#define FT_WIRE_MAX_TEXT 1024
#define FT_WIRE_MAX_BLOCKS 256
#define FT_WIRE_MAX_DEVICE (64 * MiB)
#define FT_WIRE_MAX_DISKS 64
#define FT_WIRE_MAX_DISK_DATA (512 * KiB)       /* in one record */
#define FT_WIRE_MAX_DISK_EPOCH (1 * GiB)        /* of one epoch */
#define FT_WIRE_MAX_PACKET (128 * KiB)
#define FT_WIRE_MAX_NICS 256
#define FT_WIRE_MAX_CARRIED (1 * MiB)           /* kept in one direction */
#define FT_WIRE_DISK_HASH 32                    /* SHA-256 */
#define FT_WIRE_SESSION 16                      /* bytes of its name */
#define FT_WIRE_MAX_LINKS 16
#define FT_WIRE_MAX_KEPT (64 * MiB)             /* said, not confirmed */
#define FT_WIRE_CONFIRM (1 * MiB)               /* confirm that often */
#define FT_WIRE_PAGE_BITS 36
#define FT_WIRE_OPTIONAL (1u << 31)

/* Times, in milliseconds unless named otherwise */
#define FT_HANDSHAKE_TIMEOUT_MS 5000
#define FT_REDIAL_MS 1000
#define FT_REDIAL_SOON_MS 100
#define FT_REDIAL_REFUSED_MS 10000
#define FT_BEATS_PER_TIMEOUT 5
#define FT_HUNG_FACTOR 4

#define FT_MAX_HALF_OPEN 16

typedef enum FtRecType {
    FT_REC_HELLO = 1,
    FT_REC_WELCOME,
    FT_REC_REFUSE,
    FT_REC_COPY,
    FT_REC_BEGIN,
    FT_REC_PAGES,
    FT_REC_DEVICE,
    FT_REC_COMMIT,
    FT_REC_ACK,
    FT_REC_BEAT,
    FT_REC_END,
    FT_REC_ENDED,
    FT_REC_TAKEOVER,
    FT_REC_FAILED,
    FT_REC_DISK,
    FT_REC_DISKHASH,
    FT_REC_DISKSAME,
    FT_REC_DISKBAD,
    FT_REC_HANDOVER,
    FT_REC_STABLE,
    FT_REC_APPLIED,
    FT_REC_COPIED,
    FT_REC_ATTACH,
    FT_REC_ATTACHED,
    FT_REC_SWITCH,
    FT_REC_SWITCHED,
    FT_REC_SWITCHOVER = 28,
    FT_REC_PACKET,
    FT_REC_RECEIVED,
    FT_REC_COMPRESSED = 33,
    FT_REC__MAX,
    /* A peer that does not know it skips it */
    FT_REC_UPLINK = FT_WIRE_OPTIONAL | 27,
    FT_REC_OUTPUT = FT_WIRE_OPTIONAL | 31,
    FT_REC_INPUT = FT_WIRE_OPTIONAL | 32,
} FtRecType;

typedef enum FtPageKind {
    FT_PAGE_ZERO,
    FT_PAGE_RAW,
    FT_PAGE_DELTA,
} FtPageKind;

typedef enum FtDeviceKind {
    FT_DEVICE_FULL,
    FT_DEVICE_DELTA,
} FtDeviceKind;

typedef enum FtEndReason {
    FT_END_GUEST_OFF = 1,
    FT_END_STOPPED,
    FT_END_MACHINE_CHANGED,
    FT_END_GIVEN_UP,
} FtEndReason;

#define FT_COMMIT_HASHED 1u
#define FT_COMMIT_DURABLE 2u

typedef enum FtDiskKind {
    FT_DISK_WRITE,
    FT_DISK_ZERO,
    FT_DISK_DISCARD,
    FT_DISK_FLUSH,
    FT_DISK__MAX,
} FtDiskKind;

#define FT_DISK_MAY_UNMAP 1u

typedef struct QEMU_PACKED FtRecHeader {
    uint32_t type;
    uint32_t flags;
    uint32_t length;
    uint32_t check;
} FtRecHeader;

typedef struct QEMU_PACKED FtHelloWire {
    uint64_t magic;
    uint16_t major;
    uint16_t minor;
    uint32_t reserved;
} FtHelloWire;

typedef struct QEMU_PACKED FtWelcomeWire {
    uint16_t major;
    uint16_t minor;
    uint32_t reserved;
} FtWelcomeWire;

typedef struct QEMU_PACKED FtBeginWire {
    uint64_t epoch;
    uint32_t nblocks;
    uint32_t unacked;
} FtBeginWire;

typedef struct QEMU_PACKED FtDeviceWire {
    uint64_t full_length;
    uint64_t base_epoch;
    uint32_t kind;
    uint32_t reserved;
} FtDeviceWire;

typedef struct QEMU_PACKED FtCommitWire {
    uint64_t epoch;
    uint64_t npages;
    uint32_t flags;
    uint32_t reserved;
    uint64_t ram_hash;
    uint64_t device_hash;
} FtCommitWire;

typedef struct QEMU_PACKED FtCompressedWire {
    uint32_t type;
    uint32_t length;
} FtCompressedWire;

typedef struct QEMU_PACKED FtAckWire {
    uint64_t epoch;
    uint64_t stable;
} FtAckWire;

typedef struct QEMU_PACKED FtBeatWire {
    uint64_t counter;
    uint64_t echo;
    uint32_t loop_age_ms;
    uint32_t reserved;
} FtBeatWire;

typedef struct QEMU_PACKED FtEndWire {
    uint32_t reason;
    uint32_t reserved;
} FtEndWire;

typedef struct QEMU_PACKED FtDiskWire {
    uint64_t epoch;
    uint64_t offset;
    uint64_t length;
    uint16_t disk;
    uint8_t kind;
    uint8_t flags;
    uint32_t reserved;
} FtDiskWire;

typedef struct QEMU_PACKED FtDiskHashWire {
    uint64_t offset;
    uint32_t length;
    uint16_t disk;
    uint16_t reserved;
    uint8_t hash[FT_WIRE_DISK_HASH];
} FtDiskHashWire;

typedef struct QEMU_PACKED FtDiskSameWire {
    uint64_t offset;
    uint16_t disk;
    uint16_t same;
    uint32_t reserved;
} FtDiskSameWire;

typedef struct QEMU_PACKED FtAttachWire {
    uint8_t session[FT_WIRE_SESSION];
    uint32_t link;
    uint32_t reserved;
} FtAttachWire;

typedef struct QEMU_PACKED FtReceivedWire {
    uint64_t received;
    uint32_t loop_age_ms;
    uint32_t reserved;
} FtReceivedWire;

typedef struct QEMU_PACKED FtUplinkWire {
    uint32_t n;
    uint32_t reserved;
} FtUplinkWire;

typedef struct QEMU_PACKED FtUplinkNicWire {
    uint64_t nic;
    uint32_t state;
    uint32_t reserved;
} FtUplinkNicWire;

typedef struct QEMU_PACKED FtPacketWire {
    uint16_t queue;
    uint16_t header_length;
    uint16_t name_length;
    uint16_t reserved;
} FtPacketWire;

typedef struct QEMU_PACKED FtCarriedWire {
    uint64_t epoch;
    uint64_t released;
} FtCarriedWire;

typedef struct QEMU_PACKED FtCarriedPacketWire {
    uint32_t length;
    FtPacketWire packet;
} FtCarriedPacketWire;

typedef struct FtBeat {
    uint64_t counter;           /* from 1 */
    uint64_t echo;              /* of the last beat read, 0: none yet */
    uint32_t age_ms;            /* of the sender's main loop */
} FtBeat;

/* One decoded record; the payload stays in the caller's buffer */
typedef struct FtRecord {
    FtRecType type;
    const uint8_t *payload;
    uint32_t length;
    size_t total;               /* header and payload, to be consumed */
} FtRecord;

/* What a guest does to a disk, in host byte order */
typedef struct FtDiskOp {
    uint64_t epoch;
    uint64_t offset;
    uint64_t length;
    uint16_t disk;
    FtDiskKind kind;
    bool may_unmap;
    const uint8_t *data;        /* of a WRITE */
} FtDiskOp;

/* Question for the peer: is this part the same there? */
typedef struct FtDiskHash {
    uint64_t offset;
    uint32_t length;
    uint16_t disk;
    uint8_t hash[FT_WIRE_DISK_HASH];
} FtDiskHash;

typedef struct FtDiskSame {
    uint64_t offset;
    uint16_t disk;
    bool same;
} FtDiskSame;

/* A packet that came for the guest, or that it said */
typedef struct FtPacket {
    char *nic;                  /* name of its NIC */
    uint16_t queue;
    uint16_t header_length;     /* bytes of virtio header before it */
    const uint8_t *data;
    uint32_t length;
} FtPacket;

typedef struct FtPageEntry {
    uint8_t block;
    FtPageKind kind;
    uint64_t page;
    const uint8_t *data;
    uint32_t length;
} FtPageEntry;

/* The NICs of one side; the numbers of FtUplinkState go over the wire */
typedef struct FtUplinks {
    uint32_t n;
    struct {
        uint64_t nic;           /* hash of the path of its device */
        FtUplinkState state;
    } at[FT_WIRE_MAX_NICS];
} FtUplinks;

/* Commit record in host byte order */
typedef struct FtCommit {
    uint64_t epoch;
    uint64_t npages;
    bool hashed;
    bool durable;
    uint64_t ram_hash;
    uint64_t device_hash;
} FtCommit;

const char *ft_rec_name(uint32_t type);

/**
 * ft_wire_begin: open a record at the end of @out
 *
 * Returns the offset to hand to ft_wire_end(), which fills in length and
 * check.  The payload between them may not exceed FT_WIRE_MAX_PAYLOAD.
 */
size_t ft_wire_begin(GByteArray *out, FtRecType type);
void ft_wire_end(GByteArray *out, size_t start);

/** ft_wire_open_type: of the record that was opened at @start */
FtRecType ft_wire_open_type(const GByteArray *out, size_t start);

/**
 * ft_wire_seal: fill in the header at @rec of a record in one piece
 *
 * @length bytes of payload follow the header already.
 */
void ft_wire_seal(uint8_t *rec, FtRecType type, uint32_t length);

/** ft_wire_put: a whole record */
void ft_wire_put(GByteArray *out, FtRecType type,
                 const void *payload, size_t length);
void ft_wire_put_text(GByteArray *out, FtRecType type, const char *text);
void ft_wire_put_hello(GByteArray *out, const char *json);
void ft_wire_put_welcome(GByteArray *out);
void ft_wire_put_u64(GByteArray *out, FtRecType type, uint64_t value);
void ft_wire_put_ack(GByteArray *out, uint64_t epoch, uint64_t stable);
void ft_wire_put_beat(GByteArray *out, const FtBeat *beat);
void ft_wire_put_attach(GByteArray *out, const uint8_t *session,
                        uint32_t link);
void ft_wire_put_received(GByteArray *out, uint64_t received,
                          uint32_t age_ms);
void ft_wire_put_end(GByteArray *out, FtEndReason reason, const char *text);
/* @unacked: epochs before this one whose ACK has not been read yet */
void ft_wire_put_begin_epoch(GByteArray *out, uint64_t epoch, uint32_t unacked,
                             uint32_t nblocks, const uint64_t *used);
void ft_wire_put_commit(GByteArray *out, const FtCommit *c);
void ft_wire_put_uplinks(GByteArray *out, const FtUplinks *u);

/** ft_wire_put_page: one page entry; @data may be NULL when @length is 0 */
void ft_wire_put_page(GByteArray *out, uint8_t block, FtPageKind kind,
                      uint64_t page, const void *data, uint16_t length);

/* @p->nic is at most FT_WIRE_MAX_TEXT bytes long */
void ft_wire_put_packet(GByteArray *out, const FtPacket *p);

/**
 * ft_wire_begin_carried: open an OUTPUT or INPUT record
 *
 * ft_wire_put_carried() adds a packet, as above; ft_wire_end() ends it.
 */
size_t ft_wire_begin_carried(GByteArray *out, FtRecType type, uint64_t epoch,
                             uint64_t released);
void ft_wire_put_carried(GByteArray *out, const FtPacket *p);

/**
 * ft_wire_write_carried: the same at @to, which has room; returns its end
 *
 * Allocate nothing: also for the keeper.  ft_wire_carried_size() is what a
 * packet takes, sizeof(FtCarriedWire) what stands before the first.
 */
uint8_t *ft_wire_write_carried_head(uint8_t *to, uint64_t epoch,
                                    uint64_t released);
uint8_t *ft_wire_write_carried(uint8_t *to, const FtPacket *p);
size_t ft_wire_carried_size(const FtPacket *p);

/* wire-disk.c */

/** ft_wire_disk_head: the payload of a DISK record up to its data */
void ft_wire_disk_head(FtDiskWire *w, const FtDiskOp *op);
void ft_wire_put_disk(GByteArray *out, const FtDiskOp *op);
void ft_wire_put_disk_hash(GByteArray *out, const FtDiskHash *h);
void ft_wire_put_disk_same(GByteArray *out, const FtDiskSame *a);

/*
 * @sizes[] holds the bytes of each of the @ndisks disks.  False with @errp
 * set when a range, a kind or a length is not allowed.
 */
bool ft_wire_get_disk(const FtRecord *rec, uint32_t ndisks,
                      const uint64_t *sizes, FtDiskOp *op, Error **errp);
bool ft_wire_get_disk_hash(const FtRecord *rec, uint32_t ndisks,
                           const uint64_t *sizes, FtDiskHash *h,
                           Error **errp);
bool ft_wire_get_disk_same(const FtRecord *rec, uint32_t ndisks,
                           FtDiskSame *a, Error **errp);

/**
 * ft_wire_next: decode the record that starts at @buf
 *
 * Returns 1 with @rec filled in, 0 when more bytes are needed, -1 with
 * @errp set when the peer has broken the protocol.  Lengths are checked
 * against the limits of the type before the payload has arrived.
 */
int ft_wire_next(const uint8_t *buf, size_t len, FtRecord *rec,
                 Error **errp);

/*
 * Decoders of payloads.  True with the result filled in, or false with
 * @errp set to one sentence that names the record.
 */
bool ft_wire_get_hello(const FtRecord *rec, char **json, Error **errp);
/* @minor: the lower of both */
bool ft_wire_get_welcome(const FtRecord *rec, uint16_t *minor, Error **errp);
char *ft_wire_get_text(const FtRecord *rec);
/** ft_wire_get_packet: @p->nic is to be freed; the data stay in @rec */
bool ft_wire_get_packet(const FtRecord *rec, FtPacket *p, Error **errp);
uint64_t ft_wire_get_u64(const FtRecord *rec);
void ft_wire_get_ack(const FtRecord *rec, uint64_t *epoch, uint64_t *stable);
void ft_wire_get_beat(const FtRecord *rec, FtBeat *beat);
/* @session stays in the record; @link is below FT_WIRE_MAX_LINKS */
bool ft_wire_get_attach(const FtRecord *rec, const uint8_t **session,
                        uint32_t *link, Error **errp);
void ft_wire_get_received(const FtRecord *rec, uint64_t *received,
                          uint32_t *age_ms);
bool ft_wire_get_end(const FtRecord *rec, FtEndReason *reason, char **text,
                     Error **errp);
/**
 * ft_wire_begin_proves: the last epoch whose ACK the sender of BEGIN had read
 *
 * 0: none.  The primary was in session then; see note_stall().
 */
uint64_t ft_wire_begin_proves(const FtRecord *rec);
bool ft_wire_get_begin_epoch(const FtRecord *rec, uint64_t *epoch,
                             uint32_t nblocks, uint64_t *used, Error **errp);
void ft_wire_get_commit(const FtRecord *rec, FtCommit *c);
bool ft_wire_get_uplinks(const FtRecord *rec, FtUplinks *u, Error **errp);

/**
 * ft_wire_get_carried: the head of an OUTPUT or INPUT
 *
 * @pos, @end: where its packets are.  All of them have been checked.
 */
bool ft_wire_get_carried(const FtRecord *rec, uint64_t *epoch,
                         uint64_t *released, const uint8_t **pos,
                         const uint8_t **end, Error **errp);

/** ft_wire_next_carried: false at the end; @p->nic is to be freed */
bool ft_wire_next_carried(const uint8_t **pos, const uint8_t *end,
                          FtPacket *p);

/**
 * ft_wire_next_page: take the next page entry from *@pos
 *
 * @npages[] holds the number of pages of each of the @nblocks blocks.
 * Returns 1 with @e filled in and *@pos advanced, 0 at @end, -1 with @errp
 * set.  The runs of a DELTA are checked too: applying it cannot fail.
 */
int ft_wire_next_page(const uint8_t **pos, const uint8_t *end,
                      uint32_t page_size, uint32_t nblocks,
                      const uint64_t *npages, FtPageEntry *e, Error **errp);

/**
 * ft_wire_device_valid: check a DEVICE record against what is known
 *
 * @have_full: bytes of FULL received so far in this epoch
 * @base_length, @base_epoch: the committed device state, 0 when there is
 *     none
 */
bool ft_wire_device_valid(const FtRecord *rec, uint64_t have_full,
                          uint64_t base_length, uint64_t base_epoch,
                          Error **errp);

#endif
