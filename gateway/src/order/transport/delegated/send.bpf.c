// The programs beside a delegated connection. An order's segment leaves first by an AF_XDP socket, then the kernel's
// TCP sends the same bytes at the same numbers. `leave` (TCX, egress) takes that first copy away; `arrive` (XDP)
// lowers an acknowledgement that the kernel could not believe yet.
//
//   kernel's TCP ── leave ──> of the fast segment's bytes? ── no, or any doubt ──────────> wire
//                                        └ yes ── newer acknowledgement or window? ──────> wire, without its bytes
//                                                └ acknowledged already ─────────────────> back to the kernel: the
//                                                │                       acknowledgement that `arrive` had lowered
//                                                └ else ─────────────────────────────────> nowhere; TCP believes it sent
//   wire ── arrive ──> names bytes that the kernel has not sent ── lowered ──> kernel's TCP
//
// Any doubt passes: the exchange's TCP then sees bytes that it has, at numbers that it has, and drops them.
//
// Who writes what: the gateway the first line of `lane`; `leave` the second and third, whoever has the turn, each change
// between two steps of `version`; `arrive` the fourth. A connection's packets leave under its socket's lock, one at a time, but
// those of no socket (TIME_WAIT) come beside it: hence the turn. `leave` reads the first line before it moves `next` on: the
// gateway announces the next segment once it has seen that, so one that is announced later cannot be taken for the one before.
// `leave` moves `next` on and then
// reads `lowered`; `arrive` writes `lowered` and then reads `next`: both with an atomic exchange between, so that at least one
// of the two sees the other, and no acknowledgement is kept from the kernel for good.
//
// It knows no libbpf and no kernel headers, so that clang alone builds it.

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef int s32;
typedef unsigned long long u64;

#define SECTION(name) __attribute__((section(name), used))
#define INLINE static inline __attribute__((always_inline))
#define ONCE(it) (*(volatile typeof(it) *)&(it))

struct xdp_md {
    u32 data;
    u32 data_end;
};

struct __sk_buff {
    u32 len;
    u32 pkt_type;
    u32 mark;
    u32 queue_mapping;
    u32 protocol;
    u32 vlan_present;
    u32 skipped[4];
    u32 ifindex;
    u32 skipped_too[8];
    u32 data;
    u32 data_end;
    u32 skipped_last[20];
    u32 gso_segs;
};

enum { XDP_PASS = 2 };
enum { TCX_NEXT = -1 };
enum { MAP_ARRAY = 2, MAP_PERCPU_ARRAY = 6 };
enum { MMAPABLE = 1024 };
enum { TO_INGRESS = 1 };
enum { OF_PSEUDO_HEADER = 16 };

static void *(*const map_lookup)(void *map, const void *key) = (void *)1;
static long (*const store_bytes)(struct __sk_buff *, u32 at, const void *from, u32 len, u64 flags) = (void *)9;
static long (*const replace_l3)(struct __sk_buff *, u32 at, u64 from, u64 to, u64 size) = (void *)10;
static long (*const replace_l4)(struct __sk_buff *, u32 at, u64 from, u64 to, u64 flags) = (void *)11;
static long (*const clone_redirect)(struct __sk_buff *, u32 ifindex, u64 flags) = (void *)13;
static long (*const redirect)(u32 ifindex, u64 flags) = (void *)23;
static long (*const csum_diff)(const void *from, u32 from_len, const void *to, u32 to_len, u32 sum) = (void *)28;
static long (*const change_tail)(struct __sk_buff *, u32 len, u64 flags) = (void *)38;
static long (*const load_bytes)(struct xdp_md *, u32 at, void *to, u32 len) = (void *)189;

// What happens, in the order of `COUNTS` on the Rust side.
enum {
    STOLEN,
    TRIMMED,
    RETURNED,
    RAISED,
    LOWERED,
    PASSED_ORDINARY,
    PASSED_HEADERS,
    PASSED_OPTIONS,
    PASSED_CLOCK,
    PASSED_AGAIN,
    PASSED_FAILED,
    PASSED_SPLIT,
    UNBELIEVED,
    UNACCEPTABLE,
    COUNTS,
};

// Bits of `mode`; above them the connection's number, so that a packet of the one before can be told.
enum { WATCH = 1, STEAL = 2, LOWER = 4 };

#define OTHER_OPTIONS 255

// The mark of a packet that this program sends a second time.
#define SENT_AGAIN 0x74696B74

// The first 34 bytes of a frame: Ethernet and IPv4 without options.
#define HEADER 34

// `Lane` on the Rust side. Addresses and ports as on the wire, all else in the host's order.
struct lane {
    u32 mode;
    u32 local, remote;
    u16 local_port, remote_port;
    u32 fast_from, fast_upto;
    u32 fast_ack, fast_window, fast_clock, fast_header;
    u32 fast_most; // The end of the longest segment that may have left: what is taken back may leave all the same.
    u32 unused[5];

    u32 version;
    u32 start, next;
    u32 ack, window;
    u32 clock, echo;
    u32 options; // Bytes: 0, or 12 with timestamps, or OTHER_OPTIONS.
    u32 header_version;
    u32 again; // All up to here was on its way when the kernel last sent something again; acknowledged: over.
    u32 unused_too[6];

    u8 header[36];
    u32 unused_as_well[7];

    u64 peer; // Its newest acknowledgement, as it came, and its window beside it.
    u32 peer_next, peer_clock, peer_echo;
    u32 lowered;  // The newest that was; `start`: none. `leave` moves it along, see `FAR_BEHIND`.
    u32 peer_seq; // The newest number of a packet of its.
    u32 unused_here[7];

    u64 counts[COUNTS];
};

struct {
    int (*type)[MAP_ARRAY];
    int (*max_entries)[1];
    int (*map_flags)[MMAPABLE];
    u32 *key;
    struct lane *value;
} lanes SECTION(".maps");

// A packet of the lane's connection.
struct segment {
    u32 from, upto;
    u32 ack, window;
    u32 clock, echo;
    u32 flags;
    u32 header_len;
    u32 mode; // As it was when the packet was found to be of the connection.
    u8 has_clock, is_plain;
};

// What the gateway has told of the segment that left first.
struct fast {
    u32 from, upto;
    u32 ack, window, clock, header;
};

enum { FIN = 1, SYN = 2, RST = 4, PSH = 8, ACK = 16 };

INLINE u16 be16(const u8 *at)
{
    return (u16)(at[0] << 8 | at[1]);
}

INLINE u32 be32(const u8 *at)
{
    return (u32)at[0] << 24 | (u32)at[1] << 16 | (u32)at[2] << 8 | at[3];
}

// Whether the first number lies behind the second, as TCP counts.
INLINE int after(u32 first, u32 second)
{
    return (s32)(second - first) < 0;
}

INLINE struct lane *the_lane(void)
{
    u32 key = 0;
    return map_lookup(&lanes, &key);
}

INLINE void count(struct lane *lane, u32 what)
{
    __sync_fetch_and_add(&lane->counts[what], 1);
}

// Reads a frame, if it is of the connection; `is_leaving`: from us.
INLINE int read_segment(const struct lane *lane, u8 *at, u8 *end, int is_leaving, struct segment *out)
{
    if (at + 54 > end || be16(at + 12) != 0x0800 || at[14] != 0x45 || at[23] != 6 || (be16(at + 20) & 0x3FFF))
        return 0;
    u32 source = *(u32 *)(at + 26), destination = *(u32 *)(at + 30);
    u16 source_port = *(u16 *)(at + 34), destination_port = *(u16 *)(at + 36);
    u32 local = is_leaving ? source : destination, remote = is_leaving ? destination : source;
    u16 local_port = is_leaving ? source_port : destination_port;
    u16 remote_port = is_leaving ? destination_port : source_port;
    u32 mode = ONCE(lane->mode);
    if (!(mode & WATCH) || lane->local_port != local_port || lane->remote_port != remote_port ||
        lane->local != local || lane->remote != remote)
        return 0;
    u32 total = be16(at + 16), header_len = (at[46] >> 4) * 4;
    if (header_len < 20 || total < 20 + header_len)
        return 0;
    out->mode = mode;
    out->from = be32(at + 38);
    out->upto = out->from + total - 20 - header_len;
    out->ack = be32(at + 42);
    out->flags = at[47];
    out->window = be16(at + 48);
    out->header_len = header_len;
    out->clock = out->echo = 0;
    // Two no-operations and the timestamps, as Linux writes them, or nothing.
    out->has_clock = header_len == 32 && at + 66 <= end && be32(at + 54) == 0x0101080A;
    if (out->has_clock) {
        out->clock = be32(at + 58);
        out->echo = be32(at + 62);
    }
    out->is_plain = header_len == 20 || out->has_clock;
    return 1;
}

// Whether Ethernet and IPv4 say what the kernel said last, lengths, identification and checksum apart.
INLINE int is_same_header(const struct lane *lane, const u8 *at)
{
    const u8 *last = lane->header;
    return *(u32 *)at == *(u32 *)last && *(u32 *)(at + 4) == *(u32 *)(last + 4) &&
           *(u32 *)(at + 8) == *(u32 *)(last + 8) && *(u32 *)(at + 12) == *(u32 *)(last + 12) &&
           *(u32 *)(at + 20) == *(u32 *)(last + 20) && *(u32 *)(at + 26) == *(u32 *)(last + 26) &&
           *(u32 *)(at + 30) == *(u32 *)(last + 30);
}

// Gives a packet that leaves another number.
INLINE void renumber(struct __sk_buff *skb, u32 from, u32 to)
{
    u32 old = __builtin_bswap32(from), new = __builtin_bswap32(to);
    replace_l4(skb, 34 + 16, old, new, 4);
    store_bytes(skb, 34 + 4, &new, 4, 0);
}

// Takes the bytes off a packet that leaves, and sets it to the number behind them: at the old one, which the exchange
// has passed, it would not be heard. 0: done.
INLINE long take_bytes_off(struct __sk_buff *skb, const struct segment *it)
{
    u32 len = it->upto - it->from;
    if (change_tail(skb, 34 + it->header_len, 0))
        return -1;
    u16 old = __builtin_bswap16((u16)(20 + it->header_len + len)), new = __builtin_bswap16((u16)(20 + it->header_len));
    replace_l3(skb, 14 + 10, old, new, 2);
    store_bytes(skb, 14 + 2, &new, 2, 0);
    old = __builtin_bswap16((u16)(it->header_len + len));
    new = __builtin_bswap16((u16)it->header_len);
    replace_l4(skb, 34 + 16, old, new, OF_PSEUDO_HEADER | 2);
    renumber(skb, it->from, it->upto);
    return 0;
}

// Makes of it what the exchange has said of these bytes already. Its checksum is the kernel's to compute, or nobody's:
// it does not leave the host.
INLINE int give_back(struct __sk_buff *skb, struct lane *lane, const struct segment *it, u32 ack)
{
    u8 *at = (u8 *)(long)skb->data, *end = (u8 *)(long)skb->data_end;
    if (at + 54 > end)
        return TCX_NEXT;
    u8 turned[HEADER + 20];
    __builtin_memcpy(turned, at + 6, 6);
    __builtin_memcpy(turned + 6, at, 6);
    __builtin_memcpy(turned + 12, at + 12, 14);
    __builtin_memcpy(turned + 26, at + 30, 4);
    __builtin_memcpy(turned + 30, at + 26, 4);
    __builtin_memcpy(turned + 34, at + 36, 2);
    __builtin_memcpy(turned + 36, at + 34, 2);
    u32 seq = __builtin_bswap32(ONCE(lane->peer_next));
    ack = __builtin_bswap32(ack);
    __builtin_memcpy(turned + 38, &seq, 4);
    __builtin_memcpy(turned + 42, &ack, 4);
    turned[46] = (u8)(it->header_len << 2);
    turned[47] = ACK;
    u16 window = __builtin_bswap16((u16)ONCE(lane->peer));
    __builtin_memcpy(turned + 48, &window, 2);
    __builtin_memcpy(turned + 50, at + 50, 4);
    store_bytes(skb, 0, turned, sizeof turned, 0);
    if (it->has_clock) {
        u32 clocks[2] = {__builtin_bswap32(ONCE(lane->peer_clock)), __builtin_bswap32(ONCE(lane->peer_echo))};
        store_bytes(skb, 58, clocks, sizeof clocks, 0);
    }
    count(lane, RETURNED);
    return (int)redirect(skb->ifindex, TO_INGRESS);
}

// Bytes between an acknowledgement that runs ahead and the end of what may have left past the kernel: a segment is shorter.
#define FAST_BYTES (1u << 16)

// The kernel's first copy of bytes that have left already.
INLINE int on_copy(struct __sk_buff *skb, struct lane *lane, const struct segment *it, const struct fast *fast)
{
    // `next` was moved on with a full barrier before.
    u32 lowered = ONCE(lane->lowered);
    // No further ahead than a segment goes: what else is here is of the connection before, or of long ago.
    int is_acked = lowered - it->from - 1 < FAST_BYTES;
    int is_news = after(it->ack, fast->ack) || it->window != fast->window;
    if (!is_news && !is_acked) {
        count(lane, STOLEN);
        // To no interface: the packet ends, and TCP is told that it was sent.
        return (int)redirect(0, 0);
    }
    if (take_bytes_off(skb, it)) {
        count(lane, PASSED_FAILED);
        return TCX_NEXT;
    }
    count(lane, is_news ? TRIMMED : STOLEN);
    if (!is_acked)
        return TCX_NEXT;
    // The clone comes by here again, as a packet without bytes.
    if (is_news)
        clone_redirect(skb, skb->ifindex, 0);
    return give_back(skb, lane, it, after(lowered, it->upto) ? it->upto : lowered);
}

// Gives the turn back. Should the gateway have begun another connection meanwhile, `version` is no longer ours.
INLINE void end_turn(struct lane *lane, u32 turn)
{
    (void)__sync_val_compare_and_swap(&lane->version, turn, turn + 1);
}

// The turn to write down what the kernel sent, which is odd; 0: another packet has it, or another connection has begun.
// The gateway takes `mode` back and then waits for the turn to end; here it is the other way round, with a full
// barrier between, so that no packet writes into the connection after its own.
INLINE u32 take_turn(struct lane *lane, u32 mode)
{
    u32 version = ONCE(lane->version);
    if (version & 1 || __sync_val_compare_and_swap(&lane->version, version, version + 1) != version)
        return 0;
    if (ONCE(lane->mode) == mode)
        return version + 1;
    end_turn(lane, version + 1);
    return 0;
}

// A number of so long ago is moved along: another 2^30 bytes later it would lie ahead of every new one.
#define FAR_BEHIND (1u << 30)

// What a packet has changed of what is known.
struct change {
    u32 last, last_clock; // `next` and `clock` before.
    int is_new, is_same;
};

// Writes down what the kernel sends. 0: it was not this packet's turn.
INLINE int note_sent(struct __sk_buff *skb, struct lane *lane, const struct segment *it, struct change *out)
{
    u8 *at = (u8 *)(long)skb->data, *end = (u8 *)(long)skb->data_end;
    u32 turn = take_turn(lane, it->mode);
    if (!turn)
        return 0;
    int has_bytes = it->upto != it->from, is_first = !!(it->flags & SYN);
    u32 last = lane->next;
    // The number behind it: a connection's first and its last packet count as a byte.
    u32 ends = it->upto + !!(it->flags & (SYN | FIN));
    out->last = last;
    out->last_clock = lane->clock;
    out->is_same = 1;
    out->is_new = is_first || (ends != it->from && after(ends, last));
    ONCE(lane->ack) = it->ack;
    ONCE(lane->window) = it->window;
    ONCE(lane->clock) = it->clock;
    ONCE(lane->echo) = it->echo;
    // Other options may be as long as timestamps.
    if (!is_first)
        ONCE(lane->options) = it->is_plain ? it->header_len - 20 : OTHER_OPTIONS;
    if (has_bytes || is_first) {
        out->is_same = !skb->vlan_present && at + 54 <= end && is_same_header(lane, at);
        if (!out->is_same && at + 54 <= end) {
            __builtin_memcpy(lane->header, at, HEADER);
            ONCE(lane->header_version) = lane->header_version + 1;
        }
    }
    u64 peer = ONCE(lane->peer); // 0: it has acknowledged nothing yet.
    u32 acked = (u32)(peer >> 32);
    if (is_first)
        ONCE(lane->start) = ONCE(lane->lowered) = ONCE(lane->again) = ends;
    else if (has_bytes && !out->is_new)
        ONCE(lane->again) = last;
    else if (out->is_new && peer && !after(lane->again, acked))
        ONCE(lane->again) = acked; // Moved along, or it would lie ahead again half the numbers later.
    // So is this, unless `arrive` writes it meanwhile: what it writes is new.
    u32 lowered = ONCE(lane->lowered);
    if (out->is_new && !is_first && last - lowered - FAR_BEHIND < FAR_BEHIND)
        (void)__sync_val_compare_and_swap(&lane->lowered, lowered, last);
    // With a full barrier: see the head of this file.
    if (out->is_new)
        (void)__sync_lock_test_and_set(&lane->next, ends);
    end_turn(lane, turn);
    return 1;
}

// A packet without bytes. The exchange may be past the kernel's number, and would not hear what comes at it. A
// connection's end comes at both: the segment may never have left.
INLINE int on_pure(struct __sk_buff *skb, struct lane *lane, const struct segment *it, const struct fast *fast, u32 last)
{
    if (it->flags & (SYN | FIN) || it->from != last || last - fast->from >= fast->upto - fast->from)
        return TCX_NEXT;
    if (it->flags & RST) {
        u32 mark = skb->mark;
        skb->mark = SENT_AGAIN;
        clone_redirect(skb, skb->ifindex, 0);
        skb->mark = mark;
    }
    renumber(skb, it->from, fast->upto);
    count(lane, RAISED);
    return TCX_NEXT;
}

SECTION("classifier")
int leave(struct __sk_buff *skb)
{
    struct lane *lane = the_lane();
    u8 *at = (u8 *)(long)skb->data, *end = (u8 *)(long)skb->data_end;
    struct segment it = {};
    if (!lane || skb->mark == SENT_AGAIN || !read_segment(lane, at, end, 1, &it))
        return TCX_NEXT;
    // All of it before `next` moves on: see the head of this file. `upto` is written last, so it is read first.
    struct fast fast;
    fast.upto = ONCE(lane->fast_upto);
    fast.from = ONCE(lane->fast_from);
    fast.ack = ONCE(lane->fast_ack);
    fast.window = ONCE(lane->fast_window);
    fast.clock = ONCE(lane->fast_clock);
    fast.header = ONCE(lane->fast_header);
    int has_bytes = it.upto != it.from;
    // RST may come from no socket, and nothing is built on it.
    if (it.flags & RST)
        return has_bytes ? TCX_NEXT : on_pure(skb, lane, &it, &fast, ONCE(lane->next));
    struct change change = {};
    if (!note_sent(skb, lane, &it, &change)) {
        if (has_bytes)
            count(lane, PASSED_FAILED);
        return TCX_NEXT;
    }
    if (!has_bytes)
        return on_pure(skb, lane, &it, &fast, change.last);
    if (!change.is_new) {
        count(lane, PASSED_AGAIN);
        return TCX_NEXT;
    }
    u32 cause = PASSED_ORDINARY;
    if (!(it.mode & STEAL) || it.from - fast.from >= fast.upto - fast.from)
        goto pass;
    // The kernel sends these bytes in other pieces than ours, which may have been too long for the path.
    cause = PASSED_SPLIT;
    if (it.from != fast.from || it.upto != fast.upto || skb->gso_segs > 1)
        goto pass;
    cause = PASSED_OPTIONS;
    if (!it.is_plain || (it.flags & ~(ACK | PSH)))
        goto pass;
    cause = PASSED_HEADERS;
    if (!change.is_same || lane->header_version != fast.header)
        goto pass;
    // Something newer left in between: the fast segment's clock goes back, and the exchange may refuse it.
    cause = PASSED_CLOCK;
    if (it.has_clock && change.last_clock != fast.clock)
        goto pass;
    return on_copy(skb, lane, &it, &fast);
pass:
    count(lane, cause);
    return TCX_NEXT;
}

// Bytes of TCP that are summed at most: a frame of 1,500 bytes has fewer. In parts, as older kernels sum no more at once.
#define SUMMED_MAX 1536
#define PART 512
// The power of two above.
#define BYTES 2048

// A packet's bytes, where they can be summed. One for each CPU: nothing interrupts this program by itself.
struct bytes {
    u8 of[BYTES + 4];
};
struct {
    int (*type)[MAP_PERCPU_ARRAY];
    int (*max_entries)[1];
    u32 *key;
    struct bytes *value;
} scratch SECTION(".maps");

// The same number, which is 1 to `most`, a power of two, so that every kernel's verifier sees that. What comparisons have shown is
// lost where the compiler joins two of them into one of the number less a constant (verifiers up to 6.18.15), or compares one
// copy and uses another (6.1).
INLINE u32 bounded(u32 number, u32 most)
{
    asm volatile("" : "+r"(number));
    return ((number - 1) & (most - 1)) + 1;
}

INLINE u32 folded(u32 sum)
{
    sum = (sum & 0xFFFF) + (sum >> 16);
    return (sum & 0xFFFF) + (sum >> 16);
}

// Whether TCP's checksum holds, as the kernel will judge, too; or is that of the addresses alone, as it is between two
// interfaces of one host, where nobody computes the rest. Bytes that turned on the way must not move what is known
// here: an acknowledgement that was never given would be given back to the kernel, and the order be lost.
// In words as they lie there: the sum is the same in either order, but for its bytes.
INLINE int is_whole(struct xdp_md *ctx, const u8 *at, u32 len)
{
    u32 sum = *(u16 *)(at + 26) + *(u16 *)(at + 28) + *(u16 *)(at + 30) + *(u16 *)(at + 32);
    sum = folded(sum + __builtin_bswap16(6) + __builtin_bswap16((u16)len));
    if (sum == *(u16 *)(at + 50))
        return 1;
    u32 key = 0;
    struct bytes *bytes = map_lookup(&scratch, &key);
    if (!bytes || len < 20 || len > SUMMED_MAX)
        return 0;
    len = bounded(len, BYTES);
    if (load_bytes(ctx, 34, bytes->of, len))
        return 0;
    __builtin_memset(bytes->of + len, 0, 4);
    u32 rest = (len + 3) & ~3u;
#pragma unroll
    for (u32 part = 0; part < SUMMED_MAX / PART; part++) {
        u32 size = rest < PART ? rest : PART;
        rest -= size;
        if (size == 0)
            break;
        sum = (u32)csum_diff(0, 0, bytes->of + part * PART, bounded(size, PART), sum);
    }
    return folded(folded(sum)) == 0xFFFF;
}

// Lowers the acknowledgement of a packet; its checksum follows.
INLINE void lower(u8 *at, u32 from, u32 to)
{
    u32 sum = (u16)~be16(at + 50);
    sum += (u16)~(from >> 16) + (u32)(u16)~from + (to >> 16) + (to & 0xFFFF);
    sum = (sum & 0xFFFF) + (sum >> 16);
    sum = (sum & 0xFFFF) + (sum >> 16);
    *(u16 *)(at + 50) = __builtin_bswap16((u16)~sum);
    *(u32 *)(at + 42) = __builtin_bswap32(to);
}

// Tries to write something that another CPU may be writing, too. Who loses all of them is as one that was lost on the way.
#define TRIES 4

// Whether the gateway has begun another connection since the packet was found to be of one.
INLINE int is_over(const struct lane *lane, const struct segment *it)
{
    return ONCE(lane->mode) != it->mode;
}

// How far behind what the kernel has acknowledged a packet of the exchange's may end: more than one has on its way at a time.
// What is further behind is not learned from: too low a bound costs the lane, not an order.
#define AHEAD_MAX (1u << 20)

// Whether the kernel would hear a packet at this number (RFC 9293, 3.10.7.4). One that it throws away must not move what is
// known here: whoever does not know the exchange's number could acknowledge in its name what it has not heard. A beginning is
// heard once.
INLINE int is_acceptable(const struct lane *lane, const struct segment *it)
{
    u32 acked = ONCE(lane->ack);
    if (it->flags & SYN)
        return acked == 0 && it->ack == ONCE(lane->start);
    return it->upto - acked < AHEAD_MAX;
}

// Notes what the exchange has said. Packets may come on several CPUs, and in another order than they were sent: nothing
// goes back. An acknowledgement that is newer was sent later; with the same one, the number says (RFC 9293, 3.10.7.4).
INLINE void note(struct lane *lane, const struct segment *it)
{
    u32 ends = it->upto + !!(it->flags & (SYN | FIN));
    if (it->flags & SYN) {
        // Its window is not scaled, so it is not noted.
        ONCE(lane->peer_next) = ends;
        ONCE(lane->peer_seq) = it->from;
        ONCE(lane->peer) = 0;
        return;
    }
#pragma unroll
    for (int at = 0; at < TRIES; at++) {
        u32 seq = ONCE(lane->peer_seq);
        if (!after(it->from, seq) || __sync_val_compare_and_swap(&lane->peer_seq, seq, it->from) == seq)
            break;
    }
    u64 said = (u64)it->ack << 32 | it->window;
#pragma unroll
    for (int at = 0; at < TRIES; at++) {
        u64 peer = ONCE(lane->peer);
        if (is_over(lane, it))
            break;
        // Read behind `peer`, with a full barrier: whoever has written that had raised this before.
        u32 seq = __sync_fetch_and_add(&lane->peer_seq, 0);
        u32 acked = (u32)(peer >> 32);
        if (peer && (after(acked, it->ack) || (acked == it->ack && after(seq, it->from))))
            break;
        if (__sync_val_compare_and_swap(&lane->peer, peer, said) == peer)
            break;
    }
    if (after(ends, ONCE(lane->peer_next)))
        ONCE(lane->peer_next) = ends;
    if (it->has_clock && (!ONCE(lane->peer_clock) || !after(ONCE(lane->peer_clock), it->clock))) {
        ONCE(lane->peer_clock) = it->clock;
        ONCE(lane->peer_echo) = it->echo;
    }
    // With a full barrier: see the head of this file.
#pragma unroll
    for (int at = 0; at < TRIES; at++) {
        u32 lowered = ONCE(lane->lowered);
        if (is_over(lane, it) || !after(it->ack, ONCE(lane->next)) || !after(it->ack, lowered) ||
            __sync_val_compare_and_swap(&lane->lowered, lowered, it->ack) == lowered)
            break;
    }
}

SECTION("xdp")
int arrive(struct xdp_md *ctx)
{
    struct lane *lane = the_lane();
    u8 *at = (u8 *)(long)ctx->data, *end = (u8 *)(long)ctx->data_end;
    struct segment it = {};
    if (!lane || !read_segment(lane, at, end, 0, &it) || !(it.flags & ACK))
        return XDP_PASS;
    u32 next = ONCE(lane->next);
    int is_ahead = after(it.ack, next) && !(it.flags & SYN);
    // One that goes beyond what left past the kernel is of bytes that the kernel has sent where `leave` does not see them: by
    // another interface, or since somebody has taken it off. They are the kernel's to judge, or its connection would stand still.
    int is_fast = is_ahead && ONCE(lane->fast_most) - it.ack < FAST_BYTES;
    u32 len = it.header_len + it.upto - it.from;
    if (!is_whole(ctx, at, len)) {
        count(lane, UNBELIEVED);
        // Too long to be summed: the kernel must not throw it away. A checksum that does not hold does not hold then either.
        if (len <= SUMMED_MAX)
            return XDP_PASS;
    } else if ((is_ahead && !is_fast) || !is_acceptable(lane, &it)) {
        // What was never sent cannot be acknowledged.
        count(lane, UNACCEPTABLE);
        return XDP_PASS;
    } else {
        note(lane, &it);
    }
    if (!is_fast || !(it.mode & LOWER))
        return XDP_PASS;
    next = ONCE(lane->next);
    if (after(it.ack, next) && at + 54 <= end) {
        lower(at, it.ack, next);
        count(lane, LOWERED);
    }
    return XDP_PASS;
}

char _license[] SECTION("license") = "Dual MIT/GPL";
