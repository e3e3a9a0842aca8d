/*
 * QEMU-FT: encoding and decoding of the wire format
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The only place that looks at bytes from a peer before they have been
 * checked.  Decoders are pure functions on memory, so that the unit test
 * and a fuzzer can drive them without a connection.
 */
#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "delta.h"
#include "hash.h"
#include "wire.h"

#define HDR sizeof(FtRecHeader)

/* Least and largest payload of each type */
static const struct {
    const char *name;
    uint32_t min, max;
} rec_types[FT_REC__MAX] = {
    [FT_REC_HELLO] = { "HELLO", sizeof(FtHelloWire) + 2,
                       FT_WIRE_MAX_PAYLOAD },
    [FT_REC_WELCOME] = { "WELCOME", sizeof(FtWelcomeWire),
                         sizeof(FtWelcomeWire) },
    [FT_REC_REFUSE] = { "REFUSE", 0, FT_WIRE_MAX_TEXT },
    [FT_REC_COPY] = { "COPY", 0, FT_WIRE_MAX_PAYLOAD },
    [FT_REC_BEGIN] = { "BEGIN", sizeof(FtBeginWire),
                       sizeof(FtBeginWire) + 8 * FT_WIRE_MAX_BLOCKS },
    [FT_REC_PAGES] = { "PAGES", 0, FT_WIRE_MAX_PAYLOAD },
    [FT_REC_DEVICE] = { "DEVICE", sizeof(FtDeviceWire),
                        FT_WIRE_MAX_PAYLOAD },
    [FT_REC_COMMIT] = { "COMMIT", sizeof(FtCommitWire),
                        sizeof(FtCommitWire) },
    [FT_REC_ACK] = { "ACK", sizeof(FtAckWire), sizeof(FtAckWire) },
    [FT_REC_BEAT] = { "BEAT", sizeof(FtBeatWire), sizeof(FtBeatWire) },
    [FT_REC_END] = { "END", sizeof(FtEndWire),
                     sizeof(FtEndWire) + FT_WIRE_MAX_TEXT },
    [FT_REC_ENDED] = { "ENDED", 0, 0 },
    [FT_REC_TAKEOVER] = { "TAKEOVER", 8, 8 },
    [FT_REC_FAILED] = { "FAILED", 0, FT_WIRE_MAX_TEXT },
    [FT_REC_DISK] = { "DISK", sizeof(FtDiskWire),
                      sizeof(FtDiskWire) + FT_WIRE_MAX_DISK_DATA },
    [FT_REC_DISKHASH] = { "DISKHASH", sizeof(FtDiskHashWire),
                          sizeof(FtDiskHashWire) },
    [FT_REC_DISKSAME] = { "DISKSAME", sizeof(FtDiskSameWire),
                          sizeof(FtDiskSameWire) },
    [FT_REC_DISKBAD] = { "DISKBAD", 0, FT_WIRE_MAX_TEXT },
    [FT_REC_HANDOVER] = { "HANDOVER", 0, FT_WIRE_MAX_TEXT },
    [FT_REC_STABLE] = { "STABLE", 8, 8 },
    [FT_REC_APPLIED] = { "APPLIED", 8, 8 },
    [FT_REC_COPIED] = { "COPIED", 8, 8 },
    [FT_REC_ATTACH] = { "ATTACH", sizeof(FtAttachWire),
                        sizeof(FtAttachWire) },
    [FT_REC_ATTACHED] = { "ATTACHED", 0, 0 },
    [FT_REC_SWITCH] = { "SWITCH", 8, 8 },
    [FT_REC_SWITCHED] = { "SWITCHED", 8, 8 },
    [FT_REC_RECEIVED] = { "RECEIVED", sizeof(FtReceivedWire),
                          sizeof(FtReceivedWire) },
    [FT_REC_COMPRESSED] = { "COMPRESSED", sizeof(FtCompressedWire) + 1,
                            FT_WIRE_MAX_PAYLOAD },
    [FT_REC_SWITCHOVER] = { "SWITCHOVER", 0, FT_WIRE_MAX_TEXT },
    [FT_REC_PACKET] = { "PACKET", sizeof(FtPacketWire),
                        FT_WIRE_MAX_PACKET + FT_WIRE_MAX_TEXT +
                        sizeof(FtPacketWire) },
};

const char *ft_rec_name(uint32_t type)
{
    switch (type) {
    case FT_REC_UPLINK:
        return "UPLINK";
    case FT_REC_OUTPUT:
        return "OUTPUT";
    case FT_REC_INPUT:
        return "INPUT";
    }
    return type < FT_REC__MAX && rec_types[type].name ?
           rec_types[type].name : "unknown";
}

/* The check covers the header up to the check itself, and the payload */
static uint32_t rec_check(const uint8_t *rec, uint32_t length)
{
    uint64_t seed = ft_hash(rec, offsetof(FtRecHeader, check), 0);

    return ft_hash(rec + HDR, length, seed);
}

/* Encoders */

void ft_wire_seal(uint8_t *rec, FtRecType type, uint32_t length)
{
    assert(length <= FT_WIRE_MAX_PAYLOAD);
    stl_be_p(rec + offsetof(FtRecHeader, type), type);
    stl_be_p(rec + offsetof(FtRecHeader, flags), 0);
    stl_be_p(rec + offsetof(FtRecHeader, length), length);
    stl_be_p(rec + offsetof(FtRecHeader, check), rec_check(rec, length));
}

size_t ft_wire_begin(GByteArray *out, FtRecType type)
{
    FtRecHeader h = { .type = cpu_to_be32(type) };
    size_t start = out->len;

    g_byte_array_append(out, (const guint8 *)&h, HDR);
    return start;
}

FtRecType ft_wire_open_type(const GByteArray *out, size_t start)
{
    return ldl_be_p(out->data + start + offsetof(FtRecHeader, type));
}

void ft_wire_end(GByteArray *out, size_t start)
{
    uint8_t *rec = out->data + start;
    uint32_t length = out->len - start - HDR;

    assert(length <= FT_WIRE_MAX_PAYLOAD);
    stl_be_p(rec + offsetof(FtRecHeader, length), length);
    stl_be_p(rec + offsetof(FtRecHeader, check), rec_check(rec, length));
}

void ft_wire_put(GByteArray *out, FtRecType type,
                 const void *payload, size_t length)
{
    size_t start = ft_wire_begin(out, type);

    if (length) {
        g_byte_array_append(out, payload, length);
    }
    ft_wire_end(out, start);
}

void ft_wire_put_text(GByteArray *out, FtRecType type, const char *text)
{
    ft_wire_put(out, type, text, MIN(strlen(text), FT_WIRE_MAX_TEXT));
}

static uint8_t *write_bytes(uint8_t *to, const void *data, size_t len)
{
    memcpy(to, data, len);
    return to + len;
}

static size_t packet_size(const FtPacket *p)
{
    return sizeof(FtPacketWire) + strlen(p->nic) + p->length;
}

static uint8_t *write_packet(uint8_t *to, const FtPacket *p)
{
    uint16_t name_length = strlen(p->nic);
    FtPacketWire w = {
        .queue = cpu_to_be16(p->queue),
        .header_length = cpu_to_be16(p->header_length),
        .name_length = cpu_to_be16(name_length),
    };

    to = write_bytes(to, &w, sizeof(w));
    to = write_bytes(to, p->nic, name_length);
    return write_bytes(to, p->data, p->length);
}

static uint8_t *grow(GByteArray *out, size_t len)
{
    size_t at = out->len;

    g_byte_array_set_size(out, at + len);
    return out->data + at;
}

void ft_wire_put_packet(GByteArray *out, const FtPacket *p)
{
    size_t start = ft_wire_begin(out, FT_REC_PACKET);

    write_packet(grow(out, packet_size(p)), p);
    ft_wire_end(out, start);
}

uint8_t *ft_wire_write_carried_head(uint8_t *to, uint64_t epoch,
                                    uint64_t released)
{
    FtCarriedWire w = {
        .epoch = cpu_to_be64(epoch),
        .released = cpu_to_be64(released),
    };

    return write_bytes(to, &w, sizeof(w));
}

size_t ft_wire_carried_size(const FtPacket *p)
{
    return sizeof(uint32_t) + packet_size(p);
}

uint8_t *ft_wire_write_carried(uint8_t *to, const FtPacket *p)
{
    uint32_t length = cpu_to_be32(p->length);

    return write_packet(write_bytes(to, &length, sizeof(length)), p);
}

size_t ft_wire_begin_carried(GByteArray *out, FtRecType type, uint64_t epoch,
                             uint64_t released)
{
    size_t start = ft_wire_begin(out, type);

    ft_wire_write_carried_head(grow(out, sizeof(FtCarriedWire)), epoch,
                               released);
    return start;
}

void ft_wire_put_carried(GByteArray *out, const FtPacket *p)
{
    ft_wire_write_carried(grow(out, ft_wire_carried_size(p)), p);
}

void ft_wire_put_hello(GByteArray *out, const char *json)
{
    FtHelloWire h = {
        .magic = cpu_to_be64(FT_WIRE_MAGIC),
        .major = cpu_to_be16(FT_WIRE_MAJOR),
        .minor = cpu_to_be16(FT_WIRE_MINOR),
    };
    size_t start = ft_wire_begin(out, FT_REC_HELLO);

    g_byte_array_append(out, (const guint8 *)&h, sizeof(h));
    g_byte_array_append(out, (const guint8 *)json, strlen(json));
    ft_wire_end(out, start);
}

void ft_wire_put_welcome(GByteArray *out)
{
    FtWelcomeWire w = {
        .major = cpu_to_be16(FT_WIRE_MAJOR),
        .minor = cpu_to_be16(FT_WIRE_MINOR),
    };

    ft_wire_put(out, FT_REC_WELCOME, &w, sizeof(w));
}

void ft_wire_put_u64(GByteArray *out, FtRecType type, uint64_t value)
{
    uint64_t be = cpu_to_be64(value);

    ft_wire_put(out, type, &be, sizeof(be));
}

void ft_wire_put_ack(GByteArray *out, uint64_t epoch, uint64_t stable)
{
    FtAckWire a = {
        .epoch = cpu_to_be64(epoch),
        .stable = cpu_to_be64(stable),
    };

    ft_wire_put(out, FT_REC_ACK, &a, sizeof(a));
}

void ft_wire_put_beat(GByteArray *out, const FtBeat *beat)
{
    FtBeatWire b = {
        .counter = cpu_to_be64(beat->counter),
        .echo = cpu_to_be64(beat->echo),
        .loop_age_ms = cpu_to_be32(beat->age_ms),
    };

    ft_wire_put(out, FT_REC_BEAT, &b, sizeof(b));
}

void ft_wire_put_attach(GByteArray *out, const uint8_t *session,
                        uint32_t link)
{
    FtAttachWire a = { .link = cpu_to_be32(link) };

    memcpy(a.session, session, sizeof(a.session));
    ft_wire_put(out, FT_REC_ATTACH, &a, sizeof(a));
}

void ft_wire_put_received(GByteArray *out, uint64_t received,
                          uint32_t age_ms)
{
    FtReceivedWire r = {
        .received = cpu_to_be64(received),
        .loop_age_ms = cpu_to_be32(age_ms),
    };

    ft_wire_put(out, FT_REC_RECEIVED, &r, sizeof(r));
}

void ft_wire_put_end(GByteArray *out, FtEndReason reason, const char *text)
{
    FtEndWire e = { .reason = cpu_to_be32(reason) };
    size_t start = ft_wire_begin(out, FT_REC_END);

    g_byte_array_append(out, (const guint8 *)&e, sizeof(e));
    g_byte_array_append(out, (const guint8 *)text,
                        MIN(strlen(text), FT_WIRE_MAX_TEXT));
    ft_wire_end(out, start);
}

void ft_wire_put_begin_epoch(GByteArray *out, uint64_t epoch, uint32_t unacked,
                             uint32_t nblocks, const uint64_t *used)
{
    FtBeginWire b = {
        .epoch = cpu_to_be64(epoch),
        .nblocks = cpu_to_be32(nblocks),
        .unacked = cpu_to_be32(unacked),
    };
    size_t start = ft_wire_begin(out, FT_REC_BEGIN);

    g_byte_array_append(out, (const guint8 *)&b, sizeof(b));
    for (uint32_t i = 0; i < nblocks; i++) {
        uint64_t be = cpu_to_be64(used[i]);

        g_byte_array_append(out, (const guint8 *)&be, sizeof(be));
    }
    ft_wire_end(out, start);
}

void ft_wire_put_commit(GByteArray *out, const FtCommit *c)
{
    FtCommitWire w = {
        .epoch = cpu_to_be64(c->epoch),
        .npages = cpu_to_be64(c->npages),
        .flags = cpu_to_be32((c->hashed ? FT_COMMIT_HASHED : 0) |
                             (c->durable ? FT_COMMIT_DURABLE : 0)),
        .ram_hash = cpu_to_be64(c->ram_hash),
        .device_hash = cpu_to_be64(c->device_hash),
    };

    ft_wire_put(out, FT_REC_COMMIT, &w, sizeof(w));
}

void ft_wire_put_uplinks(GByteArray *out, const FtUplinks *u)
{
    FtUplinkWire w = { .n = cpu_to_be32(u->n) };
    size_t start = ft_wire_begin(out, FT_REC_UPLINK);

    g_byte_array_append(out, (const guint8 *)&w, sizeof(w));
    for (uint32_t i = 0; i < u->n; i++) {
        FtUplinkNicWire nic = {
            .nic = cpu_to_be64(u->at[i].nic),
            .state = cpu_to_be32(u->at[i].state),
        };

        g_byte_array_append(out, (const guint8 *)&nic, sizeof(nic));
    }
    ft_wire_end(out, start);
}

void ft_wire_put_page(GByteArray *out, uint8_t block, FtPageKind kind,
                      uint64_t page, const void *data, uint16_t length)
{
    uint64_t head = cpu_to_be64((uint64_t)block << 56 |
                                (uint64_t)kind << 52 |
                                (uint64_t)length << FT_WIRE_PAGE_BITS |
                                page);

    g_byte_array_append(out, (const guint8 *)&head, sizeof(head));
    if (length) {
        g_byte_array_append(out, data, length);
    }
}

/* Decoders */

int ft_wire_next(const uint8_t *buf, size_t len, FtRecord *rec,
                 Error **errp)
{
    uint32_t type, length;

    if (len < HDR) {
        return 0;
    }
    type = ldl_be_p(buf + offsetof(FtRecHeader, type));
    length = ldl_be_p(buf + offsetof(FtRecHeader, length));
    if (type >= FT_REC__MAX || !rec_types[type].name) {
        if (!(type & FT_WIRE_OPTIONAL) || length > FT_WIRE_MAX_PAYLOAD) {
            error_setg(errp, "the peer sent a record of unknown type 0x%x",
                       type);
            return -1;
        }
    } else if (length < rec_types[type].min || length > rec_types[type].max) {
        error_setg(errp, "the peer sent a %s record of %" PRIu32 " bytes",
                   rec_types[type].name, length);
        return -1;
    }
    if (len < HDR + length) {
        return 0;
    }
    if (ldl_be_p(buf + offsetof(FtRecHeader, check)) !=
        rec_check(buf, length)) {
        error_setg(errp, "a %s record from the peer was damaged on its way",
                   ft_rec_name(type));
        return -1;
    }
    rec->type = type;
    rec->payload = buf + HDR;
    rec->length = length;
    rec->total = HDR + length;
    return 1;
}

bool ft_wire_get_hello(const FtRecord *rec, char **json, Error **errp)
{
    const FtHelloWire *h = (const void *)rec->payload;

    if (be64_to_cpu(h->magic) != FT_WIRE_MAGIC) {
        error_setg(errp, "the peer does not speak the QEMU-FT protocol");
        return false;
    }
    if (be16_to_cpu(h->major) != FT_WIRE_MAJOR) {
        error_setg(errp, "the peer speaks version %u of the protocol, "
                   "this QEMU speaks version %u",
                   be16_to_cpu(h->major), FT_WIRE_MAJOR);
        return false;
    }
    *json = g_strndup((const char *)rec->payload + sizeof(*h),
                      rec->length - sizeof(*h));
    return true;
}

bool ft_wire_get_welcome(const FtRecord *rec, uint16_t *minor, Error **errp)
{
    const FtWelcomeWire *w = (const void *)rec->payload;

    if (be16_to_cpu(w->major) != FT_WIRE_MAJOR) {
        error_setg(errp, "the peer speaks version %u of the protocol, "
                   "this QEMU speaks version %u",
                   be16_to_cpu(w->major), FT_WIRE_MAJOR);
        return false;
    }
    *minor = MIN(be16_to_cpu(w->minor), FT_WIRE_MINOR);
    return true;
}

static char *payload_text(const uint8_t *text, size_t len)
{
    g_autofree char *raw = g_strndup((const char *)text, len);
    char *utf8 = g_utf8_make_valid(raw, -1);

    for (char *p = utf8; *p; p++) {
        if ((unsigned char)*p < ' ' || *p == 0x7f) {
            *p = '?';
        }
    }
    return utf8;
}

bool ft_wire_get_packet(const FtRecord *rec, FtPacket *p, Error **errp)
{
    const FtPacketWire *w = (const void *)rec->payload;
    uint32_t name = be16_to_cpu(w->name_length);
    uint32_t left = rec->length - sizeof(*w);

    if (name > FT_WIRE_MAX_TEXT || name >= left ||
        left - name > FT_WIRE_MAX_PACKET) {
        error_setg(errp, "a PACKET of %" PRIu32 " bytes with a name of %"
                   PRIu32, left, name);
        return false;
    }
    *p = (FtPacket) {
        .nic = payload_text(rec->payload + sizeof(*w), name),
        .queue = be16_to_cpu(w->queue),
        .header_length = be16_to_cpu(w->header_length),
        .data = rec->payload + sizeof(*w) + name,
        .length = left - name,
    };
    return true;
}

char *ft_wire_get_text(const FtRecord *rec)
{
    return payload_text(rec->payload, rec->length);
}

uint64_t ft_wire_get_u64(const FtRecord *rec)
{
    return ldq_be_p(rec->payload);
}

void ft_wire_get_ack(const FtRecord *rec, uint64_t *epoch, uint64_t *stable)
{
    const FtAckWire *a = (const void *)rec->payload;

    *epoch = be64_to_cpu(a->epoch);
    *stable = be64_to_cpu(a->stable);
}

void ft_wire_get_beat(const FtRecord *rec, FtBeat *beat)
{
    const FtBeatWire *b = (const void *)rec->payload;

    *beat = (FtBeat) {
        .counter = be64_to_cpu(b->counter),
        .echo = be64_to_cpu(b->echo),
        .age_ms = be32_to_cpu(b->loop_age_ms),
    };
}

bool ft_wire_get_attach(const FtRecord *rec, const uint8_t **session,
                        uint32_t *link, Error **errp)
{
    const FtAttachWire *a = (const void *)rec->payload;
    uint32_t n = be32_to_cpu(a->link);

    if (n >= FT_WIRE_MAX_LINKS) {
        error_setg(errp, "the peer wants to attach link %" PRIu32, n);
        return false;
    }
    *session = a->session;
    *link = n;
    return true;
}

void ft_wire_get_received(const FtRecord *rec, uint64_t *received,
                          uint32_t *age_ms)
{
    const FtReceivedWire *r = (const void *)rec->payload;

    *received = be64_to_cpu(r->received);
    *age_ms = be32_to_cpu(r->loop_age_ms);
}

bool ft_wire_get_end(const FtRecord *rec, FtEndReason *reason, char **text,
                     Error **errp)
{
    uint32_t r = ldl_be_p(rec->payload);

    if (r < FT_END_GUEST_OFF || r > FT_END_GIVEN_UP) {
        error_setg(errp, "the peer sent END with unknown reason %" PRIu32, r);
        return false;
    }
    *reason = r;
    *text = payload_text(rec->payload + sizeof(FtEndWire),
                         rec->length - sizeof(FtEndWire));
    return true;
}

uint64_t ft_wire_begin_proves(const FtRecord *rec)
{
    const FtBeginWire *b = (const void *)rec->payload;
    uint64_t epoch = be64_to_cpu(b->epoch);
    uint64_t since = 1ULL + be32_to_cpu(b->unacked);

    return epoch > since ? epoch - since : 0;
}

bool ft_wire_get_begin_epoch(const FtRecord *rec, uint64_t *epoch,
                             uint32_t nblocks, uint64_t *used, Error **errp)
{
    const FtBeginWire *b = (const void *)rec->payload;
    const uint8_t *p = rec->payload + sizeof(*b);

    if (be32_to_cpu(b->nblocks) != nblocks ||
        rec->length != sizeof(*b) + 8 * nblocks) {
        error_setg(errp, "the peer sent BEGIN for %" PRIu32 " RAM blocks, "
                   "this machine has %" PRIu32,
                   be32_to_cpu(b->nblocks), nblocks);
        return false;
    }
    *epoch = be64_to_cpu(b->epoch);
    for (uint32_t i = 0; i < nblocks; i++) {
        used[i] = ldq_be_p(p + 8 * i);
    }
    return true;
}

void ft_wire_get_commit(const FtRecord *rec, FtCommit *c)
{
    const FtCommitWire *w = (const void *)rec->payload;

    *c = (FtCommit) {
        .epoch = be64_to_cpu(w->epoch),
        .npages = be64_to_cpu(w->npages),
        .hashed = be32_to_cpu(w->flags) & FT_COMMIT_HASHED,
        .durable = be32_to_cpu(w->flags) & FT_COMMIT_DURABLE,
        .ram_hash = be64_to_cpu(w->ram_hash),
        .device_hash = be64_to_cpu(w->device_hash),
    };
}

bool ft_wire_get_uplinks(const FtRecord *rec, FtUplinks *u, Error **errp)
{
    const FtUplinkWire *w = (const void *)rec->payload;
    const FtUplinkNicWire *nic = (const void *)(w + 1);

    QEMU_BUILD_BUG_ON(FT_UPLINK_STATE_UNKNOWN != 0 ||
                      FT_UPLINK_STATE_UP != 1 || FT_UPLINK_STATE_DOWN != 2);
    if (rec->length < sizeof(*w) ||
        be32_to_cpu(w->n) > FT_WIRE_MAX_NICS ||
        rec->length != sizeof(*w) + be32_to_cpu(w->n) * sizeof(*nic)) {
        error_setg(errp, "the peer sent UPLINK with a wrong number of NICs");
        return false;
    }
    u->n = be32_to_cpu(w->n);
    for (uint32_t i = 0; i < u->n; i++) {
        uint32_t state = be32_to_cpu(nic[i].state);

        if (state > FT_UPLINK_STATE_DOWN) {
            error_setg(errp, "the peer sent UPLINK with unknown state %"
                       PRIu32, state);
            return false;
        }
        u->at[i].nic = be64_to_cpu(nic[i].nic);
        u->at[i].state = state;
    }
    return true;
}

/* Bytes of the packet at @pos with its head; 0: it cannot be one */
static size_t carried_size(const uint8_t *pos, size_t left)
{
    const FtCarriedPacketWire *w = (const void *)pos;
    uint32_t length, name;

    if (left < sizeof(*w)) {
        return 0;
    }
    length = be32_to_cpu(w->length);
    name = be16_to_cpu(w->packet.name_length);
    if (length > FT_WIRE_MAX_PACKET || name > FT_WIRE_MAX_TEXT ||
        length <= be16_to_cpu(w->packet.header_length) ||
        left - sizeof(*w) < (size_t)length + name) {
        return 0;
    }
    return sizeof(*w) + length + name;
}

bool ft_wire_get_carried(const FtRecord *rec, uint64_t *epoch,
                         uint64_t *released, const uint8_t **pos,
                         const uint8_t **end, Error **errp)
{
    const FtCarriedWire *w = (const void *)rec->payload;
    size_t at = sizeof(*w), n = 1;

    while (at < rec->length && n) {
        n = carried_size(rec->payload + at, rec->length - at);
        at += n;
    }
    if (at != rec->length) {
        error_setg(errp, "the peer sent %s with a packet that does not fit",
                   ft_rec_name(rec->type));
        return false;
    }
    *epoch = be64_to_cpu(w->epoch);
    *released = be64_to_cpu(w->released);
    *pos = (const uint8_t *)(w + 1);
    *end = rec->payload + rec->length;
    return true;
}

bool ft_wire_next_carried(const uint8_t **pos, const uint8_t *end,
                          FtPacket *p)
{
    const FtCarriedPacketWire *w = (const void *)*pos;
    const uint8_t *name = (const uint8_t *)(w + 1);
    uint32_t name_length;

    if (*pos == end) {
        return false;
    }
    name_length = be16_to_cpu(w->packet.name_length);
    *p = (FtPacket) {
        .nic = payload_text(name, name_length),
        .queue = be16_to_cpu(w->packet.queue),
        .header_length = be16_to_cpu(w->packet.header_length),
        .data = name + name_length,
        .length = be32_to_cpu(w->length),
    };
    *pos = p->data + p->length;
    return true;
}

int ft_wire_next_page(const uint8_t **pos, const uint8_t *end,
                      uint32_t page_size, uint32_t nblocks,
                      const uint64_t *npages, FtPageEntry *e, Error **errp)
{
    const uint8_t *p = *pos;
    uint64_t head;
    bool fits;

    if (p == end) {
        return 0;
    }
    if (end - p < 8) {
        error_setg(errp, "the peer sent a page entry that is cut short");
        return -1;
    }
    head = ldq_be_p(p);
    p += 8;
    e->block = head >> 56;
    e->kind = (head >> 52) & 0xf;
    e->length = (head >> FT_WIRE_PAGE_BITS) & 0xffff;
    e->page = head & ((1ULL << FT_WIRE_PAGE_BITS) - 1);
    e->data = p;
    if (e->block >= nblocks || e->page >= npages[e->block]) {
        error_setg(errp, "the peer sent page %" PRIu64 " of RAM block %u, "
                   "which this machine does not have", e->page, e->block);
        return -1;
    }
    fits = e->length <= end - p;
    switch (e->kind) {
    case FT_PAGE_ZERO:
        fits = fits && e->length == 0;
        break;
    case FT_PAGE_RAW:
        fits = fits && e->length == page_size;
        break;
    case FT_PAGE_DELTA:
        fits = fits && e->length < page_size &&
               ft_page_delta_valid(p, e->length, page_size);
        break;
    default:
        fits = false;
    }
    if (!fits) {
        error_setg(errp, "the peer sent a malformed entry for page %" PRIu64
                   " of RAM block %u", e->page, e->block);
        return -1;
    }
    *pos = p + e->length;
    return 1;
}

bool ft_wire_device_valid(const FtRecord *rec, uint64_t have_full,
                          uint64_t base_length, uint64_t base_epoch,
                          Error **errp)
{
    const FtDeviceWire *d = (const void *)rec->payload;
    const uint8_t *data = rec->payload + sizeof(*d);
    uint64_t full = be64_to_cpu(d->full_length);
    uint64_t base = be64_to_cpu(d->base_epoch);
    size_t len = rec->length - sizeof(*d);

    if (!full || full > FT_WIRE_MAX_DEVICE) {
        error_setg(errp, "the peer sent a device state of %" PRIu64 " bytes",
                   full);
        return false;
    }
    switch (be32_to_cpu(d->kind)) {
    case FT_DEVICE_FULL:
        if (base == 0 && len > 8 && ldq_be_p(data) == have_full &&
            have_full <= full && len - 8 <= full - have_full) {
            return true;
        }
        break;
    case FT_DEVICE_DELTA:
        if (have_full == 0 && base_length == full && base == base_epoch &&
            base != 0 && ft_device_delta_valid(data, len, full)) {
            return true;
        }
        break;
    }
    error_setg(errp, "the peer sent a malformed piece of device state");
    return false;
}
